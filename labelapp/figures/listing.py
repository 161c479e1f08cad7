"""A figure's points as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labelapp.atlas.models import Model
from labelapp.figures.kinds.base import POINT_COLUMNS, Computed, Inputs, Kind, Point

HEADS = {
    "source": "Whose word", "name": "What", "model": "Model", "circuit": "Circuit", "layer": "Layer", "index": "Index",
    "rule": "Rule", "value": "%", "difference": "Points", "number": "Value", "interval": "95 % interval", "yes": "Yes",
    "n": "n", "left_out": "Left out", "gain": "Gain", "p": "p", "why": "Beware", "method": "Estimator",
}  # fmt: skip
MOST_ROWS = 60
NUMBERS = {"layer", "index", "value", "difference", "number", "interval", "yes", "n", "left_out", "gain", "p"}
TITLES = {
    "gain": "Effective labels for each label made: how many labels at random, without the machine, would be as exact",
    "left_out": "Unsure, unparsed or failed",
}

UNNAMED = {"source", "name", "model", "method", "why"}  # what they say is plain without their column's head


@dataclass(frozen=True)
class Cell:
    text: str
    is_number: bool
    title: str = ""
    source: str = ""  # draws the mark: person, machine, corrected
    name: str = ""  # of its column, where a phone shows rows without heads


@dataclass(frozen=True)
class Table:
    heads: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]  # the first MOST_ROWS
    total: int

    @property
    def is_cut(self) -> bool:
        return self.total > len(self.rows)


def table_of(kind: Kind, computed: Computed) -> Table:
    """Only columns in which something stands, and no more rows than a page is quick with: the CSV has all."""
    columns = [it for it in kind.columns if any(_text(it, point) for point in computed.points)]
    heads = [Cell(HEADS[it], it in NUMBERS, TITLES.get(it, "")) for it in columns]
    rows = [[_cell(it, point) for it in columns] for point in computed.points[:MOST_ROWS]]
    return Table(heads, rows, len(computed.points))


SAID_OF_ALL = ("judge", "judge_digest", "unit", "project", "selection", "data")
CSV_COLUMNS = (*POINT_COLUMNS, *SAID_OF_ALL)


def csv_rows(computed: Computed) -> list[list[Any]]:
    """As CSV_COLUMNS: every number as it was computed, and in each row what it hangs on. A person's word hangs on no
    machine and on none of its rules.
    """
    said = provenance(computed)
    rule = computed.inputs.facts.get("rule", "")
    rows = []
    for point in computed.points:
        own = {name: "" if (it := getattr(point, name)) is None else it for name in POINT_COLUMNS} | said
        if point.source == "person":
            own |= {"judge": "", "judge_digest": ""}
        else:
            own["rule"] = own["rule"] or rule
        rows.append([own[name] for name in CSV_COLUMNS])
    return rows


def provenance(computed: Computed) -> dict[str, str]:
    """What all points of a figure hang on, by SAID_OF_ALL: as it was when it was computed."""
    facts = computed.inputs.facts
    names = ("machine", "machine_digest", "unit", "project", "selection")
    found = [str(facts.get(name, "")) for name in names]
    return dict(zip(SAID_OF_ALL, [*found, computed.inputs.data_hash], strict=True))


def census_table(inputs: Inputs) -> tuple[list[str], list[list[Any]]]:
    """The census as a file has it: models by the name that keys and labels give them, not by a number of this
    database.
    """
    if "model_id" not in inputs.census_columns:
        return list(inputs.census_columns), [list(row) for row in inputs.census]
    place = inputs.census_columns.index("model_id")
    names = {pk: it.slug for pk, it in Model.objects.in_bulk({row[place] for row in inputs.census}).items()}
    rows = [[*row[:place], names.get(row[place], row[place]), *row[place + 1 :]] for row in inputs.census]
    return ["model" if it == "model_id" else it for it in inputs.census_columns], rows


def _cell(column: str, point: Point) -> Cell:
    source = point.source if column == "source" else ""
    name = "" if column in UNNAMED else {"value": "fraction, %"}.get(column, HEADS[column])
    return Cell(_text(column, point), column in NUMBERS, source=source, name=name)


def _text(column: str, point: Point) -> str:
    if column == "interval":
        return _interval(point)
    if column in ("value", "difference", "number"):
        return _value(column, point.value)
    found = getattr(point, column)
    if found is None or found == "":
        return ""
    if column == "gain":
        return f"× {found:.2f}"
    if column == "p":
        return f"{found:.2g}" if found >= 1e-4 else "< 0.0001"
    if column == "index":
        return point.name.removeprefix("index ") if point.name.startswith("index ") else f"{found:g}"
    if column in ("yes", "n", "left_out"):
        return f"{found:,}" if found or column != "left_out" else ""
    return str(found)


def _value(column: str, value: float | None) -> str:
    if value is None:
        return "–"
    if column == "number":
        return f"{value:.3g}"
    return f"{100 * value:+.1f}" if column == "difference" else f"{100 * value:.1f}"


def _interval(point: Point) -> str:
    if point.low is None or point.high is None:
        return "–" if point.value is not None else ""
    if point.method.startswith(("slope", "number")):
        return f"{point.low:.3g} to {point.high:.3g}"
    return f"{100 * point.low:.1f} to {100 * point.high:.1f}"
