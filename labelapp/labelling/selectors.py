"""Reads on projects and queues."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.http import Http404

from labelapp.accounts.models import User
from labelapp.judgements.models import Judge, Judgement
from labelapp.labelling.models import Item, Membership, Project, Skip

ANY_ROLE = frozenset(Membership.Role.values)
JUDGING_ROLES = frozenset({Membership.Role.OWNER, Membership.Role.REVIEWER, Membership.Role.ANNOTATOR})
REVIEWING_ROLES = frozenset({Membership.Role.OWNER, Membership.Role.REVIEWER})
OWNING_ROLES = frozenset({Membership.Role.OWNER})

# The rate is the median over the last so many answers, without pauses, and only once there are a few.
RATE_ANSWERS = 10
RATE_ANSWERS_AT_LEAST = 4
PAUSE_SECONDS = 120


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
    """Counts and the latest few times by index, whatever the size of the project."""
    mine = Judgement.objects.filter(source=project.source, judge__user=user, current=True)
    times = list(mine.order_by("-pk").values_list("created_at", flat=True)[: RATE_ANSWERS + 1])
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(times)]
    at_work = [gap for gap in gaps if gap <= PAUSE_SECONDS]
    typical = median(at_work) if len(at_work) >= RATE_ANSWERS_AT_LEAST else 0
    rate = 60 / typical if typical else None
    return QueueProgress(mine.count(), Item.objects.filter(project=project).count(), rate)


def _unjudged(project: Project, user: User) -> QuerySet[Item]:
    judge = Judge.objects.filter(user=user).first()
    items = Item.objects.filter(project=project)
    if judge is None:
        return items
    mine = Judgement.objects.filter(direction=OuterRef("direction"), judge=judge, source=project.source, current=True)
    return items.filter(~Q(Exists(mine)))


def explored(project: Project) -> set[int]:
    """The directions of the exploration queue: what is judged of them is no part of any estimate."""
    return set(Item.objects.filter(project=project, exploration=True).values_list("direction_id", flat=True))
