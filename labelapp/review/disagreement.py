"""The disagreement queue: on which items a decision would tell most, of one project or of all that a person reviews.

What is kept of each item (`review.scores`) is read in the order of its score. Two parts are read apart and merged:
items that are judged as often as their project asks for, and open ones, of which a reviewer sees only those that he or
she has judged. So a page touches little more than the rows that it shows, however many items wait.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Q, QuerySet

from labelapp.accounts.models import User
from labelapp.atlas.panels import hidden_from
from labelapp.labelling.blindness import Blindness
from labelapp.labelling.models import Item, Project
from labelapp.review.filters import KIND_NAMES, Filters
from labelapp.review.models import Adjudication, Disagreement
from labelapp.review.queue_choices import of_projects
from labelapp.review.scores import scored

ROWS_A_PAGE = 50
TOKENS_SHOWN = 8
COUNTED_AT_MOST = 1000  # one more stands for "more"


class Place(NamedTuple):
    """Where an item stands in the queue: the largest score first, then by id."""

    score: float
    item_id: int


@dataclass(frozen=True)
class Row:
    """A line of the queue's page."""

    ranked: Disagreement
    item: Item
    tokens: Sequence[str]
    adjudication: Adjudication | None


@dataclass(frozen=True)
class Counts:
    """How many items disagree in each way, and in any; one more than COUNTED_AT_MOST stands for more."""

    kinds: Mapping[str, int]
    n_hidden: int  # that wait for the viewer, and of what disagrees and is counted what waits in another project


class Standing(NamedTuple):
    """Of a row of the queue what counting and sorting need."""

    item_id: int
    direction_id: int
    score: float
    people: bool
    people_machine: bool
    machine: bool


@dataclass(frozen=True)
class Queue:
    """What a person sees of the queue under some filters: rows in the database and, of what is still open, those that
    the person has judged, which are few and read at once.

    `viewer` is somebody for whom items may wait in another project as well (None: nobody). That is asked of the rows
    that are read, in their order: as a condition of the statement it would be worked out for all.
    """

    stored: Sequence[QuerySet[Disagreement]]
    mine: Sequence[Standing] = ()
    viewer: User | None = None
    unseen: QuerySet[Item] | None = None  # that wait for the viewer in the queue's own projects

    def counts(self) -> Counts:
        """Exact where at most COUNTED_AT_MOST are looked at; else each kind is counted for itself, as far."""
        most = COUNTED_AT_MOST + 1
        n_hidden = 0 if self.unseen is None else self.unseen.order_by()[:most].count()
        kinds = dict.fromkeys(("any", *KIND_NAMES), 0)
        parts: list[QuerySet[Disagreement] | Sequence[Standing]] = [*self.stored, self.mine]
        for part in parts:
            rows = {"any": _some(part)}
            for name in KIND_NAMES:
                few = len(rows["any"]) < most
                rows[name] = [it for it in rows["any"] if getattr(it, name)] if few else _some(part, name)
            # Where more are there than are read, the hidden among them are made up for by the rest.
            counted = {name: some for name, some in rows.items() if len(some) < most}
            hidden = self._hidden({row.direction_id for some in counted.values() for row in some})
            n_hidden += sum(row.direction_id in hidden for row in counted.get("any", ()))
            for name, some in rows.items():
                n = sum(row.direction_id not in hidden for row in some) if name in counted else most
                kinds[name] = min(kinds[name] + n, most)
        return Counts(kinds, min(n_hidden, most))

    def page(self, kind: str, after: Place | None, n: int) -> list[Disagreement]:
        """The first n of a kind of disagreement ("" for any) behind a place; more queries than a few only where many
        wait for the viewer in another project."""
        pages = [self._first(part.filter(**{kind: True}) if kind else part, after, n) for part in self.stored]
        pages.append(self._first_mine(kind, after, n))
        return list(heapq.merge(*pages, key=lambda row: (-row.score, row.item_id)))[:n]

    def _first(self, rows: QuerySet[Disagreement], after: Place | None, n: int) -> list[Disagreement]:
        found: list[Disagreement] = []
        width = n
        while True:
            behind = _behind(rows, after) if after is not None else rows
            read = list(behind.order_by("-score", "item")[:width])
            hidden = self._hidden([row.direction_id for row in read])
            found += [row for row in read if row.direction_id not in hidden]
            if len(found) >= n or len(read) < width:
                return found[:n]
            after, width = Place(read[-1].score, read[-1].item_id), min(4 * width, COUNTED_AT_MOST)

    def _first_mine(self, kind: str, after: Place | None, n: int) -> list[Disagreement]:
        def place(row: Standing) -> tuple[float, int]:
            return -row.score, row.item_id

        behind = (-after.score, after.item_id) if after is not None else None
        rows = sorted(
            (it for it in self.mine if (not kind or getattr(it, kind)) and (behind is None or place(it) > behind)),
            key=place,
        )
        seen: list[Standing] = []
        start, width = 0, n
        while len(seen) < n and start < len(rows):
            some = rows[start : start + width]
            hidden = self._hidden([row.direction_id for row in some])
            seen += [row for row in some if row.direction_id not in hidden]
            start, width = start + width, min(4 * width, COUNTED_AT_MOST)
        found = Disagreement.objects.in_bulk([row.item_id for row in seen[:n]])
        return [found[row.item_id] for row in seen[:n] if row.item_id in found]

    def _hidden(self, direction_ids: Collection[int]) -> Collection[int]:
        return hidden_from(self.viewer, direction_ids) if self.viewer is not None and direction_ids else ()


def queue_of(projects: Collection[Project], filters: Filters, viewer: User, *, show_hidden: bool = False) -> Queue:
    """The items of these projects that fulfil the filters, but for the kind.

    Without those that the viewer is still to judge blind, here or in another project, unless `show_hidden`.
    """
    rows = Disagreement.objects.filter(of_projects(projects), filters.condition(projects), score__gt=0)
    closed, still_open = rows.filter(is_open=False), rows.filter(is_open=True)
    if show_hidden:
        return Queue((closed, still_open))
    blind = Blindness.of(viewer)
    judged = blind.judged(projects)
    mine = still_open.filter(judged, n_judged__gt=0).order_by()
    return Queue(
        (closed,),
        [Standing(*row) for row in mine.values_list(*Standing._fields)],
        viewer if blind.may_wait_elsewhere(projects) else None,
        Item.objects.filter(of_projects(projects), is_open=True).exclude(judged),
    )


def item_ranked(item: Item) -> Disagreement | None:
    """One item's weight and score, whether anybody differs or not; None where nobody has said yes or no to it."""
    found = scored([item.pk])[0]
    return found if found.weight else None


def rows_shown(ranked: Sequence[Disagreement]) -> list[Row]:
    """With the items themselves: two queries."""
    items = Item.objects.select_related("project", "direction__matrix__model").in_bulk([it.item_id for it in ranked])
    standing = Adjudication.objects.filter(item__in=items, current=True).select_related("by")
    decided = {it.item_id: it for it in standing}
    return [
        Row(it, items[it.item_id], items[it.item_id].direction.tokens[:TOKENS_SHOWN], decided.get(it.item_id))
        for it in ranked
        if it.item_id in items
    ]


def _behind(rows: QuerySet[Disagreement], after: Place) -> QuerySet[Disagreement]:
    return rows.filter(Q(score__lt=after.score) | Q(score=after.score, item__gt=after.item_id), score__lte=after.score)


def _some(part: QuerySet[Disagreement] | Sequence[Standing], kind: str = "") -> Sequence[Standing]:
    """In any order, of one more than is counted at most."""
    if not isinstance(part, QuerySet):
        return [it for it in part if not kind or getattr(it, kind)][: COUNTED_AT_MOST + 1]
    rows = part.filter(**{kind: True}) if kind else part
    return [Standing(*row) for row in rows.order_by().values_list(*Standing._fields)[: COUNTED_AT_MOST + 1]]
