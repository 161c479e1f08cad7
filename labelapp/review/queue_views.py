"""The disagreement queue and its items, where a reviewer decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas.models import Model
from labelapp.atlas.panels import hidden_from
from labelapp.judgements.models import HUMAN_VERDICTS, LABEL_LENGTH
from labelapp.labelling.models import Item, Project
from labelapp.labelling.selectors import REVIEWING_ROLES, item_get_for
from labelapp.review.access import project_get_for
from labelapp.review.aggregation import proposal_of
from labelapp.review.disagreement import (
    COUNTED_AT_MOST,
    ROWS_A_PAGE,
    Place,
    item_ranked,
    queue_of,
    rows_shown,
)
from labelapp.review.filters import CELLS, KIND_NAMES, STATES, FilterError, Filters, filters_of
from labelapp.review.forms import MOST_DIGITS, Decision, decision_of
from labelapp.review.models import REASON_LENGTH, Disagreement
from labelapp.review.queue_choices import judges_of, places_of
from labelapp.review.selectors import projects_reviewed_by
from labelapp.review.services import ReviewError, adjudicate, adjudication_last, adjudication_undo
from labelapp.review.sides import item_readout, sides
from labelapp.statistics.audits import AUDITS

EVERYWHERE = "everywhere"  # in an item's address: the queue over all projects
NOTHING_TO_UNDO = "There is nothing to undo: no decision of yours stands here."
QUEUE_IS_EMPTY = "That was the last one of this queue."


@require_GET
def disagreements(request: SignedInRequest, slug: str) -> HttpResponse:
    """Filters as in `filters.Filters`; `?after=` the last place of the page before; `?all=1` hides nothing."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    return _queue_page(request, [project], {"project": project})


@require_GET
def disagreements_everywhere(request: SignedInRequest) -> HttpResponse:
    """The same over all projects that the person reviews."""
    return _queue_page(request, _reviewed(request), {})


def _queue_page(request: SignedInRequest, projects: Sequence[Project], more: dict[str, Any]) -> HttpResponse:
    filters, after = _filters(request), _after(request)
    show_hidden = _shows_hidden(request)
    queue = queue_of(projects, filters, request.user, show_hidden=show_hidden)
    counted = queue.counts()
    ranked = queue.page(filters.kind, after, ROWS_A_PAGE + 1)
    shown = ranked[:ROWS_A_PAGE]
    is_everywhere = "project" not in more
    context = {
        "projects": projects,
        "filters": filters,
        "kinds": _kind_links(filters, counted.kinds, show_hidden),
        "states": [
            (name, _query(replace(filters, state=state), show_hidden), state == filters.state)
            for state, name in STATES.items()
        ],
        "rows": rows_shown(shown),
        "counted_at_most": COUNTED_AT_MOST,
        "n_hidden": counted.n_hidden,
        "hidden_query": _query(filters, True),
        "item_query": _query(filters, show_hidden, is_everywhere=is_everywhere),
        "first_query": _query(filters, show_hidden) if after else "",
        "next_query": _query(filters, show_hidden, _place(shown[-1])) if len(ranked) > ROWS_A_PAGE else "",
        "show_hidden": show_hidden,
        **more,
        **_choices(projects),
    }
    return render(request, "review/disagreements.html", context)


@never_cache
@require_GET
def item(request: SignedInRequest, slug: str, opaque_id: str) -> HttpResponse:
    """One item side by side; the readout alone where the reviewer is still to judge it blind, unless `?all=1`."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    return _item_page(request, project, _item(project, opaque_id))


@require_POST
def decide(request: SignedInRequest, slug: str, opaque_id: str) -> HttpResponse:
    """Take a decision and go on to the next item of the same queue."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    found, sent = _item(project, opaque_id), decision_of(request.POST)
    try:
        adjudicate(
            item=found,
            user=request.user,
            verdict=sent.verdict,
            label=sent.label,
            reason=sent.reason,
            standing=sent.standing,
            proposal=sent.proposal,
        )
    except ReviewError as error:
        return _item_page(request, project, found, sent=sent, error=str(error))
    following = _following(request, project, found)
    if following is None:
        messages.success(request, QUEUE_IS_EMPTY)
        return redirect(_queue_address(request, project))
    return redirect(_item_address(request, following))


@require_POST
def undo(request: SignedInRequest, slug: str) -> HttpResponse:
    """Take back the reviewer's last decision in the project, and show its item."""
    return _undo(request, project_get_for(request.user, slug, REVIEWING_ROLES))


@require_POST
def undo_everywhere(request: SignedInRequest) -> HttpResponse:
    """The same of the projects that the person reviews."""
    last = adjudication_last(request.user, _reviewed(request))
    return _undo(request, last.item.project if last else None)


def _undo(request: SignedInRequest, project: Project | None) -> HttpResponse:
    found = adjudication_undo(project=project, user=request.user) if project else None
    if found is None:
        messages.warning(request, NOTHING_TO_UNDO)
        return redirect(_queue_address(request, project))
    messages.success(request, "Your last decision is taken back; the trail keeps it.")
    return redirect(_item_address(request, found))


def _item_page(
    request: SignedInRequest, project: Project, found: Item, *, sent: Decision | None = None, error: str = ""
) -> HttpResponse:
    is_hidden = not _shows_hidden(request) and bool(hidden_from(request.user, [found.direction_id]))
    known = item_readout(found) if is_hidden else sides(found, request.user)
    filters = _filters(request)
    standing = known.standing
    usual = Decision(standing.verdict if standing else "", known.suggested_label, standing.reason if standing else "")
    context = {
        "project": project,
        "item": found,
        "sides": known,
        "ranked": None if is_hidden else item_ranked(found),
        "proposal": None if is_hidden else proposal_of(found),
        "is_hidden": is_hidden,
        "decision": sent or usual,
        "error": error,
        "verdicts": zip(HUMAN_VERDICTS, "ynu", strict=True),
        "label_length": LABEL_LENGTH,
        "reason_length": REASON_LENGTH,
        "queue": _queue_address(request, project),
        "item_query": _query(filters, _shows_hidden(request), is_everywhere=_is_everywhere(request)),
        "hidden_query": _query(filters, True, is_everywhere=_is_everywhere(request)),
        "following": _following(request, project, found),
    }
    return render(request, "review/item.html", context, status=422 if error else 200)


def _following(request: SignedInRequest, project: Project, found: Item) -> Item | None:
    """The item behind this one in the queue that the address names."""
    filters = _filters(request)
    projects = _reviewed(request) if _is_everywhere(request) else [project]
    ranked = item_ranked(found)
    queue = queue_of(projects, filters, request.user, show_hidden=_shows_hidden(request))
    following = queue.page(filters.kind, _place(ranked) if ranked else None, 2)
    pk = next((it.item_id for it in following if it.item_id != found.pk), None)
    return Item.objects.select_related("project").filter(pk=pk).first() if pk is not None else None


def _item(project: Project, opaque_id: str) -> Item:
    """Raises Http404."""
    found = item_get_for(project, opaque_id)
    return Item.objects.select_related("project", "direction__matrix__model").get(pk=found.pk)


def _kind_links(filters: Filters, counted: Mapping[str, int], show_hidden: bool) -> list[tuple[str, int, str, bool]]:
    names = {"": "All", **KIND_NAMES}
    return [
        (name, counted.get(kind or "any", 0), _query(replace(filters, kind=kind), show_hidden), kind == filters.kind)
        for kind, name in names.items()
    ]


def _choices(projects: Sequence[Project]) -> dict[str, Any]:
    """What the filters offer: what there is in the projects."""
    places = places_of(projects)
    return {
        "models": Model.objects.filter(pk__in=places["models"]).order_by("name", "revision"),
        "circuits": places["circuits"],
        "layers": [str(layer) for layer in places["layers"]],
        "judges": judges_of(projects),
        "cells": CELLS.items(),
        "audits": AUDITS.values(),
    }


def _filters(request: SignedInRequest) -> Filters:
    """Raises Http404."""
    try:
        return filters_of(request.GET)
    except FilterError as error:
        raise Http404(str(error)) from None


def _after(request: SignedInRequest) -> Place | None:
    """Of `?after=0.75,12`. Raises Http404."""
    text = request.GET.get("after", "")
    if not text:
        return None
    score, _, pk = text.partition(",")
    try:
        place = Place(float(score), int(pk) if len(pk) <= MOST_DIGITS and pk.isascii() and pk.isdigit() else -1)
    except ValueError:
        place = Place(-1.0, -1)
    if not 0 <= place.score < float("inf") or place.item_id < 0:
        raise Http404("There is no such page of the queue.")
    return place


def _shows_hidden(request: SignedInRequest) -> bool:
    return request.GET.get("all") == "1"


def _is_everywhere(request: SignedInRequest) -> bool:
    """Whether an item is one of the queue over all projects."""
    return request.GET.get("in") == EVERYWHERE


def _reviewed(request: SignedInRequest) -> list[Project]:
    return [it.project for it in projects_reviewed_by(request.user)]


def _place(ranked: Disagreement) -> Place:
    return Place(ranked.score, ranked.item_id)


def _query(filters: Filters, show_hidden: bool, after: Place | None = None, *, is_everywhere: bool = False) -> str:
    pairs = filters.pairs() | ({"all": "1"} if show_hidden else {}) | ({"in": EVERYWHERE} if is_everywhere else {})
    if after is not None:
        pairs["after"] = f"{after.score!r},{after.item_id}"
    return "?" + urlencode(pairs)


def _queue_address(request: SignedInRequest, project: Project | None) -> str:
    if project is None or _is_everywhere(request):
        address = reverse("review:disagreements_everywhere")
    else:
        address = reverse("review:disagreements", args=[project.slug])
    query = _query(_filters(request), _shows_hidden(request))
    return address + (query if len(query) > 1 else "")


def _item_address(request: SignedInRequest, found: Item) -> str:
    query = _query(_filters(request), _shows_hidden(request), is_everywhere=_is_everywhere(request))
    address = reverse("review:item", args=[found.project.slug, found.opaque_id])
    return address + (query if len(query) > 1 else "")
