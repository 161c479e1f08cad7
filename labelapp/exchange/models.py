"""Exports, which are files that a job writes and a person downloads; and imports."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from labelapp.atlas.models import Model
from labelapp.jobs.models import Job
from labelapp.judgements.models import Judge


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


class Import(models.Model):
    """One import: released labels or readouts. What it brought carries `import:` and its id as source."""

    class Kind(models.TextChoices):
        LABELS = "labels"
        READOUTS = "readouts"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=200)  # of the file or folder, as it was called
    judge = models.ForeignKey(Judge, models.PROTECT, null=True, blank=True, related_name="imports")
    n_directions = models.PositiveIntegerField(default=0)  # that were new
    n_judgements = models.PositiveIntegerField(default=0)  # likewise
    # A file that came through the page, and the job that reads it; a command reads its file itself.
    file = models.CharField(max_length=200, blank=True)
    revision = models.CharField(max_length=64)
    job = models.OneToOneField(Job, models.PROTECT, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    atlas_models = models.ManyToManyField(Model, related_name="imports")

    def __str__(self) -> str:
        return f"Import {self.pk}: {self.name}"

    @property
    def source(self) -> str:
        """What the judgements of this import carry."""
        return f"import:{self.pk}"
