"""The disagreement queue: on which items a decision would tell most, of one project or of all that a person reviews.

What is kept of each item (`review.scores`) is read in the order of its score. Two parts are read apart and merged:
items that are judged as often as their project asks for, and open ones, of which a reviewer sees only those that he or
she has judged. So a page touches little more than the rows that it shows, however many items wait.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Value

from labelapp.accounts.models import User
from labelapp.atlas.models import Matrix
from labelapp.judgements.models import Judge, Judgement, Summary
from labelapp.labelling.blindness import Blindness
from labelapp.labelling.models import Item, Project
from labelapp.review.filters import KIND_NAMES, Filters
from labelapp.review.models import Adjudication, Disagreement
from labelapp.review.scores import scored

ROWS_A_PAGE = 50
TOKENS_SHOWN = 8
COUNTED_AT_MOST = 10_000  # one more stands for "more"


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
    n_hidden: int  # that the viewer is still to judge blind, here or (of those that disagree) in another project


@dataclass(frozen=True)
class Queue:
    """What a person sees of the queue under some filters: parts that have no item in common.

    `waits` says of a row that it waits for the viewer in another project; `unseen` are the items that wait here.
    """

    parts: Sequence[QuerySet[Disagreement]]
    waits: Exists | None = None
    unseen: QuerySet[Item] | None = None

    def counts(self) -> Counts:
        """A query for each part, more of them only where there are many, and one for what is hidden here."""
        kinds = dict.fromkeys(("any", *KIND_NAMES), 0)
        n_hidden = 0 if self.unseen is None else self.unseen.order_by()[: COUNTED_AT_MOST + 1].count()
        for part in self.parts:
            for name, n in self._counts(part).items():
                if name == "hidden":
                    n_hidden = min(n_hidden + n, COUNTED_AT_MOST + 1)
                else:
                    kinds[name] = min(kinds[name] + n, COUNTED_AT_MOST + 1)
        return Counts(kinds, n_hidden)

    def page(self, kind: str, after: Place | None, n: int) -> list[Disagreement]:
        """The first n of a kind of disagreement ("" for any) behind a place: a query for each part."""
        pages = []
        for part in self.parts:
            rows = part.filter(**{kind: True}) if kind else part
            if after is not None:
                behind = Q(score__lt=after.score) | Q(score=after.score, item__gt=after.item_id)
                rows = rows.filter(behind, score__lte=after.score)
            pages.append(list(self._seen(rows).order_by("-score", "item")[:n]))
        return list(heapq.merge(*pages, key=lambda row: (-row.score, row.item_id)))[:n]

    def _counts(self, part: QuerySet[Disagreement]) -> dict[str, int]:
        """Exact up to COUNTED_AT_MOST; where there are more, each kind is counted for itself as far."""
        most = COUNTED_AT_MOST + 1
        rows = part.order_by().annotate(waits=self.waits if self.waits is not None else Value(False))
        seen = {name: Count("item", filter=Q(waits=False, **{name: True})) for name in KIND_NAMES}
        looked_at = {"all": Count("item"), "hidden": Count("item", filter=Q(waits=True))}
        found = {name: n or 0 for name, n in rows[:most].aggregate(**looked_at, **seen).items()}
        n = found.pop("all")
        if n < most:
            return found | {"any": n - found["hidden"]}
        each = {name: part.filter(**{name: True}) for name in KIND_NAMES}
        return {"hidden": found["hidden"], "any": most} | {
            name: self._seen(rows).order_by()[:most].count() for name, rows in each.items()
        }

    def _seen(self, rows: QuerySet[Disagreement]) -> QuerySet[Disagreement]:
        return rows if self.waits is None else rows.filter(~self.waits)


def queue_of(projects: Collection[Project], filters: Filters, viewer: User, *, show_hidden: bool = False) -> Queue:
    """The items of these projects that fulfil the filters, but for the kind.

    Without those that the viewer is still to judge blind, here or in another project, unless `show_hidden`.
    Raises FilterError.
    """
    rows = Disagreement.objects.filter(_in(projects), filters.condition(projects), score__gt=0)
    closed, still_open = rows.filter(is_open=False), rows.filter(is_open=True)
    if show_hidden:
        return Queue((closed, still_open))
    blind = Blindness.of(viewer)
    judged = blind.judged(projects)
    unseen = Item.objects.filter(_in(projects), is_open=True).exclude(judged)
    return Queue((closed, still_open.filter(judged)), blind.waits_elsewhere(projects), unseen)


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


def judges_of(projects: Collection[Project]) -> list[Judge]:
    """Whose answers the queue compares: people of these projects, and machines that judged in their matrices."""
    people = Judgement.objects.filter(judge=OuterRef("pk"), source__in=[it.source for it in projects])
    machines = Summary.objects.filter(matrix__in=_matrices(projects).values("pk")).values("judge_id")
    judges = Judge.objects.filter(Q(Exists(people), type=Judge.Type.PERSON) | Q(pk__in=machines))
    is_ours = ~Q(type=Judge.Type.PERSON) | Q(Exists(people))
    return list(judges.filter(is_ours).order_by("type", "name", "pk"))


def places_of(projects: Collection[Project]) -> dict[str, list[Any]]:
    """The models, circuits and layers where the projects' judges disagree, for the filters: one query."""
    found = list(_matrices(projects).order_by().values_list("model_id", "circuit", "layer").distinct())
    return {
        "models": sorted({model for model, _, _ in found}),
        "circuits": sorted({circuit for _, circuit, _ in found}),
        "layers": sorted({layer for _, _, layer in found if layer is not None}),
    }


def _matrices(projects: Collection[Project]) -> QuerySet[Matrix]:
    here = Disagreement.objects.filter(_in(projects), matrix=OuterRef("pk"), score__gt=0)
    return Matrix.objects.filter(Exists(here))


def _in(projects: Collection[Project]) -> Q:
    """One project is said as one: then its index gives the order."""
    ids = [it.pk for it in projects]
    return Q(project=ids[0]) if len(ids) == 1 else Q(project__in=ids)
