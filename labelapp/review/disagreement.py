"""The disagreement queue: on which items a decision would tell most. Everything is added up in SQL.

    score = uncertainty × weight / π

Uncertainty is 4 p (1 - p), from 0 to 1. p is the share of yes: of people and of machines apart, then the mean of
the two, so that five machines do not outvote one person. A machine with a verifier gives half a vote to each of its
two answers. Weight is the number of judges with a yes or no, each of which a decision would check. π is the item's
inclusion probability; an item of an exploration queue has none and is ranked as if it were 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    FloatField,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, NullIf

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.atlas.panels import hidden_directions
from labelapp.judgements.models import Judge, Judgement, Verdict, Verification
from labelapp.labelling.models import Item, Project
from labelapp.review.filters import Filters
from labelapp.review.models import Adjudication

ROWS_A_PAGE = 50
TOKENS_SHOWN = 8
YES, NO = Verdict.INTERPRETABLE, Verdict.NOT_INTERPRETABLE
VERIFIED, REJECTED = Verification.Answer.YES, Verification.Answer.NO
MACHINES = (Judge.Type.PROMPT, Judge.Type.BASELINE)

PERSON = Q(judge__type=Judge.Type.PERSON)
MACHINE = Q(judge__type__in=MACHINES)
ALONE = MACHINE & Q(answer__isnull=True)  # a machine without a verifier's answer
# Under the default rule, as `judgements.rules` has it: `both` where there is a verifier's answer, else `labeler`.
RULED_YES = (ALONE & Q(verdict=YES)) | (MACHINE & Q(verdict=YES, answer=VERIFIED))
RULED_NO = MACHINE & (Q(verdict=NO) | Q(verdict=YES, answer=REJECTED))
# One judgement on which two rules differ.
SPLIT = MACHINE & (Q(verdict=YES, answer=REJECTED) | Q(verdict=NO, answer=VERIFIED))

KINDS = {
    "people": Q(people_yes__gt=0, people_no__gt=0),
    "people_machine": Q(people_yes__gt=F("people_no"), ruled_no__gt=0)
    | Q(people_no__gt=F("people_yes"), ruled_yes__gt=0),
    "machine": Q(ruled_yes__gt=0, ruled_no__gt=0) | Q(split__gt=0),
}


class Place(NamedTuple):
    """Where an item stands in the queue: the largest score first, then by id."""

    score: float
    item_id: int


@dataclass(frozen=True)
class Ranked:
    """One item of the queue, and why it stands where it does."""

    item_id: int
    score: float
    uncertainty: float
    weight: int
    inclusion_probability: float | None
    people_yes: int
    people_no: int
    ruled_yes: int
    ruled_no: int
    kinds: Sequence[str]

    @property
    def place(self) -> Place:
        return Place(self.score, self.item_id)


@dataclass(frozen=True)
class Row:
    """A line of the queue's page."""

    ranked: Ranked
    item: Item
    tokens: Sequence[str]
    adjudication: Adjudication | None


def ranked_rows(project: Project, filters: Filters, viewer: User, *, show_hidden: bool = False) -> QuerySet[Any]:
    """The items that fulfil the filters, as rows of aggregates, in no order: one statement.

    Without those that the viewer is still to judge blind, unless `show_hidden`.
    """
    rows = _votes(project).filter(filters.places())
    if filters.audit:
        rows = rows.filter(direction__in=filters.audited(project))
    if not show_hidden:
        rows = rows.exclude(direction__in=_hidden(project, viewer).values("pk"))
    if filters.state:
        decided = Exists(Adjudication.objects.filter(item=OuterRef("item"), current=True))
        rows = rows.filter(decided if filters.state == "decided" else ~decided)
    found: QuerySet[Any] = _scored(rows).annotate(**filters.counts()).filter(filters.having())
    return found


def queue_counts(rows: QuerySet[Any]) -> dict[str, int]:
    """How many items disagree in each way, and in any: one query."""
    counts = {name: Count("item", filter=kind) for name, kind in KINDS.items()}
    return dict(rows.filter(_any_kind()).aggregate(any=Count("item"), **counts))


def queue_page(rows: QuerySet[Any], kind: str, after: Place | None, n: int) -> list[Ranked]:
    """The first n of a kind of disagreement ("" for any) behind a place: one query."""
    rows = rows.filter(KINDS[kind] if kind else _any_kind())
    if after is not None:
        rows = rows.filter(Q(score__lt=after.score) | Q(score=after.score, item__gt=after.item_id))
    return [_ranked(row) for row in rows.order_by("-score", "item")[:n]]


def item_ranked(item: Item) -> Ranked | None:
    """One item's place, whatever its disagreement; None where nobody has said yes or no to it."""
    row = next(iter(_scored(_votes(item.project).filter(direction=item.direction_id))), None)
    return _ranked(row) if row is not None and row["score"] is not None else None


def rows_shown(ranked: Sequence[Ranked]) -> list[Row]:
    """With the items themselves: two queries."""
    items = Item.objects.select_related("direction__matrix__model").in_bulk([it.item_id for it in ranked])
    standing = Adjudication.objects.filter(item__in=items, current=True).select_related("by")
    decided = {it.item_id: it for it in standing}
    return [
        Row(it, items[it.item_id], items[it.item_id].direction.tokens[:TOKENS_SHOWN], decided.get(it.item_id))
        for it in ranked
    ]


def hidden_total(project: Project, viewer: User) -> int:
    """How many of the project's items the viewer is still to judge blind."""
    return _hidden(project, viewer).count()


def judges_of(project: Project) -> list[Judge]:
    """Whose answers the queue compares."""
    judged = _votes(project).order_by().values("judge_id")
    return list(Judge.objects.filter(pk__in=judged).order_by("type", "name", "pk"))


def places_of(project: Project) -> dict[str, list[Any]]:
    """The models, circuits and layers of the project's items, for its filters: one query."""
    directions = Direction.objects.filter(items__project=project).order_by()
    columns = ("matrix__model_id", "matrix__circuit", "matrix__layer")
    found = list(directions.values_list(*columns).distinct())
    return {
        "models": sorted({model for model, _, _ in found}),
        "circuits": sorted({circuit for _, circuit, _ in found}),
        "layers": sorted({layer for _, _, layer in found if layer is not None}),
    }


def _hidden(project: Project, viewer: User) -> QuerySet[Direction]:
    """A list of the project's own, and no correlated EXISTS: without statistics PostgreSQL plans that for minutes."""
    return hidden_directions(viewer).filter(items__project=project)


def _votes(project: Project) -> QuerySet[Any]:
    """What stands on the project's items: people's of this project, and every machine's."""
    # Joins, each made once here; a subquery would stand in the statement once for each place where it is used.
    rows: QuerySet[Any] = Judgement.objects.annotate(
        item=F("direction__items__pk"),
        pi=F("direction__items__inclusion_probability"),
        in_project=F("direction__items__project"),
        verification=F("verifications__pk"),
        answer=F("verifications__answer"),
    )
    later = Verification.objects.filter(judgement=OuterRef("pk"), pk__gt=OuterRef("verification"))
    of_project = PERSON & Q(source=project.source) | MACHINE
    return rows.filter(of_project, ~Exists(later), current=True, in_project=project.pk)


def _scored(rows: QuerySet[Any]) -> QuerySet[Any]:
    """By item, with the parts of its score."""
    grouped = rows.order_by().values("item", "pi")
    scored: QuerySet[Any] = (
        grouped.annotate(
            people_yes=Count("pk", filter=PERSON & Q(verdict=YES)),
            people_no=Count("pk", filter=PERSON & Q(verdict=NO)),
            ruled_yes=Count("pk", filter=RULED_YES),
            ruled_no=Count("pk", filter=RULED_NO),
            split=Count("pk", filter=SPLIT),
            weight=Count("judge", distinct=True, filter=Q(verdict__in=(YES, NO))),
            machine_yes=_half_votes(YES, VERIFIED),
            machine_no=_half_votes(NO, REJECTED),
        )
        .annotate(people_share=_share("people_yes", "people_no"), machine_share=_share("machine_yes", "machine_no"))
        .annotate(
            p=(Coalesce("people_share", "machine_share") + Coalesce("machine_share", "people_share")) / Value(2.0)
        )
        .annotate(uncertainty=Value(4.0) * F("p") * (Value(1.0) - F("p")))
        .annotate(score=F("uncertainty") * F("weight") / Coalesce(F("pi"), Value(1.0)))
    )
    return scored


def _half_votes(verdict: str, answer: str) -> Any:
    """A machine's votes for a verdict: one, or half for what its labeler and half for what its verifier says."""
    votes = Case(
        When(ALONE & Q(verdict=verdict), then=Value(1.0)),
        When(MACHINE & Q(verdict=verdict, answer=answer), then=Value(1.0)),
        When(MACHINE & (Q(verdict=verdict) | Q(answer=answer)), then=Value(0.5)),
        default=Value(0.0),
        output_field=FloatField(),
    )
    return Sum(votes)


def _share(yes: str, no: str) -> Any:
    """None where nobody said either."""
    return (F(yes) * Value(1.0)) / NullIf((F(yes) + F(no)) * Value(1.0), Value(0.0))


def _any_kind() -> Q:
    found = Q()
    for kind in KINDS.values():
        found |= kind
    return found


def _ranked(row: Mapping[str, Any]) -> Ranked:
    return Ranked(
        item_id=row["item"],
        score=row["score"],
        uncertainty=row["uncertainty"],
        weight=row["weight"],
        inclusion_probability=row["pi"],
        people_yes=row["people_yes"],
        people_no=row["people_no"],
        ruled_yes=row["ruled_yes"],
        ruled_no=row["ruled_no"],
        kinds=_kinds(row),
    )


def _kinds(row: Mapping[str, Any]) -> list[str]:
    """The same conditions as KINDS, of a row that is here."""
    yes, no, ruled_yes, ruled_no = (row[name] for name in ("people_yes", "people_no", "ruled_yes", "ruled_no"))
    held = {
        "people": yes and no,
        "people_machine": (yes > no and ruled_no) or (no > yes and ruled_yes),
        "machine": (ruled_yes and ruled_no) or row["split"],
    }
    return [name for name in KINDS if held[name]]
