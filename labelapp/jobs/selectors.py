"""Reads on jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.utils import timezone

from labelapp.jobs.models import OPEN, Job, State, WorkerBeat

# A worker counts as alive for so many of its reaper's rounds, and for this many seconds at least.
ALIVE_ROUNDS = 5
ALIVE_SECONDS_AT_LEAST = 10.0


@dataclass(frozen=True)
class JobProgress:
    """How far a job is: with children, the sum over them, a child without a total counting as one unit."""

    state: str
    done: int
    total: int
    message: str  # the title of the child that is at work
    error: str
    seconds: float  # since the start; 0 before

    @property
    def is_over(self) -> bool:
        return self.state not in OPEN

    @property
    def is_paused(self) -> bool:
        return self.state == State.PAUSED

    @property
    def percent(self) -> int:
        if self.state == State.DONE:
            return 100
        return min(99, 100 * self.done // self.total) if self.total else 0

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the rate so far; None before there is one."""
        if self.is_over or self.is_paused or not self.done:
            return None
        return self.seconds * (self.total - self.done) / self.done


def job_progress(job_id: int) -> JobProgress:
    """Raises Job.DoesNotExist for an unknown id."""
    try:
        return jobs_progress([job_id])[job_id]
    except KeyError:
        raise Job.DoesNotExist(f"There is no job {job_id}.") from None


def job_waited_for(dedupe_key: str) -> Job | None:
    """The job under the key that is on its way; else the last one, where that failed."""
    last = Job.objects.filter(dedupe_key=dedupe_key).order_by("-pk").first()
    return last if last is not None and (last.state in OPEN or last.error) else None


def jobs_progress(job_ids: Iterable[int]) -> dict[int, JobProgress]:
    """How far each job is, in three queries however many; unknown ids are left out."""
    jobs = Job.objects.in_bulk(list(job_ids))
    children = Job.objects.filter(parent_id__in=jobs)
    sums = {
        row["parent_id"]: (row["units_done"] + row["without_done"], row["units"] + row["without"])
        for row in children.values("parent_id").annotate(
            units=Sum("total", filter=Q(total__gt=0), default=0),
            without=Count("pk", filter=Q(total=0)),
            units_done=Sum("done", filter=Q(total__gt=0), default=0),
            without_done=Count("pk", filter=Q(total=0, state=State.DONE)),
        )
    }
    running = children.filter(state=State.RUNNING).order_by("started_at")
    titles = dict(running.values_list("parent_id", "title"))
    return {
        pk: JobProgress(
            job.state,
            *sums.get(pk, (job.done, job.total)),
            message=titles.get(pk, ""),
            error=job.error,
            seconds=_seconds(job),
        )
        for pk, job in jobs.items()
    }


def _seconds(job: Job) -> float:
    return ((job.finished_at or timezone.now()) - job.started_at).total_seconds() if job.started_at else 0.0


def workers_alive(queue: str | None = None) -> list[WorkerBeat]:
    """The workers heard of lately, all of them or those that serve one queue."""
    seconds = max(ALIVE_ROUNDS * settings.JOB_REAP_SECONDS, ALIVE_SECONDS_AT_LEAST)
    beats = WorkerBeat.objects.filter(seen_at__gte=timezone.now() - timedelta(seconds=seconds))
    return [beat for beat in beats.order_by("name") if queue is None or queue in beat.queues.split(",")]
