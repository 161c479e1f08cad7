"""What people said of a project's pairs or matrices: shares, agreement, and the items one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from django.db.models import OuterRef, Subquery

from labelapp.accounts.models import User
from labelapp.atlas.keys import CIRCUITS, CONTROLS
from labelapp.atlas.models import Direction
from labelapp.judgements.models import VERDICTS_OF, Judge, Judgement, MatrixVerdict, PairVerdict, Subject
from labelapp.labelling.blindness import directions_hidden_from
from labelapp.labelling.models import Item, Membership, Project
from labelapp.labelling.selectors import JUDGING_ROLES
from labelapp.statistics.shares import Share, shares

if TYPE_CHECKING:
    from labelapp.statistics.agreement_card import AgreementCard, Coefficient

UNSURE, TIE = "unsure", "tie"
# The two-valued question that agreement beyond chance is about: these verdicts are its yes.
YES_OF = {
    Subject.VECTOR: (PairVerdict.SAME_THEME, PairVerdict.OPPOSITES),
    Subject.MATRIX: (MatrixVerdict.CONCEPT,),
}
# Of every item's direction and matrix only the address is wanted.
NOT_READ = tuple(
    f"direction__{name}"
    for name in ("token_ids", "tokens", "scores", "matrix__singular_values", "matrix__neurons", "matrix__vectors")
)
PAIRS_OF_PEOPLE = 6
RESAMPLES = 1000


@dataclass(frozen=True)
class Opinion:
    """A person's standing judgement on an item."""

    item_id: int
    judge: Judge
    judgement: Judgement


@dataclass(frozen=True)
class Judged:
    """An item with what stands on it."""

    item: Item
    opinions: Sequence[Opinion]
    verdict: str  # of the majority; or `unsure`, or `tie`


@dataclass(frozen=True)
class Group:
    """The shares in one circuit or layer, or in all; `shares` is empty where nothing was decided."""

    name: str
    n_judged: int
    shares: Sequence[tuple[str, Share]]

    @property
    def n(self) -> int:
        return self.shares[0][1].n if self.shares else 0

    @property
    def left_out(self) -> int:
        return self.n_judged - self.n


@dataclass(frozen=True)
class Agreement:
    """Two people: how often they gave the very same verdict, and the card of the two-valued question."""

    first: Judge
    second: Judge
    n: int
    n_same: int
    card: AgreementCard

    @property
    def share_same(self) -> float | None:
        return self.n_same / self.n if self.n else None

    @property
    def beyond_chance(self) -> Sequence[Coefficient]:
        return self.card.kappa, self.card.alpha, self.card.ac1


@dataclass(frozen=True)
class Results:
    verdicts: Sequence[str]  # that have shares
    whole: Group  # of the models' own matrices, as are those by circuit and layer
    by_circuit: Sequence[Group]
    by_layer: Sequence[Group]
    by_control: Sequence[Group]  # noise that was mixed in: what people see where there is nothing
    judged: Sequence[Judged]  # in the queue's order
    n_items: int
    n_hidden: int  # judged by somebody, and left out of all this: the viewer is still to judge them


def results(project: Project, viewer: User, *, show_hidden: bool = False) -> Results:
    """Of a project of pairs or matrices. Items that the viewer is still to judge blind are left out, unless shown."""
    standing = _standing(project)
    rows = project.items.select_related("direction__matrix__model").defer(*NOT_READ).order_by("position")
    items = [item for item in rows if item.pk in standing]
    hidden = set() if show_hidden else hidden_items(project, viewer, items, standing)
    judged = [
        Judged(item, standing[item.pk], majority(it.judgement.verdict for it in standing[item.pk]))
        for item in items
        if item.pk not in hidden
    ]
    own = [it for it in judged if not it.item.direction.matrix.control]
    return Results(
        verdicts=verdicts_with_shares(project.subject),
        whole=_group("all", own, project.subject),
        by_circuit=_by_circuit(own, project.subject),
        by_layer=_by_layer(own, project.subject),
        by_control=_by_control(judged, project.subject),
        judged=judged,
        n_items=project.items.count(),
        n_hidden=len(hidden),
    )


def verdicts_with_shares(subject: str) -> list[str]:
    return [str(verdict) for verdict in VERDICTS_OF[subject] if verdict != UNSURE]


def majority(verdicts: Iterable[str]) -> str:
    """The verdict that most people gave; `tie` where two were given equally often, `unsure` where nobody was sure."""
    votes = Counter(str(verdict) for verdict in verdicts if verdict != UNSURE)
    if not votes:
        return UNSURE
    (first, most), *others = votes.most_common(2)
    return TIE if others and others[0][1] == most else first


def hidden_items(
    project: Project, viewer: User, items: Sequence[Item], standing: Mapping[int, Sequence[Opinion]]
) -> set[int]:
    """Of these items those that the viewer may still judge; of pairs also those of whose ends this is true anywhere."""
    judges = Membership.objects.filter(project=project, user=viewer, role__in=JUDGING_ROLES).exists()
    waiting = {
        item.pk
        for item in items
        if judges and item.is_open and not any(it.judge.user_id == viewer.pk for it in standing[item.pk])
    }
    if project.subject != Subject.VECTOR:
        return waiting
    both = other_ends([item.direction_id for item in items])
    hidden = directions_hidden_from(viewer, [*both, *both.values()])
    return waiting | {it.pk for it in items if {it.direction_id, both.get(it.direction_id)} & hidden.keys()}


def other_ends(direction_ids: Sequence[int]) -> dict[int, int]:
    """Of + ends, by id, the id of the other end of the same vector: one query."""
    vector = {name: OuterRef(name) for name in ("matrix", "side", "index")}
    other = Direction.objects.filter(**vector, sign="-").values("pk")
    rows = Direction.objects.filter(pk__in=direction_ids).annotate(other_end=Subquery(other[:1]))
    return {pk: end for pk, end in rows.values_list("pk", "other_end") if end is not None}


def agreements(project: Project, judged: Sequence[Judged]) -> list[Agreement]:
    """Of the pairs of people those with most items in common, those with most first."""
    said: dict[Judge, dict[int, str]] = defaultdict(dict)
    for row in judged:
        for opinion in row.opinions:
            said[opinion.judge][row.item.pk] = opinion.judgement.verdict
    in_common = [
        (len(said[first].keys() & said[second].keys()), first, second)
        for first, second in combinations(sorted(said, key=lambda it: it.pk), 2)
    ]
    most = sorted((it for it in in_common if it[0]), key=lambda it: (-it[0], it[1].pk, it[2].pk))[:PAIRS_OF_PEOPLE]
    return [_agreement(project.subject, first, second, said[first], said[second]) for _, first, second in most]


def _agreement(
    subject: str, first: Judge, second: Judge, of_first: Mapping[int, str], of_second: Mapping[int, str]
) -> Agreement:
    from labelapp.statistics.agreement_card import agreement_card  # the web process starts without scipy

    both = sorted(of_first.keys() & of_second.keys())
    decided = [pk for pk in both if UNSURE not in (of_first[pk], of_second[pk])]
    yes = YES_OF[Subject(subject)]

    def answers(said: Mapping[int, str]) -> list[bool | None]:
        return [None if said[pk] == UNSURE else said[pk] in yes for pk in both]

    card = agreement_card(answers(of_first), answers(of_second), resamples=RESAMPLES)
    n_same = sum(of_first[pk] == of_second[pk] for pk in decided)
    return Agreement(first, second, len(decided), n_same, card)


def _standing(project: Project) -> dict[int, list[Opinion]]:
    rows = Judgement.every.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    item_of = dict(project.items.values_list("direction_id", "pk"))
    found: dict[int, list[Opinion]] = defaultdict(list)
    for row in rows.select_related("judge").order_by("pk"):
        if row.direction_id in item_of:
            found[item_of[row.direction_id]].append(Opinion(item_of[row.direction_id], row.judge, row))
    return found


def _group(name: str, judged: Sequence[Judged], subject: str) -> Group:
    """Exploration's items have no π, and no share."""
    drawn = [it for it in judged if it.item.inclusion_probability is not None]
    decided = [it for it in drawn if it.verdict not in (UNSURE, TIE)]
    if not decided:
        return Group(name, len(drawn), [])
    verdicts = verdicts_with_shares(subject)
    pi = [it.item.inclusion_probability or 0.0 for it in decided]
    found = shares([it.verdict for it in decided], pi, verdicts)
    return Group(name, len(drawn), list(zip(verdicts, found, strict=True)))


def _by_circuit(judged: Sequence[Judged], subject: str) -> list[Group]:
    circuits: dict[str, list[Judged]] = defaultdict(list)
    for row in judged:
        circuits[row.item.direction.matrix.circuit].append(row)
    return [_group(circuit, circuits[circuit], subject) for circuit in CIRCUITS if circuit in circuits]


def _by_layer(judged: Sequence[Judged], subject: str) -> list[Group]:
    layers: dict[tuple[int, str], list[Judged]] = defaultdict(list)
    for row in judged:
        layer = row.item.direction.matrix.layer
        layers[(-1, "without layer") if layer is None else (layer, f"layer {layer}")].append(row)
    return [_group(name, rows, subject) for (_, name), rows in sorted(layers.items(), key=lambda it: it[0])]


def _by_control(judged: Sequence[Judged], subject: str) -> list[Group]:
    controls: dict[str, list[Judged]] = defaultdict(list)
    for row in judged:
        if control := row.item.direction.matrix.control:
            controls[control].append(row)
    return [_group(control, controls[control], subject) for control in CONTROLS if control in controls]
