"""The pages of figures: one view for every kind, its files, and how a figure is computed by a job and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import replace_url

from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas.keys import CIRCUITS, SIDES
from labelapp.atlas.models import Matrix, Model
from labelapp.atlas.presentation import CIRCUIT_NAMES
from labelapp.atlas.selection import SelectionError
from labelapp.exchange.spreadsheets import csv_bytes
from labelapp.figures.census import EVERY_JUDGES
from labelapp.figures.files import plot_response
from labelapp.figures.kinds import KINDS
from labelapp.figures.kinds.base import LABEL_COLUMNS, Computed, Kind
from labelapp.figures.listing import CSV_COLUMNS, census_table, csv_rows, provenance, table_of
from labelapp.figures.query import AXES, CONTRASTS, COVARIATES, ESTIMANDS, NONE, TRUTHS, UNITS, Query, query_parse
from labelapp.figures.services import figure_keep, figure_start
from labelapp.figures.shown import Shown, figure_show, projects_shown_to
from labelapp.figures.words import points_words
from labelapp.jobs.pages import progress_context
from labelapp.judgements.models import Judge, Summary
from labelapp.judgements.rules import RULES
from labelapp.review.stamp import stamp_now

PRESENT = "now"


@require_GET
def page(request: SignedInRequest, name: str = "estimates") -> HttpResponse:
    """A kind's page; for htmx what stands below its filters."""
    kind = _kind(name)
    context: dict[str, Any] = {"kind": kind, "kinds": KINDS.values()}
    try:
        shown = _shown(request, kind)
    except SelectionError as error:
        context |= {"error": str(error)} | _form(request, kind, Query())
        return render(request, _template(request), context, status=400)
    context |= _form(request, kind, shown.query) | _context(request, shown)
    response = render(request, _template(request), context)
    if request.htmx:
        revealed = "&all=1" if shown.is_revealed else ""
        replace_url(response, f"{_page_of(kind)}?{shown.query.address}{revealed}")  # what is shown is in the address
    return response


@require_GET
def file(request: SignedInRequest, name: str, form: str) -> HttpResponse:
    """The plot as svg, png, pdf or spec, its points as csv."""
    shown = _shown_or_404(request, name)
    computed = shown.computed
    if computed is None or computed.refusal:
        return _nothing_yet(request, shown)
    return plot_response(
        form,
        name=f"{name}-{shown.data_hash}",
        spec=_described(shown.kind.spec(computed, shown.resolved), shown.kind, computed),
        header=CSV_COLUMNS,
        rows=csv_rows(computed),
    )


@require_GET
def inputs(request: SignedInRequest, name: str, what: str) -> HttpResponse:
    """What a figure was computed from: `census`, the machine's counts, or `labels`, people's verdicts one by one."""
    shown = _shown_or_404(request, name, with_inputs=True)
    if shown.computed is None:
        return _nothing_yet(request, shown)
    if shown.computed.n_hidden:
        raise Http404("Parts of this figure are hidden until you have judged what is still in your queue.")
    found = shown.computed.inputs
    if what == "labels" and not shown.may_see_labels:
        raise Http404("Single verdicts are for the owner and the reviewers of the project.")
    header, rows = (LABEL_COLUMNS, found.labels) if what == "labels" else census_table(found)
    headers = {"Content-Disposition": f'attachment; filename="{name}-{shown.data_hash}-{what}.csv"'}
    return HttpResponse(csv_bytes(header, rows), content_type="text/csv; charset=utf-8", headers=headers)


@require_POST
def keep(request: SignedInRequest, name: str) -> HttpResponse:
    """Store the figure under its permanent address, and go there."""
    kind = _kind(name)
    stamp = stamp_now()
    shown = _shown_or_404(request, name)
    if shown.computed is None or shown.computed.refusal or shown.computed.n_hidden:
        messages.error(request, "Nothing was kept: the figure is not computed, empty, or partly hidden from you.")
        return redirect(f"{_page_of(kind)}?{shown.query.address}")
    if shown.kept is None and not shown.is_stale:
        figure_keep(kind=kind, query=shown.query, computed=shown.computed, stamp=stamp, user=request.user)
    messages.success(request, "Kept: this address will show the figure as it is now, whatever is judged later.")
    return redirect(f"{_page_of(kind)}?{shown.address}")


@require_POST
def compute(request: SignedInRequest, name: str) -> HttpResponse:
    """Enqueue the figure's job."""
    shown = _shown_or_404(request, name)
    figure_start(kind=shown.kind, query=shown.query, user=request.user)
    return redirect(f"{_page_of(shown.kind)}?{shown.query.address}")


def _nothing_yet(request: SignedInRequest, shown: Shown) -> HttpResponse:
    """There is no file of it: it is to be computed first, or there is nothing in it."""
    context = {"kind": shown.kind, "shown": shown, "page_address": f"{_page_of(shown.kind)}?{shown.query.address}"}
    return render(request, "figures/nothing_yet.html", context, status=404)


def _described(spec: Mapping[str, Any], kind: Kind, computed: Computed) -> dict[str, Any]:
    """The specification with what it states, so that the file says by itself what it is."""
    return {
        **spec,
        "name": kind.name,
        "description": " ".join(it for it in (kind.question, computed.sentence) if it),
        "usermeta": {"figure": provenance(computed) | {"rule": computed.inputs.facts.get("rule", "")}},
    }


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise Http404(f"There is no figure {name!r}; there is {', '.join(KINDS)}.")
    return KINDS[name]


def _page_of(kind: Kind) -> str:
    return reverse("figures:index") if kind.name == "estimates" else reverse("figures:page", args=[kind.name])


def _template(request: SignedInRequest) -> str:
    return "figures/result.html" if request.htmx else "figures/page.html"


def _shown(request: SignedInRequest, kind: Kind, *, with_inputs: bool = False) -> Shown:
    data = request.POST if request.method == "POST" else request.GET
    wanted = data.get("data", "")[:12]
    return figure_show(
        kind,
        query_parse(data),
        request.user,
        wanted=wanted,
        as_it_is_now=data.get("show") == PRESENT,
        reveal=data.get("all") == "1",
        with_inputs=with_inputs,
    )


def _shown_or_404(request: SignedInRequest, name: str, *, with_inputs: bool = False) -> Shown:
    try:
        return _shown(request, _kind(name), with_inputs=with_inputs)
    except SelectionError as error:
        raise Http404(str(error)) from None


def _context(request: SignedInRequest, shown: Shown) -> dict[str, Any]:
    kind, computed = shown.kind, shown.computed
    query = f"?{shown.address}" if shown.computed else f"?{shown.query.address}"
    files = {
        form: reverse("figures:file", args=[kind.name, form]) + query for form in ("svg", "png", "pdf", "csv", "spec")
    }
    files |= {what: reverse("figures:inputs", args=[kind.name, what]) + query for what in ("census", "labels")}
    context: dict[str, Any] = {"shown": shown, "computed": computed, "files": files, "page_address": _page_of(kind)}
    context["address"] = request.build_absolute_uri(f"{_page_of(kind)}{query}")
    context["fields"] = [*_flat(shown.query), *([("all", "1")] if shown.is_revealed else [])]
    if computed is not None and not computed.refusal:
        context["table"] = table_of(kind, computed)
        if kind.name == "estimates":
            context["recommended"] = next((it for it in computed.points if it.name == "recommended"), None)
            context["net"] = next((it for it in computed.points if it.name.startswith("net")), None)
        context["conclusions"] = [_said(it) for it in computed.extra.get("conclusions", ())]
    if shown.job is not None:
        context |= progress_context(shown.job, user=request.user)
    return context


def _said(conclusion: Mapping[str, Any]) -> dict[str, Any]:
    """A conclusion of the multiverse for its table: under each rule whether it holds, and by how many points."""
    says = [(said, f"{points_words(value)}") for _, said, value, _, _ in conclusion["says"]]
    return {"name": conclusion["name"], "says": says}


def _flat(query: Query) -> list[tuple[str, Any]]:
    """As hidden fields of a form."""
    return [
        (name, it) for name, value in query.as_json().items() for it in (value if isinstance(value, list) else [value])
    ]


def _form(request: SignedInRequest, kind: Kind, query: Query) -> dict[str, Any]:
    judged = Summary.objects.filter(rule=EVERY_JUDGES).order_by().values("judge_id").distinct()
    judges = Judge.objects.filter(pk__in=judged).exclude(type=Judge.Type.PERSON)
    circuits = set(Matrix.objects.order_by().values_list("circuit", flat=True).distinct())
    return {
        "query": query,
        "models": list(Model.objects.order_by("name", "revision")),
        "circuits": [(it, CIRCUIT_NAMES[it]) for it in CIRCUITS if it in circuits],
        "judges": list(judges.order_by("pk")),
        "rules": RULES.values(),
        "projects": projects_shown_to(request.user),
        "none": NONE,
        "truths": TRUTHS.items(),
        "units": UNITS.items(),
        "estimands": ESTIMANDS.items(),
        "axes": AXES.items(),
        "covariates": COVARIATES.items(),
        "bases": CONTRASTS,
        "sides": dict.fromkeys(side for it in circuits for side in SIDES[it]),
    }
