"""How a command waits for a job: through a worker where one listens, else by doing the work itself."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from django.core.management.base import CommandError
from django.db import connection
from tqdm import tqdm

from labelapp.jobs.models import Job, State
from labelapp.jobs.selectors import JobProgress, job_progress, workers_alive
from workers.celery import app, queue_of

POLL_SECONDS = 0.25


def job_wait(job: Job, on_progress: Callable[[JobProgress], None] | None = None) -> JobProgress:
    """Wait until a job is over; without a worker for its queue the work is done in this process."""
    helper: threading.Thread | None = None
    while not (progress := job_progress(job.pk)).is_over:
        if on_progress:
            on_progress(progress)
        if (helper is None or not helper.is_alive()) and not _worker_listens(job):
            helper = threading.Thread(target=_work_off, args=(job.pk,), daemon=True)
            helper.start()
        time.sleep(POLL_SECONDS)
    if helper is not None:
        helper.join()
    if on_progress:
        on_progress(progress)
    return progress


def job_follow(job: Job) -> None:
    """Wait with a progress bar on the error stream. Raises CommandError with the job's sentence if it failed."""
    with tqdm(total=100, unit="%", file=sys.stderr, bar_format="{desc}{bar} {percentage:3.0f}% {postfix}") as bar:

        def show(progress: JobProgress) -> None:
            left = progress.seconds_left
            bar.set_description_str(f"{job.title} ", refresh=False)
            bar.set_postfix_str(f"{left:.0f} s left" if left is not None else "", refresh=False)
            bar.update(progress.percent - bar.n)

        progress = job_wait(job, show)
    if progress.state != State.DONE:
        raise CommandError(progress.error or f"The job was {progress.state}.")


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
