"""Pages: models, a model's overview, the matrix table, a direction; and what stands there until one is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas import panels, presentation
from labelapp.atlas.keys import (
    SIDES,
    DirectionKey,
    KeyFormError,
    MatrixKey,
    direction_key_parse,
    matrix_key_parse,
)
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.overview import colours_of, overview_grid
from labelapp.atlas.selectors import (
    NotStoredError,
    direction_get,
    matrix_columns,
    matrix_find,
    matrix_job_latest,
    matrix_key_check,
    model_get,
    models_with_holdings,
)
from labelapp.atlas.services import matrix_request
from labelapp.jobs.models import Job, State

MAX_COLUMNS, MAX_ROWS = 64, 100


@dataclass(frozen=True)
class TableOptions:
    """What of a matrix the table shows; the address holds only what differs from the default."""

    side: str
    default_side: str
    sign: str = "+"
    start: int = 0
    columns: int = 10
    rows: int = 20

    def query(self, **changes: Any) -> str:
        it = replace(self, **changes)
        pairs = {
            "side": it.side if it.side != self.default_side else "",
            "sign": "-" if it.sign == "-" else "",
            "from": it.start or "",
            "columns": it.columns if it.columns != TableOptions.columns else "",
            "rows": it.rows if it.rows != TableOptions.rows else "",
        }
        return "?" + urlencode({name: value for name, value in pairs.items() if value})


@require_GET
def models(request: SignedInRequest) -> HttpResponse:
    return render(request, "atlas/models.html", {"holdings": models_with_holdings()})


@require_GET
def model(request: SignedInRequest, slug: str) -> HttpResponse:
    try:
        found = model_get(slug)
    except NotStoredError as error:
        return not_found(request, error)
    if found.slug != slug:
        return redirect("atlas:model", found.slug)
    colours = colours_of(request, found)
    chosen = next((it for it in colours if it.slug == request.GET.get("colour")), colours[0])
    context = {"model": found, "colours": colours, "chosen": chosen, "grid": overview_grid(found, chosen)}
    return render(request, "atlas/model.html", context)


@require_GET
def matrix(request: SignedInRequest, key: str) -> HttpResponse:
    try:
        parsed = matrix_key_parse(key)
        owner = model_get(parsed.model_part)
        found = matrix_find(owner, parsed)
        if found is None:
            matrix_key_check(owner, parsed)
            return _matrix_missing(request, owner, parsed)
    except (KeyFormError, NotStoredError) as error:
        return not_found(request, error)
    if str(found.key) != key:
        return redirect("atlas:matrix", str(found.key))
    return render(request, "atlas/matrix.html", _matrix_context(request, found))


@require_GET
def direction(request: SignedInRequest, key: str) -> HttpResponse:
    try:
        parsed = direction_key_parse(key)
        owner = model_get(parsed.matrix.model_part)
        if matrix_find(owner, parsed.matrix) is None:
            matrix_key_check(owner, parsed.matrix)
            return _matrix_missing(request, owner, parsed.matrix)
        found = direction_get(parsed)
    except (KeyFormError, NotStoredError) as error:
        return not_found(request, error)
    if str(found.key) != key:
        return redirect("atlas:direction", str(found.key))
    return render(request, "atlas/direction.html", _direction_context(request, found))


@require_POST
def matrix_compute(request: SignedInRequest, key: str) -> HttpResponse:
    """Ask for a matrix again, after a failure."""
    try:
        parsed = matrix_key_parse(key)
        matrix_request(model=model_get(parsed.model_part), key=parsed, created_by=request.user)
    except (KeyFormError, NotStoredError) as error:
        return not_found(request, error)
    following = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(following, allowed_hosts={request.get_host()}):
        return redirect(following)
    return redirect("atlas:matrix", key)


def not_found(request: SignedInRequest, error: Exception) -> HttpResponse:
    """A page with the sentence of a KeyFormError or NotStoredError."""
    return render(request, "atlas/not_found.html", {"reason": str(error)}, status=404)


def _matrix_missing(request: SignedInRequest, owner: Model, key: MatrixKey) -> HttpResponse:
    """Opening a matrix's page asks for it, unless that failed before: then a person decides.

    The job's progress loads the page anew when it is over.
    """
    job = matrix_job_latest(owner, key.address)
    if job is None:
        job = matrix_request(model=owner, key=key, created_by=request.user)
    context = {
        "model": owner,
        "key": key,
        "title": presentation.matrix_title(key),
        "job": job,
        "failure": _failure(job),
        "next": request.get_full_path(),
    }
    return render(request, "atlas/computing.html", context)


def _failure(job: Job) -> str:
    """Why there is nothing to wait for; empty while there is."""
    if job.is_active:
        return ""
    if job.state == State.FAILED:
        return job.error or "The job failed without a word; the worker's log says more."
    return f"The last job for this matrix ended ({job.state}), and yet the matrix is not stored."


def _matrix_context(request: SignedInRequest, found: Matrix) -> dict[str, Any]:
    options = _table_options(request.GET, found)
    last = options.start + options.columns
    rows = matrix_columns(found, side=options.side, sign=options.sign)[options.start : last]
    columns = _with_matrix(list(rows), found)
    notes = panels.matrix_notes(request, found, columns)
    other = presentation.other_side(found, options.side)
    key = found.key
    return {
        "matrix": found,
        "model": found.model,
        "key": key,
        "title": presentation.matrix_title(key),
        "table": presentation.table(columns, rows=options.rows, notes=notes),
        "options": options,
        "other_end": options.query(sign="-" if options.sign == "+" else "+"),
        "other_side": other,
        "other_side_query": options.query(side=other) if other else "",
        "earlier": options.query(start=max(0, options.start - options.columns)) if options.start else "",
        "later": options.query(start=last) if last < found.n_vectors else "",
        "last_shown": options.start + len(columns) - 1,
        "column_choices": [(n, options.query(columns=n)) for n in (5, 10, 20, 64)],
        "row_choices": [(n, options.query(rows=n)) for n in (10, 20, 50) if n <= max(found.top, 10)],
        "neighbours": presentation.neighbours(key, n_layers=found.model.n_layers, n_heads=found.model.n_heads),
        "panels": panels.matrix_panels(request, found),
    }


def _direction_context(request: SignedInRequest, found: Direction) -> dict[str, Any]:
    both = _with_matrix(list(_both_ends(found)), found.matrix)
    scale = presentation.Range.of(both)
    ends = {it.sign: presentation.readout(it, scale) for it in both}
    this, key = ends[found.sign], found.key
    other = presentation.other_side(found.matrix, found.side)
    return {
        "direction": found,
        "matrix": found.matrix,
        "model": found.matrix.model,
        "key": key,
        "title": presentation.matrix_title(key.matrix),
        "this": this,
        "antipode": ends.get(key.antipode.sign),
        "ends": [this, *(it for sign, it in ends.items() if sign != found.sign)],
        "before": _index(key, key.index - 1) if key.index else None,
        "after": _index(key, key.index + 1) if key.index + 1 < found.matrix.n_vectors else None,
        "other_side": replace(key, side=other) if other else None,
        "table_query": _table_query(found),
        "panels": panels.direction_panels(request, found),
    }


def _both_ends(found: Direction) -> Any:
    return Direction.objects.filter(matrix=found.matrix, side=found.side, index=found.index).order_by("sign")


def _with_matrix(rows: list[Direction], matrix: Matrix) -> list[Direction]:
    """The rows with their matrix at hand, so that a key needs no query."""
    for row in rows:
        row.matrix = matrix
    return rows


def _index(key: DirectionKey, index: int) -> DirectionKey:
    return replace(key, index=index)


def _table_query(found: Direction) -> str:
    """The table with this direction's column in it."""
    sides = SIDES[found.matrix.circuit]
    options = TableOptions(side=found.side, default_side=sides[0], sign=found.sign)
    return options.query(start=found.index - found.index % options.columns)


def _table_options(query: QueryDict, found: Matrix) -> TableOptions:
    """From an address that anybody may have typed: what makes no sense becomes the default."""
    sides = SIDES[found.circuit]
    side = query.get("side", "")
    return TableOptions(
        side=side if side in sides else sides[0],
        default_side=sides[0],
        sign="-" if query.get("sign") == "-" else "+",
        start=_number(query, "from", default=0, least=0, most=max(0, found.n_vectors - 1)),
        columns=_number(query, "columns", default=TableOptions.columns, least=1, most=MAX_COLUMNS),
        rows=_number(query, "rows", default=TableOptions.rows, least=1, most=MAX_ROWS),
    )


def _number(query: QueryDict, name: str, *, default: int, least: int, most: int) -> int:
    text = query.get(name, "")
    return min(max(int(text), least), most) if text.isascii() and text.isdigit() and len(text) < 9 else default
