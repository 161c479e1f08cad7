"""People beside machines."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from labelapp.accounts.typing import SignedInRequest
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.labelling.services import guidelines_current
from labelapp.review.access import project_get_for
from labelapp.review.crossed import Listed, crossed, listed
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
    found = crossed(project, viewer)
    directions: list[Listed] = []
    if found.listed[show]:
        directions = listed(project, viewer, found.verified, show, after=int(after), n=ROWS_A_PAGE + 1)
    shown = directions[:ROWS_A_PAGE]
    context = {
        "project": project,
        "tables": found.tables,
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
    return render(request, "review/comparison.html", context)


def _query(show: str, after: str, show_hidden: bool) -> str:
    """The page's address holds only what differs from the default."""
    pairs = {"show": show, "after": after if after != "0" else "", "all": "1" if show_hidden else ""}
    return "?" + urlencode({name: value for name, value in pairs.items() if value})
