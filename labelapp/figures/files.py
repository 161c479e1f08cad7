"""What a plot can be saved as: SVG, PNG, PDF, its data as CSV, its specification as JSON."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.http import Http404, HttpResponse, JsonResponse

from labelapp.exchange.spreadsheets import csv_bytes
from labelapp.figures.render import DRAWN_FORMS, RenderError, plot_draw

logger = logging.getLogger(__name__)

FORMS = (*DRAWN_FORMS, "csv", "spec")
CONTENT_TYPES = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf"}


def plot_response(
    form: str, *, name: str, spec: Mapping[str, Any], header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> HttpResponse:
    """A plot in one of its forms. Raises Http404 for another one."""
    if form == "spec":
        return JsonResponse(spec, headers={"Content-Disposition": f'attachment; filename="{name}.vl.json"'})
    if form == "csv":
        return _download(csv_bytes(header, rows), "text/csv; charset=utf-8", f"{name}.csv")
    if form not in DRAWN_FORMS:
        raise Http404(f"A plot is saved as {', '.join(FORMS)}, not as {form}.")
    try:
        drawn = plot_draw(spec, form)
    except RenderError as error:
        logger.error("The plot %s could not be drawn: %s", name, error)
        text = "The plot could not be drawn; its data (CSV) are not affected. The server's log says more."
        return HttpResponse(text, status=500, content_type="text/plain")
    return _download(drawn, CONTENT_TYPES[form], f"{name}.{form}")


def file_name(text: str) -> str:
    """A key as the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")


def _download(content: bytes, content_type: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type=content_type, headers=headers)
