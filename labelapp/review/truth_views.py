"""Ground-truth sets: the list with the form that freezes, one version, and how two differ."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.models import User
from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas.panels import hidden_directions, hidden_from
from labelapp.judgements.models import TWO_VALUED
from labelapp.judgements.visibility import count_is_shown
from labelapp.labelling.models import Project
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.review.access import project_get_for
from labelapp.review.exports import truth_address
from labelapp.review.forms import MOST_DIGITS, FreezeForm
from labelapp.review.gold import projects_for_gold
from labelapp.review.models import Entry, GroundTruth
from labelapp.review.truth import DIFFERENCES, truth_difference, truth_freeze, truth_get, truths_of
from labelapp.review.truth_rules import KINDS, GroundTruthError, truth_rule, truth_rule_of

ROWS_A_PAGE = 50
SETS_SHOWN = 100


@require_GET
def truths(request: SignedInRequest, slug: str) -> HttpResponse:
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    return _list(request, project, FreezeForm(initial={"name": project.slug[:60], "rule": "adjudicated_else_agreed"}))


@require_POST
def freeze(request: SignedInRequest, slug: str) -> HttpResponse:
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    form = FreezeForm(request.POST)
    if not form.is_valid():
        return _list(request, project, form, form.sentence())
    sent = form.cleaned_data
    try:
        frozen = truth_freeze(
            project=project,
            name=sent["name"],
            rule=truth_rule(sent["rule"], sent["people"], sent["posterior"], project),
            user=request.user,
            seed=sent["seed"],
            held_out=sent["held_out"],
        )
    except GroundTruthError as error:
        return _list(request, project, form, str(error))
    truth = frozen.truth
    if frozen.is_new:
        messages.success(request, f"{truth} is frozen with {truth.n} entries.")
    else:
        messages.info(request, f"Nothing has changed since {truth}; it stands.")
    return redirect("review:truth", project.slug, truth.name, truth.version)


@require_GET
def truth(request: SignedInRequest, slug: str, name: str, version: int) -> HttpResponse:
    """`?part=development|held_out`, `?after=` the last entry of the page before, `?all=1` hides nothing."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    found = _truth(project, name, version)
    part, show_hidden = request.GET.get("part", ""), request.GET.get("all") == "1"
    if part not in ("", *Entry.Part.values):
        raise Http404("A ground-truth set has a development and a held-out part.")
    entries = found.entries.filter(part=part) if part else found.entries.all()
    page = list(entries.filter(pk__gt=_after(request)).order_by("pk")[: ROWS_A_PAGE + 1])
    shown = page[:ROWS_A_PAGE]
    context = {
        "project": project,
        "truth": found,
        "rule": truth_rule_of(found.rule),
        "address": truth_address(found),
        "owned": projects_for_gold(request.user),
        "parts": _parts(found, request.user, show_hidden),
        "n_explored": found.entries.filter(inclusion_probability=None).count(),
        "entries": shown,
        "hidden": () if show_hidden else hidden_from(request.user, [it.direction_id for it in shown]),
        "hidden_query": _query(part=part, all="1"),
        "filters": [
            (title, _query(part=value, all=request.GET.get("all", "")), value == part)
            for value, title in (("", "all"), *Entry.Part.choices)
        ],
        "others": truths_of(project).filter(name=name).exclude(pk=found.pk)[:SETS_SHOWN],
        "next_query": (
            _query(part=part, all=request.GET.get("all", ""), after=str(shown[-1].pk))
            if len(page) > ROWS_A_PAGE
            else ""
        ),
    }
    return render(request, "review/truth.html", context)


@require_GET
def difference(request: SignedInRequest, slug: str, name: str, older: int, newer: int) -> HttpResponse:
    """What differs between two versions; `?show=` one of DIFFERENCES, `?after=` as above."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    if older >= newer:
        raise Http404("The older version comes first.")
    before, now = _truth(project, name, older), _truth(project, name, newer)
    counts = {kind: truth_difference(before, now, kind).count() for kind in DIFFERENCES}
    show = request.GET.get("show") or next((kind for kind, n in counts.items() if n), "added")
    if show not in DIFFERENCES:
        raise Http404("There is no such difference between two versions.")
    show_hidden = request.GET.get("all") == "1"
    page = list(truth_difference(before, now, show).filter(pk__gt=_after(request))[: ROWS_A_PAGE + 1])
    shown = page[:ROWS_A_PAGE]
    context = {
        "project": project,
        "older": before,
        "newer": now,
        "rules": [truth_rule_of(it.rule) for it in (before, now)],
        "is_same": not any(counts.values()),
        "filters": [
            (words, counts[kind], _query(show=kind, all=request.GET.get("all", "")), kind == show)
            for kind, words in DIFFERENCES.items()
        ],
        "show": show,
        "entries": shown,
        "hidden": () if show_hidden else hidden_from(request.user, [it.direction_id for it in shown]),
        "hidden_query": _query(show=show, all="1"),
        "next_query": (
            _query(show=show, all=request.GET.get("all", ""), after=str(shown[-1].pk))
            if len(page) > ROWS_A_PAGE
            else ""
        ),
    }
    return render(request, "review/difference.html", context)


def _list(request: SignedInRequest, project: Project, form: FreezeForm, error: str = "") -> HttpResponse:
    context = {
        "project": project,
        "truths": [(it, truth_rule_of(it.rule)) for it in truths_of(project)[:SETS_SHOWN]],
        "form": form,
        "kinds": KINDS.values(),
        "error": error,
    }
    return render(request, "review/truths.html", context, status=422 if error else 200)


def _parts(found: GroundTruth, viewer: User, show_hidden: bool) -> list[tuple[str, int | None, int | None, int]]:
    """Of each part its name, its yes and no (None where they would give away what is to be judged blind), and n."""
    rows = found.entries.order_by().values_list("part", "verdict").annotate(n=Count("pk"))
    counts = {(part, verdict): n for part, verdict, n in rows}
    waiting = found.entries.filter(direction__in=hidden_directions(viewer).values("pk")).order_by()
    hidden = {} if show_hidden else dict(waiting.values_list("part").annotate(n=Count("pk")))
    parts: list[tuple[str, int | None, int | None, int]] = []
    for part, title in Entry.Part.choices:
        yes, no = (counts.get((part, verdict), 0) for verdict in TWO_VALUED)
        is_shown = count_is_shown(yes + no, hidden.get(part, 0))
        parts.append((str(title), yes if is_shown else None, no if is_shown else None, yes + no))
    return parts


def _truth(project: Project, name: str, version: int) -> GroundTruth:
    try:
        return truth_get(project, name, version)
    except GroundTruthError as error:
        raise Http404(str(error)) from None


def _after(request: SignedInRequest) -> int:
    after = request.GET.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) <= MOST_DIGITS):
        raise Http404("There is no such page.")
    return int(after)


def _query(**pairs: str) -> str:
    return "?" + urlencode({name: value for name, value in pairs.items() if value})
