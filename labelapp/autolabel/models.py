"""Runs: sweeps of a machine judge over a selection of directions."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from labelapp.atlas.models import Model
from labelapp.jobs.models import Job
from labelapp.judgements.models import Judge


class Run(models.Model):
    """One sweep. Its state and progress are its job's; its answers are judgements with its `source`."""

    judge = models.ForeignKey(Judge, models.PROTECT, related_name="runs")
    model = models.ForeignKey(Model, models.PROTECT, related_name="runs")
    # What of the model is judged: a MatrixSelection of the atlas, as JSON.
    selection = models.JSONField(default=dict)
    job = models.OneToOneField(Job, models.PROTECT, related_name="run")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Run {self.pk}: {self.judge} on {self.model}"

    @property
    def source(self) -> str:
        """What the judgements of this run carry."""
        return f"run:{self.pk}"
