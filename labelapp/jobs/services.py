"""Writes on jobs. Every change of state is one conditional UPDATE: whoever changes the row has won."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from labelapp.jobs.models import OPEN, Job, State, WorkerBeat
from workers.celery import app, queue_of

logger = logging.getLogger(__name__)

RESEND_CEILING = timedelta(minutes=10)


class JobError(Exception):
    """A failure that the user can understand and mend; its text is shown as it stands, the job is not tried again."""


class LeaseLostError(Exception):
    """The job was given to another worker (or cancelled) while this one still worked on it."""


def job_create(
    *,
    title: str,
    task: str = "",
    params: Mapping[str, Any] | None = None,
    parent: Job | None = None,
    dedupe_key: str = "",
    total: int = 0,
    created_by: AbstractBaseUser | None = None,
) -> Job:
    """Store a job and send its message once the transaction is committed.

    Where a job with the same `dedupe_key` is not over yet, that one is returned.
    """
    job = Job(
        title=storable(title)[:200],
        task=task,
        params=dict(params or {}),
        parent=parent,
        dedupe_key=dedupe_key,
        total=total,
        created_by_id=created_by.pk if created_by else (parent.created_by_id if parent else None),
        send_at=timezone.now() if task else None,
    )
    while True:
        try:
            with transaction.atomic():
                job.save(force_insert=True)
            break
        except IntegrityError:
            if not dedupe_key:
                raise
            # It may end between the refusal and this look: then the new one is in order after all.
            if standing := Job.objects.filter(dedupe_key=dedupe_key, state__in=OPEN).first():
                return standing
    if task:
        transaction.on_commit(lambda: job_send(job))
    return job


def job_send(job: Job) -> None:
    """Send the message for a queued job; a broker that is away costs nothing, the reaper sends it later."""
    delay = min(timedelta(seconds=settings.JOB_RESEND_SECONDS * 2 ** min(job.sends, 10)), RESEND_CEILING)
    claimed = Job.objects.filter(pk=job.pk, state=State.QUEUED, sends=job.sends).update(
        sends=F("sends") + 1, send_at=timezone.now() + delay
    )
    if not claimed:
        return
    try:
        app.send_task(job.task, args=[job.pk], queue=queue_of(job.task), retry=False)
    except OperationalError as error:
        logger.warning("The broker did not take the message for job %s (%s); it is sent again.", job.pk, error)


def job_claim(job_id: int) -> Job | None:
    """Take a queued job for this process; None where another worker was first or nothing is left to do.

    A part of a job that was paused or cancelled waits, also where it was added after that.
    """
    token = secrets.token_hex(16)
    now = timezone.now()
    # A condition, not a join: the state of the row itself is looked at again where two claim at once.
    claimed = Job.objects.filter(
        ~Exists(parents_in(State.PAUSED, State.CANCELLED)), pk=job_id, state=State.QUEUED
    ).update(
        state=State.RUNNING,
        lease_token=token,
        lease_expires_at=_lease_end(now),
        attempts=F("attempts") + 1,
        started_at=now,
        done=0,
        error="",
    )
    if not claimed:
        return None
    job = Job.objects.get(pk=job_id)
    if job.parent_id:
        Job.objects.filter(pk=job.parent_id, state=State.QUEUED).update(state=State.RUNNING, started_at=now)
    return job


def parents_in(*states: State) -> QuerySet[Job]:
    """The parent of a job of the outer query, where it is in one of these states."""
    return Job.objects.filter(pk=OuterRef("parent_id"), state__in=states)


def job_heartbeat(job: Job) -> None:
    """Prolong the lease. Raises LeaseLostError where the job is no longer this process's."""
    _update_held(job, lease_expires_at=_lease_end(timezone.now()))


def job_progress_set(job: Job, *, done: int) -> None:
    """State how far the job is. Raises LeaseLostError where the job is no longer this process's."""
    _update_held(job, done=done)


@contextmanager
def job_completion(job: Job) -> Iterator[None]:
    """Write a job's result and its end in one transaction: both stand, or neither.

    Raises LeaseLostError, and rolls the block back, where another worker has the job by now.
    """
    with transaction.atomic():
        _update_held(
            job,
            state=State.DONE,
            finished_at=timezone.now(),
            lease_token="",
            lease_expires_at=None,
            done=F("total"),
        )
        yield
        if job.parent_id:
            parent_settle(job.parent_id)


@contextmanager
def job_writing(job: Job, *, done: int) -> Iterator[None]:
    """Write a part of a job's result, and how far it is, in one transaction under its lease, which is prolonged.

    The holder of a job that was cancelled may still write what it has already paid for.
    Raises LeaseLostError, and writes nothing, where the job is no longer this process's.
    """
    with transaction.atomic():
        held = Job.objects.filter(
            pk=job.pk, state__in=(State.RUNNING, State.CANCELLED), lease_token=job.lease_token
        ).update(done=done, lease_expires_at=_lease_end(timezone.now()))
        if not held:
            raise LeaseLostError(f"Job {job.pk} is no longer held by this worker.")
        yield


def job_wish(job: Job) -> State:
    """What is wanted of a job that this process holds: to go on (RUNNING), to pause or to be cancelled.

    Raises LeaseLostError where it is no longer this process's.
    """
    found = Job.objects.filter(pk=job.pk, lease_token=job.lease_token).values_list("state", "parent__state").first()
    if found is None or found[0] not in (State.RUNNING, State.CANCELLED):
        raise LeaseLostError(f"Job {job.pk} is no longer held by this worker.")
    for state in (State.CANCELLED, State.PAUSED):
        if state in found:
            return state
    return State.RUNNING


def job_fail(job: Job, error: str) -> None:
    """End a job with the sentence that its users will read; a lost lease is left to its new owner."""
    try:
        with transaction.atomic():
            _update_held(
                job,
                state=State.FAILED,
                finished_at=timezone.now(),
                lease_token="",
                lease_expires_at=None,
                error=storable(error),
            )
            if job.parent_id:
                parent_settle(job.parent_id)
    except LeaseLostError:
        logger.warning("Job %s failed here after its lease had ended: %s", job.pk, error)


def job_retry(job: Job, reason: str) -> None:
    """Put a job that failed unexpectedly back into the queue, or fail it for good once its attempts are used up."""
    if job.attempts >= job.max_attempts:
        job_fail(job, reason)
    else:
        _back_to_queue(job, delay=timedelta(seconds=2**job.attempts), error=storable(reason))


def job_release(job: Job) -> None:
    """Give a held job back because its worker stops in an orderly way: that is no attempt of the job's.

    A part of a paused job waits until that is resumed.
    """
    _back_to_queue(job, delay=timedelta(0), attempts=F("attempts") - 1)
    queued_parts_follow(Job.objects.filter(pk=job.pk))


def queued_parts_follow(jobs: QuerySet[Job]) -> int:
    """Queued parts of a paused job pause, those of a cancelled one are cancelled; returns how many."""
    queued = jobs.filter(state=State.QUEUED)
    return sum(
        queued.filter(Exists(parents_in(state))).update(state=state) for state in (State.PAUSED, State.CANCELLED)
    )


def _back_to_queue(job: Job, *, delay: timedelta, **changes: Any) -> None:
    send_at = timezone.now() + delay
    try:
        _update_held(
            job, state=State.QUEUED, lease_token="", lease_expires_at=None, sends=0, send_at=send_at, **changes
        )
    except LeaseLostError:
        logger.warning("Job %s was already taken by another worker.", job.pk)


def parent_settle(parent_id: int) -> None:
    """Set a parent's state from its children's, inside the transaction that ended one of them.

    The parent's row is locked first: of two children that end at the same moment the second sees the first.
    """
    parent = Job.objects.select_for_update().get(pk=parent_id)
    children = Job.objects.filter(parent_id=parent_id)
    if not parent.is_open or children.filter(state__in=OPEN).exists():
        return
    failed = children.filter(state=State.FAILED).order_by("pk").first()
    Job.objects.filter(pk=parent_id, state__in=OPEN).update(
        state=State.FAILED if failed else State.DONE,
        error=failed.error if failed else "",
        finished_at=timezone.now(),
    )
    if parent.parent_id:
        parent_settle(parent.parent_id)


def worker_beat(name: str, queues: list[str]) -> None:
    """Note that a worker is alive and which queues it serves."""
    WorkerBeat.objects.update_or_create(
        name=name, defaults={"queues": ",".join(sorted(queues)), "seen_at": timezone.now()}
    )


def worker_gone(name: str) -> None:
    """Note that a worker has stopped in an orderly way."""
    WorkerBeat.objects.filter(name=name).delete()


def storable(text: str) -> str:
    """The same text as every database takes it: without NUL and halves of characters, which paths can hold."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _update_held(job: Job, **changes: Any) -> None:
    held = Job.objects.filter(pk=job.pk, state=State.RUNNING, lease_token=job.lease_token).update(**changes)
    if not held:
        raise LeaseLostError(f"Job {job.pk} is no longer held by this worker.")


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.JOB_LEASE_SECONDS)
