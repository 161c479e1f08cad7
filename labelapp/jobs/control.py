"""Pause, resume, cancel and try again: a job and its parts together, by conditional updates.

A part that is at work when its job is paused goes on to where it can stop (`services.job_wish` tells it); one whose
job is cancelled loses the right to end it, and may still write what it has (`services.job_writing`).
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from labelapp.jobs.models import ACTIVE, OPEN, Job, State
from labelapp.jobs.services import job_send, parent_settle, storable

# More messages than this are left to the reaper's next rounds.
SENT_AT_ONCE = 50


def job_pause(job: Job, reason: str = "") -> bool:
    """Let nothing new of a job begin; False where it is over, paused already, or at work in one piece."""
    with transaction.atomic():
        # A task that runs alone cannot stop in its middle; one that waits, and a job of parts, can.
        paused = Job.objects.filter(Q(state=State.QUEUED) | Q(task="", state=State.RUNNING), pk=job.pk).update(
            state=State.PAUSED, error=storable(reason)
        )
        if paused:
            _change_parts(job.pk, Q(state=State.QUEUED) | Q(task="", state=State.RUNNING), state=State.PAUSED)
    return bool(paused)


def job_resume(job: Job) -> bool:
    """Let a paused job go on; False where it is not paused."""
    with transaction.atomic():
        now = timezone.now()
        resumed = Job.objects.filter(pk=job.pk, state=State.PAUSED).update(
            state=State.RUNNING if job.started_at and not job.task else State.QUEUED, error="", sends=0, send_at=now
        )
        if resumed:
            _change_parts(job.pk, Q(state=State.PAUSED), state=State.QUEUED, sends=0, send_at=now)
            _send(job.pk)
            if not job.task:
                parent_settle(job.pk)  # its parts may have ended meanwhile
    return bool(resumed)


def job_cancel(job: Job) -> bool:
    """End a job that is not over, with all its parts; what they have written stays. False where it is over."""
    with transaction.atomic():
        ended = {"state": State.CANCELLED, "finished_at": timezone.now()}
        cancelled = Job.objects.filter(pk=job.pk, state__in=OPEN).update(**ended)
        if cancelled:
            _change_parts(job.pk, Q(state__in=OPEN), **ended)
    return bool(cancelled)


def job_restart(job: Job) -> bool:
    """Try the failed parts of a failed job again; False where it has not failed, or another does the same by now."""
    try:
        return _restart(job)
    except IntegrityError:  # an open job of the same `dedupe_key`
        return False


def _restart(job: Job) -> bool:
    with transaction.atomic():
        fresh = {"state": State.QUEUED, "error": "", "attempts": 0, "sends": 0, "finished_at": None}
        restarted = Job.objects.filter(pk=job.pk, state=State.FAILED).update(**fresh, send_at=timezone.now())
        if restarted:
            _change_parts(job.pk, Q(state=State.FAILED), **fresh, send_at=timezone.now())
            _send(job.pk)
    return bool(restarted)


def job_reopen(job: Job) -> bool:
    """Make room for further parts of a job that is over; the caller adds them in its transaction."""
    over = Job.objects.filter(pk=job.pk).exclude(state__in=OPEN)
    return bool(over.update(state=State.QUEUED, error="", finished_at=None))


def _change_parts(job_id: int, condition: Q, **changes: Any) -> None:
    level = [job_id]
    while level:
        parts = Job.objects.filter(parent_id__in=level)
        level = list(parts.filter(task="").values_list("pk", flat=True))
        parts.filter(condition).update(**changes)


def _send(job_id: int) -> None:
    waiting = Job.objects.filter(Q(pk=job_id) | Q(parent_id=job_id), state=State.QUEUED).exclude(task="")
    for job in waiting.order_by("pk")[:SENT_AT_ONCE]:
        transaction.on_commit(lambda job=job: job_send(job))  # type: ignore[misc]


def controls_of(job: Job) -> list[str]:
    """What can be done with a job in its state: of pause, resume, cancel, restart."""
    if job.state == State.PAUSED:
        return ["resume", "cancel"]
    if job.state == State.FAILED:
        return ["restart"]
    if job.state not in ACTIVE:
        return []
    return ["pause", "cancel"] if job.state == State.QUEUED or not job.task else ["cancel"]


CONTROLS = {"pause": job_pause, "resume": job_resume, "cancel": job_cancel, "restart": job_restart}
