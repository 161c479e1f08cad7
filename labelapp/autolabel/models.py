"""Prompt versions, calls to language models, and runs: sweeps of a machine judge over a selection of directions."""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models

from labelapp.atlas.models import Direction, Model
from labelapp.jobs.models import Job, State
from labelapp.judgements.models import LABEL_LENGTH, Judge, Verdict, Verification


class ImmutableError(TypeError):
    """Somebody tried to change what judgements refer to."""


class InsertOnly(models.QuerySet["PromptVersion"]):
    def update(self, **fields: Any) -> NoReturn:
        raise ImmutableError("A prompt version never changes; store another one.")

    def delete(self) -> NoReturn:
        raise ImmutableError("A prompt version is never deleted: judgements refer to it.")


class PromptVersion(models.Model):
    """One version of a prompt, as `workers.llm.prompts` reads it. Inserted, and never changed or deleted."""

    class Kind(models.TextChoices):
        LABELER = "labeler"
        VERIFIER = "verifier"
        DETECTOR = "detector"
        INTRUDER = "intruder"  # of six tokens, the one that does not belong
        MATCHER = "matcher"  # of four readouts, the one that a label names

    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField()  # of this name, from 1
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # Of everything but the name: what asks the same is the same version.
    digest = models.CharField(max_length=64, unique=True)
    body = models.JSONField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = InsertOnly.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="one_prompt_version"),
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ImmutableError("A prompt version never changes; store another one.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImmutableError("A prompt version is never deleted: judgements refer to it.")


class ModelPrice(models.Model):
    """What somebody says that a language model costs, in nano-dollars for a million tokens; the last one counts."""

    provider = models.CharField(max_length=100)
    llm = models.CharField(max_length=300)
    input = models.BigIntegerField()
    output = models.BigIntegerField()
    given_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            # The price of a model: the last one given.
            models.Index(fields=["provider", "llm", "-id"], name="price_of_a_model"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}:{self.llm}"


class Call(models.Model):
    """One answered call to a language model. The same call is answered from here, and never paid twice.

    Calls that brought no answer are no rows: their items are `failed`, with the reason.
    """

    # sha256 of everything that is asked (workers.llm.requests.Request.hash).
    request_hash = models.CharField(max_length=64)
    sample = models.PositiveIntegerField(default=0)  # above 0: the same call again, on purpose
    provider = models.CharField(max_length=100)
    llm = models.CharField(max_length=300)
    prompt_version = models.ForeignKey(PromptVersion, models.PROTECT, related_name="calls")
    prompt = models.TextField()  # as it was rendered
    parameters = models.JSONField(default=dict)
    texts = models.JSONField()  # several for best-of-n
    finish_reasons = models.JSONField()
    prompt_tokens = models.PositiveIntegerField(null=True)  # NULL where the provider does not count
    completion_tokens = models.PositiveIntegerField(null=True)
    cost = models.BigIntegerField(null=True)  # nano-dollars; NULL where the price is unknown
    latency = models.FloatField()  # seconds
    provider_model = models.CharField(max_length=300, blank=True)  # the model's id as the provider gives it
    top_logprobs = models.JSONField(default=list)
    confidence = models.FloatField(null=True)  # P(yes) of P(yes) + P(no)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request_hash", "sample"], name="one_answer_to_a_call"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}:{self.llm} {self.request_hash[:8]}"


class Run(models.Model):
    """One sweep. Its state and progress are its job's; its answers are judgements with its `source`.

    Money is integers of nano-dollars: `spent` by calls that were answered, `lost` by calls without an answer that may
    have been billed, `reserved` for those that are under way. Their sum never passes the budget.
    """

    class Kind(models.TextChoices):
        BASELINE = "baseline"
        LABELS = "labels"
        DETECTION = "detection"  # picks tokens by the labels of another run
        CHOICE = "choice"  # picks one of a list in trials of a test; judges nothing
        RELIABILITY = "reliability"  # asks a judge again; measures it, and judges nothing

    class Purpose(models.TextChoices):
        """Why a run was made that measures the judge of another one."""

        ORDER = "order", "the same lists in another order"
        REPEAT = "repeat", "the same calls again"
        WRONG_LABEL = "wrong_label", "other directions' labels to the verifier"
        CONTROLS = "controls", "controls"
        CONTRASTS = "contrasts", "contrasts"
        DETECTION = "detection", "detection"

    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.BASELINE)
    judge = models.ForeignKey(Judge, models.PROTECT, related_name="runs")
    # None where a project's directions are of several models.
    model = models.ForeignKey(Model, models.PROTECT, related_name="runs", null=True, blank=True)
    # What is judged: a MatrixSelection of the atlas, as JSON, and what autolabel/selection.py adds to it.
    selection = models.JSONField(default=dict)

    labeler = models.ForeignKey(PromptVersion, models.PROTECT, related_name="+", null=True, blank=True)
    verifier = models.ForeignKey(PromptVersion, models.PROTECT, related_name="+", null=True, blank=True)
    verifier_judge = models.ForeignKey(Judge, models.PROTECT, related_name="+", null=True, blank=True)
    # Whoever is shown a list: a detector, an intruder or a matcher.
    detector = models.ForeignKey(PromptVersion, models.PROTECT, related_name="+", null=True, blank=True)
    # Of a run that measures another one's judge: that run, and how.
    measured_run = models.ForeignKey("self", models.PROTECT, related_name="measurements", null=True, blank=True)
    purpose = models.CharField(max_length=20, choices=Purpose.choices, default="", blank=True)
    provider = models.CharField(max_length=100, blank=True)
    llm = models.CharField(max_length=300, blank=True)
    # How the run asks (asking.RunOptions); of a measurement also what it left out, by reason.
    options = models.JSONField(default=dict)

    budget = models.BigIntegerField(null=True, blank=True)
    price_input = models.BigIntegerField(null=True, blank=True)  # for a million tokens; NULL where it is unknown
    price_output = models.BigIntegerField(null=True, blank=True)
    spent = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)
    lost = models.BigIntegerField(default=0)

    job = models.OneToOneField(Job, models.PROTECT, related_name="run")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Run {self.pk}: {self.judge}"

    @property
    def source(self) -> str:
        """What the judgements of this run carry."""
        return f"run:{self.pk}"

    @property
    def paused_reason(self) -> str:
        return self.job.error if self.job.state == State.PAUSED else ""

    @property
    def has_price(self) -> bool:
        return self.price_input is not None

    @property
    def prompts(self) -> list[PromptVersion]:
        """Those that it asks with, in the order in which they are asked."""
        return [prompt for prompt in (self.labeler, self.verifier, self.detector) if prompt is not None]

    @property
    def is_judging(self) -> bool:
        """Whether its answers are judgements on its directions; else they measure a judge."""
        return self.kind in (self.Kind.BASELINE, self.Kind.LABELS)

    @property
    def left(self) -> int | None:
        """Of the budget, in nano-dollars; None without one."""
        return None if self.budget is None else self.budget - self.spent - self.lost - self.reserved


class RunItem(models.Model):
    """One direction of a run, and what came of it. `variant` tells several questions on one direction apart."""

    class State(models.TextChoices):
        PENDING = "pending"
        DONE = "done"
        FAILED = "failed"

    run = models.ForeignKey(Run, models.CASCADE, related_name="items")
    direction = models.ForeignKey(Direction, models.PROTECT, related_name="run_items")
    variant = models.CharField(max_length=40, default="", blank=True)
    position = models.PositiveIntegerField()
    chunk = models.PositiveIntegerField()  # asked by one job
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    error_kind = models.CharField(max_length=20, blank=True)
    error = models.TextField(blank=True)
    labeler_call = models.ForeignKey(Call, models.PROTECT, related_name="+", null=True, blank=True)
    verifier_call = models.ForeignKey(Call, models.PROTECT, related_name="+", null=True, blank=True)
    detector_call = models.ForeignKey(Call, models.PROTECT, related_name="+", null=True, blank=True)
    # The parse of the answers.
    verdict = models.CharField(max_length=20, choices=Verdict.choices, blank=True)
    label = models.CharField(max_length=LABEL_LENGTH, blank=True)
    verification = models.CharField(max_length=10, choices=Verification.Answer.choices, blank=True)
    # What is asked beyond the readout (asking.Subject), and what else came of it.
    detail = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "direction", "variant"], name="one_item_for_a_question"),
        ]
        indexes = [
            # What a job has to ask, in order; a run's items in order.
            models.Index(fields=["run", "chunk", "position"], name="items_of_a_chunk"),
            # Errors by kind, and what is to be run again: few rows, so the index costs nothing.
            models.Index(fields=["run", "error_kind"], condition=models.Q(state="failed"), name="items_that_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.direction_id} {self.variant}".rstrip()


class Reservation(models.Model):
    """What one worker holds of a run's money for the calls of one job. Of a worker that died it counts as lost."""

    job = models.OneToOneField(Job, models.CASCADE, related_name="+")
    run = models.ForeignKey(Run, models.CASCADE, related_name="reservations")
    lease_token = models.CharField(max_length=32)
    amount = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.amount} for job {self.job_id}"


class PlannedRun(models.Model):
    """A run before it starts: what was asked for, what it will take, and the run that came of it, if one did."""

    # What was typed, as the form takes it again.
    typed = models.JSONField(default=dict)
    # None where a project's directions are of several models.
    model = models.ForeignKey(Model, models.PROTECT, related_name="+", null=True, blank=True)
    selection = models.JSONField(default=dict)  # as in Run
    labeler = models.ForeignKey(PromptVersion, models.PROTECT, related_name="+")
    verifier = models.ForeignKey(PromptVersion, models.PROTECT, related_name="+", null=True, blank=True)
    provider = models.CharField(max_length=100)
    llm = models.CharField(max_length=300)
    budget = models.BigIntegerField(null=True, blank=True)
    price_input = models.BigIntegerField(null=True, blank=True)  # for a million tokens; NULL where it is unknown
    price_output = models.BigIntegerField(null=True, blank=True)

    job = models.OneToOneField(Job, models.PROTECT, related_name="+")  # that estimates it
    estimate = models.JSONField(default=dict)  # an Estimate (autolabel/estimate.py), as soon as the job is done
    # Set once, by whoever starts it first.
    run = models.OneToOneField(Run, models.PROTECT, related_name="planned", null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Planned run {self.pk}: {self.title}"

    @property
    def title(self) -> str:
        prompts = f"{self.labeler} × {self.verifier}" if self.verifier else str(self.labeler)
        return f"{prompts}, {self.provider}:{self.llm}"
