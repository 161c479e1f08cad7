"""Runs of machine judges."""

from __future__ import annotations

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
from labelapp.autolabel.pages import money_words, rule_table, runs_listed, selection_words
from labelapp.autolabel.runs import failed_again
from labelapp.autolabel.selectors import run_tally, runs_recent
from labelapp.autolabel.services import BASELINE_NAME, baseline_run_start
from labelapp.autolabel.trust_pages import trust_panel
from labelapp.jobs.pages import may_control, progress_response
from labelapp.jobs.services import JobError
from labelapp.judgements.models import Judge

RUNS_SHOWN = 50
SELECTED = ("circuits", "layers", "preprocessing", "basis", "control")  # fields of the form
MOST_DIGITS = 18  # of an id: what the database's integers hold


@require_GET
def runs(request: SignedInRequest) -> HttpResponse:
    context = {
        "runs": runs_listed(runs_recent()[:RUNS_SHOWN], request.user),
        "models": Model.objects.exclude(weights_hash="").order_by("name", "pk"),  # the baseline needs vectors
        "baseline": BASELINE_NAME,
    }
    return render(request, "autolabel/runs.html", context)


@require_GET
def run(request: SignedInRequest, run_id: int) -> HttpResponse:
    found = _run_get(run_id)
    tally = run_tally(found)
    context = {
        "run": found,
        "selection": selection_words(found.selection),
        "table": rule_table(found, request.user),
        # Audits look at labels, which only a prompt gives.
        "audits": reverse("autolabel:audits", args=[f"run-{found.pk}"])
        if found.judge.type == Judge.Type.PROMPT and found.is_judging
        else "",
        "poll": reverse("autolabel:progress", args=[found.pk]),
        "baseline": BASELINE_NAME,
        "money": money_words(found),
        "tally": tally,
        "trust": trust_panel(found, request.user),
        "may_retry": tally.failed and not found.job.is_open and may_control(request.user, found.job),
    }
    return render(request, "autolabel/run.html", context)


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


@require_GET
def progress(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Everybody may watch a run: its judgements are everybody's."""
    found = _run_get(run_id)
    return progress_response(request, found.job, reverse("autolabel:progress", args=[found.pk]))


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


def _run_get(run_id: int) -> Run:
    return get_object_or_404(
        Run.objects.select_related(
            "judge", "model", "job", "created_by", "labeler", "verifier", "detector", "measured_run"
        ),
        pk=run_id,
    )
