"""Which directions a project is about: some models' matrices, narrowed down to indices, sides and signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from labelapp.atlas.keys import SIDES
from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import (
    ALL,
    MatrixSelection,
    SelectionError,
    matrix_filter,
    names_parse,
    selection_from_json,
    selection_parse,
)
from labelapp.atlas.selectors import model_get
from labelapp.autolabel.selection import indices_parse, run_selection_words

SIGNS = ("+", "-")
ALL_SIDES = tuple(dict.fromkeys(side for sides in SIDES.values() for side in sides))


@dataclass(frozen=True)
class ItemSelection:
    """Of these models (as in keys) the directions in these matrices, with these indices, sides and signs.

    Of every list but that of the models an empty one means all.
    """

    models: tuple[str, ...]
    matrices: MatrixSelection = field(default_factory=MatrixSelection)
    indices: tuple[int, ...] = ()
    sides: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()

    def as_json(self) -> dict[str, list[Any]]:
        """For a JSON column; `item_selection_from_json` reads it."""
        more = {"models": self.models, "indices": self.indices, "sides": self.sides, "signs": self.signs}
        return self.matrices.as_json() | {name: list(values) for name, values in more.items() if values}

    @property
    def words(self) -> str:
        """As a phrase: "demo: ov in layers 0, 3; index 0 to 9; sign +"."""
        signs = f"; sign {', '.join(self.signs)}" if self.signs else ""
        return f"{', '.join(self.models)}: {run_selection_words(self.as_json())}{signs}"

    def directions(self) -> QuerySet[Direction]:
        """Those that are stored. Raises NotStoredError for a model that is not there."""
        models = [model_get(slug).pk for slug in self.models]
        rows = Direction.objects.filter(matrix_filter(self.matrices, prefix="matrix__"), matrix__model__in=models)
        for name, values in (("index", self.indices), ("side", self.sides), ("sign", self.signs)):
            if values:
                rows = rows.filter(**{f"{name}__in": values})
        return rows


def item_selection_from_json(stored: Mapping[str, Any]) -> ItemSelection:
    """What `as_json` made."""
    more = {name: tuple(stored.get(name, ())) for name in ("models", "indices", "sides", "signs")}
    return ItemSelection(matrices=selection_from_json(stored), **more)


def item_selection_parse(
    models: Sequence[Model], *, indices: str = "", sides: str = "", signs: str = "", **matrices: str
) -> ItemSelection:
    """From what somebody typed; `matrices` as in `selection_parse`. Raises SelectionError."""
    if not models:
        raise SelectionError("No model was chosen; choose at least one.")
    # What one of the models has may be named; the others simply have none of it.
    together = Model(
        circuits=[name for name in SIDES if any(name in model.circuits for model in models)],
        n_layers=max(model.n_layers for model in models),
    )
    return ItemSelection(
        models=tuple(model.slug for model in models),
        matrices=selection_parse(together, **matrices),
        indices=indices_parse(indices),
        sides=_names("side", sides, ALL_SIDES),
        signs=_names("sign", signs, SIGNS),
    )


def _names(what: str, text: str, words: Sequence[str]) -> tuple[str, ...]:
    return names_parse(what, text, words) if text.strip() not in ("", ALL) else ()
