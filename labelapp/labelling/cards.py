"""What the labelling page shows of an item: its tokens and what the person entered before, and nothing else.

Nothing here may tell where a direction comes from: no key, model, layer or index, and nobody's judgements.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from labelapp.accounts.models import User
from labelapp.judgements.models import Judgement
from labelapp.labelling.models import Item, Project
from labelapp.labelling.selectors import QueueProgress, item_next, queue_progress

HEAT_STEPS = 20


@dataclass(frozen=True)
class Entry:
    """What stands in the form: answered before, or refused just now."""

    verdict: str = ""
    label: str = ""
    kind: str = ""
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
class Card:
    """One item as it is laid before the person."""

    item: Item
    tokens: Sequence[ShownToken]
    entry: Entry = field(default_factory=Entry)

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


def queue_state(project: Project, user: User, *, item: Item | None = None, entry: Entry | None = None) -> QueueState:
    """The page with this item (else with the next that the person has not judged), and what was entered."""
    item = item or item_next(project, user)
    if item is None:
        return QueueState(None, None, queue_progress(project, user))
    following = item_next(project, user, after=item)
    return QueueState(
        _card(item, entry if entry is not None else entry_before(item, user)),
        _card(following, entry_before(following, user)) if following else None,
        queue_progress(project, user),
    )


def entry_before(item: Item, user: User) -> Entry:
    """What stands of the person's answers, else the one withdrawn last; empty where there is none."""
    rows = Judgement.objects.filter(
        Q(current=True) | Q(withdrawals__isnull=False),
        direction_id=item.direction_id,
        judge__user=user,
        source=item.project.source,
    )
    last = rows.order_by("-current", "-pk").first()
    return Entry(last.verdict, last.label, last.kind, last.misfits) if last else Entry()


def _card(item: Item, entry: Entry) -> Card:
    direction = item.direction
    tokens = direction.tokens[: item.project.tokens_shown]
    percents = _percents(direction.scores, len(tokens))
    return Card(
        item,
        [
            ShownToken(token, place, percent, place in entry.misfits)
            for place, (token, percent) in enumerate(zip(tokens, percents, strict=True))
        ],
        entry,
    )


def _percents(scores: Sequence[float] | None, n: int) -> list[int | None]:
    """Scores relative to the best one; their scale differs between directions for no reason of meaning."""
    if not scores or scores[0] <= 0:
        return [None] * n
    shares = [max(0, round(100 * score / scores[0])) for score in scores[:n]]
    return [*shares, *[None] * (n - len(shares))]
