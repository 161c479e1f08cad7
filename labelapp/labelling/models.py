"""Projects: what is judged by whom, under which guidelines."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import models

from labelapp.atlas.models import Direction

# Judgements made in a project carry this and its id as their source.
SOURCE_PREFIX = "project:"


def _item_id() -> str:
    return secrets.token_urlsafe(9)


class Project(models.Model):
    """A selection of directions, guidelines and members."""

    class State(models.TextChoices):
        OPEN = "open"
        PAUSED = "paused"

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    tokens_shown = models.PositiveSmallIntegerField(default=15)
    # The share of tokens that must fit, as the rubric has it (the post: 70 to 80 %).
    threshold = models.FloatField(default=0.7)
    # How the items were drawn: {"kind": "simple_random", "seed": …, "population": …, "n": …, "selection": {…}}.
    design = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    @property
    def source(self) -> str:
        """What judgements made in this project carry."""
        return f"{SOURCE_PREFIX}{self.pk}"


class Guidelines(models.Model):
    """One version of a project's rubric; a judgement remembers the version that it was made under."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="guidelines")
    version = models.PositiveIntegerField()
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "guidelines"
        constraints = [
            models.UniqueConstraint(fields=["project", "version"], name="one_guidelines_version"),
        ]

    def __str__(self) -> str:
        return f"{self.project_id} v{self.version}"


class Membership(models.Model):
    """A person's role in a project."""

    class Role(models.TextChoices):
        OWNER = "owner"
        REVIEWER = "reviewer"
        ANNOTATOR = "annotator"
        VIEWER = "viewer"

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_role_in_a_project"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} of {self.project_id}"


class Item(models.Model):
    """One direction of a project, under an opaque id: blind pages never show a key."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="items")
    direction = models.ForeignKey(Direction, models.PROTECT, related_name="items")
    opaque_id = models.CharField(max_length=16, unique=True, default=_item_id)
    position = models.PositiveIntegerField()  # in the queue, a seeded shuffle
    inclusion_probability = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "direction"], name="one_item_for_a_direction"),
            # Serves the queue: the next item by position.
            models.UniqueConstraint(fields=["project", "position"], name="one_item_at_a_position"),
        ]

    def __str__(self) -> str:
        return self.opaque_id


class Skip(models.Model):
    """A person put an item off; it comes back when nothing else is left."""

    item = models.ForeignKey(Item, models.CASCADE, related_name="skips")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "user"], name="one_skip"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} skipped {self.item_id}"
