"""How far a project is, how well its people judge, how much is left to do, and what is mixed in."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.labelling.checks.planning import controls_usable, gold_usable
from labelapp.labelling.checks.services import gold_add, gold_parse, gold_remove, mix_change, mix_of
from labelapp.labelling.controls import controls_command, controls_stored
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Gold, Project
from labelapp.labelling.progress.label_plan import label_plan, machines_of
from labelapp.labelling.progress.quality import FEWEST, OWN_STEP, quality
from labelapp.labelling.progress.quality_forms import GoldForm, MixForm, PlanForm, mix_initial
from labelapp.labelling.progress.selectors import ITEM_FILTERS, item_rows, project_progress
from labelapp.labelling.projects.forms import sentence
from labelapp.labelling.projects.views import role_of
from labelapp.labelling.selectors import (
    JUDGING_ROLES,
    OWNING_ROLES,
    REVIEWING_ROLES,
    project_get_for,
    seat_get_for,
)
from labelapp.labelling.subjects import of_directions_check

POLL_SECONDS = 5
GOLD_SHOWN = 100
MOST_DIGITS = 9  # of a position: what the databases' integers hold


@never_cache
@require_GET
def progress(request: SignedInRequest, slug: str) -> HttpResponse:
    """By person; htmx asks for the part that changes. Annotators see the whole and themselves."""
    seat = seat_get_for(request.user, slug, JUDGING_ROLES)
    reviews = seat.role in REVIEWING_ROLES
    context = {
        "project": seat.project,
        "role": seat.role,
        "reviews": reviews,
        "progress": project_progress(seat.project, user_id=None if reviews else request.user.pk),
        "poll_seconds": POLL_SECONDS,
    }
    return render(request, "labelling/progress_part.html" if request.htmx else "labelling/progress.html", context)


@never_cache
@require_GET
def items(request: SignedInRequest, slug: str) -> HttpResponse:
    """By item; `?show=` one of ITEM_FILTERS, `?after=` the last position of the page before."""
    seat = seat_get_for(request.user, slug, REVIEWING_ROLES)
    show, after = request.GET.get("show", ""), request.GET.get("after", "")
    if (show and show not in ITEM_FILTERS) or not (
        after == "" or (after.isascii() and after.isdigit() and len(after) <= MOST_DIGITS)
    ):
        raise Http404("There is no such page of items.")
    rows, has_more = item_rows(seat.project, seat, show=show, after=int(after) if after else -1)
    filters = [("all", "", not show), *((name, f"?show={key}", show == key) for key, name in ITEM_FILTERS.items())]
    context = {
        "project": seat.project,
        "role": seat.role,
        "rows": rows,
        "filters": filters,
        "show": show,
        "is_first": not after,
        "next_query": _query(show=show, after=str(rows[-1].item.position)) if has_more else "",
    }
    return render(request, "labelling/items.html", context)


def _of_directions(project: Project) -> None:
    """Raises Http404 where the project is of pairs or matrices."""
    try:
        of_directions_check(project)
    except LabellingError as error:
        raise Http404(str(error)) from None


@never_cache
@require_GET
def quality_page(request: SignedInRequest, slug: str) -> HttpResponse:
    """For owners and reviewers of everybody; annotators see themselves where the owner allows it."""
    seat = seat_get_for(request.user, slug, JUDGING_ROLES)
    _of_directions(seat.project)
    reviews = seat.role in REVIEWING_ROLES
    mix = mix_of(seat.project)
    if not reviews and not mix.own_shown:
        raise PermissionDenied(f"{seat.project.name} does not show annotators their own quality; its owner can.")
    context = {
        "project": seat.project,
        "role": seat.role,
        "reviews": reviews,
        "mix": mix,
        "people": quality(seat.project, user_id=None if reviews else request.user.pk),
        "fewest": FEWEST,
        "own_step": OWN_STEP,
    }
    return render(request, "labelling/quality.html", context)


@never_cache
@require_GET
def plan(request: SignedInRequest, slug: str) -> HttpResponse:
    """How many labels a wanted interval needs; what is wanted stands in the address."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    _of_directions(project)
    machines = machines_of(project)
    form = PlanForm(machines, _with_defaults(request.GET, PlanForm(machines)))
    context: dict[str, Any] = {"project": project, "role": role_of(request, project), "form": form}
    if not form.is_valid():
        return render(request, "labelling/plan.html", context | {"error": sentence(form)}, status=422)
    data = form.cleaned_data
    found = label_plan(
        project,
        half_width=data["half_width"] / 100,
        confidence=data["confidence"] / 100,
        share=None if data["share"] is None else data["share"] / 100,
        machine=data["machine"],
        is_census=data["about"] == "census",
    )
    pace = project_progress(project)
    judgements = found.left * project.overlap
    context |= {
        "plan": found,
        "lines": [(line, found.wanted(line), max(0, found.wanted(line) - found.done)) for line in found.lines],
        "best": found.wanted(found.best),
        "alone": found.wanted(found.alone),
        "judgements": judgements,
        "progress": pace,
        "seconds_left": None if (minutes := pace.minutes(judgements)) is None else 60 * minutes,
    }
    return render(request, "labelling/plan.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
def checks(request: SignedInRequest, slug: str) -> HttpResponse:
    """What is mixed in: for the owner alone, since it tells what the known answers are."""
    project = project_get_for(request.user, slug, OWNING_ROLES)
    _of_directions(project)
    if request.method == "GET":
        return _checks_page(request, project)
    form = MixForm(controls_stored(project), request.POST)
    if not form.is_valid():
        return _checks_page(request, project, form=form, error=sentence(form))
    try:
        mix_change(project=project, **form.cleaned_data)
    except LabellingError as error:
        return _checks_page(request, project, form=form, error=str(error))
    messages.success(request, "Saved; what is planned for people from now on follows it.")
    return redirect("labelling:checks", project.slug)


@require_POST
def gold(request: SignedInRequest, slug: str) -> HttpResponse:
    """Add known verdicts; with `act=remove` forget those of the directions named, with `act=remove_all` all."""
    project = project_get_for(request.user, slug, OWNING_ROLES)
    _of_directions(project)
    act = request.POST.get("act", "")
    if act in ("remove", "remove_all"):
        named = request.POST.getlist("direction")
        ids = [int(it) for it in named if it.isascii() and it.isdigit() and len(it) <= MOST_DIGITS]
        removed = gold_remove(project=project, direction_ids=ids if act == "remove" else None)
        messages.success(request, f"{removed:,} known verdict{'' if removed == 1 else 's'} forgotten.")
        return redirect("labelling:checks", project.slug)
    form = GoldForm(request.POST, request.FILES)
    if not form.is_valid():
        return _checks_page(request, project, gold_form=form, error=sentence(form))
    try:
        origin = f"decided by {request.user.username}"
        found = gold_add(project=project, rows=gold_parse(form.cleaned_data["text"]), origin=origin, user=request.user)
    except LabellingError as error:
        return _checks_page(request, project, gold_form=form, error=str(error))
    messages.success(request, found.sentence)
    return redirect("labelling:checks", project.slug)


def _checks_page(
    request: SignedInRequest,
    project: Project,
    *,
    form: MixForm | None = None,
    gold_form: GoldForm | None = None,
    error: str = "",
) -> HttpResponse:
    mix, stored = mix_of(project), controls_stored(project)
    rows = Gold.objects.filter(project=project).select_related("direction__matrix__model")
    heavy = ("tokens", "scores", "token_ids", "matrix__singular_values", "matrix__vectors", "matrix__neurons")
    rows = rows.defer(*(f"direction__{name}" for name in heavy)).order_by("-pk")
    context = {
        "project": project,
        "role": role_of(request, project),
        "mix": mix,
        "form": form or MixForm(stored, initial=mix_initial(mix)),
        "stored": stored,
        "command": controls_command(project),
        "gold_form": gold_form or GoldForm(),
        "gold": rows[:GOLD_SHOWN],
        "n_gold": rows.count(),
        "n_usable": gold_usable(project).count(),
        "n_controls": controls_usable(project, mix.controls).count() if mix.controls else 0,
        "error": error,
    }
    return render(request, "labelling/checks.html", context, status=422 if error else 200)


def _with_defaults(given: QueryDict, form: PlanForm) -> dict[str, Any]:
    """What the address says, and of what it leaves out the form's own."""
    defaults = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    return {name: given.get(name, value) for name, value in defaults.items()}


def _query(**pairs: str) -> str:
    return "?" + urlencode({name: value for name, value in pairs.items() if value})
