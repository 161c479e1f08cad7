"""Runs of language models: planned, started, and their failed items asked again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from django.db import transaction
from django.db.models import Max

from labelapp.accounts.models import User
from labelapp.atlas.selectors import directions_in_key_order
from labelapp.autolabel.asking import Asker, RunOptions, price_of_run
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
class Plan:
    """A run before it starts: who asks whom about what, and at what price (None: unknown)."""

    selection: RunSelection
    labeler: PromptVersion
    verifier: PromptVersion | None
    config: ProviderConfig
    llm: str
    price: Price | None = None
    options: RunOptions = field(default_factory=RunOptions)
    user: User | None = None

    @property
    def asker(self) -> Asker:
        return Asker(
            prompt_of(self.labeler),
            prompt_of(self.verifier) if self.verifier else None,
            self.config,
            llm_identity(self.config, self.llm),
            self.options,
        )

    @property
    def title(self) -> str:
        prompts = f"{self.labeler} × {self.verifier}" if self.verifier else str(self.labeler)
        return f"{prompts}, {self.config.name}:{self.llm}"


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
    """The judge of a run: the pair of prompts on one language model. So a judge has one verifier at most."""
    options = {"verify_all": plan.options.verify_all} if plan.verifier and not plan.options.verify_all else {}
    return judge_ensure(
        type=Judge.Type.PROMPT,
        name=plan.title[:200],
        parameters={
            "provider": plan.config.name,
            "llm": plan.asker.model,
            "labeler": plan.labeler.digest,
            "verifier": plan.verifier.digest if plan.verifier else None,
            **options,
        },
    )


def plan_verifier_judge(plan: Plan) -> Judge | None:
    """Who answers "does this label fit?"; None without a verifier."""
    if plan.verifier is None:
        return None
    return judge_ensure(
        type=Judge.Type.PROMPT,
        name=f"{plan.verifier}, {plan.config.name}:{plan.llm}"[:200],
        parameters={"provider": plan.config.name, "llm": plan.asker.model, "verifier": plan.verifier.digest},
    )


def plan_directions(plan: Plan) -> Iterator[tuple[int, list[str]]]:
    """The directions that a run asks about, in the order of keys: id and tokens."""
    judge = plan_judge(plan) if plan.selection.not_judged else None
    rows = directions_in_key_order(directions_of(plan.selection, judge, plan.user)).select_related(None)
    return cast("Iterator[tuple[int, list[str]]]", rows.values_list("pk", "tokens").iterator(chunk_size=2000))


def plan_count(plan: Plan) -> int:
    """How many directions a run asks about. Raises RunError where there are none."""
    judge = plan_judge(plan) if plan.selection.not_judged else None
    n = directions_of(plan.selection, judge, plan.user).count()
    if not n:
        raise RunError(
            f"There is nothing to ask about: no stored direction is in this selection ({plan.selection.words})."
        )
    return n


def plan_estimate(plan: Plan, on_readout: Any = lambda _: None) -> Estimate:
    """What the run will take: calls, tokens and money."""
    readouts = (tokens for _, tokens in plan_directions(plan))
    return estimate_make(plan.asker, plan.price, readouts, on_readout)


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
        parent = job_create(title=f"Run of {plan.title}", created_by=plan.user)
        run = Run.objects.create(
            kind=Run.Kind.LABELS,
            judge=plan_judge(plan),
            model=plan.selection.model,
            selection=plan.selection.as_json(),
            labeler=plan.labeler,
            verifier=plan.verifier,
            verifier_judge=plan_verifier_judge(plan),
            provider=plan.config.name,
            llm=plan.llm,
            options=plan.options.as_json(),
            budget=budget,
            price_input=plan.price.input if plan.price else None,
            price_output=plan.price.output if plan.price else None,
            job=parent,
            created_by=plan.user,
        )
        shown = prompt_of(plan.labeler).tokens_shown
        _items_write(run, plan_directions(plan), shown, plan.options.chunk_items)
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


def _items_write(run: Run, directions: Iterator[tuple[int, list[str]]], shown: int, size: int) -> None:
    """Items in the order of keys, and a job for every chunk; equal readouts go to one chunk, which asks once."""
    chunk_of: dict[int, int] = {}
    sizes: list[int] = [0]
    rows = []
    for position, (direction_id, tokens) in enumerate(directions):
        if sizes[-1] >= size:
            sizes.append(0)
        chunk = chunk_of.setdefault(hash(tuple(tokens[:shown])), len(sizes) - 1)
        sizes[chunk] += 1
        rows.append((run.pk, direction_id, "", position, chunk, RunItem.State.PENDING.value, "", "", "", "", "", "{}"))
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
