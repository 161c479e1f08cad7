"""Runs of machine judges."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas.models import Model
from labelapp.atlas.selection import SelectionError, selection_parse
from labelapp.autolabel.models import Run
from labelapp.autolabel.pages import dollars_plain, rule_table, run_live, runs_listed, selection_words
from labelapp.autolabel.planned import planned_open
from labelapp.autolabel.runs import failed_again, run_resume
from labelapp.autolabel.selectors import runs_recent
from labelapp.autolabel.services import BASELINE_NAME, baseline_run_start
from labelapp.autolabel.trust_pages import trust_panel
from labelapp.jobs.pages import may_control, progress_context
from labelapp.jobs.services import JobError
from labelapp.judgements.models import Judge
from workers.llm.errors import LlmError
from workers.llm.prices import money_parse

RUNS_SHOWN = 50
PLANNED_SHOWN = 5
SELECTED = ("circuits", "layers", "preprocessing", "basis", "control")  # fields of the form
MOST_DIGITS = 18  # of an id: what the database's integers hold


@require_GET
def runs(request: SignedInRequest) -> HttpResponse:
    context = {
        "runs": runs_listed(runs_recent()[:RUNS_SHOWN], request.user),
        "models": Model.objects.exclude(weights_hash="").order_by("name", "pk"),  # the baseline needs vectors
        "baseline": BASELINE_NAME,
        "planned": planned_open(request.user)[:PLANNED_SHOWN],
    }
    return render(request, "autolabel/runs.html", context)


@require_GET
def run(request: SignedInRequest, run_id: int) -> HttpResponse:
    return _run_page(request, _run_get(run_id))


@require_POST
def retry_failed(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Ask about a run's failed directions again, and about nothing else."""
    found = _run_get(run_id)
    if not may_control(request.user, found.job):
        raise PermissionDenied("Only who started a run may start it again.")
    try:
        failed_again(found)
    except JobError as error:
        messages.warning(request, str(error))
    return redirect("autolabel:run", found.pk)


@require_POST
def resume(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Let a paused run go on, with another budget where one is given."""
    found = _run_get(run_id)
    if not may_control(request.user, found.job):
        raise PermissionDenied("Only who started a run may let it go on.")
    typed = request.POST.get("budget", "").strip()
    try:
        budget = money_parse(typed) if typed else None
        if not run_resume(found, budget=budget):
            messages.warning(request, f"Run {found.pk} is not paused any more; this is how it is now.")
    except (JobError, LlmError) as error:
        return _run_page(request, found, typed=typed, wrong=str(error))
    return redirect("autolabel:run", found.pk)


@require_GET
def progress(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Everybody may watch a run: its judgements are everybody's.

    The page around it is loaded anew when the run ends, pauses or goes on: then it offers other things.
    """
    found = _run_get(run_id)
    context = _live_context(request, found)
    response = render(request, "autolabel/run_progress.html", context)
    was_paused = request.GET.get("paused")
    if request.headers.get("HX-Request") and (
        context["progress"].is_over or was_paused not in (None, str(int(context["progress"].is_paused)))
    ):
        response["HX-Refresh"] = "true"
    return response


@require_POST
def start(request: SignedInRequest) -> HttpResponse:
    """Start the offline baseline on a model."""
    model_id = request.POST.get("model", "")
    if not (model_id.isascii() and model_id.isdigit() and len(model_id) <= MOST_DIGITS):
        raise Http404("There is no such model.")
    model = get_object_or_404(Model, pk=int(model_id))
    try:
        selection = selection_parse(model, **{name: request.POST[name] for name in SELECTED if name in request.POST})
        started = baseline_run_start(model=model, selection=selection, created_by=request.user)
    except (JobError, SelectionError) as error:
        messages.warning(request, str(error))
        return redirect("autolabel:runs")
    return redirect("autolabel:run", started.pk)


def _run_page(request: SignedInRequest, found: Run, *, typed: str = "", wrong: str = "") -> HttpResponse:
    """The page; `wrong` is what cannot be about the budget that was typed."""
    context = _live_context(request, found)
    tally = context["live"].tally
    context |= {
        "selection": selection_words(found.selection),
        "table": rule_table(found, request.user),
        # Audits look at labels, which only a prompt gives.
        "audits": reverse("autolabel:audits", args=[f"run-{found.pk}"])
        if found.judge.type == Judge.Type.PROMPT and found.is_judging
        else "",
        "baseline": BASELINE_NAME,
        "trust": trust_panel(found, request.user),
        "may_retry": tally.failed and not found.job.is_open and may_control(request.user, found.job),
        "wrong": wrong,
        "budget": typed or (dollars_plain(found.budget) if found.budget is not None else ""),
    }
    return render(request, "autolabel/run.html", context, status=422 if wrong else 200)


def _live_context(request: SignedInRequest, found: Run) -> dict[str, Any]:
    """For the part that is fetched again while the page is open."""
    address = reverse("autolabel:progress", args=[found.pk])
    progress = progress_context(found.job, address, request.user)
    is_paused = progress["progress"].is_paused
    live = run_live(found)
    if found.has_price and is_paused and "resume" in progress["controls"]:
        progress["controls"].remove("resume")  # the page has it beside the budget
        progress["may_resume"] = True
    if live.seconds_left is not None:
        progress["seconds_left"] = live.seconds_left
    return {**progress, "run": found, "live": live, "poll": f"{address}?paused={int(is_paused)}"}


def _run_get(run_id: int) -> Run:
    return get_object_or_404(
        Run.objects.select_related(
            "judge", "model", "job", "created_by", "labeler", "verifier", "detector", "measured_run"
        ),
        pk=run_id,
    )
