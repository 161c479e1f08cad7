"""The reaper: an idempotent loop in every worker that puts stale jobs back into the queue."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from django.conf import settings
from django.db import close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

from labelapp.jobs.models import Job, State, WorkerBeat
from labelapp.jobs.services import job_send, parent_settle, queued_parts_follow, worker_beat

logger = logging.getLogger(__name__)

MAX_SENDS_A_ROUND = 200


def reap() -> int:
    """Free the jobs of workers that died, send what waits for its message; return how many rows changed."""
    now = timezone.now()
    expired = Job.objects.filter(state=State.RUNNING, lease_expires_at__lt=now)
    exhausted = list(expired.filter(attempts__gte=F("max_attempts")).values_list("pk", "parent_id"))
    changed = sum(_give_up(pk, parent_id) for pk, parent_id in exhausted)
    changed += expired.filter(attempts__lt=F("max_attempts")).update(
        state=State.QUEUED, lease_token="", lease_expires_at=None, sends=0, send_at=now
    )
    changed += queued_parts_follow(Job.objects.all())
    for job in (
        Job.objects.filter(state=State.QUEUED, send_at__lte=now).exclude(task="").order_by("pk")[:MAX_SENDS_A_ROUND]
    ):
        job_send(job)
        changed += 1
    WorkerBeat.objects.filter(seen_at__lt=now - timedelta(days=1)).delete()
    return changed


def _give_up(job_id: int, parent_id: int | None) -> int:
    with transaction.atomic():
        changed = Job.objects.filter(pk=job_id, state=State.RUNNING, lease_expires_at__lt=timezone.now()).update(
            state=State.FAILED,
            finished_at=timezone.now(),
            lease_token="",
            lease_expires_at=None,
            error="The worker died each time that it tried this job; see its log, then start the job again.",
        )
        if changed and parent_id:
            parent_settle(parent_id)
    return changed


class ReaperThread(threading.Thread):
    """Runs `reap` and the worker's sign of life until it is stopped; no error ends it."""

    def __init__(self, worker_name: str, queues: list[str]) -> None:
        super().__init__(name="reaper", daemon=True)
        self.worker_name = worker_name
        self.queues = queues
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                worker_beat(self.worker_name, self.queues)
                reap()
            except Exception:
                logger.exception("The reaper's round failed; it goes on.")
            finally:
                close_old_connections()
            self.stopping.wait(settings.JOB_REAP_SECONDS)
