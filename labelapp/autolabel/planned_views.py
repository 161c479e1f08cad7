"""A run of a language model from the page: what it asks for, what it will take, and its start."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas.models import Model
from labelapp.autolabel.forms import RunForm
from labelapp.autolabel.models import PlannedRun
from labelapp.autolabel.pages import selection_words
from labelapp.autolabel.planned import estimate_of, planned_create, planned_price, planned_start
from labelapp.autolabel.providers import REPLAY, llms_known, price_get, provider_configs
from labelapp.autolabel.views import MOST_DIGITS
from labelapp.exchange.subjects import ExportError
from labelapp.jobs.pages import progress_response
from labelapp.jobs.services import JobError
from workers.llm.errors import LlmError, ProviderError
from workers.llm.providers import ProviderConfig


@require_http_methods(["GET", "POST"])
def new(request: SignedInRequest) -> HttpResponse:
    """The form, and what is wrong with what was typed; a plan that can be is estimated."""
    configs, wrong = _configs()
    if not configs:
        status = 422 if request.method == "POST" else 200
        return render(request, "autolabel/no_provider.html", {"wrong": wrong}, status=status)
    if request.method != "POST":
        return _form_page(request, RunForm(initial=_initial(request), user=request.user, configs=configs))
    form = RunForm(request.POST, user=request.user, configs=configs)
    if not form.is_valid() or form.plan is None:
        return _form_page(request, form, status=422)
    try:
        made = planned_create(form.plan, budget=form.limit, user=request.user, typed=form.typed, given=form.given)
    except (JobError, ExportError) as error:
        form.add_error(None, str(error))
        return _form_page(request, form, status=422)
    return redirect("autolabel:planned", made.pk)


@require_GET
def price(request: SignedInRequest) -> HttpResponse:
    """What is known of a language model's price, for the form that names it."""
    provider, llm = request.GET.get("provider", ""), request.GET.get("llm", "").strip()
    return render(request, "autolabel/price.html", _price_context(_configs()[0], provider, llm))


@never_cache  # the way back leads to the run that came of it, not to the button
@require_GET
def planned(request: SignedInRequest, planned_id: int) -> HttpResponse:
    """What the run will take; once it has started, the run itself."""
    found = _planned_get(request, planned_id)
    if found.run_id is not None:
        return redirect("autolabel:run", found.run_id)
    context = {
        "planned": found,
        "estimate": estimate_of(found),
        "price": planned_price(found),
        "selection": selection_words(found.selection),
        "poll": reverse("autolabel:planned_progress", args=[found.pk]),
    }
    return render(request, "autolabel/planned.html", context)


@require_GET
def planned_progress(request: SignedInRequest, planned_id: int) -> HttpResponse:
    found = _planned_get(request, planned_id)
    return progress_response(request, found.job, reverse("autolabel:planned_progress", args=[found.pk]))


@require_POST
def planned_start_view(request: SignedInRequest, planned_id: int) -> HttpResponse:
    found = _planned_get(request, planned_id)
    try:
        run = planned_start(found)
    except (JobError, LlmError, ExportError) as error:
        messages.warning(request, str(error))
        return redirect("autolabel:planned", found.pk)
    return redirect("autolabel:run", run.pk)


def _planned_get(request: SignedInRequest, planned_id: int) -> PlannedRun:
    """The person's own (a superuser's are all)."""
    rows = PlannedRun.objects.select_related("model", "labeler", "verifier", "job", "created_by")
    if not request.user.is_superuser:
        rows = rows.filter(created_by=request.user)
    found = rows.filter(pk=planned_id).first()
    if found is None:
        raise Http404("There is no such planned run of yours.")
    return found


def _form_page(request: SignedInRequest, form: RunForm, status: int = 200) -> HttpResponse:
    configs = _configs()[0]
    provider = str(form["provider"].value() or next(iter(configs)))
    llm = str(form["llm"].value() or "").strip()
    context = {"form": form, **_price_context(configs, provider, llm)}
    return render(request, "autolabel/new_run.html", context, status=status)


def _price_context(configs: dict[str, ProviderConfig], provider: str, llm: str) -> dict[str, Any]:
    config = configs.get(provider)
    known = price_get(config, llm) if config and llm else None
    return {"provider": provider, "llm": llm, "known": known, "llms": llms_known(config) if config else []}


def _initial(request: SignedInRequest) -> dict[str, Any]:
    """What the form begins with: an earlier plan of the person's, a model that was looked at, or what a page names."""
    named = {name: request.GET[name] for name in ("subject", "labeler", "verifier") if name in request.GET}
    if named:
        return named
    number, slug = request.GET.get("plan", ""), request.GET.get("model", "")
    if number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS:
        return dict(_planned_get(request, int(number)).typed)
    if slug:
        name, _, revision = slug.partition("@")
        rows = Model.objects.filter(name=name)
        found = next((it for it in (rows.filter(revision=revision) if revision else rows) if it.slug == slug), None)
        return {"subject": f"model:{found.pk}"} if found else {}
    return {}


def _configs() -> tuple[dict[str, ProviderConfig], str]:
    """The providers of the environment that a page may offer, or what is wrong with it."""
    try:
        configs = provider_configs()
    except ProviderError as error:
        return {}, str(error)
    # `replay:FILE` reads a file of the server by its path: that is for the command line.
    return {name: config for name, config in configs.items() if name != REPLAY}, ""
