"""Runs that are planned on a page: estimated by a job, and started once, by the press of a button."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from labelapp.accounts.models import User
from labelapp.autolabel.estimate import Estimate
from labelapp.autolabel.models import PlannedRun, Run
from labelapp.autolabel.providers import config_of, price_give
from labelapp.autolabel.runs import Plan, RunError, budget_check, plan_count, plan_estimate, run_plan, run_start
from labelapp.autolabel.selection import run_selection_from_json
from labelapp.jobs.services import job_create
from workers.llm.prices import Price

ESTIMATE_TASK = "workers.tasks.export.run_estimate"


def planned_create(
    plan: Plan, *, budget: int | None, user: User, typed: Mapping[str, str], given: Price | None = None
) -> PlannedRun:
    """Store a plan and enqueue its estimate; `typed` is what the form held, `given` a price to be remembered.

    Raises RunError where there is nothing to ask about or the budget cannot be, and stores nothing.
    """
    assert plan.labeler is not None, "what measures a judge is planned from the run that it measures"
    budget_check(budget, plan.price, f"{plan.config.name}:{plan.llm}")
    n = plan_count(plan)
    with transaction.atomic():
        if given is not None:
            price_give(plan.config, plan.llm, given, given_by=user)
        job = job_create(title=f"Estimate of {plan.title}", task=ESTIMATE_TASK, created_by=user, total=n)
        planned = PlannedRun.objects.create(
            typed=dict(typed),
            model=plan.selection.model,
            selection=plan.selection.as_json(),
            labeler=plan.labeler,
            verifier=plan.verifier,
            provider=plan.config.name,
            llm=plan.llm,
            budget=budget,
            price_input=plan.price.input if plan.price else None,
            price_output=plan.price.output if plan.price else None,
            job=job,
            created_by=user,
        )
        job.params = {"planned": planned.pk}
        job.save(update_fields=["params"])
    return planned


def planned_plan(planned: PlannedRun) -> Plan:
    """The plan as it was stored. Raises ProviderError where this process's environment does not name its provider."""
    plan = run_plan(
        selection=run_selection_from_json(planned.selection, planned.model),
        labeler=planned.labeler,
        verifier=planned.verifier,
        config=config_of(planned.provider, planned.llm),
        llm=planned.llm,
        user=planned.created_by,
    )
    return replace(plan, price=planned_price(planned))


def planned_price(planned: PlannedRun) -> Price | None:
    """What the run will pay for a million tokens, as it was known when the run was planned."""
    if planned.price_input is None or planned.price_output is None:
        return None
    return Price(planned.price_input, planned.price_output)


def planned_estimate(planned: PlannedRun, on_readout: Callable[[int], object]) -> dict[str, Any]:
    """What the run will take, for `PlannedRun.estimate`; asks nobody."""
    return asdict(plan_estimate(planned_plan(planned), on_readout))


def estimate_of(planned: PlannedRun) -> Estimate | None:
    """None until the job has made it."""
    return Estimate(**planned.estimate) if planned.estimate else None


def planned_start(planned: PlannedRun) -> Run:
    """Start the run; however often this is called, one run comes of it, and that one is returned.

    Raises RunError where it is not estimated yet or there is nothing to ask about any more, and ProviderError.
    """
    with transaction.atomic():
        held = PlannedRun.objects.select_for_update().get(pk=planned.pk)
        if held.run is not None:
            return held.run
        if not held.estimate:
            raise RunError("What this run will take is not known yet; wait for its estimate.")
        run = run_start(planned_plan(held), budget=held.budget)
        held.run = run
        held.save(update_fields=["run"])
    return run


def planned_open(user: User) -> QuerySet[PlannedRun]:
    """What a person has planned and not started, newest first."""
    rows = PlannedRun.objects.filter(created_by=user, run=None)
    return rows.select_related("labeler", "verifier").order_by("-pk")
