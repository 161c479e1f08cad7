"""Exports: files that a job writes and a person downloads."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from labelapp.jobs.models import Job


class Export(models.Model):
    """One file. The job's state says whether it is there yet."""

    subject = models.CharField(max_length=120)  # "project:demo": what is exported, by its registered kind
    format = models.CharField(max_length=10)
    file = models.CharField(max_length=200, blank=True)
    rows = models.PositiveIntegerField(default=0)
    job = models.OneToOneField(Job, models.PROTECT, related_name="export")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.subject} as {self.format}"
