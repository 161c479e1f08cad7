"""Tests that judge without asking for an opinion: intrusion tests of directions, label matching of labels."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.db import models

from labelapp.atlas.models import Direction
from labelapp.autolabel.models import Run


def _trial_id() -> str:
    return secrets.token_urlsafe(9)


class ChoiceTest(models.Model):
    """One test of a project: so many trials on each of its ends, drawn once and for all when it is started."""

    class Kind(models.TextChoices):
        INTRUSION = "intrusion", "intrusion test"
        MATCHING = "matching", "label matching"

    project = models.ForeignKey("labelling.Project", models.CASCADE, related_name="tests")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # {"seed": …, "ends": …, "trials": … an end, "labels": whose they are, "wanted": how many ends were asked for}
    design = models.JSONField(default=dict)
    # Ends of which no trial could be drawn, and why: {control kind, or "" for none: {why: how many}}.
    left_out = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)  # it takes no answers of people from then on

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"


class Trial(models.Model):
    """What is shown at once, and which of it is the answer. Inserted with its test, and never changed but for the
    claim: before whom it lies, and until when.
    """

    test = models.ForeignKey(ChoiceTest, models.CASCADE, related_name="trials")
    direction = models.ForeignKey(Direction, models.PROTECT, related_name="+")  # the end that is tested
    number = models.PositiveSmallIntegerField()  # of the end's trials, from 0
    position = models.PositiveIntegerField()  # in the test's order, a seeded shuffle
    opaque_id = models.CharField(max_length=16, unique=True, default=_trial_id)
    # Of an intrusion test six tokens, of label matching four readouts, each a list of tokens.
    shown = models.JSONField()
    label = models.TextField(blank=True)  # of label matching
    answer = models.PositiveSmallIntegerField()  # the place of what is to be found, from 0
    # What was drawn from where: token ids, ranks, the intruder's direction, or those of the readouts.
    drawn = models.JSONField(default=dict)
    # Whose label it is; nobody is asked about one of his or her own.
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    is_answered = models.BooleanField(default=False)  # by a person: each trial is for one
    claimed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    claimed_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["test", "direction", "number"], name="one_trial_for_a_number"),
            models.UniqueConstraint(fields=["test", "position"], name="one_trial_at_a_position"),
        ]
        indexes = [
            # Serves a person's next trial, however many are answered.
            models.Index(fields=["test", "position"], condition=models.Q(is_answered=False), name="open_trials"),
        ]

    def __str__(self) -> str:
        return self.opaque_id


class TrialAnswer(models.Model):
    """A person's answer to a trial. Inserted, and never changed: there is no second look at a trial."""

    trial = models.OneToOneField(Trial, models.CASCADE, related_name="person_answer")
    test = models.ForeignKey(ChoiceTest, models.CASCADE, related_name="answers")
    direction = models.ForeignKey(Direction, models.PROTECT, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    choice = models.PositiveSmallIntegerField()  # a place in what was shown, from 0
    seconds = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # A person meets an end once.
            models.UniqueConstraint(fields=["test", "user", "direction"], name="one_answer_to_an_end"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.choice} of trial {self.trial_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("An answer to a trial never changes.")
        super().save(*args, **kwargs)


class AskedRun(models.Model):
    """A run in which a language model answers all trials of a test; an item's variant is its trial's id."""

    test = models.ForeignKey(ChoiceTest, models.CASCADE, related_name="asked_runs")
    run = models.OneToOneField(Run, models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return f"{self.test_id} asked by run {self.run_id}"
