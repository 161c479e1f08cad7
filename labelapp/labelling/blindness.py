"""What a person may not see yet, or not at all, of what others judged. Registered with the rooms below, which ask."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Concat

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judge, Judgement, Subject
from labelapp.labelling.checks.models import Check
from labelapp.labelling.models import SOURCE_PREFIX, Item, Membership, Project
from labelapp.labelling.selectors import JUDGING_ROLES, REVIEWING_ROLES


def directions_hidden_from(user: User, direction_ids: Collection[int]) -> dict[int, str]:
    """Of these directions, those that the person is still to judge blind, with the project's name.

    In a project that shows no others' judgements they stay hidden from its annotators for good.
    """
    return dict(_united(user, list(direction_ids), "project__name"))


def hidden_among(user: User, directions: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """The same of a query's directions, which gives their ids, as a query of ids."""
    return _united(user, directions)


def directions_to_judge(user: User) -> QuerySet[Direction]:
    """All directions that the person is still to judge blind, by themselves, as the ends of a pair or as checks."""
    # One list of ids: with several, PostgreSQL looks at every direction there is, and asks of each whether it waits.
    return Direction.objects.filter(pk__in=_united(user, None))


def _united(user: User, among: Any, *columns: str) -> QuerySet[Any, Any]:
    """The ids of all directions that are hidden, or of those among some (ids, or a query of ids); each part of the
    whole is a query for itself, which the database can answer by index."""
    parts: list[tuple[QuerySet[Any, Any], str]] = []
    for items in (_waiting(user), _kept(user)):
        parts.append((items, "direction_id"))
        parts.append((_other_ends(items), "other_end"))
    parts.append((_checks(user), "direction_id"))
    first, *rest = (
        (rows if among is None else rows.filter(**{f"{name}__in": among})).order_by().values_list(name, *columns)
        for rows, name in parts
    )
    return first.union(*rest)


@dataclass(frozen=True)
class Blindness:
    """What a reader of many rows needs to know of a person before it asks `directions_hidden_from` for each."""

    judge_id: int | None  # None before the person's first judgement anywhere
    judging: frozenset[int]  # projects in which the person judges

    @classmethod
    def of(cls, user: User) -> Blindness:
        """Two queries."""
        judging = Membership.objects.filter(user=user, role__in=JUDGING_ROLES).values_list("project_id", flat=True)
        judge_id = Judge.objects.filter(user=user).values_list("pk", flat=True).first()
        return cls(judge_id, frozenset(judging))

    def judged(self, projects: Collection[Project]) -> Q:
        """On rows with a project and a direction: the person's own judgement stands there, made in that project."""
        mine = self._mine().filter(source__in=[it.source for it in projects])
        if len(projects) == 1:
            return Q(direction__in=mine.values("direction"))
        here = mine.filter(direction=OuterRef("direction"), source=_source_of(OuterRef("project")))
        return Q(Exists(here), direction__in=mine.values("direction"))

    def may_wait_elsewhere(self, projects: Collection[Project]) -> bool:
        """Whether a direction of these projects may wait for the person in another one."""
        return len(self.judging) > 1 or not self.judging <= {it.pk for it in projects}

    def _mine(self) -> QuerySet[Judgement]:
        return Judgement.objects.filter(judge=self.judge_id, current=True)


def judgements_shown_to(user: User, rows: Sequence[Judgement]) -> set[int]:
    """Of other people's judgements, by id, those of projects that the person owns or reviews.

    An annotator sees those on the items that he or she has judged in the same project, if it shows them. Two queries.
    """
    memberships = Membership.objects.filter(user=user).values_list("project_id", "role", "project__reveal")
    roles = {
        f"{SOURCE_PREFIX}{project_id}": role
        for project_id, role, reveals in memberships
        if reveals or role in REVIEWING_ROLES
    }
    judged = set(
        Judgement.objects.filter(
            judge__user=user,
            current=True,
            source__in={row.source for row in rows if roles.get(row.source) in JUDGING_ROLES},
            direction_id__in={row.direction_id for row in rows},
        ).values_list("source", "direction_id")
    )
    return {
        row.pk for row in rows if roles.get(row.source) in REVIEWING_ROLES or (row.source, row.direction_id) in judged
    }


def _checks(user: User) -> QuerySet[Check]:
    """The checks that are to come before the person. Not the repeats: what they repeat has been seen already."""
    rows = Check.objects.filter(user=user, is_open=True).exclude(kind=Check.Kind.REPEAT)
    members = Membership.objects.filter(user=user, project=OuterRef("project"), role__in=JUDGING_ROLES)
    return rows.filter(Exists(members))


def _waiting(user: User) -> QuerySet[Item]:
    """The items that the person may judge and has not: while a project is paused too, for it can be opened again.

    Whole matrices are not among them: who is still to judge one may see what was said of its single directions.
    """
    mine = Judgement.every.filter(
        direction=OuterRef("direction"),
        judge__user=user,
        source=_source_of(OuterRef("project")),
        current=True,
    )
    # An open item: one that others have judged as often as the overlap asks for comes before nobody any more.
    return _items(user, role__in=JUDGING_ROLES).filter(~Exists(mine), is_open=True)


def _kept(user: User) -> QuerySet[Item]:
    """The items that stay hidden from the person for good: an annotator's, where no others' judgements are shown."""
    return _items(user, role=Membership.Role.ANNOTATOR, project__reveal=False)


def _items(user: User, **seat: Any) -> QuerySet[Item]:
    """Of the projects in which the person has such a seat."""
    seats = Membership.objects.filter(user=user, **seat).exclude(project__subject=Subject.MATRIX)
    return Item.objects.filter(project__in=seats.values("project"))


def _other_ends(items: QuerySet[Item]) -> QuerySet[Any]:
    """Of pairs among them the `other_end` as well: its + end is the item's own direction."""
    vector = {name: OuterRef(f"direction__{name}") for name in ("matrix", "side", "index")}
    other_end = Direction.objects.filter(**vector, sign="-").values("pk")
    return items.filter(project__subject=Subject.VECTOR).annotate(other_end=Subquery(other_end))


def _source_of(project: OuterRef) -> Concat:
    """What judgements made in the outer row's project carry."""
    return Concat(Value(SOURCE_PREFIX), Cast(project, CharField()))
