"""What came out of a project of pairs or matrices: a page for its owner and reviewers, and a table to save."""

from __future__ import annotations

from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from labelapp.accounts.typing import SignedInRequest
from labelapp.exchange.spreadsheets import csv_chunks
from labelapp.judgements.models import VERDICTS_OF
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.progress.result_rows import result_rows
from labelapp.labelling.progress.results import TIE, agreements, results
from labelapp.labelling.selectors import REVIEWING_ROLES, project_get_for
from labelapp.labelling.subject_rows import ITEM_COLUMNS, JUDGEMENT_COLUMNS, subject_table
from labelapp.labelling.subjects import NAMES

ROWS_A_PAGE = 50
MOST_DIGITS = 9


@require_GET
def results_page(request: SignedInRequest, slug: str) -> HttpResponse:
    """`?show=` a verdict, `?after=` the last place of the page before, `?all=1` hides nothing."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    if project.is_of_directions:
        return redirect("review:comparison", project.slug)
    show, after = request.GET.get("show", ""), request.GET.get("after", "")
    verdicts = [*map(str, VERDICTS_OF[project.subject]), TIE]
    if show not in ("", *verdicts) or not _is_place(after):
        raise Http404("There is no such page of the results.")
    show_hidden = request.GET.get("all") == "1"
    found = results(project, request.user, show_hidden=show_hidden)
    listed = [it for it in found.judged if not show or it.verdict == show]
    rest = [it for it in listed if not after or it.item.position > int(after)]
    rows = rest[:ROWS_A_PAGE]
    counts = {name: sum(it.verdict == name for it in found.judged) for name in verdicts}
    context = {
        "project": project,
        "role": Membership.objects.values_list("role", flat=True).get(project=project, user=request.user),
        "name": NAMES[project.subject],  # type: ignore[index]
        "found": found,
        "groups": [("Circuit", found.by_circuit), ("Layer", found.by_layer)],
        "controls": [("Control", found.by_control)] if found.by_control else [],
        "agreements": agreements(project, found.judged),
        "rows": result_rows(project, rows),
        "filters": [("", len(found.judged), _query("", "", show_hidden), not show)]
        + [(name, n, _query(name, "", show_hidden), name == show) for name, n in counts.items() if n],
        "hidden_query": _query(show, after, True),
        "first_query": _query(show, "", show_hidden) if after else "",
        "next_query": _query(show, str(rows[-1].item.position), show_hidden) if len(rest) > len(rows) else "",
    }
    return render(request, "labelling/results.html", context)


@require_GET
def results_table(request: SignedInRequest, slug: str) -> StreamingHttpResponse:
    """Every judgement in CSV, for the project's owner and reviewers."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    _require_subjects(project)
    return StreamingHttpResponse(
        csv_chunks([*ITEM_COLUMNS, *JUDGEMENT_COLUMNS], subject_table(project)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{project.slug}.csv"'},
    )


def _require_subjects(project: Project) -> None:
    """Raises Http404 for a project of directions."""
    if project.is_of_directions:
        raise Http404(f"{project.name} is a project of directions; export it from its comparison.")


def _is_place(text: str) -> bool:
    return text == "" or (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS)


def _query(show: str, after: str, show_hidden: bool) -> str:
    """The page's address holds only what differs from the default."""
    pairs = {"show": show, "after": after, "all": "1" if show_hidden else ""}
    return "?" + urlencode({name: value for name, value in pairs.items() if value})
