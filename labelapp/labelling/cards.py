"""What the labelling page shows of an item: its tokens and what the person entered before, and nothing else.

Nothing here may tell where a direction comes from: no key, model, layer or index, and nobody's judgements.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from django.db.models import Q, Window
from django.db.models.functions import DenseRank

from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judgement, Subject
from labelapp.judgements.services import judgements_own
from labelapp.labelling.checks.card import CheckCard
from labelapp.labelling.checks.queue import check_skipped, mixed_in
from labelapp.labelling.models import Item, Project
from labelapp.labelling.queue import SHOWN, items_take, leases_prolong
from labelapp.labelling.selectors import QueueProgress, Seat, labels_used, own_count, queue_progress
from labelapp.labelling.subjects import VECTORS_MORE, VECTORS_SHOWN, tokens_shown

HEAT_STEPS = 20
OPPOSITE = {"+": "-", "-": "+"}


@dataclass(frozen=True)
class Entry:
    """What stands in the form: answered before, or refused just now."""

    verdict: str = ""
    label: str = ""
    second_label: str = ""  # of a pair
    kind: str = ""
    reason: str = ""
    misfits: Collection[int] = ()


@dataclass(frozen=True)
class ShownToken:
    token: str
    place: int  # from 0, as it is stored
    percent: int | None  # of the best score; None for readouts without scores
    is_misfit: bool

    @property
    def number(self) -> int:
        """As it is shown and typed."""
        return self.place + 1

    @property
    def heat(self) -> int:
        return round((self.percent or 0) / 100 * HEAT_STEPS)


@dataclass(frozen=True)
class ShownVector:
    """One vector of a matrix, numbered from 1 as it is shown: its index would tell where it stands."""

    number: int
    ends: Sequence[Sequence[ShownToken]]  # the + end first


@dataclass(frozen=True)
class Card:
    """One item as it is laid before the person."""

    item: Item | CheckCard
    tokens: Sequence[ShownToken]
    other_end: Sequence[ShownToken]  # of the same vector; empty where the project shows one end
    entry: Entry
    n_own: int  # rows of the person's own on it, standing or not
    labels: Sequence[str] = ()  # everybody's, to choose from, once the person's own answer has been in
    vectors: Sequence[ShownVector] = ()  # of a matrix

    @property
    def first_vectors(self) -> Sequence[ShownVector]:
        return self.vectors[:VECTORS_SHOWN]

    @property
    def more_vectors(self) -> Sequence[ShownVector]:
        return self.vectors[VECTORS_SHOWN:]

    @property
    def n_fit(self) -> int:
        return sum(not token.is_misfit for token in self.tokens)

    @property
    def percent_fit(self) -> int:
        return round(100 * self.n_fit / len(self.tokens)) if self.tokens else 0


@dataclass(frozen=True)
class QueueState:
    """The labelling page: the card that is shown, the one that comes after it, and how far the person is."""

    card: Card | None
    following: Card | None
    progress: QueueProgress


def queue_state(
    seat: Seat,
    *,
    item: Item | CheckCard | None = None,
    entry: Entry | None = None,
    releasing: Item | CheckCard | None = None,
) -> QueueState:
    """The page with this item (else with the next that is free), and what was entered; both cards are leased.

    `releasing` is what the person has just done with. A check stands where an item would.
    """
    progress = queue_progress(seat)
    if seat.project.state != Project.State.OPEN:
        return QueueState(None, None, progress)
    if isinstance(item, Item):
        leases_prolong(seat, [item.opaque_id])
    elif item is not None:
        item = replace(item, n_own=_n_own_of_check(seat, item))
    items = items_take(
        seat,
        releasing=releasing if isinstance(releasing, Item) else None,
        but=[item.pk] if isinstance(item, Item) else (),
        onwards=isinstance(releasing, CheckCard),
    )
    laid = mixed_in(seat, items, progress.done, first=item)[:SHOWN] or check_skipped(seat)
    is_matrix = seat.project.subject == Subject.MATRIX
    opposites = opposite_ends(laid) if seat.project.ends == Project.Ends.BOTH and not is_matrix else {}
    vectors = _vectors(seat.project, laid) if is_matrix else {}
    entries = [entry if entry is not None and shown is item else None for shown in laid]
    cards = [
        _card(seat, shown, it, opposites.get(shown.pk), vectors.get(shown.pk, ()))
        for shown, it in zip(laid, entries, strict=True)
    ]
    card, following, *_ = [*cards, None, None]
    return QueueState(card, following, progress)


def entry_before(seat: Seat, item: Item | CheckCard) -> Entry:
    """What stands of the person's answers, else the one withdrawn last; empty where there is none."""
    rows = Judgement.every.filter(
        Q(current=True) | Q(withdrawals__isnull=False),
        direction_id=item.direction_id,
        judge=seat.judge_id,
        source=item.source if isinstance(item, CheckCard) else seat.project.source,
    )
    last = rows.order_by("-current", "-pk").first()
    if last is None:
        return Entry()
    return Entry(last.verdict, last.label, last.second_label, last.kind, last.reason, last.misfits)


def _card(
    seat: Seat,
    item: Item | CheckCard,
    entry: Entry | None,
    opposite: Direction | None,
    vectors: Sequence[ShownVector],
) -> Card:
    n_own = _n_own(seat, item)
    if entry is None:
        entry = entry_before(seat, item) if n_own else Entry()
    n = tokens_shown(seat.project)
    other_end = _tokens(opposite, n) if opposite is not None else []
    labels = labels_used(seat, everybodys=True) if n_own and seat.project.reveal else []
    return Card(item, _tokens(item.direction, n, entry.misfits), other_end, entry, n_own, labels, vectors)


def _n_own(seat: Seat, item: Item | CheckCard) -> int:
    """From the column that the queue reads with its items; an item that was opened by itself lacks it."""
    if isinstance(item, CheckCard):
        return item.n_own
    if "n_own" in item.__dict__:
        return int(item.__dict__["n_own"])
    return int(Item.objects.filter(pk=item.pk).values_list(own_count(seat), flat=True).get())


def _n_own_of_check(seat: Seat, check: CheckCard) -> int:
    if seat.judge_id is None:
        return 0
    return judgements_own(judge_id=seat.judge_id, source=check.source, direction_id=check.direction_id).count()


def opposite_ends(items: Sequence[Item | CheckCard]) -> dict[int, Direction]:
    """The other end of each item's vector, by the item's id: one query."""
    wanted = {
        (it.direction.matrix_id, it.direction.side, it.direction.index, OPPOSITE[it.direction.sign]): it.pk
        for it in items
    }
    condition = Q(pk__in=[])
    for matrix_id, side, index, sign in wanted:
        condition |= Q(matrix=matrix_id, side=side, index=index, sign=sign)
    found = Direction.objects.filter(condition)
    return {wanted[it.matrix_id, it.side, it.index, it.sign]: it for it in found}


def _vectors(project: Project, items: Sequence[Item | CheckCard]) -> dict[int, list[ShownVector]]:
    """Of each item's matrix the first vectors of the side that is shown, by the item's id: one query."""
    wanted = {(it.direction.matrix_id, it.direction.side): it for it in items}
    condition = Q(pk__in=[])
    for (matrix_id, side), item in wanted.items():
        condition |= Q(matrix=matrix_id, side=side, index__gte=item.direction.index)
    rows = Direction.objects.filter(condition)
    if indices := project.design.get("selection", {}).get("indices"):
        rows = rows.filter(index__in=indices)
    place = Window(DenseRank(), partition_by="matrix", order_by="index")
    first = rows.annotate(place=place).filter(place__lte=VECTORS_SHOWN + VECTORS_MORE).values("pk")
    found: dict[int, dict[int, list[Direction]]] = {item.pk: {} for item in items}
    for row in Direction.objects.filter(pk__in=first).order_by("matrix", "index", "sign"):
        found[wanted[row.matrix_id, row.side].pk].setdefault(row.index, []).append(row)
    n = tokens_shown(project)
    return {
        pk: [ShownVector(place, [_tokens(end, n) for end in ends]) for place, ends in enumerate(by_index.values(), 1)]
        for pk, by_index in found.items()
    }


def _tokens(direction: Direction, n: int, misfits: Collection[int] = ()) -> list[ShownToken]:
    tokens = direction.tokens[:n]
    percents = _percents(direction.scores, len(tokens))
    return [
        ShownToken(token, place, percent, place in misfits)
        for place, (token, percent) in enumerate(zip(tokens, percents, strict=True))
    ]


def _percents(scores: Sequence[float] | None, n: int) -> list[int | None]:
    """Scores relative to the best one; their scale differs between directions for no reason of meaning."""
    if not scores or scores[0] <= 0:
        return [None] * n
    shares = [max(0, round(100 * score / scores[0])) for score in scores[:n]]
    return [*shares, *[None] * (n - len(shares))]
