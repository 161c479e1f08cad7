"""Judges and their judgements: the one table through which people and machines both write.

Rows are append-only. What stands of a judge on a direction is marked `current`; a later judgement takes
the mark by a conditional update, and a withdrawal gives it back.

A judgement may also be of a pair (the two ends of a vector) or of a whole matrix: its `subject`. It then carries the
one direction that stands for it, so the queue, undo and what is kept of a judgement are the same for all three. Its
verdicts are others, though, and say nothing of that direction: `Judgement.objects` has none of them, so that nothing
that counts, compares or exports directions ever meets one; `Judgement.every` has all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import models

from labelapp.atlas.models import Direction, Matrix

LABEL_LENGTH = 200


class Verdict(models.TextChoices):
    INTERPRETABLE = "interpretable", "interpretable"
    NOT_INTERPRETABLE = "not_interpretable", "not interpretable"
    UNSURE = "unsure", "unsure"
    # A machine's answer may also be one of these, which are never counted as verdicts.
    UNPARSED = "unparsed", "unparsed"
    FAILED = "failed", "failed"


class PairVerdict(models.TextChoices):
    """How the two ends of a vector go together."""

    SAME_THEME = "same_theme", "same theme"
    OPPOSITES = "opposites", "opposites"
    UNRELATED = "unrelated", "unrelated"
    UNSURE = "unsure", "unsure"


class MatrixVerdict(models.TextChoices):
    """Whether one broad concept runs through a matrix's vectors."""

    CONCEPT = "concept", "a broad concept"
    NO_CONCEPT = "no_concept", "no broad concept"
    UNSURE = "unsure", "unsure"


class Subject(models.TextChoices):
    """What is judged."""

    DIRECTION = "direction", "direction"
    VECTOR = "vector", "pair"  # its + end stands for it
    MATRIX = "matrix", "matrix"  # its first direction that was selected stands for it


HUMAN_VERDICTS = (Verdict.INTERPRETABLE, Verdict.NOT_INTERPRETABLE, Verdict.UNSURE)
TWO_VALUED = (Verdict.INTERPRETABLE, Verdict.NOT_INTERPRETABLE)
# What a person may say of each subject.
VERDICTS_OF: dict[str, tuple[models.TextChoices, ...]] = {
    Subject.DIRECTION: HUMAN_VERDICTS,
    Subject.VECTOR: tuple(PairVerdict),
    Subject.MATRIX: tuple(MatrixVerdict),
}
ALL_VERDICTS = list(dict([*Verdict.choices, *PairVerdict.choices, *MatrixVerdict.choices]).items())


class Kind(models.TextChoices):
    """What sort of yes."""

    TOPIC = "topic"
    WORD_CLASS = "word_class", "word class"
    FRAGMENT = "fragment"
    NUMBER_OR_PUNCTUATION = "number_or_punctuation", "number or punctuation"
    NAME = "name"
    FREQUENCY = "frequency"


class Reason(models.TextChoices):
    """Why not."""

    NOISE = "noise"
    SEVERAL_MEANINGS = "several_meanings", "several meanings"
    TOO_BROAD = "too_broad", "too broad"
    FREQUENCY_OR_PUNCTUATION = "frequency_or_punctuation", "only frequency or punctuation"


class Judge(models.Model):
    """A person, or one prompt version run on one language model with fixed parameters, or a statistical baseline."""

    class Type(models.TextChoices):
        PERSON = "person"
        PROMPT = "prompt"
        BASELINE = "baseline"

    type = models.CharField(max_length=10, choices=Type.choices)
    name = models.CharField(max_length=200)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    # All that fixes a machine's answers; its digest makes it the same judge again.
    parameters = models.JSONField(default=dict, blank=True)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    @property
    def is_person(self) -> bool:
        return self.type == self.Type.PERSON

    @property
    def has_verifier(self) -> bool:
        """Whether a verifier checks what it says: all of it, or the labels alone. It is a part of what the judge is."""
        return verifier_named(self.parameters)


def verifier_named(parameters: Mapping[str, Any]) -> bool:
    """Whether a judge with these parameters has a verifier."""
    return bool(parameters.get("verifier"))


class OfDirections(models.Manager["Judgement"]):
    """Verdicts on directions: what every figure, comparison and export of directions is about."""

    def get_queryset(self) -> models.QuerySet[Judgement]:
        return super().get_queryset().filter(subject=Subject.DIRECTION)


class Judgement(models.Model):
    """One verdict on one direction by one judge at one time, or (with `withdraws`) the withdrawal of one.

    With another subject it is a verdict on the vector or matrix for which the direction stands.
    """

    # A source has one subject: what stands of a judge there on a direction is one judgement, whatever it is about.
    subject = models.CharField(
        max_length=10, choices=Subject.choices, default=Subject.DIRECTION, db_default=Subject.DIRECTION
    )
    direction = models.ForeignKey(Direction, models.PROTECT, related_name="judgements")
    judge = models.ForeignKey(Judge, models.PROTECT, related_name="judgements")
    # Where it was made: "project:7", "run:12". A judge may judge a direction anew in another project.
    source = models.CharField(max_length=40)
    current = models.BooleanField(default=True)
    withdraws = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="withdrawals")
    supersedes = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="superseded_by")

    # False for a second look: after a person's first answer others' judgements are shown, even if it is withdrawn. An
    # answer mended before anybody else's stands is no second look.
    blind = models.BooleanField(default=True)

    verdict = models.CharField(max_length=20, choices=ALL_VERDICTS, blank=True)
    label = models.CharField(max_length=LABEL_LENGTH, blank=True)
    # Of a pair: the words for its - end, where one label does not name both.
    second_label = models.CharField(max_length=LABEL_LENGTH, blank=True, default="", db_default="")
    kind = models.CharField(max_length=24, choices=Kind.choices, blank=True)
    reason = models.CharField(max_length=24, choices=Reason.choices, blank=True)  # of a no
    misfits = models.JSONField(default=list, blank=True)  # places in the readout, from 0
    tokens_shown = models.PositiveSmallIntegerField(null=True)
    guidelines_version = models.PositiveIntegerField(null=True)
    seconds = models.FloatField(null=True)  # that a person took
    evidence = models.JSONField(default=dict, blank=True)  # what a machine based it on: statistic, p-value, …
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OfDirections()
    every: models.Manager[Judgement] = models.Manager()

    class Meta:
        constraints = [
            # Serves "what stands on this direction" as well.
            models.UniqueConstraint(
                fields=["direction", "judge", "source"],
                condition=models.Q(current=True),
                name="one_current_judgement",
            ),
            # An answer that came twice (a double click, a repeated request) is withdrawn once.
            models.UniqueConstraint(
                fields=["withdraws"], condition=models.Q(withdraws__isnull=False), name="withdrawn_once"
            ),
        ]
        indexes = [
            # A project's or run's judgements, newest first: progress, undo, comparison, export.
            models.Index(fields=["source", "judge", "-id"], name="judgements_of_a_source"),
        ]

    def __str__(self) -> str:
        return f"{self.judge_id} on {self.direction_id}: {self.verdict or 'withdrawn'}"

    @property
    def is_withdrawal(self) -> bool:
        return self.withdraws_id is not None


class Verification(models.Model):
    """A verifier's answer to "does this label fit this readout?"."""

    class Answer(models.TextChoices):
        YES = "yes"
        NO = "no"
        UNPARSED = "unparsed"

    judgement = models.ForeignKey(Judgement, models.PROTECT, related_name="verifications")
    judge = models.ForeignKey(Judge, models.PROTECT, related_name="verifications")
    answer = models.CharField(max_length=10, choices=Answer.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["judgement", "judge"], name="one_verification_by_a_verifier"),
        ]

    def __str__(self) -> str:
        return f"{self.judgement_id}: {self.answer}"


class Summary(models.Model):
    """How many current judgements of each verdict a judge has on a matrix under a rule, for pages.

    Of a machine also how many vectors there are of whose ends both, one or none is interpretable, where both have a yes
    or no: intervals keep the two ends together. Kept in the transaction that writes the judgement; `manage.py verify`
    recomputes it.
    """

    matrix = models.ForeignKey(Matrix, models.CASCADE, related_name="summaries")
    judge = models.ForeignKey(Judge, models.CASCADE)
    rule = models.CharField(max_length=30)
    interpretable = models.IntegerField(default=0)
    not_interpretable = models.IntegerField(default=0)
    unsure = models.IntegerField(default=0)
    unparsed = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    ends_both = models.IntegerField(default=0, db_default=0)
    ends_one = models.IntegerField(default=0, db_default=0)
    ends_none = models.IntegerField(default=0, db_default=0)

    class Meta:
        verbose_name_plural = "summaries"
        constraints = [
            models.UniqueConstraint(fields=["matrix", "judge", "rule"], name="one_summary"),
        ]

    def __str__(self) -> str:
        return f"{self.matrix_id} {self.judge_id} {self.rule}"
