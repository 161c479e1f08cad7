"""Pages: models, token search, the matrix table, a direction; and what stands there until one is
computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas import copies, panels, presentation
from labelapp.atlas.keys import (
    CIRCUITS,
    SIDES,
    DirectionKey,
    KeyFormError,
    MatrixKey,
    direction_key_parse,
    matrix_key_parse,
)
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.search import Search, directions_holding, tokens_match
from labelapp.atlas.selectors import (
    NotStoredError,
    direction_get,
    matrix_columns,
    matrix_find,
    matrix_job_latest,
    matrix_key_check,
    model_get,
    models_with_holdings,
    place_variants,
)
from labelapp.atlas.services import matrix_request
from labelapp.atlas.tour import tour_stops
from labelapp.atlas.variants import COLUMNS, IMPORTED_COLUMNS, qk_note, value_name, variant_axes, variant_notes
from labelapp.jobs.models import Job, State

MAX_COLUMNS, MAX_ROWS = 64, 100
MAX_TOKEN_LENGTH = 200


@dataclass(frozen=True)
class TableOptions:
    """What of a matrix the table shows; the address holds only what differs from the default."""

    side: str
    default_side: str
    sign: str = "+"
    start: int = 0
    columns: int = 10
    rows: int = 20

    def query(self, *, copy_as: str = "", **changes: Any) -> str:
        it = replace(self, **changes)
        pairs = {
            "as": copy_as,
            "side": it.side if it.side != self.default_side else "",
            "sign": "-" if it.sign == "-" else "",
            "from": it.start or "",
            "columns": it.columns if it.columns != TableOptions.columns else "",
            "rows": it.rows if it.rows != TableOptions.rows else "",
        }
        return "?" + urlencode({name: value for name, value in pairs.items() if value})


@require_GET
def models(request: SignedInRequest) -> HttpResponse:
    holdings = models_with_holdings()
    tour = tour_stops(holding.model for holding in holdings)
    return render(request, "atlas/models.html", {"holdings": holdings, "tour": tour})


@require_GET
def search(request: SignedInRequest, slug: str) -> HttpResponse:
    try:
        found = model_get(slug)
        if found.slug != slug:
            return redirect(f"{reverse('atlas:search', args=[found.slug])}?{request.GET.urlencode()}")
        return render(request, "atlas/search.html", _search_context(request, found, _search(request.GET, found)))
    except NotStoredError as error:
        return not_found(request, error)


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
    if "as" in request.GET:
        return _matrix_copy(request, found)
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
    if job.is_open:
        return ""
    if job.state == State.FAILED:
        return job.error or "The job failed without a word; the worker's log says more."
    return f"The last job for this matrix ended ({job.state}), and yet the matrix is not stored."


def _search_context(request: SignedInRequest, model: Model, asked: Search) -> dict[str, Any]:
    matches = tokens_match(model, asked.text, prefix=asked.prefix) if asked.text else None
    tokens = matches.shown if matches else {}
    waiting = panels.hidden_directions(request.user).filter(matrix__model=model)
    hidden = set(waiting.values_list("pk", flat=True)) if tokens else set()
    results = directions_holding(model, tokens, asked, hidden=hidden) if tokens else None
    return {
        "model": model,
        "search": asked,
        "matches": matches,
        "results": results,
        "leaves_out": bool(hidden),
        "rows": [presentation.found(rank, row, tokens) for rank, row in results.rows] if results else [],
        "prefix_query": asked.query(prefix=True),
        "first_page": asked.query(),
        "further": asked.query(after=results.following) if results and results.following else "",
        "circuit_choices": [(name, presentation.CIRCUIT_NAMES[name]) for name in CIRCUITS if name in model.circuits],
        "layer_choices": range(model.n_layers),
        "side_choices": _sides(model),
    }


def _search(query: QueryDict, model: Model) -> Search:
    """As with a table, what makes no sense is left out."""
    layer = _number(query, "layer", default=model.n_layers, least=0, most=model.n_layers)
    circuit, side = query.get("circuit", ""), query.get("side", "")
    return Search(
        text=query.get("token", "")[:MAX_TOKEN_LENGTH],
        prefix=query.get("match") == "prefix",
        circuit=circuit if circuit in model.circuits else "",
        layer=layer if layer < model.n_layers else None,
        side=side if side in _sides(model) else "",
        after=query.get("after", ""),
    )


def _sides(model: Model) -> list[str]:
    return list(dict.fromkeys(side for circuit in model.circuits for side in SIDES[circuit]))


def _columns(found: Matrix, options: TableOptions) -> list[Direction]:
    rows = matrix_columns(found, side=options.side, sign=options.sign)
    return _with_matrix(list(rows[options.start : options.start + options.columns]), found)


def _matrix_copy(request: SignedInRequest, found: Matrix) -> HttpResponse:
    """The page's table in another form; without the notes below its columns, which hold verdicts."""
    form = copies.FORMS.get(request.GET["as"])
    if form is None:
        wanted = NotStoredError(f"A table is copied as {', '.join(copies.FORMS)}, not as {request.GET['as']!r}.")
        return not_found(request, wanted)
    options = _table_options(request.GET, found)
    columns = _columns(found, options)
    table = presentation.table(
        columns, rows=options.rows, notes={}, hidden=panels.controls_hidden_from(request.user, columns)
    )
    return copies.copy_response(form, copies.TableCopy(found.key, options.side, options.sign, table))


def _matrix_context(request: SignedInRequest, found: Matrix) -> dict[str, Any]:
    options = _table_options(request.GET, found)
    last = options.start + options.columns
    columns = _columns(found, options)
    notes = panels.matrix_notes(request, found, columns)
    other = presentation.other_side(found, options.side)
    key = found.key
    return {
        "matrix": found,
        "model": found.model,
        "key": key,
        "title": presentation.matrix_title(key),
        "table": presentation.table(
            columns, rows=options.rows, notes=notes, hidden=panels.controls_hidden_from(request.user, columns)
        ),
        "options": options,
        "other_end": _other_end_query(found, options),
        "other_side": other,
        "other_side_query": options.query(side=other) if other else "",
        "earlier": options.query(start=max(0, options.start - options.columns)) if options.start else "",
        "later": options.query(start=last) if last < found.n_vectors else "",
        "last_shown": options.start + len(columns) - 1,
        "column_choices": [(n, options.query(columns=n)) for n in (5, 10, 20, 64)],
        "row_choices": [(n, options.query(rows=n)) for n in (10, 20, 50) if n <= max(found.top, 10)],
        "copies": [(it, options.query(copy_as=it.slug)) for it in copies.FORMS.values()],
        "columns_are": COLUMNS[key.basis] if found.model.has_weights else IMPORTED_COLUMNS,
        "block_threshold": f"{found.model.block_threshold:.3g}",
        "notes": variant_notes(key.variant),
        "qk_note": qk_note(found.model, key.circuit),
        "axes": variant_axes(key, place_variants(found), can_compute=found.model.has_weights),
        "neighbours": _neighbours(found, key),
        "panels": panels.matrix_panels(request, found),
    }


def _direction_context(request: SignedInRequest, found: Direction) -> dict[str, Any]:
    both = _with_matrix(list(_both_ends(found)), found.matrix)
    hidden = panels.controls_hidden_from(request.user, both)
    scale = presentation.Range.of([it for it in both if it.pk not in hidden])
    ends = {it.sign: presentation.readout(it, scale, is_hidden=it.pk in hidden) for it in both}
    this, key = ends[found.sign], found.key
    other = presentation.other_side(found.matrix, found.side)
    return {
        "direction": found,
        "matrix": found.matrix,
        "model": found.matrix.model,
        "key": key,
        "title": presentation.matrix_title(key.matrix),
        "value_name": value_name(found.matrix.basis),
        "notes": variant_notes(key.matrix.variant),
        "qk_note": qk_note(found.matrix.model, found.matrix.circuit),
        "this": this,
        "antipode": ends.get(key.antipode.sign),
        "ends": [this, *(it for sign, it in ends.items() if sign != found.sign)],
        "before": _neighbour(found, key, -1),
        "after": _neighbour(found, key, +1),
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


def _neighbours(found: Matrix, key: MatrixKey) -> list[presentation.Neighbour]:
    """Matrices nearby; of imported ones those that are there, for no other can be computed."""
    near = presentation.neighbours(key, n_layers=found.model.n_layers, n_heads=found.model.n_heads)
    if found.model.has_weights:
        return near
    stored = set(
        Matrix.objects.filter(model=found.model, address__in=[it.key.address for it in near]).values_list(
            "address", flat=True
        )
    )
    return [it for it in near if it.key.address in stored]


def _other_end_query(found: Matrix, options: TableOptions) -> str:
    """Empty where the readouts were imported and there are none of the other sign."""
    sign = "-" if options.sign == "+" else "+"
    if not found.model.has_weights and not matrix_columns(found, side=options.side, sign=sign).exists():
        return ""
    return options.query(sign=sign)


def _neighbour(found: Direction, key: DirectionKey, step: int) -> DirectionKey | None:
    """The same end of the next vector that is stored; imported ones need not be next to each other."""
    index: int | None = key.index + step
    if not found.matrix.model.has_weights:
        rows = matrix_columns(found.matrix, side=found.side, sign=found.sign).values_list("index", flat=True)
        index = rows.filter(index__gt=key.index).first() if step > 0 else rows.filter(index__lt=key.index).last()
    elif not 0 <= key.index + step < found.matrix.n_vectors:
        index = None
    return None if index is None else replace(key, index=index)


def _table_query(found: Direction) -> str:
    """The table with this direction's column in it."""
    sides = SIDES[found.matrix.circuit]
    options = TableOptions(side=found.side, default_side=sides[0], sign=found.sign)
    place = found.index
    if not found.matrix.model.has_weights:
        columns = matrix_columns(found.matrix, side=found.side, sign=found.sign)
        place = columns.filter(index__lt=found.index).count()
    return options.query(start=place - place % options.columns)


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
