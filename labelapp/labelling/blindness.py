"""What a person may not see yet, or not at all, of what others judged. Registered with the rooms below, which ask."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judge, Judgement
from labelapp.labelling.models import SOURCE_PREFIX, Item, Membership, Project
from labelapp.labelling.selectors import JUDGING_ROLES, REVIEWING_ROLES


def directions_hidden_from(user: User, direction_ids: Collection[int]) -> dict[int, str]:
    """Of these directions, those that the person is still to judge blind, with the project's name.

    In a project that shows no others' judgements they stay hidden from its annotators for good.
    """
    waiting = _waiting(user).filter(direction_id__in=list(direction_ids))
    return dict(waiting.values_list("direction_id", "project__name"))


def directions_to_judge(user: User) -> QuerySet[Direction]:
    """All directions that the person is still to judge blind."""
    return Direction.objects.filter(pk__in=_waiting(user).values("direction_id"))


@dataclass(frozen=True)
class Blindness:
    """What of rows with a project and a direction a person may see, as conditions that cost little for each row.

    It says the same as `directions_hidden_from`: `Blindness.of` reads once what both need.
    """

    judge_id: int | None  # None before the person's first judgement anywhere
    judging: frozenset[int]  # projects in which the person judges
    kept: frozenset[int]  # of these those that show the person no others' judgements

    @classmethod
    def of(cls, user: User) -> Blindness:
        """Two queries."""
        rows = Membership.objects.filter(user=user, role__in=JUDGING_ROLES)
        found = list(rows.values_list("project_id", "role", "project__reveal"))
        return cls(
            Judge.objects.filter(user=user).values_list("pk", flat=True).first(),
            frozenset(pk for pk, _, _ in found),
            frozenset(pk for pk, role, reveals in found if role == Membership.Role.ANNOTATOR and not reveals),
        )

    def judged(self, projects: Collection[Project]) -> Q:
        """The person's own judgement stands there, made in that project."""
        mine = self._mine().filter(source__in=[it.source for it in projects])
        if len(projects) == 1:
            return Q(direction__in=mine.values("direction"))
        here = mine.filter(direction=OuterRef("direction"), source=_source_of(OuterRef("project")))
        return Q(Exists(here), direction__in=mine.values("direction"))

    def waits_elsewhere(self, projects: Collection[Project]) -> Exists | None:
        """The person is still to judge the direction blind in another project; None where there is none to judge in."""
        if self.judging <= {it.pk for it in projects} and len(self.judging) < 2:
            return None
        mine = self._mine().filter(direction=OuterRef("direction"), source=_source_of(OuterRef("project")))
        waiting = Q(~Exists(mine), is_open=True, project__in=self.judging) | Q(project__in=self.kept)
        return Exists(
            Item.objects.filter(waiting, direction=OuterRef("direction")).exclude(project=OuterRef("project"))
        )

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


def _waiting(user: User) -> QuerySet[Item]:
    """The items that the person may judge and has not: while a project is paused too, for it can be opened again."""
    mine = Judgement.objects.filter(
        direction=OuterRef("direction"),
        judge__user=user,
        source=_source_of(OuterRef("project")),
        current=True,
    )
    # An open item: one that others have judged as often as the overlap asks for comes before nobody any more.
    is_waiting = Q(is_open=True) & ~Q(Exists(mine))
    is_kept = Q(project__reveal=False, project__memberships__role=Membership.Role.ANNOTATOR)
    return Item.objects.filter(
        Q(project__memberships__user=user, project__memberships__role__in=JUDGING_ROLES) & (is_waiting | is_kept)
    )


def _source_of(project: OuterRef) -> Concat:
    """What judgements made in the outer row's project carry."""
    return Concat(Value(SOURCE_PREFIX), Cast(project, CharField()))
