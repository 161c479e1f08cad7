"""What every task has in common: it claims its job, keeps the lease alive, and turns errors into states."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import close_old_connections, connection

from labelapp.jobs.models import Job
from labelapp.jobs.reaper import ReaperThread
from labelapp.jobs.services import (
    JobError,
    LeaseLostError,
    job_claim,
    job_fail,
    job_heartbeat,
    job_progress_set,
    job_release,
    job_retry,
    worker_gone,
)
from workers.celery import app
from workers.weights.source import is_full

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5
DISK_FULL = "The disk is full, so this could not be stored; free some space and ask for it again."
ErrorTypes = Callable[[], tuple[type[Exception], ...]]


class Heartbeat(threading.Thread):
    """Prolongs a job's lease while the work goes on; `lost` is set where it could not."""

    def __init__(self, job: Job) -> None:
        super().__init__(name=f"heartbeat-{job.pk}", daemon=True)
        self.job = job
        self.lost = threading.Event()
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(settings.JOB_LEASE_SECONDS / 4):
            try:
                job_heartbeat(self.job)
            except LeaseLostError:
                self.lost.set()
                return
            except Exception:
                logger.exception("A heartbeat of job %s failed; the next one may not.", self.job.pk)
            finally:
                connection.close()

    def stop(self) -> None:
        self.stopping.set()
        self.join()


class ProgressReport:
    """Counts what is done, and writes the count at most twice a second."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.done = 0
        self.written_at = time.monotonic()

    def step(self, n: int = 1) -> None:
        """Raises LeaseLostError where the work is no longer this process's, so that it stops at once."""
        self.done += n
        if time.monotonic() - self.written_at > PROGRESS_SECONDS:
            job_progress_set(self.job, done=self.done)
            self.written_at = time.monotonic()


def job_task(name: str, *, user_errors: ErrorTypes = tuple) -> Any:
    """Register `function(job)` as the Celery task `name`, which takes a job's id.

    The function itself ends the job, inside `job_completion`. `user_errors` names, lazily, the exceptions
    whose text is a sentence for the user: they fail the job at once, any other puts it back until
    its attempts are used up.
    """

    def register(function: Callable[[Job], None]) -> Task:
        @app.task(name=name)
        def run(job_id: int) -> None:
            job_run(job_id, function, user_errors)

        return run

    return register


def job_run(job_id: int, function: Callable[[Job], None], user_errors: ErrorTypes) -> None:
    """Claim the job and run `function` on it; do nothing where somebody else has it (a doubled message)."""
    close_old_connections()
    job = job_claim(job_id)
    if job is None:
        return
    heartbeat = Heartbeat(job)
    heartbeat.start()
    try:
        function(job)
    except LeaseLostError:
        logger.warning("Job %s went to another worker; what was done here is dropped.", job_id)
    except Exception as error:
        if isinstance(error, (JobError, *user_errors())):
            job_fail(job, str(error))
        elif is_full(error):
            job_fail(job, DISK_FULL)
        else:
            logger.exception("Job %s failed", job_id)
            job_retry(job, f"Unexpected error: {type(error).__name__}: {error}"[:2000])
    except BaseException:
        job_release(job)
        raise
    finally:
        heartbeat.stop()


# Set once the worker is told to stop. Tasks that run in its own process (the pool `threads`) look at it.
stopping = threading.Event()


@worker_shutting_down.connect
def _tell_tasks(sender: Any, **_: Any) -> None:
    stopping.set()


_reapers: dict[str, ReaperThread] = {}


@worker_ready.connect
def _start_reaper(sender: Any, **_: Any) -> None:
    queues = list(sender.app.amqp.queues.consume_from)
    _reapers[sender.hostname] = reaper = ReaperThread(sender.hostname, queues)
    reaper.start()


@worker_shutdown.connect
def _stop_reaper(sender: Any, **_: Any) -> None:
    for name, reaper in _reapers.items():
        reaper.stopping.set()
        worker_gone(name)
