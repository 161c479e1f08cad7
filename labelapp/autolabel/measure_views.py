"""One click on a run's page that measures its judge."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.autolabel.measuring import (
    Wanted,
    detector_default,
    measure_plan,
    measurement_standing,
    measurement_start,
    missing_decompose,
)
from labelapp.autolabel.models import PromptVersion, Run
from labelapp.autolabel.prompts import prompt_get
from labelapp.autolabel.runs import RunError
from labelapp.jobs.pages import may_control
from labelapp.jobs.services import JobError
from workers.llm.errors import LlmError
from workers.llm.prices import money_parse


@require_POST
def measure(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Start the measurement `check`, or with `decompose` what it lacks; `budget` in dollars, empty for none."""
    run = get_object_or_404(Run.objects.select_related("judge", "model", "job", "labeler", "verifier"), pk=run_id)
    if not may_control(request.user, run.job):
        raise PermissionDenied("Only who started a run may have its judge measured.")
    try:
        if lacking := request.POST.get("decompose"):
            return redirect("jobs:detail", missing_decompose(run, _purpose(lacking), user=request.user).pk)
        return redirect("autolabel:run", _started(request, run).pk)
    except (JobError, LlmError) as error:
        messages.warning(request, str(error))
        return redirect("autolabel:run", run.pk)


def _started(request: SignedInRequest, run: Run) -> Run:
    purpose = _purpose(request.POST.get("check", ""))
    if standing := measurement_standing(run, purpose):
        return standing
    text = request.POST.get("budget", "").strip()
    budget = money_parse(text, zero=True) if text else None
    detector = _detector(request, run) if purpose == Run.Purpose.DETECTION else None
    plan = measure_plan(run, Wanted(purpose, detector=detector), user=request.user)
    return measurement_start(plan, budget=budget)


def _detector(request: SignedInRequest, run: Run) -> PromptVersion:
    named = request.POST.get("detector", "")
    return prompt_get(named, "detector") if named else detector_default(run)


def _purpose(text: str) -> Run.Purpose:
    if text not in Run.Purpose.values:
        raise RunError(f"There is no check {text!r}; there is: {', '.join(Run.Purpose.values)}.")
    return Run.Purpose(text)
