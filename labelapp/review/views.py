"""People beside machines."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.jobs.pages import progress_context
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.labelling.services import guidelines_current
from labelapp.review.access import project_get_for
from labelapp.review.crossed import Crossed, Listed, listed
from labelapp.review.crossed_shown import crossed_shown, crossed_start
from labelapp.review.selectors import FILTERS, ROWS_A_PAGE, comparison_rows, projects_reviewed_by

MOST_DIGITS = 18  # of an id: what the database's integers hold


@require_GET
def projects(request: SignedInRequest) -> HttpResponse:
    return render(request, "review/projects.html", {"memberships": projects_reviewed_by(request.user)})


@require_GET
def comparison_page(request: SignedInRequest, slug: str) -> HttpResponse:
    """`?show=agree|disagree`, `?after=` the last direction of the page before, `?all=1` hides nothing."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    show = request.GET.get("show", "")
    after = request.GET.get("after", "0")
    if show not in FILTERS or not (after.isascii() and after.isdigit() and len(after) <= MOST_DIGITS):
        raise Http404("There is no such page of the comparison.")
    show_hidden = request.GET.get("all") == "1"
    viewer = None if show_hidden else request.user
    counted = crossed_shown(project, viewer)
    found = counted.counts or Crossed(0)
    directions: list[Listed] = []
    if found.listed[show] or (counted.counts is not None and counted.counted_at is not None):
        directions = listed(project, viewer, found.verified, show, after=int(after), n=ROWS_A_PAGE + 1)
    shown = directions[:ROWS_A_PAGE]
    context = {
        "project": project,
        "counted": counted,
        "show": show,
        "show_hidden": show_hidden,
        "fields": _pairs(show, "0", show_hidden),
        "tables": found.tables,
        "paired": found.paired,
        "guidelines_now": guidelines_current(project).version,
        "rows": comparison_rows(project, shown, found.verified, viewer),
        "n_hidden": found.n_hidden,
        "hidden_query": _query(show, after, True),
        "n_judged": found.n_judged,
        "n_items": found.n_items,
        "filters": [(name, found.listed[name], _query(name, "0", show_hidden), name == show) for name in FILTERS],
        "first_query": _query(show, "0", show_hidden) if int(after) else "",
        "next_query": _query(show, str(shown[-1].direction_id), show_hidden) if len(directions) > ROWS_A_PAGE else "",
    }
    if counted.job is not None:
        context |= progress_context(counted.job, user=request.user)
    return render(request, "review/comparison.html", context)


@require_POST
def count(request: SignedInRequest, slug: str) -> HttpResponse:
    """Enqueue the comparison's counting, for the page that the form stands on."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    show_hidden = request.POST.get("all") == "1"
    crossed_start(project=project, viewer=None if show_hidden else request.user, user=request.user)
    show = request.POST.get("show", "")
    query = _query(show if show in FILTERS else "", "0", show_hidden)
    return redirect(reverse("review:comparison", args=[slug]) + (query if query != "?" else ""))


def _query(show: str, after: str, show_hidden: bool) -> str:
    return "?" + urlencode(_pairs(show, after, show_hidden))


def _pairs(show: str, after: str, show_hidden: bool) -> list[tuple[str, str]]:
    """The page's address holds only what differs from the default."""
    pairs = {"show": show, "after": after if after != "0" else "", "all": "1" if show_hidden else ""}
    return [(name, value) for name, value in pairs.items() if value]
