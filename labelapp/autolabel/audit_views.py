"""The audits of a run or an import: a list with counts, and behind each its items."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from labelapp.accounts.typing import SignedInRequest
from labelapp.autolabel.audits import PAGE_ROWS, AuditError, audit_get, audit_items, findings, source_get


@require_GET
def audits(request: SignedInRequest, address: str) -> HttpResponse:
    try:
        source = source_get(address)
    except AuditError as error:
        raise Http404(str(error)) from None
    return render(request, "autolabel/audits.html", {"source": source, "findings": findings(source, request.user)})


@require_GET
def audit(request: SignedInRequest, address: str, name: str) -> HttpResponse:
    """`?from=` how many items come before those of the page."""
    try:
        source, found = source_get(address), audit_get(name)
    except AuditError as error:
        raise Http404(str(error)) from None
    start = request.GET.get("from", "0")
    if not (start.isascii() and start.isdigit() and len(start) < 10):
        raise Http404("There is no such page of this audit.")
    first = int(start)
    all_found = findings(source, request.user)
    places = all_found.found[name]
    context = {
        "source": source,
        "audit": found,
        "findings": all_found,
        "count": len(places),
        "items": audit_items(places, start=first),
        "first": first + 1,
        "last": min(first + PAGE_ROWS, len(places)),
        "earlier": _query(max(0, first - PAGE_ROWS)) if first else "",
        "later": _query(first + PAGE_ROWS) if first + PAGE_ROWS < len(places) else "",
    }
    return render(request, "autolabel/audit.html", context)


def _query(start: int) -> str:
    return "?" + urlencode({"from": start} if start else {})
