"""Runs of language models: planned, started, and their failed items asked again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Max

from labelapp.accounts.models import User
from labelapp.atlas.selectors import directions_in_key_order
from labelapp.autolabel.asking import Asker, RunOptions, Subject, price_of_run, subject_of
from labelapp.autolabel.estimate import Estimate, estimate_make
from labelapp.autolabel.models import PromptVersion, Run, RunItem
from labelapp.autolabel.prompts import prompt_of
from labelapp.autolabel.providers import llm_identity, price_get
from labelapp.autolabel.selection import RunSelection, directions_of
from labelapp.jobs.control import job_reopen, job_restart, job_resume
from labelapp.jobs.models import Job
from labelapp.jobs.services import JobError, job_create
from labelapp.judgements.models import Judge
from labelapp.judgements.services import judge_ensure, rows_insert
from workers.llm.prices import Price, dollars
from workers.llm.providers import ProviderConfig

CHUNK_TASK = "workers.tasks.llm.run_chunk"


class RunError(JobError):
    """A run that cannot be; the message says why in one sentence."""


@dataclass(frozen=True)
class Entry:
    """An item of a run before it starts: a direction, its readout, and what is asked beyond it (`asking.Subject`)."""

    direction_id: int
    tokens: list[str]
    asked: dict[str, Any] = field(default_factory=dict)
    variant: str = ""  # tells several questions on one direction apart

    @property
    def subject(self) -> Subject:
        return subject_of(self.tokens, self.asked)


@dataclass(frozen=True)
class Measurement:
    """What makes a plan one that measures a run's judge: its items are given, and what could not be asked counted."""

    run: Run
    purpose: Run.Purpose
    entries: Sequence[Entry]
    left_out: Mapping[str, int] = field(default_factory=dict)  # by reason

    @property
    def kind(self) -> Run.Kind:
        if self.purpose == Run.Purpose.DETECTION:
            return Run.Kind.DETECTION
        judges = self.purpose in (Run.Purpose.CONTROLS, Run.Purpose.CONTRASTS)
        return Run.Kind.LABELS if judges else Run.Kind.RELIABILITY


@dataclass(frozen=True)
class Plan:
    """A run before it starts: who asks whom about what, and at what price (None: unknown)."""

    selection: RunSelection
    labeler: PromptVersion | None
    verifier: PromptVersion | None
    config: ProviderConfig
    llm: str
    price: Price | None = None
    options: RunOptions = field(default_factory=RunOptions)
    user: User | None = None
    detector: PromptVersion | None = None
    measurement: Measurement | None = None
    choices: Sequence[Entry] | None = None  # of a test's trials: one of a list is to be picked

    @property
    def given(self) -> Sequence[Entry] | None:
        """The items, where they do not follow from the selection."""
        return self.measurement.entries if self.measurement else self.choices

    @property
    def kind(self) -> Run.Kind:
        if self.choices is not None:
            return Run.Kind.CHOICE
        return self.measurement.kind if self.measurement else Run.Kind.LABELS

    @property
    def asker(self) -> Asker:
        return Asker(
            prompt_of(self.labeler) if self.labeler else None,
            prompt_of(self.verifier) if self.verifier else None,
            self.config,
            llm_identity(self.config, self.llm),
            self.options,
            prompt_of(self.detector) if self.detector else None,
        )

    @property
    def title(self) -> str:
        asked = [str(prompt) for prompt in (self.labeler, self.verifier, self.detector) if prompt]
        return f"{' × '.join(asked)}, {self.config.name}:{self.llm}"

    @property
    def job_title(self) -> str:
        if (measured := self.measurement) is None:
            return f"Run of {self.title}"
        return f"Run {measured.run.pk} measured, {measured.purpose.label}: {self.title}"


def run_plan(
    *,
    selection: RunSelection,
    labeler: PromptVersion,
    verifier: PromptVersion | None,
    config: ProviderConfig,
    llm: str,
    options: RunOptions | None = None,
    user: User | None = None,
) -> Plan:
    """Put a run together. Raises RunError where its parts do not fit."""
    if labeler.kind != PromptVersion.Kind.LABELER:
        raise RunError(f"{labeler} is a {labeler.kind} prompt; a run wants a labeler prompt.")
    if verifier is not None and verifier.kind != PromptVersion.Kind.VERIFIER:
        raise RunError(f"{verifier} is a {verifier.kind} prompt; a run wants a verifier prompt, or none.")
    return Plan(selection, labeler, verifier, config, llm, price_get(config, llm), options or RunOptions(), user)


def plan_judge(plan: Plan) -> Judge:
    """The judge of a run: the pair of prompts on one language model. So a judge has one verifier at most.

    A run that asks another one's judge again belongs to that judge.
    """
    if plan.measurement is not None and plan.detector is None:
        return plan.measurement.run.judge
    return judge_ensure(
        type=Judge.Type.PROMPT,
        name=plan.title[:200],
        parameters={"provider": plan.config.name, "llm": plan.asker.model, **_prompt_digests(plan)},
    )


def _prompt_digests(plan: Plan) -> dict[str, Any]:
    if plan.detector is not None:
        return {"detector": plan.detector.digest}
    assert plan.labeler is not None
    options = {"verify_all": plan.options.verify_all} if plan.verifier and not plan.options.verify_all else {}
    verifier = plan.verifier.digest if plan.verifier else None
    return {"labeler": plan.labeler.digest, "verifier": verifier, **options}


def plan_verifier_judge(plan: Plan) -> Judge | None:
    """Who answers "does this label fit?"; None without a verifier."""
    if plan.verifier is None:
        return None
    return judge_ensure(
        type=Judge.Type.PROMPT,
        name=f"{plan.verifier}, {plan.config.name}:{plan.llm}"[:200],
        parameters={"provider": plan.config.name, "llm": plan.asker.model, "verifier": plan.verifier.digest},
    )


def plan_entries(plan: Plan) -> Iterator[Entry]:
    """What a run asks about, in the order of keys."""
    if plan.given is not None:
        yield from plan.given
        return
    judge = plan_judge(plan) if plan.selection.not_judged else None
    rows = directions_in_key_order(directions_of(plan.selection, judge, plan.user)).select_related(None)
    for pk, tokens in rows.values_list("pk", "tokens").iterator(chunk_size=2000):
        yield Entry(pk, list(tokens))


def plan_count(plan: Plan) -> int:
    """How many directions a run asks about. Raises RunError where there are none."""
    if plan.given is not None:
        return len(plan.given)
    judge = plan_judge(plan) if plan.selection.not_judged else None
    n = directions_of(plan.selection, judge, plan.user).count()
    if not n:
        raise RunError(
            f"There is nothing to ask about: no stored direction is in this selection ({plan.selection.words})."
        )
    return n


def plan_estimate(plan: Plan, on_readout: Any = lambda _: None) -> Estimate:
    """What the run will take: calls, tokens and money."""
    return estimate_make(plan.asker, plan.price, (entry.subject for entry in plan_entries(plan)), on_readout)


def budget_check(budget: int | None, price: Price | None, llm: str) -> None:
    """Raises RunError for a budget that is none, or that cannot be kept because the price is unknown."""
    if budget is None:
        return
    if budget <= 0:
        raise RunError("A budget must be more than 0; leave it out to spend without one.")
    if price is None:
        raise RunError(
            f"The price of {llm} is unknown, so a budget cannot be kept; give the price (on the command line with "
            "--price-in and --price-out), or leave the budget out."
        )


def run_start(plan: Plan, *, budget: int | None = None) -> Run:
    """Store a run with its items and enqueue its jobs. `budget` in nano-dollars, None for no limit.

    Raises RunError where there is nothing to ask about or the budget cannot be.
    """
    budget_check(budget, plan.price, f"{plan.config.name}:{plan.llm}")
    plan_count(plan)
    with transaction.atomic():
        parent = job_create(title=plan.job_title, created_by=plan.user)
        measured = plan.measurement
        run = Run.objects.create(
            kind=plan.kind,
            measured_run=measured.run if measured else None,
            purpose=measured.purpose if measured else "",
            judge=plan_judge(plan),
            model=plan.selection.model,
            selection=plan.selection.as_json(),
            labeler=plan.labeler,
            verifier=plan.verifier,
            verifier_judge=plan_verifier_judge(plan),
            detector=plan.detector,
            provider=plan.config.name,
            llm=plan.llm,
            options=plan.options.as_json() | ({"left_out": dict(measured.left_out)} if measured else {}),
            budget=budget,
            price_input=plan.price.input if plan.price else None,
            price_output=plan.price.output if plan.price else None,
            job=parent,
            created_by=plan.user,
        )
        _items_write(run, plan_entries(plan), plan)
    return run


def failed_again(run: Run) -> int:
    """Ask about a run's failed items again, and about nothing else; returns how many they are.

    Raises RunError where the run is still at work or nothing has failed.
    """
    with transaction.atomic():
        failed = RunItem.objects.select_for_update().filter(run=run, state=RunItem.State.FAILED)
        ids = list(failed.order_by("position").values_list("pk", flat=True))
        if not ids:
            raise RunError(f"Run {run.pk} has no failed items.")
        if not job_reopen(run.job):
            raise RunError(f"Run {run.pk} is not over; wait for its end, or cancel it, and then run its failed items.")
        chunk = (RunItem.objects.filter(run=run).aggregate(last=Max("chunk"))["last"] or 0) + 1
        size = int(run.options.get("chunk_items") or RunOptions.chunk_items)
        for start in range(0, len(ids), size):
            some = ids[start : start + size]
            RunItem.objects.filter(pk__in=some).update(
                state=RunItem.State.PENDING, error_kind="", error="", chunk=chunk + start // size
            )
            _chunk_job(run, run.job, chunk + start // size, len(some))
    return len(ids)


def _items_write(run: Run, entries: Iterable[Entry], plan: Plan) -> None:
    """Items in the order of keys, and a job for every chunk; equal readouts go to one chunk, which asks once."""
    size = plan.options.chunk_items
    shown = prompt_of(plan.labeler).tokens_shown if plan.labeler else None
    chunk_of: dict[int, int] = {}
    sizes: list[int] = [0]
    rows = []
    for position, entry in enumerate(entries):
        if sizes[-1] >= size:
            sizes.append(0)
        chunk = chunk_of.setdefault(hash(tuple(entry.subject.tokens[:shown])), len(sizes) - 1)
        sizes[chunk] += 1
        rows.append(
            (run.pk, entry.direction_id, entry.variant, position, chunk, RunItem.State.PENDING.value, "", "", "", "",
             "", json.dumps(entry.asked))
        )  # fmt: skip
    fields = ("run", "direction", "variant", "position", "chunk", "state", "error_kind", "error", "verdict",
              "label", "verification", "detail")  # fmt: skip
    rows_insert(RunItem, fields, rows)
    for chunk, n in enumerate(sizes):
        _chunk_job(run, run.job, chunk, n)


def _chunk_job(run: Run, parent: Job, chunk: int, n: int) -> Job:
    return job_create(
        title=f"part {chunk + 1}: {n} directions",
        task=CHUNK_TASK,
        params={"run": run.pk, "chunk": chunk},
        parent=parent,
        total=n,
    )


def run_resume(run: Run, *, budget: int | None = None) -> bool:
    """Let a paused run go on, or one whose worker failed; `budget` sets another one first.

    False where it is neither. Raises RunError for a budget that cannot be, or is used up already.
    """
    if budget is not None:
        budget_check(budget, price_of_run(run), f"{run.provider}:{run.llm}")
        if budget <= run.spent + run.lost:
            raise RunError(f"{dollars(run.spent + run.lost)} are spent already; a budget must be more than that.")
        Run.objects.filter(pk=run.pk).update(budget=budget)
    return job_resume(run.job) or job_restart(run.job)
