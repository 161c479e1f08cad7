"""A project's tests: started and ended by its owner, asked of language models, and what they found."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.autolabel.providers import provider_configs
from labelapp.autolabel.runs import budget_check, plan_estimate
from labelapp.exchange.spreadsheets import csv_bytes
from labelapp.exchange.subjects import ExportError
from labelapp.jobs.services import JobError
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.labelling.projects.forms import sentence
from labelapp.labelling.projects.views import role_of
from labelapp.labelling.selectors import ANY_ROLE, OWNING_ROLES, REVIEWING_ROLES, project_get_for
from labelapp.labelling.trials.drawing import left_out_lines
from labelapp.labelling.trials.forms import AskForm, StartForm
from labelapp.labelling.trials.machines import choice_plan, choice_run_standing, choice_run_start
from labelapp.labelling.trials.models import ChoiceTest
from labelapp.labelling.trials.pages import listed, shown_results, unequal_weights
from labelapp.labelling.trials.results import answers_table, figures_table, results_of, runs_of
from labelapp.labelling.trials.services import choice_test_end, choice_test_reopen, choice_test_start
from workers.llm.errors import LlmError, ProviderError

FIGURES, ANSWERS = "figures", "answers"  # tables


@require_GET
def tests(request: SignedInRequest, slug: str) -> HttpResponse:
    """The project's tests, for its members; its owner starts new ones here."""
    return _tests_page(request, project_get_for(request.user, slug, ANY_ROLE))


@require_POST
def start(request: SignedInRequest, slug: str) -> HttpResponse:
    project = project_get_for(request.user, slug, OWNING_ROLES)
    form = StartForm(request.POST, project=project)
    if not form.is_valid():
        return _tests_page(request, project, form=form, error=sentence(form), status=422)
    try:
        test = choice_test_start(project=project, user=request.user, **form.cleaned_data)
    except LabellingError as error:
        return _tests_page(request, project, form=form, error=str(error), status=422)
    n = test.trials.values("direction").distinct().count()
    messages.success(request, f"The {test.get_kind_display()} has {test.trials.count():,} trials on {n:,} ends.")
    return redirect("labelling:test", slug, test.pk)


@never_cache
@require_GET
def test(request: SignedInRequest, slug: str, test_id: int) -> HttpResponse:
    """What a test found so far."""
    found = test_get_for(request, slug, test_id)
    return _test_page(request, found)


@require_POST
def state(request: SignedInRequest, slug: str, test_id: int) -> HttpResponse:
    """End a test, or let it go on. What has happened already is not an error: somebody pressed twice."""
    found = test_get_for(request, slug, test_id, owning=True)
    act = request.POST.get("act", "")
    if act == "end":
        choice_test_end(found)
    elif act == "reopen":
        choice_test_reopen(found)
    else:
        return _test_page(request, found, error=f"There is no act {act[:20]!r}; end or reopen.", status=422)
    return redirect("labelling:test", slug, test_id)


@require_POST
def ask(request: SignedInRequest, slug: str, test_id: int) -> HttpResponse:
    """What a language model's answers would take, and with `start` the run that asks for them."""
    found = test_get_for(request, slug, test_id, owning=True)
    form = AskForm(request.POST, test=found)
    if not form.is_valid():
        return _test_page(request, found, form=form, error=sentence(form), status=422)
    data = form.cleaned_data
    try:
        plan = choice_plan(found, data["llm"], prompt=data["prompt"], user=request.user)
        budget_check(data["budget"], plan.price, data["llm"])
        if "start" in request.POST or choice_run_standing(found, plan):
            return redirect("autolabel:run", choice_run_start(found, plan, budget=data["budget"]).pk)
        estimate = plan_estimate(plan)
    except (JobError, LlmError, ExportError) as error:
        return _test_page(request, found, form=form, error=str(error), status=422)
    context = {
        "project": found.project,
        "role": role_of(request, found.project),
        "test": found,
        "plan": plan,
        "estimate": estimate,
        "budget": data["budget"],
        "typed": request.POST,
    }
    return render(request, "labelling/intrusion_ask.html", context)


@require_GET
def table(request: SignedInRequest, slug: str, test_id: int, name: str) -> HttpResponse:
    """The figures or the answers as CSV."""
    found = test_get_for(request, slug, test_id)
    if name not in (FIGURES, ANSWERS):
        raise Http404("There are figures.csv and answers.csv.")
    header, rows = figures_table(found, results_of(found)) if name == FIGURES else answers_table(found)
    response = HttpResponse(csv_bytes(header, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slug}-test-{test_id}-{name}.csv"'
    return response


def test_get_for(request: SignedInRequest, slug: str, test_id: int, *, owning: bool = False) -> ChoiceTest:
    """A test, for reviewers (with `owning`: owners) of its project. Raises Http404, PermissionDenied."""
    project = project_get_for(request.user, slug, OWNING_ROLES if owning else REVIEWING_ROLES)
    found = project.tests.filter(pk=test_id).first()
    if found is None:
        raise Http404("There is no such test in this project.")
    found.project = project
    return found


def _tests_page(
    request: SignedInRequest, project: Project, *, form: StartForm | None = None, error: str = "", status: int = 200
) -> HttpResponse:
    role = role_of(request, project)
    may_start = role in OWNING_ROLES and project.state != Project.State.DRAFT
    context = {
        "project": project,
        "role": role,
        "tests": listed(project, request.user, role),
        "reviews": role in REVIEWING_ROLES,
        "form": (form or StartForm(project=project)) if may_start else None,
        "error": error,
    }
    return render(request, "labelling/intrusion_tests.html", context, status=status)


def _test_page(
    request: SignedInRequest, test: ChoiceTest, *, form: AskForm | None = None, error: str = "", status: int = 200
) -> HttpResponse:
    role = role_of(request, test.project)
    results = results_of(test)
    context: dict[str, Any] = {
        "project": test.project,
        "role": role,
        "test": test,
        **shown_results(test, results),
        "runs": runs_of(test),
        "left_out": list(left_out_lines(test.left_out)),
        "n_trials": test.trials.count(),
        "n_ends": test.trials.values("direction").distinct().count(),
        "unequal": unequal_weights(test.project),
        "form": (form or AskForm(test=test)) if role in OWNING_ROLES else None,
        **_providers(),
        "error": error,
    }
    return render(request, "labelling/intrusion_test.html", context, status=status)


def _providers() -> dict[str, Any]:
    """Names of the providers of the environment, or what is wrong with it."""
    try:
        return {"providers": list(provider_configs()), "wrong": ""}
    except ProviderError as error:
        return {"providers": [], "wrong": str(error)}
