"""Decisions of reviewers, and the ground-truth sets that are frozen from them."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from django.conf import settings
from django.db import models

from labelapp.atlas.models import Direction, Matrix
from labelapp.autolabel.models import ImmutableError
from labelapp.jobs.models import Job
from labelapp.judgements.models import HUMAN_VERDICTS, LABEL_LENGTH, TWO_VALUED, Verdict
from labelapp.labelling.models import Item, Project
from labelapp.review.fields import IdsField

REASON_LENGTH = 500
NEVER_CHANGES = "A ground-truth set never changes; freeze another version."
NEVER_DELETED = "A ground-truth set is never deleted: figures refer to it."

M = TypeVar("M", bound=models.Model)


class Adjudication(models.Model):
    """One decision of a reviewer on one item, or (with `withdraws`) the withdrawal of one. Append-only.

    What stands is marked `current`; a later decision takes the mark by a conditional update, an undo gives it back.
    """

    item = models.ForeignKey(Item, models.PROTECT, related_name="adjudications")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="adjudications")
    current = models.BooleanField(default=True)
    withdraws = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="withdrawals")
    supersedes = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="superseded_by")

    verdict = models.CharField(max_length=20, choices=[(it, it.label) for it in HUMAN_VERDICTS], blank=True)
    label = models.CharField(max_length=LABEL_LENGTH, blank=True)
    reason = models.CharField(max_length=REASON_LENGTH, blank=True)
    # What was proposed when the reviewer decided: nothing, or the method that proposed a verdict.
    proposal = models.CharField(max_length=40, blank=True)
    # What it was decided over: [{"judgement": id, "rule": "both@1" or null for people, "verdict": …}, …]
    over = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # Serves "what stands on this item" as well.
            models.UniqueConstraint(fields=["item"], condition=models.Q(current=True), name="one_current_adjudication"),
            models.UniqueConstraint(
                fields=["withdraws"], condition=models.Q(withdraws__isnull=False), name="adjudication_withdrawn_once"
            ),
        ]
        indexes = [
            # A person's last decision, which undo takes back.
            models.Index(fields=["by", "-id"], condition=models.Q(current=True), name="adjudications_of_a_person"),
        ]

    def __str__(self) -> str:
        return f"{self.by_id} on {self.item_id}: {self.verdict or 'withdrawn'}"

    @property
    def is_withdrawal(self) -> bool:
        return self.withdraws_id is not None


class Aggregation(models.Model):
    """One aggregation of what a project's people say, made by a job: a proposed verdict for each item."""

    class Method(models.TextChoices):
        MAJORITY = "majority", "majority"
        DAWID_SKENE = "dawid_skene", "Dawid-Skene"

    project = models.ForeignKey(Project, models.PROTECT, related_name="aggregations")
    method = models.CharField(max_length=12, choices=Method.choices)
    job = models.OneToOneField(Job, models.PROTECT, related_name="aggregation")
    # [{"judge": id, "name": …, "n": votes, "confusion": {"interpretable": {"interpretable": P, …}, …}}, …]:
    # by the true verdict, with which probability the person says which.
    annotators = models.JSONField(default=list)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.get_method_display()} {self.pk}"

    @property
    def proposal_name(self) -> str:
        """What a decision after it carries: "dawid_skene:7"."""
        return f"{self.method}:{self.pk}"


class Proposal(models.Model):
    """What an aggregation says of one item."""

    aggregation = models.ForeignKey(Aggregation, models.CASCADE, related_name="proposals")
    item = models.ForeignKey(Item, models.CASCADE, related_name="proposals")
    yes = models.FloatField()  # the posterior probability of interpretable

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["aggregation", "item"], name="one_proposal_for_an_item"),
        ]

    def __str__(self) -> str:
        return f"{self.item_id}: {self.yes:.3f}"

    @property
    def verdict(self) -> Verdict:
        """The more probable one; `unsure` where neither is."""
        if self.yes == 0.5:
            return Verdict.UNSURE
        return Verdict.INTERPRETABLE if self.yes > 0.5 else Verdict.NOT_INTERPRETABLE

    @property
    def posterior(self) -> float:
        """Of the verdict."""
        return max(self.yes, 1 - self.yes)


class Disagreement(models.Model):
    """What a decision on one item would tell; `review.scores` says how it is added up, and writes it.

    A row for each item on which judges differ, or once did: then its score is 0. Kept in the transaction that writes a
    judgement, a decision or the item itself; `manage.py verify` weighs every item again.
    """

    item = models.OneToOneField(Item, models.CASCADE, primary_key=True, related_name="disagreement")
    # As the item's, and its direction's: what the queue is narrowed and sorted by stands in one table.
    project = models.ForeignKey(Project, models.CASCADE, related_name="disagreements", db_index=False)
    direction = models.ForeignKey(Direction, models.PROTECT, related_name="disagreements")
    matrix = models.ForeignKey(Matrix, models.PROTECT, related_name="+", db_index=False)
    sign = models.CharField(max_length=1)
    is_open = models.BooleanField()
    n_judged = models.PositiveSmallIntegerField()
    is_decided = models.BooleanField()
    # Who differs.
    people = models.BooleanField()
    people_machine = models.BooleanField()
    machine = models.BooleanField()
    cells = models.PositiveSmallIntegerField()  # of labeler × verifier those that a machine fills (`scores.CELL_BITS`)
    judges = IdsField(default=list)  # who said anything that counts here; PostgreSQL has an index on these three
    # What audits find, and tallies of the labels that machines gave (`audit_marks`); NULL: not worked out yet.
    audits = IdsField(null=True)
    labels = IdsField(null=True)
    people_yes = models.PositiveIntegerField()
    people_no = models.PositiveIntegerField()
    ruled_yes = models.PositiveIntegerField()  # machines' verdicts under their rule
    ruled_no = models.PositiveIntegerField()
    weight = models.PositiveIntegerField()
    uncertainty = models.FloatField()
    score = models.FloatField()

    class Meta:
        indexes = [
            # The queue of a project, and of several: what is closed and what is still open are read apart, since of
            # the latter a reviewer sees only what he or she has judged.
            models.Index(
                "project", "is_open", models.F("score").desc(), "item",
                condition=models.Q(score__gt=0), name="disagreements_of_a_project",
            ),
            models.Index(
                "is_open", models.F("score").desc(), "item",
                condition=models.Q(score__gt=0), name="disagreements_in_order",
            ),
            # The kinds that are rare where a machine judged everything, and what is decided.
            models.Index(
                "project", "is_open", models.F("score").desc(), "item",
                condition=models.Q(score__gt=0, people=True), name="people_differ",
            ),
            models.Index(
                "project", "is_open", models.F("score").desc(), "item",
                condition=models.Q(score__gt=0, people_machine=True), name="people_and_machine_differ",
            ),
            models.Index(
                "project", "is_open", models.F("score").desc(), "item",
                condition=models.Q(score__gt=0, is_decided=True), name="disagreements_decided",
            ),
            # What is open and judged by somebody, among which a reviewer's own are found.
            models.Index(
                fields=["project", "direction"],
                condition=models.Q(score__gt=0, is_open=True, n_judged__gt=0), name="disagreements_half_judged",
            ),
            # Which matrices a project's filters offer, and one of them.
            models.Index(
                fields=["matrix", "project"], condition=models.Q(score__gt=0), name="disagreements_of_a_matrix"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.item_id}: {self.score:.3g}"

    @property
    def differs(self) -> bool:
        return self.people or self.people_machine or self.machine

    @property
    def kinds(self) -> list[str]:
        return [name for name in ("people", "people_machine", "machine") if getattr(self, name)]


class CrossedCount(models.Model):
    """The counts of a project's comparison as they were last found (`review.crossed`), for one viewer.

    They are so as long as `state` is that of the data; what is counted for another state takes the row's place. Until
    then a page may show them as those of an earlier state, if the viewer's `seats` are the same.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="+", db_index=False)
    viewer_key = models.BigIntegerField()  # the person from whom something may be hidden; 0 for whoever sees all
    state = models.CharField(max_length=64)
    seats = models.CharField(max_length=64)
    counts = models.JSONField()  # as `crossed.Crossed`, less the number of items
    counted_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "viewer_key"], name="one_crossed_count"),
        ]

    def __str__(self) -> str:
        return f"{self.project_id} for {self.viewer_key}"


class LabelTally(models.Model):
    """On how many directions a label stands in one run or import (`review.label_tallies`)."""

    source = models.CharField(max_length=40)
    hash = models.CharField(max_length=64)  # sha256 of the label as `statistics.labels.label_key` has it
    n = models.IntegerField()

    class Meta:
        verbose_name_plural = "label tallies"
        constraints = [
            models.UniqueConstraint(fields=["source", "hash"], name="one_tally_of_a_label"),
        ]
        indexes = [
            # Labels that many directions share: asked of each row of the queue, so as small as may be.
            models.Index(fields=["id", "source"], condition=models.Q(n__gte=10), name="labels_that_are_shared"),
        ]

    def __str__(self) -> str:
        return f"{self.source}: {self.n}"


class LabResult(models.Model):
    """What a job found for one question of the prompt lab (`review.lab_stored`); what is found later takes its place.

    It may be deleted at any time.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    key = models.CharField(max_length=64, unique=True)  # of the question: reference, judges, rule
    stamp = models.CharField(max_length=120)  # as `stamp.stamp_now`, before anything was read
    content = models.JSONField()  # as `lab.Lab`
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.project_id}: {self.key[:8]}"


class LabDiffering(models.Model):
    """Some directions on which judges of a result say yes and no, in the order of their ids."""

    result = models.ForeignKey(LabResult, models.CASCADE, related_name="differing", db_index=False)
    last = models.BigIntegerField()  # the largest id
    directions = models.JSONField()  # ids
    words = models.TextField()  # as `lab_query` has them, one after the other

    class Meta:
        verbose_name_plural = "lab differing"
        constraints = [
            # Serves the list as well, page by page.
            models.UniqueConstraint(fields=["result", "last"], name="one_chunk_up_to_a_direction"),
        ]

    def __str__(self) -> str:
        return f"{self.result_id}: up to {self.last}"

    @property
    def pairs(self) -> list[tuple[int, str]]:
        """Each direction with its word; all words are equally long."""
        length = len(self.words) // len(self.directions)
        return [(pk, self.words[place * length : (place + 1) * length]) for place, pk in enumerate(self.directions)]


class FrozenRows(models.QuerySet[M]):
    def update(self, **fields: Any) -> NoReturn:
        raise ImmutableError(NEVER_CHANGES)

    def delete(self) -> NoReturn:
        raise ImmutableError(NEVER_DELETED)


class FrozenModel(models.Model):
    """A row that is inserted, and never changed or deleted."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ImmutableError(NEVER_CHANGES)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImmutableError(NEVER_DELETED)


class GroundTruth(FrozenModel):
    """One version of a set of verdicts and labels, chosen by a rule."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="ground_truths")
    name = models.SlugField(max_length=60)
    version = models.PositiveIntegerField()  # of this name, from 1
    rule = models.JSONField()  # as `truth_rules.TruthRule.as_json` has it
    # sha256 of the rule and of every entry's key, verdict and label (`truth.content_hash`).
    content_hash = models.CharField(max_length=64)
    seed = models.PositiveIntegerField()
    held_out_share = models.FloatField()
    n = models.PositiveIntegerField()
    n_held_out = models.PositiveIntegerField()
    left_out = models.JSONField(default=dict)  # why items are no entries → how many
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = FrozenRows["GroundTruth"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "version"], name="one_ground_truth_version"),
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def n_development(self) -> int:
        return self.n - self.n_held_out


class Entry(FrozenModel):
    """One direction of a ground-truth set."""

    class Part(models.TextChoices):
        DEVELOPMENT = "development", "development"
        HELD_OUT = "held_out", "held out"

    class Origin(models.TextChoices):
        ADJUDICATED = "adjudicated", "adjudicated"
        AGREED = "agreed", "agreed"
        AGGREGATED = "aggregated", "aggregated"

    truth = models.ForeignKey(GroundTruth, models.PROTECT, related_name="entries")
    direction = models.ForeignKey(Direction, models.PROTECT, related_name="truth_entries")
    key = models.CharField(max_length=400)  # as it was when the set was frozen; what is hashed
    verdict = models.CharField(max_length=20, choices=[(it, it.label) for it in TWO_VALUED])
    label = models.CharField(max_length=LABEL_LENGTH, blank=True)
    part = models.CharField(max_length=12, choices=Part.choices)
    origin = models.CharField(max_length=12, choices=Origin.choices)
    n_people = models.PositiveIntegerField()  # whose verdict it is
    adjudication = models.ForeignKey(Adjudication, models.PROTECT, null=True, blank=True, related_name="+")
    # None for an item of an exploration queue: it was not drawn, and stays out of every estimate.
    inclusion_probability = models.FloatField(null=True, blank=True)

    objects = FrozenRows["Entry"].as_manager()

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            models.UniqueConstraint(fields=["truth", "direction"], name="one_entry_for_a_direction"),
        ]
        indexes = [
            # A set's entries by part, page by page.
            models.Index(fields=["truth", "part", "id"], name="entries_of_a_part"),
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.verdict}"

    @property
    def verdict_words(self) -> str:
        return str(Verdict(self.verdict).label)
