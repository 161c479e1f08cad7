"""People beside machines."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from labelapp.accounts.typing import SignedInRequest
from labelapp.labelling.selectors import REVIEWING_ROLES, explored
from labelapp.labelling.services import guidelines_current
from labelapp.review.access import project_get_for
from labelapp.review.selectors import (
    FILTERS,
    ROWS_A_PAGE,
    comparison,
    comparison_rows,
    hidden_from,
    items_total,
    projects_reviewed_by,
)

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
    found = comparison(project)
    hidden = set() if show_hidden else hidden_from(request.user, found)
    listed = {name: found.direction_ids(wanted, hidden=hidden) for name, wanted in FILTERS.items()}
    ids = [pk for pk in listed[show] if pk > int(after)]
    rows = comparison_rows(project, found, ids[:ROWS_A_PAGE], hidden=hidden)
    apart = explored(project)  # chosen, not drawn: in the list, and in no table
    context = {
        "project": project,
        "tables": found.without(hidden | apart).tables,
        "explored": apart,
        "guidelines_now": guidelines_current(project).version,
        "rows": rows,
        "n_hidden": len(hidden),
        "hidden_query": _query(show, after, True),
        "n_judged": len(found.people),
        "n_items": items_total(project),
        "filters": [(name, len(pks), _query(name, "0", show_hidden), name == show) for name, pks in listed.items()],
        "first_query": _query(show, "0", show_hidden) if int(after) else "",
        "next_query": _query(show, str(ids[ROWS_A_PAGE - 1]), show_hidden) if len(ids) > ROWS_A_PAGE else "",
    }
    return render(request, "review/comparison.html", context)


def _query(show: str, after: str, show_hidden: bool) -> str:
    """The page's address holds only what differs from the default."""
    pairs = {"show": show, "after": after if after != "0" else "", "all": "1" if show_hidden else ""}
    return "?" + urlencode({name: value for name, value in pairs.items() if value})
