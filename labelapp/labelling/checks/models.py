"""What is mixed in among a project's items to see how well its people judge: it is no part of the sample.

A person's answer to a check is a judgement like any other, but with a source of its own: whatever counts the judgements
of the project (estimate, overlap, agreement, review, export) does not meet it.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import models

from labelapp.judgements.models import LABEL_LENGTH, TWO_VALUED

# Answers to checks carry this and the project's id as their source.
CHECK_SOURCE_PREFIX = "checks:"


def check_source(project_id: int) -> str:
    """What answers to a project's checks carry."""
    return f"{CHECK_SOURCE_PREFIX}{project_id}"


def _check_id() -> str:
    return secrets.token_urlsafe(9)  # as items have it, or it would tell


class CheckMix(models.Model):
    """How much is mixed in, of what. It may change at any time: what is planned from then on follows it."""

    project = models.OneToOneField("labelling.Project", models.CASCADE, related_name="check_mix")
    # Of all that lies before a person; their sum is `share`, which the queue reads.
    gold_share = models.FloatField(default=0)
    control_share = models.FloatField(default=0)
    repeat_share = models.FloatField(default=0)
    share = models.FloatField(default=0)
    controls = models.JSONField(default=list)  # kinds with their seeds, as in keys: ["gaussian", "covariance.2"]
    distance = models.PositiveSmallIntegerField(default=20)  # answers between a judgement and its repeat, at least
    own_shown = models.BooleanField(default=False)  # whether annotators see their own quality
    seed = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "check mixes"

    def __str__(self) -> str:
        return f"{self.share:.0%} of {self.project_id}"


class Gold(models.Model):
    """A direction whose answer is known: decided by an owner, or taken from a ground-truth set."""

    project = models.ForeignKey("labelling.Project", models.CASCADE, related_name="gold")
    direction = models.ForeignKey("atlas.Direction", models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=20, choices=[(it, it.label) for it in TWO_VALUED])
    label = models.CharField(max_length=LABEL_LENGTH, blank=True)
    origin = models.CharField(max_length=200)  # in words: who decided it, or which set it is from
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "gold"
        constraints = [
            models.UniqueConstraint(fields=["project", "direction"], name="one_gold_verdict"),
        ]

    def __str__(self) -> str:
        return f"{self.direction_id} is {self.verdict}"


class Check(models.Model):
    """One direction that comes before one person among the items, planned ahead of the person's answers."""

    class Kind(models.TextChoices):
        GOLD = "gold", "gold"
        CONTROL = "control", "control"
        REPEAT = "repeat", "repeat of an own judgement"

    project = models.ForeignKey("labelling.Project", models.CASCADE, related_name="checks")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    direction = models.ForeignKey("atlas.Direction", models.PROTECT, related_name="checks")
    # Of a repeat the judgement that stood when it was planned. That one counts in every estimate, whatever comes now.
    first = models.ForeignKey("judgements.Judgement", models.PROTECT, null=True, blank=True, related_name="repeats")
    opaque_id = models.CharField(max_length=16, unique=True, default=_check_id)
    ordinal = models.PositiveIntegerField()  # among the person's checks in the project, from 0
    after = models.PositiveIntegerField()  # it comes once so many items of the project are judged by the person
    # What the queue needs to show it, as `check_card` writes it: read with the person's seat, so that a check costs a
    # saved answer no query of its own. Text and not JSON, which in PostgreSQL holds no NUL.
    snapshot = models.TextField()
    is_open = models.BooleanField(default=True)
    skipped_at = models.DateTimeField(null=True, blank=True)
    skip_reason = models.CharField(max_length=12, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user", "ordinal"], name="one_check_at_a_place"),
            # A person meets a check once; serves "which directions has the person had" as well.
            models.UniqueConstraint(fields=["project", "user", "direction"], name="one_check_of_a_direction"),
        ]
        indexes = [
            # The person's next check, read with every answer.
            models.Index(
                fields=["project", "user", "ordinal"],
                condition=models.Q(is_open=True, skipped_at=None),
                name="checks_to_come",
            ),
        ]

    def __str__(self) -> str:
        return self.opaque_id
