"""Background work. The row is the truth; a message in a broker is only a hint that there is something to do."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class State(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (State.QUEUED, State.RUNNING)
# What is not over: a paused job goes on when somebody resumes it.
OPEN = (*ACTIVE, State.PAUSED)


class Job(models.Model):
    """One task, or (with an empty `task`) the parent of several, whose state follows from theirs.

    A worker owns a running job while its lease lasts; it prolongs the lease by heartbeats and may
    write the result only under the token of that lease.
    """

    title = models.CharField(max_length=200)
    task = models.CharField(max_length=200, blank=True)
    params = models.JSONField(default=dict, blank=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")
    # At most one open job of a key: opening the same matrix twice computes it once.
    dedupe_key = models.CharField(max_length=200, blank=True)

    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)  # why it failed; of a paused job, why it pauses

    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    lease_token = models.CharField(max_length=32, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    # When the message for a queued job is to be sent (again), in case the last one was lost.
    send_at = models.DateTimeField(null=True, blank=True)
    sends = models.PositiveSmallIntegerField(default=0)

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["dedupe_key"],
                condition=models.Q(state__in=OPEN) & ~models.Q(dedupe_key=""),
                name="one_open_job_for_a_key",
            ),
        ]
        indexes = [
            # The reaper's two questions, asked every few seconds by every worker.
            models.Index(fields=["state", "lease_expires_at"], name="job_expired_lease"),
            models.Index(fields=["state", "send_at"], name="job_to_send"),
            # A parent's state from its children's.
            models.Index(fields=["parent", "state"], name="job_children"),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class WorkerBeat(models.Model):
    """The last sign of life of one worker process, so that a page can say that none is running."""

    name = models.CharField(max_length=200, unique=True)
    queues = models.CharField(max_length=200)
    seen_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name
