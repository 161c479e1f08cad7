"""How far a project is: by person and by item, and how long it takes at the present rate.

Everything is counted by the database, so that the page can ask every few seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judge, Judgement, Verdict
from labelapp.labelling.blindness import directions_hidden_from
from labelapp.labelling.checks.models import CheckMix, check_source
from labelapp.labelling.models import Item, Lease, Membership, Project, Skip
from labelapp.labelling.selectors import JUDGING_ROLES, PAUSE_SECONDS, CountOf, Seat

WINDOW_MINUTES = 10  # what the present rate is measured over
RATE_LEAST_MINUTES = 1.0
ITEMS_A_PAGE = 50
UNTOUCHED, PARTLY, DONE, SKIPPED = "untouched", "partly", "done", "skipped"
ITEM_FILTERS = {UNTOUCHED: "nobody yet", PARTLY: "some", DONE: "enough", SKIPPED: "put off by somebody"}


@dataclass(frozen=True)
class PersonProgress:
    """One person's answers in the project; those to checks are counted apart."""

    name: str
    user_id: int
    role: str  # empty of somebody who has left
    n: int = 0
    checks: int = 0
    yes: int = 0
    no: int = 0
    unsure: int = 0
    last: datetime | None = None
    a_minute: float | None = None  # over the last minutes, of somebody who is at work
    pace: float | None = None  # over all timed answers, a minute of work

    @property
    def is_at_work(self) -> bool:
        return self.a_minute is not None


@dataclass(frozen=True)
class ItemsProgress:
    """How many of a project's items have so many judgements."""

    items: int
    by_judged: Sequence[tuple[int, int]]  # judgements, items
    judged: int  # judgements that stand on items, up to the overlap
    wanted: int  # items times overlap
    skipped: int  # items that somebody put off
    leased: int  # that lie before somebody now

    @property
    def left(self) -> int:
        return self.wanted - self.judged


@dataclass(frozen=True)
class ProjectProgress:
    people: Sequence[PersonProgress]
    sample: ItemsProgress
    exploration: ItemsProgress
    check_share: float

    @property
    def at_work(self) -> int:
        return sum(it.is_at_work for it in self.people)

    @property
    def a_minute(self) -> float | None:
        """Answers a minute of all who are at work, those to checks among them; None where nobody is."""
        return sum(it.a_minute or 0.0 for it in self.people) or None

    @property
    def pace(self) -> float | None:
        """Answers in a minute of work of one person, over all so far: for when nobody is at work."""
        rates = [(it.pace, it.n + it.checks) for it in self.people if it.pace]
        answers = sum(n for _, n in rates)
        return answers / sum(n / pace for pace, n in rates) if answers else None

    @property
    def left(self) -> int:
        return self.sample.left + self.exploration.left

    def minutes(self, judgements: int) -> float | None:
        """How long so many judgements take at the present rate, at one person's pace where nobody is at work."""
        rate = self.a_minute or self.pace
        return judgements / (1 - self.check_share) / rate if rate else None

    @property
    def minutes_left(self) -> float | None:
        return self.minutes(self.left)


@dataclass(frozen=True)
class ItemRow:
    """One item in the list of items."""

    item: Item
    n_skipped: int
    n_leased: int
    direction: Direction | None  # None where whoever looks is still to judge it blind


def project_progress(project: Project, *, user_id: int | None = None) -> ProjectProgress:
    """Of everybody, or of one person among the totals; five queries."""
    now = timezone.now()
    roles = {user: (role, name) for user, role, name in _members(project)}
    found = {row["judge__user"]: row for row in _answers(project, now)}
    people = [_person(user, roles, found.get(user), now) for user in {*found, *_judging(roles)}]
    shown = [it for it in people if user_id in (None, it.user_id)]
    counts = _items(project, now)
    share = CheckMix.objects.filter(project=project).values_list("share", flat=True).first() or 0.0
    whole = ProjectProgress(people, counts[False], counts[True], share)
    if user_id is None:
        shown.sort(key=lambda it: (not it.is_at_work, -it.n, it.name))
        return ProjectProgress(shown, whole.sample, whole.exploration, share)
    return OwnProgress(shown, whole.sample, whole.exploration, share, whole)


@dataclass(frozen=True)
class OwnProgress(ProjectProgress):
    """One person's own line; the project's rates are those of everybody."""

    whole: ProjectProgress

    @property
    def at_work(self) -> int:
        return self.whole.at_work

    @property
    def a_minute(self) -> float | None:
        return self.whole.a_minute

    @property
    def pace(self) -> float | None:
        return self.whole.pace


def item_rows(project: Project, seat: Seat, *, show: str = "", after: int = -1) -> tuple[list[ItemRow], bool]:
    """A page of items in the queue's order, from the one after this position on; whether there are more.

    `show` is one of ITEM_FILTERS, or empty for all. Three queries.
    """
    now = timezone.now()
    items = Item.objects.filter(project=project, position__gt=after).filter(_filter(project, show))
    leases = Lease.objects.filter(item=OuterRef("pk"), until__gt=now).order_by()
    skips = Skip.objects.filter(item=OuterRef("pk")).order_by()
    items = items.annotate(n_leased=CountOf(leases.values("pk")), n_skipped=CountOf(skips.values("pk")))
    found = list(items.order_by("position")[: ITEMS_A_PAGE + 1])
    page = found[:ITEMS_A_PAGE]
    hidden = directions_hidden_from(seat.user, [it.direction_id for it in page])
    heavy = ("matrix__singular_values", "matrix__vectors", "matrix__neurons", "scores", "token_ids")
    directions = (
        Direction.objects.select_related("matrix__model").defer(*heavy).in_bulk([it.direction_id for it in page])
    )
    rows = [
        ItemRow(it, it.n_skipped, it.n_leased, None if it.direction_id in hidden else directions[it.direction_id])
        for it in page
    ]
    return rows, len(found) > ITEMS_A_PAGE


def _filter(project: Project, show: str) -> Q:
    return {
        "": Q(),
        UNTOUCHED: Q(n_judged=0),
        PARTLY: Q(n_judged__gt=0, n_judged__lt=project.overlap),
        DONE: Q(n_judged__gte=project.overlap),
        SKIPPED: Q(Exists(Skip.objects.filter(item=OuterRef("pk")))),
    }[show]


def _members(project: Project) -> QuerySet[Membership, tuple[int, str, str]]:
    return Membership.objects.filter(project=project).values_list("user_id", "role", "user__username")


def _judging(roles: dict[int, tuple[str, str]]) -> set[int]:
    return {user for user, (role, _) in roles.items() if role in JUDGING_ROLES}


def _answers(project: Project, now: datetime) -> list[Any]:
    """One row for each person who answered: a single pass over the project's stretch of the index."""
    check = check_source(project.pk)
    since = now - timedelta(minutes=WINDOW_MINUTES)
    rows = Judgement.every.filter(
        source__in=(project.source, check), current=True, judge__type=Judge.Type.PERSON
    ).order_by()
    is_item, is_recent = Q(source=project.source), Q(created_at__gte=since)
    grouped = rows.values("judge__user", "judge__user__username").annotate(
        n=Count("pk", filter=is_item),
        checks=Count("pk", filter=~is_item),
        yes=Count("pk", filter=is_item & Q(verdict=Verdict.INTERPRETABLE)),
        no=Count("pk", filter=is_item & Q(verdict=Verdict.NOT_INTERPRETABLE)),
        unsure=Count("pk", filter=is_item & Q(verdict=Verdict.UNSURE)),
        last=Max("created_at"),
        recent=Count("pk", filter=is_recent),
        recent_from=Min("created_at", filter=is_recent),
        timed=Count("seconds"),
        seconds=Sum("seconds"),
    )
    return list(grouped)


def _person(user: int, roles: dict[int, tuple[str, str]], row: dict[str, Any] | None, now: datetime) -> PersonProgress:
    role, name = roles.get(user, ("", ""))
    if row is None:
        return PersonProgress(name, user, role)
    counts = {key: row[key] for key in ("n", "checks", "yes", "no", "unsure")}
    last, begun = row["last"], row["recent_from"]
    a_minute = None
    if role in JUDGING_ROLES and begun is not None and (now - last).total_seconds() <= PAUSE_SECONDS:
        minutes = max((now - begun).total_seconds() / 60, RATE_LEAST_MINUTES)
        a_minute = int(str(row["recent"])) / minutes
    seconds = float(str(row["seconds"] or 0))
    pace = 60 * int(str(row["timed"])) / seconds if seconds else None
    return PersonProgress(
        str(row["judge__user__username"]), user, role, **counts, last=last, a_minute=a_minute, pace=pace
    )


def _items(project: Project, now: datetime) -> dict[bool, ItemsProgress]:
    """Of the sample (False) and of the exploration queue (True)."""
    rows = (
        Item.objects.filter(project=project).order_by().values_list("exploration", "n_judged").annotate(n=Count("pk"))
    )
    counted = sorted(rows)
    lying = Lease.objects.filter(item__project=project, until__gt=now).order_by().values_list("item__exploration")
    leased = dict(lying.annotate(n=Count("item", distinct=True)))
    put_off = Skip.objects.filter(item__project=project).order_by().values_list("item__exploration")
    skipped = dict(put_off.annotate(n=Count("item", distinct=True)))
    found = {}
    for exploration in (False, True):
        by_judged = [(judged, n) for is_explored, judged, n in counted if is_explored is exploration]
        items = sum(n for _, n in by_judged)
        found[exploration] = ItemsProgress(
            items,
            by_judged,
            sum(min(judged, project.overlap) * n for judged, n in by_judged),
            items * project.overlap,
            skipped.get(exploration, 0),
            leased.get(exploration, 0),
        )
    return found
