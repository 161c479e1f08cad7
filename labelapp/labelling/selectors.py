"""Reads on projects and queues."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.http import Http404
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.judgements.models import Judge, Judgement
from labelapp.labelling.models import SOURCE_PREFIX, Item, Membership, Project, Skip

ANY_ROLE = frozenset(Membership.Role.values)
JUDGING_ROLES = frozenset({Membership.Role.OWNER, Membership.Role.REVIEWER, Membership.Role.ANNOTATOR})
REVIEWING_ROLES = frozenset({Membership.Role.OWNER, Membership.Role.REVIEWER})

# The rate is that of the last so many minutes of work.
RATE_WINDOW = timedelta(minutes=10)


@dataclass(frozen=True)
class QueueProgress:
    """How far one person is in one project."""

    done: int
    total: int
    a_minute: float | None  # None before there is a rate

    @property
    def left(self) -> int:
        return self.total - self.done

    @property
    def seconds_left(self) -> float | None:
        return self.left / self.a_minute * 60 if self.a_minute else None


def projects_of(user: User) -> QuerySet[Project]:
    """The projects that a person is a member of, newest first."""
    return Project.objects.filter(memberships__user=user).order_by("-pk")


def project_get_for(user: User, slug: str, roles: Collection[str] = ANY_ROLE) -> Project:
    """A project, for a member with one of the roles. Raises Http404 for others, PermissionDenied for another role."""
    membership = Membership.objects.filter(user=user, project__slug=slug).select_related("project").first()
    if membership is None:
        raise Http404(f"There is no project {slug} that you are a member of.")
    if membership.role not in roles:
        raise PermissionDenied(f"As {membership.role} of {membership.project} you may not open this page.")
    return membership.project


def item_get_for(project: Project, opaque_id: str) -> Item:
    """An item of the project. Raises Http404 for one of another."""
    item = Item.objects.filter(project=project, opaque_id=opaque_id).select_related("direction", "project").first()
    if item is None:
        raise Http404("This item is not part of the project.")
    return item


def item_next(project: Project, user: User, after: Item | None = None) -> Item | None:
    """The first item that the person has not judged; skipped ones last, the one skipped longest ago first.

    `after` leaves that item out.
    """
    items = _unjudged(project, user)
    if after is not None:
        items = items.exclude(pk=after.pk)
    skipped_at = Skip.objects.filter(item=OuterRef("pk"), user=user).values("at")
    order = (F("skipped_at").asc(nulls_first=True), "position")
    queue = items.annotate(skipped_at=Subquery(skipped_at)).order_by(*order)
    return queue.select_related("direction", "project").first()


def queue_progress(project: Project, user: User) -> QueueProgress:
    """Three counts by index, whatever the size of the project."""
    since = timezone.now() - RATE_WINDOW
    mine = Judgement.objects.filter(source=project.source, judge__user=user, current=True)
    recent = mine.filter(created_at__gte=since)
    first = recent.order_by("created_at").values_list("created_at", flat=True).first()
    n_recent = recent.count()
    rate = None
    if first is not None and n_recent > 1:
        minutes = (timezone.now() - first).total_seconds() / 60
        rate = (n_recent - 1) / minutes if minutes > 0 else None
    return QueueProgress(mine.count(), Item.objects.filter(project=project).count(), rate)


def directions_hidden_from(user: User, direction_ids: Collection[int]) -> dict[int, str]:
    """Of these directions, those that the person is still to judge blind, with the project's name."""
    queues = Item.objects.filter(
        project__state=Project.State.OPEN,
        project__memberships__user=user,
        project__memberships__role__in=JUDGING_ROLES,
        direction_id__in=list(direction_ids),
    )
    mine = Judgement.objects.filter(
        direction=OuterRef("direction"),
        judge__user=user,
        source=Concat(Value(SOURCE_PREFIX), Cast(OuterRef("project"), CharField())),
        current=True,
    )
    return dict(queues.filter(~Q(Exists(mine))).values_list("direction_id", "project__name"))


def _unjudged(project: Project, user: User) -> QuerySet[Item]:
    judge = Judge.objects.filter(user=user).first()
    items = Item.objects.filter(project=project)
    if judge is None:
        return items
    mine = Judgement.objects.filter(direction=OuterRef("direction"), judge=judge, source=project.source, current=True)
    return items.filter(~Q(Exists(mine)))
