"""A model at a glance: layers down, circuits and heads across, one cell a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.http import HttpRequest

from labelapp.atlas.keys import CIRCUITS_WITH_HEADS, CIRCUITS_WITHOUT_LAYER, MatrixKey, Variant
from labelapp.atlas.models import Model
from labelapp.atlas.panels import CellValue, OverviewColour, overview_colours
from labelapp.atlas.presentation import CIRCUIT_NAMES, HEAT_STEPS, matrix_title
from labelapp.atlas.selectors import matrices_of
from labelapp.atlas.sizes import size_text
from labelapp.atlas.variants import value_name


@dataclass(frozen=True)
class Cell:
    key: MatrixKey
    title: str
    is_stored: bool
    shown: str
    heat: int


@dataclass(frozen=True)
class Group:
    """The columns of one circuit."""

    name: str
    heads: Sequence[int | None]


@dataclass(frozen=True)
class Grid:
    groups: Sequence[Group]
    rows: Sequence[tuple[int, Sequence[Cell]]]
    without_layer: Sequence[tuple[str, Cell]]  # the embedding and the unembedding, with their names
    n_stored: int


def colours_of(request: HttpRequest, model: Model) -> list[OverviewColour]:
    """By what the overview can be coloured: first what needs no judge, then what other rooms offer."""
    first = TOP_SINGULAR_VALUE if model.has_weights else N_IMPORTED
    return [first, *overview_colours(request, model)]


def overview_grid(model: Model, colour: OverviewColour, variant: Variant) -> Grid:
    """The matrices of one variant: two queries and those of the colour, however many there are."""
    stored = dict(matrices_of(model, variant).values_list("address", "pk"))
    values = colour.values(model, variant)
    circuits = [name for name in model.circuits if name not in CIRCUITS_WITHOUT_LAYER]
    groups = [Group(CIRCUIT_NAMES[name], _heads(model, name)) for name in circuits]
    places = [(name, head) for name in circuits for head in _heads(model, name)]

    def cell(circuit: str, layer: int | None, head: int | None) -> Cell:
        return _cell(model, _key(model, circuit, layer, head).of_variant(variant), stored, values)

    rows = [(layer, [cell(name, layer, head) for name, head in places]) for layer in range(model.n_layers)]
    rest = [(CIRCUIT_NAMES[name], cell(name, None, None)) for name in model.circuits if name in CIRCUITS_WITHOUT_LAYER]
    return Grid(groups, rows, rest, len(stored))


def _top_singular_values(model: Model, variant: Variant) -> dict[int, CellValue]:
    """The depth is relative to the circuit's largest: an MLP's singular values are of another size than a head's."""
    rows: dict[int, tuple[str, float]] = {}
    for pk, circuit, values in matrices_of(model, variant).values_list("pk", "circuit", "singular_values"):
        rows[pk] = (circuit, values[0] if values else 0.0)
    largest: dict[str, float] = {}
    for circuit, value in rows.values():
        largest[circuit] = max(value, largest.get(circuit, 0.0))
    name = value_name(variant.basis).name
    return {
        pk: CellValue(value / (largest[circuit] or 1.0), size_text(value), f"largest {name} {value:.4g}")
        for pk, (circuit, value) in rows.items()
    }


TOP_SINGULAR_VALUE = OverviewColour(
    slug="sigma",
    name="Largest singular value",
    explanation="Each cell shows its matrix's largest singular value (in another basis than the SVD's: the largest of "
    "what it orders its vectors by); the colour is relative to the circuit's largest.",
    values=_top_singular_values,
)


def _imported_counts(model: Model, variant: Variant) -> dict[int, CellValue]:
    rows = dict(matrices_of(model, variant).values_list("pk", "n_vectors"))
    most = max(rows.values(), default=0) or 1
    return {pk: CellValue(n / most, str(n), f"{n} vectors imported") for pk, n in rows.items()}


N_IMPORTED = OverviewColour(
    slug="n",
    name="Vectors imported",
    explanation="Each cell shows how many vectors' readouts were imported for its matrix.",
    values=_imported_counts,
)


def _heads(model: Model, circuit: str) -> Sequence[int | None]:
    return range(model.n_heads) if circuit in CIRCUITS_WITH_HEADS else [None]


def _key(model: Model, circuit: str, layer: int | None, head: int | None) -> MatrixKey:
    return MatrixKey(model.name, circuit, layer, head, "" if model.is_default else model.revision)


def _cell(model: Model, key: MatrixKey, stored: Mapping[str, int], values: Mapping[int, CellValue]) -> Cell:
    pk = stored.get(key.address)
    title = matrix_title(key)
    if pk is None and not model.has_weights:
        return Cell(key, f"{title}: not imported", False, "–", 0)
    if pk is None:
        return Cell(key, f"{title}: not computed yet, opening it does it", False, "", 0)
    value = values.get(pk)
    if value is None:
        return Cell(key, f"{title}: nothing known", True, "–", 0)
    depth = max(0, min(HEAT_STEPS, round(value.depth * HEAT_STEPS)))
    return Cell(key, f"{title}: {value.title}", True, value.shown, depth)
