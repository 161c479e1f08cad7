"""Reads on jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.utils import timezone

from labelapp.jobs.models import ACTIVE, Job, State, WorkerBeat

# A worker counts as alive for so many of its reaper's rounds, and for this many seconds at least.
ALIVE_ROUNDS = 5
ALIVE_SECONDS_AT_LEAST = 10.0


@dataclass(frozen=True)
class JobProgress:
    """How far a job is: with children, the sum over them, a child without a total counting as one unit."""

    state: str
    done: int
    total: int
    message: str
    error: str
    seconds: float  # since the start; 0 before

    @property
    def is_over(self) -> bool:
        return self.state not in ACTIVE

    @property
    def percent(self) -> int:
        if self.state == State.DONE:
            return 100
        return min(99, 100 * self.done // self.total) if self.total else 0

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the rate so far; None before there is one."""
        if self.is_over or not self.done:
            return None
        return self.seconds * (self.total - self.done) / self.done


def job_progress(job_id: int) -> JobProgress:
    """Raises Job.DoesNotExist for an unknown id."""
    job = Job.objects.get(pk=job_id)
    children = Job.objects.filter(parent_id=job_id)
    sums = children.aggregate(
        n=Count("pk"),
        units=Sum("total", filter=Q(total__gt=0), default=0),
        without=Count("pk", filter=Q(total=0)),
        units_done=Sum("done", filter=Q(total__gt=0), default=0),
        without_done=Count("pk", filter=Q(total=0, state__in=[State.DONE, State.FAILED])),
    )
    done, total, message = job.done, job.total, job.message
    if sums["n"]:
        done = sums["units_done"] + sums["without_done"]
        total = sums["units"] + sums["without"]
        running = children.filter(state=State.RUNNING).order_by("-started_at").first()
        message = f"{running.title}: {running.message}".rstrip(": ") if running else ""
    end = job.finished_at or timezone.now()
    seconds = (end - job.started_at).total_seconds() if job.started_at else 0.0
    return JobProgress(job.state, done, total, message, job.error, seconds)


def workers_alive(queue: str | None = None) -> list[WorkerBeat]:
    """The workers heard of lately, all of them or those that serve one queue."""
    seconds = max(ALIVE_ROUNDS * settings.JOB_REAP_SECONDS, ALIVE_SECONDS_AT_LEAST)
    beats = WorkerBeat.objects.filter(seen_at__gte=timezone.now() - timedelta(seconds=seconds))
    return [beat for beat in beats.order_by("name") if queue is None or queue in beat.queues.split(",")]
