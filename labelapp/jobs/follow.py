"""How a command waits for a job: through a worker where one listens, else by doing the work itself."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from django.core.management.base import CommandError
from django.db import connection
from tqdm import tqdm

from labelapp.jobs.models import Job, State
from labelapp.jobs.reaper import reap
from labelapp.jobs.selectors import JobProgress, job_progress, workers_alive
from workers.celery import app, queue_of

POLL_SECONDS = 0.25
PATIENCE_SECONDS = 3.0  # in which a worker that is free begins
WAITING = "waiting: the workers are busy with other jobs"


def job_wait(
    job: Job,
    on_progress: Callable[[JobProgress], object] | None = None,
    on_interrupt: Callable[[], object] | None = None,
) -> JobProgress:
    """Wait until a job is over or paused; without a worker for its queue the work is done in this process.

    `on_interrupt` is called at Ctrl-C where this process does the work; it is to make that end, and is waited for.
    """
    helper: threading.Thread | None = None
    try:
        while not ((progress := job_progress(job.pk)).is_over or progress.is_paused):
            if on_progress:
                on_progress(progress)
            if (helper is None or not helper.is_alive()) and not _worker_listens(job):
                reap()  # nobody else frees the jobs of a worker that died
                helper = threading.Thread(target=_work_off, args=(job.pk,), daemon=True)
                helper.start()
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        if helper is not None and helper.is_alive() and on_interrupt:
            on_interrupt()
            helper.join()
        raise
    if helper is not None:
        helper.join()
    if on_progress:
        on_progress(progress)
    return progress


def job_follow(job: Job) -> None:
    """Wait and show the progress on the error stream. Raises CommandError with the job's sentence if it failed."""
    with tqdm(total=100, file=sys.stderr, bar_format="{desc}{bar} {percentage:3.0f}% {postfix}", disable=None) as bar:
        progress = job_wait(job, _Lines(job) if bar.disable else _Bar(job, bar))
    if progress.state != State.DONE:
        raise CommandError(progress.error or f"The job was {progress.state}.")


class _Bar:
    """On a terminal: one line, written over."""

    def __init__(self, job: Job, bar: tqdm[NoReturn]) -> None:
        self.job, self.bar = job, bar

    def __call__(self, progress: JobProgress) -> None:
        self.bar.set_description_str(f"{self.job.title} ", refresh=False)
        self.bar.set_postfix_str(_left(progress), refresh=False)
        self.bar.update(progress.percent - self.bar.n)


class _Lines:
    """In a log: a line for every tenth, and one where nothing begins."""

    def __init__(self, job: Job) -> None:
        self.job, self.tenth = job, 0
        self.started, self.said_waiting = time.monotonic(), False

    def __call__(self, progress: JobProgress) -> None:
        patient = self.said_waiting or time.monotonic() - self.started < PATIENCE_SECONDS
        if progress.state == State.QUEUED and not patient:
            self.said_waiting = True
            sys.stderr.write(f"{self.job.title}: {WAITING}\n")
        if progress.percent // 10 > self.tenth:
            self.tenth = progress.percent // 10
            sys.stderr.write(f"{self.job.title}: {progress.percent} % {_left(progress)}".rstrip() + "\n")


def _left(progress: JobProgress) -> str:
    if progress.state == State.QUEUED:
        return WAITING
    left = progress.seconds_left
    return "" if left is None else f"{left:.0f} s left"


def _worker_listens(job: Job) -> bool:
    task = job.task or Job.objects.filter(parent=job).exclude(task="").values_list("task", flat=True).first()
    return bool(workers_alive(queue_of(task))) if task else False


def _work_off(job_id: int) -> None:
    """Run the queued tasks of a job and of its children, oldest first, in this process."""
    app.loader.import_default_modules()
    try:
        while job := _next_queued(job_id):
            app.tasks[job.task].run(job.pk)
    finally:
        connection.close()


def _next_queued(job_id: int) -> Job | None:
    family = Job.objects.filter(pk=job_id) | Job.objects.filter(parent_id=job_id)
    return family.filter(state=State.QUEUED).exclude(task="").order_by("pk").first()
