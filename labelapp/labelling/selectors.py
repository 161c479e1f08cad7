"""Reads on projects and queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise, takewhile
from statistics import median
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.judgements.models import Judge, Judgement, Verdict
from labelapp.labelling.checks.card import CheckCard, card_read
from labelapp.labelling.checks.models import Check, CheckMix, check_source
from labelapp.labelling.models import Guidelines, Item, Lease, Membership, Project, Skip

ANY_ROLE = frozenset(Membership.Role.values)
JUDGING_ROLES = frozenset({Membership.Role.OWNER, Membership.Role.REVIEWER, Membership.Role.ANNOTATOR})
REVIEWING_ROLES = frozenset({Membership.Role.OWNER, Membership.Role.REVIEWER})
OWNING_ROLES = frozenset({Membership.Role.OWNER})

# The rate is the median over the last so many answers, without pauses, and only once there are a few.
RATE_ANSWERS = 10
RATE_ANSWERS_AT_LEAST = 4
PAUSE_SECONDS = 120
STREAK_AT_MOST = 100  # answers without a pause are counted so far
LEFT_AT_MOST = 1000  # as are the items that are left
LABELS_SUGGESTED = 200


@dataclass(frozen=True)
class Seat:
    """A person in a project: all that is asked before something is judged."""

    user: User
    project: Project
    role: str
    judge_id: int | None  # None before the person's first judgement anywhere
    guidelines_version: int
    check_share: float = 0.0  # of what lies before a person that is mixed in
    check: CheckCard | None = None  # the person's next one


@dataclass(frozen=True)
class QueueProgress:
    """How far one person is in one project."""

    done: int
    total: int
    left: int  # that this person may still judge; LEFT_AT_MOST + 1 stands for more
    a_minute: float | None = None  # None before there is a rate
    streak: int = 0  # answers up to now without a pause; STREAK_AT_MOST stands for more
    checks: int = 0  # answered
    check_share: float = 0.0

    @property
    def answered(self) -> int:
        """What the page counts: every answer, or the count would stand still where one was to a check."""
        return self.done + self.checks

    @property
    def expected(self) -> int:
        """How many answers in all; with checks rounded, or a total that grows by one would tell them."""
        if not self.check_share or not self.left:
            return self.share + self.checks
        left = (self.share - self.done) / (1 - self.check_share)
        digits = -max(1, len(str(int(left))) - 2)
        return max(self.answered + 1, int(round(self.answered + left, digits)))

    @property
    def share(self) -> int:
        """What falls to this person, as far as it can be told: done already, or still to do."""
        return self.done + self.left if self.is_left_counted else self.total

    @property
    def is_left_counted(self) -> bool:
        return self.left <= LEFT_AT_MOST

    @property
    def seconds_left(self) -> float | None:
        if not self.a_minute or not self.is_left_counted:
            return None
        return self.left / (1 - self.check_share) / self.a_minute * 60


class CountOf(Subquery):
    """How many rows a query has, as a column."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


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


def seat_get_for(user: User, slug: str, roles: Collection[str] = JUDGING_ROLES) -> Seat:
    """The person's place in a project, in one query. Raises as `project_get_for`."""
    memberships = Membership.objects.filter(user=user, project__slug=slug).select_related("project")
    found = memberships.annotate(**_seat_columns(user, "project")).first()
    if found is None or found.role not in roles:
        project_get_for(user, slug, roles)
    assert found is not None
    return _seat(user, found.project, found)


def item_get_for(project: Project, opaque_id: str) -> Item:
    """An item of the project. Raises Http404 for one of another."""
    item = Item.objects.filter(project=project, opaque_id=opaque_id).select_related("direction", "project").first()
    if item is None:
        raise Http404("This item is not part of the project.")
    return item


def item_seat_get_for(user: User, slug: str, opaque_id: str) -> tuple[Item | CheckCard, Seat]:
    """An item and the place of a person who may judge it, in one query; of a check of the person's own, in two.

    Raises as `project_get_for`, `item_get_for`.
    """
    role = Membership.objects.filter(project=OuterRef("project"), user=user).values("role")
    items = Item.objects.filter(project__slug=slug, opaque_id=opaque_id).select_related("direction", "project")
    found = items.annotate(role=Subquery(role), **_seat_columns(user, "project")).first()
    if found is not None and found.role in JUDGING_ROLES:
        return found, _seat(user, found.project, found)
    if found is None:
        checks = Check.objects.filter(project__slug=slug, opaque_id=opaque_id, user=user).select_related("project")
        check = checks.annotate(role=Subquery(role), **_seat_columns(user, "project", but="pk")).first()
        if check is not None and check.role in JUDGING_ROLES:
            return card_read(check.project_id, check.snapshot), _seat(user, check.project, check)
    return item_get_for(project_get_for(user, slug, JUDGING_ROLES), opaque_id), seat_get_for(user, slug)


def seat_of(project: Project, user: User) -> Seat | None:
    """The person's place in a project as it is now, the project's state included; None where there is none."""
    memberships = Membership.objects.filter(user=user, project=project).select_related("project")
    found = memberships.annotate(**_seat_columns(user, "project")).first()
    return _seat(user, found.project, found) if found else None


def item_next(project: Project, user: User, after: Item | None = None) -> Item | None:
    """The item that the person would get now: the first open one that he or she has not judged.

    Skipped ones come last, the one skipped longest ago first. `after` leaves that item out.
    """
    seat = seat_of(project, user)
    if seat is None:
        return None
    items = items_free(seat, timezone.now())
    if after is not None:
        items = items.exclude(pk=after.pk)
    return items.filter(~skipped_by(user)).order_by("position").first() or skipped_first(items, user).first()


def items_free(seat: Seat, now: datetime) -> QuerySet[Item]:
    """The open items that the person has not judged, less those that others hold so that they would be full.

    `n_own`: how many of the person's judgements, standing or withdrawn, there are on it. `is_held`: by the person.
    """
    held = Lease.objects.filter(item=OuterRef("pk"), until__gt=now, user=seat.user)
    items = items_with_room(seat, now).filter(project=seat.project, is_open=True)
    items = items.annotate(n_own=own_count(seat), is_held=Exists(held))
    if seat.project.overlap > 1 and seat.judge_id is not None:  # else nobody's judgement stands on an open item
        mine = Judgement.every.filter(
            direction=OuterRef("direction"), judge=seat.judge_id, source=seat.project.source, current=True
        )
        items = items.filter(~Exists(mine))
    return items.select_related("direction", "project")


def items_with_room(seat: Seat, now: datetime) -> QuerySet[Item]:
    """Items on which fewer people than the overlap have judged or are at work, this person aside."""
    leases = Lease.objects.filter(item=OuterRef("pk"), until__gt=now).exclude(user=seat.user)
    if seat.project.overlap > 1:  # who has answered is counted already, until the lease goes on to the next item
        answered = Judgement.every.filter(
            direction=OuterRef("item__direction"),
            judge__user=OuterRef("user"),
            source=seat.project.source,
            current=True,
        )
        leases = leases.filter(~Exists(answered))
    n_leased = Subquery(leases.order_by().values("item").annotate(n=Count("pk")).values("n"))
    return Item.objects.alias(n_taken=F("n_judged") + Coalesce(n_leased, 0)).filter(n_taken__lt=seat.project.overlap)


def own_count(seat: Seat) -> Any:
    """Of an item, how many rows there are of the person's: judgements, whether they stand or not, and withdrawals."""
    if seat.judge_id is None:
        return Value(0)
    own = Judgement.every.filter(
        direction=OuterRef("direction"), judge=seat.judge_id, source=seat.project.source
    ).order_by()
    return Coalesce(Subquery(own.values("direction").annotate(n=Count("pk")).values("n")), 0)


def skipped_by(user: User) -> Exists:
    return Exists(Skip.objects.filter(item=OuterRef("pk"), user=user))


def skipped_first(items: QuerySet[Item], user: User) -> QuerySet[Item]:
    """Of the items those that the person has skipped, the one skipped longest ago first."""
    skipped_at = Skip.objects.filter(item=OuterRef("pk"), user=user).values("at")
    return items.filter(skipped_by(user)).annotate(skipped_at=Subquery(skipped_at)).order_by("skipped_at", "position")


def queue_progress(seat: Seat) -> QueueProgress:
    """Counts and the latest times by index, whatever the size of the project: one query, two before the first answer.

    What is left is counted up to a limit, so that it costs the same in any project.
    """
    counts = _counts(seat)
    rows: list[tuple[Any, ...]] = []
    if seat.judge_id is not None:
        mine = _answers_last(seat).order_by("-pk")
        rows = list(mine.annotate(**counts).values_list("created_at", *counts)[:STREAK_AT_MOST])
    if not rows:
        projects = Project.objects.filter(pk=seat.project.pk).annotate(**counts)
        done, total, left, checks = projects.values_list(*counts).get()
        return QueueProgress(done, total, left, checks=checks, check_share=seat.check_share)
    times = [row[0] for row in rows]
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(times)]
    at_work = [gap for gap in gaps[:RATE_ANSWERS] if gap <= PAUSE_SECONDS]
    typical = median(at_work) if len(at_work) >= RATE_ANSWERS_AT_LEAST else 0
    is_at_work = (timezone.now() - times[0]).total_seconds() <= PAUSE_SECONDS
    streak = 1 + len(list(takewhile(lambda gap: gap <= PAUSE_SECONDS, gaps))) if is_at_work else 0
    done, total, left, checks = rows[0][1:]
    a_minute = 60 / typical if typical else None
    return QueueProgress(done, total, left, a_minute, streak, checks, seat.check_share)


def labels_used(seat: Seat, *, everybodys: bool = False) -> list[str]:
    """The labels that stand in the project, those used most first: the person's own, or everybody's.

    Of directions those of a yes; of pairs those of either end.
    """
    rows = Judgement.every.filter(source=seat.project.source, current=True, judge__type=Judge.Type.PERSON)
    if not everybodys:
        rows = rows.filter(judge=seat.judge_id)
    if not seat.project.is_of_directions:
        used = Counter(label for both in rows.values_list("label", "second_label") for label in both if label)
        return sorted(used, key=lambda label: (-used[label], label))[:LABELS_SUGGESTED]
    rows = rows.exclude(label="").filter(verdict=Verdict.INTERPRETABLE)
    labels = rows.order_by().values("label").annotate(n=Count("pk")).order_by("-n", "label")
    return list(labels.values_list("label", flat=True)[:LABELS_SUGGESTED])


def _counts(seat: Seat) -> dict[str, Any]:
    """`done`, `total`, `left` and `n_checks` as columns that do not depend on the row."""
    last = Item.objects.filter(project=seat.project).order_by("-position").values("position")[:1]
    left = items_left(seat).order_by().values("pk")[: LEFT_AT_MOST + 1]
    done = CountOf(_mine(seat).order_by().values("pk")) if seat.judge_id is not None else Value(0)
    has_checks = seat.check_share and seat.judge_id is not None
    checks = CountOf(_mine_of_checks(seat).order_by().values("pk")) if has_checks else Value(0)
    return {"done": done, "total": Coalesce(Subquery(last) + 1, 0), "left": CountOf(left), "n_checks": checks}


def items_left(seat: Seat) -> QuerySet[Item]:
    """What the person may still judge, held by others or not."""
    items = Item.objects.filter(project=seat.project, is_open=True)
    if seat.project.overlap > 1 and seat.judge_id is not None:
        standing = _mine(seat).filter(direction=OuterRef("direction"))
        items = items.filter(~Exists(standing))
    return items


def _mine(seat: Seat) -> QuerySet[Judgement]:
    return Judgement.every.filter(source=seat.project.source, judge=seat.judge_id, current=True)


def _mine_of_checks(seat: Seat) -> QuerySet[Judgement]:
    return Judgement.objects.filter(source=check_source(seat.project.pk), judge=seat.judge_id, current=True)


def _answers_last(seat: Seat) -> QuerySet[Judgement]:
    """The person's standing answers, at least the latest ones: to checks too, each by its own stretch of the index."""
    if not seat.check_share:
        return _mine(seat)
    parts = [it.order_by("-pk").values("pk")[:STREAK_AT_MOST] for it in (_mine(seat), _mine_of_checks(seat))]
    return Judgement.objects.filter(Q(pk__in=parts[0]) | Q(pk__in=parts[1]))


def _seat_columns(user: User, project: str, *, but: str = "") -> dict[str, Subquery]:
    """`but` names the column of a check that is not the next one: it is being answered."""
    checks = Check.objects.filter(project=OuterRef(project), user=user, is_open=True, skipped_at=None)
    if but:
        checks = checks.exclude(pk=OuterRef(but))
    versions = Guidelines.objects.filter(project=OuterRef(project)).order_by("-version")
    return {
        "seat_judge": Subquery(Judge.objects.filter(user=user).values("pk")),
        "seat_guidelines": Subquery(versions.values("version")[:1]),
        "seat_check_share": Subquery(CheckMix.objects.filter(project=OuterRef(project)).values("share")),
        "seat_check": Subquery(checks.order_by("ordinal").values("snapshot")[:1]),
    }


def _seat(user: User, project: Project, row: Any) -> Seat:
    share = row.seat_check_share or 0.0
    check = card_read(project.pk, row.seat_check) if share and row.seat_check else None
    return Seat(user, project, row.role, row.seat_judge, row.seat_guidelines, share, check)
