"""Which trial lies before whom. A trial that is shown, and the one after it, are claimed for a while by one person.

A claim keeps people apart and decides nothing: what decides is the conditional update that an answer makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from django.db.models import Q, QuerySet
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.labelling.blindness import directions_to_judge
from labelapp.labelling.selectors import PAUSE_SECONDS, RATE_ANSWERS, RATE_ANSWERS_AT_LEAST
from labelapp.labelling.trials.models import ChoiceTest, Trial, TrialAnswer

CLAIM_SECONDS = 180
SHOWN_AT_ONCE = 2  # the trial before the person, and the one after it
LOOKED_AT = 20


@dataclass(frozen=True)
class ChoiceProgress:
    """How far one person is in one test, in ends: each is met once."""

    done: int
    left: int
    a_minute: float | None = None  # None before there is a rate

    @property
    def total(self) -> int:
        return self.done + self.left

    @property
    def seconds_left(self) -> float | None:
        return self.left / self.a_minute * 60 if self.a_minute else None


def trials_take(test: ChoiceTest, user: User) -> list[Trial]:
    """Claim the person's next two trials, of two ends, and return them; fewer where there are no more.

    Each is claimed by itself, so that nobody holds one and waits for another.
    """
    now = timezone.now()
    taken: dict[int, Trial] = {}
    for trial in trials_open(test, user).filter(_is_free(user, now)).order_by("position")[:LOOKED_AT]:
        if trial.direction_id not in taken and _claim(Trial.objects.filter(pk=trial.pk), user, now):
            taken[trial.direction_id] = trial
        if len(taken) == SHOWN_AT_ONCE:
            break
    return list(taken.values())


def claims_prolong(test: ChoiceTest, user: User, opaque_ids: list[str]) -> bool:
    """Keep these trials, or take them anew where they are free; False where one has gone to somebody else."""
    now = timezone.now()
    trials = [Trial.objects.filter(test=test, opaque_id=it) for it in set(opaque_ids)]
    return sum(_claim(trial, user, now) for trial in trials) == len(trials)


def trials_open(test: ChoiceTest, user: User) -> QuerySet[Trial]:
    """What the person may still answer, claimed by others or not: ends not met before, and nobody's own labels.

    A label is shown to nobody who is still to judge its end blind.
    """
    met = TrialAnswer.objects.filter(test=test, user=user).values("direction")
    trials = Trial.objects.filter(test=test, is_answered=False).exclude(direction__in=met)
    if test.kind == ChoiceTest.Kind.MATCHING:
        trials = trials.exclude(author=user).exclude(direction__in=directions_to_judge(user).values("pk"))
    return trials


def choice_progress(test: ChoiceTest, user: User) -> ChoiceProgress:
    own = TrialAnswer.objects.filter(test=test, user=user).order_by("-pk")
    times = list(own.values_list("created_at", flat=True)[: RATE_ANSWERS + 1])
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(times)]
    at_work = [gap for gap in gaps if gap <= PAUSE_SECONDS]
    typical = median(at_work) if len(at_work) >= RATE_ANSWERS_AT_LEAST else 0
    return ChoiceProgress(own.count(), _ends(trials_open(test, user)), 60 / typical if typical else None)


def _ends(trials: QuerySet[Trial]) -> int:
    return trials.order_by().values("direction").distinct().count()


def _is_free(user: User, now: datetime) -> Q:
    return Q(claimed_until=None) | Q(claimed_until__lte=now) | Q(claimed_by=user)


def _claim(trial: QuerySet[Trial], user: User, now: datetime) -> int:
    free = trial.filter(_is_free(user, now), is_answered=False)
    return free.update(claimed_by=user, claimed_until=now + timedelta(seconds=CLAIM_SECONDS))
