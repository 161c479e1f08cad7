"""A selection of a model's stored matrices: what machine judges run over, and what projects draw their items from.

The one place for it: by circuit, layer, preprocessing, basis and control, each a list of which an empty one means all.
The default is the model's own weights, raw and in the SVD's basis; whoever wants noise or a contrast names it.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from labelapp.atlas.keys import BASES, CONTROLS, PREPROCESSINGS, KeyFormError, Variant, seeded, seeded_parse
from labelapp.atlas.models import Direction, Matrix, Model
from workers.weights.errors import BadSelection
from workers.weights.selection import parse_circuits, parse_layers

NO_CONTROL = "none"  # the model's own weights, among controls
ALL = "all"


class SelectionError(ValueError):
    """A selection that cannot be; the message is one sentence that says why."""


@dataclass(frozen=True)
class MatrixSelection:
    """Which matrices of a model; of every list an empty one means all that are stored.

    Bases and controls are written as in keys, with a seed where it is not 0 (`rotated.3`); the control `none` is the
    model's own weights. What is selected is every combination that is stored.
    """

    circuits: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    preprocessings: tuple[str, ...] = ("raw",)
    bases: tuple[str, ...] = ("svd",)
    controls: tuple[str, ...] = (NO_CONTROL,)

    def as_json(self) -> dict[str, list[Any]]:
        """For a JSON column; `selection_from_json` reads it."""
        return {name: list(values) for name, values in asdict(self).items()}

    def holds(self, variant: Variant) -> bool:
        """Whether matrices of this variant are among those selected, where circuit and layer are."""
        control = seeded(variant.control, variant.control_seed) or NO_CONTROL
        return all(
            not names or name in names
            for name, names in (
                (variant.preprocessing, self.preprocessings),
                (seeded(variant.basis, variant.basis_seed), self.bases),
                (control, self.controls),
            )
        )

    @property
    def words(self) -> str:
        """As a phrase: "ov, mlp_in in layers 0, 3; control none, gaussian", or "all circuits and layers"."""
        circuits, layers = ", ".join(self.circuits), ", ".join(str(layer) for layer in self.layers)
        place = " in ".join(
            filter(None, [circuits or ("all circuits" if layers else ""), layers and f"layers {layers}"])
        )
        usual = MatrixSelection()
        variants = [
            f"{name} {', '.join(values) or ALL}"
            for name, values, default in (
                ("preprocessing", self.preprocessings, usual.preprocessings),
                ("basis", self.bases, usual.bases),
                ("control", self.controls, usual.controls),
            )
            if values != default
        ]
        return "; ".join([place or "all circuits and layers", *variants])


def selection_from_json(stored: Mapping[str, Any]) -> MatrixSelection:
    """What `as_json` made; what is missing in it is the default."""
    known = asdict(MatrixSelection())
    return MatrixSelection(**{name: tuple(stored[name]) for name in known if name in stored})


def matrices_selected(model: Model, selection: MatrixSelection) -> QuerySet[Matrix]:
    """The stored matrices of a model that a selection names."""
    return Matrix.objects.filter(matrix_filter(selection), model=model)


def directions_selected(model: Model, selection: MatrixSelection) -> QuerySet[Direction]:
    """The stored directions of a model, in the matrices that a selection names."""
    return Direction.objects.filter(matrix_filter(selection, prefix="matrix__"), matrix__model=model)


def matrix_filter(selection: MatrixSelection, *, prefix: str = "") -> Q:
    """The condition on matrices; with `prefix` "matrix__" on rows that point at one."""
    found = Q()
    for field, values in (
        ("circuit", selection.circuits),
        ("layer", selection.layers),
        ("preprocessing", selection.preprocessings),
    ):
        if values:
            found &= Q(**{f"{prefix}{field}__in": list(values)})
    return (
        found & _seeded_filter("basis", selection.bases, prefix) & _seeded_filter("control", selection.controls, prefix)
    )


def variant_filter(variant: Variant, *, prefix: str = "") -> Q:
    """The condition on matrices to be of one variant; `prefix` as in `matrix_filter`."""
    return Q(**{f"{prefix}{name}": value for name, value in asdict(variant).items()})


def variants_stored(rows: QuerySet[Matrix]) -> dict[Variant, int]:
    """The variants of some matrices, the plain one first, with how many there are: one query."""
    names = list(asdict(Variant()))
    found = rows.order_by().values_list(*names).annotate(n=Count("pk"))
    counts = {Variant(*row[:-1]): row[-1] for row in found}
    return dict(sorted(counts.items(), key=lambda it: _order(it[0])))


def _order(variant: Variant) -> tuple[int, int, int, int, int]:
    controls = ("", *CONTROLS)
    return (
        controls.index(variant.control),
        variant.control_seed,
        PREPROCESSINGS.index(variant.preprocessing),
        BASES.index(variant.basis),
        variant.basis_seed,
    )


def selection_parse(
    model: Model,
    *,
    circuits: str = "",
    layers: str = "",
    preprocessing: str = "raw",
    basis: str = "svd",
    control: str = NO_CONTROL,
) -> MatrixSelection:
    """From what somebody typed: lists with commas, layers like "0,5,9-11", `all` for everything stored.

    Raises SelectionError.
    """
    try:
        return MatrixSelection(
            tuple(parse_circuits(circuits, model.circuits)) if circuits.strip() not in ("", ALL) else (),
            tuple(parse_layers(layers, model.n_layers)) if layers.strip() not in ("", ALL) else (),
            names_parse("preprocessing", preprocessing, PREPROCESSINGS),
            names_parse("basis", basis, BASES),
            names_parse("control", control, (NO_CONTROL, *CONTROLS)),
        )
    except BadSelection as error:
        raise SelectionError(str(error)) from None


def names_parse(what: str, text: str, words: Sequence[str]) -> tuple[str, ...]:
    """Names with commas, bases and controls with their seeds, each once; `all` is the empty list.

    Raises SelectionError.
    """
    parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if parts == [ALL]:
        return ()
    if not parts:
        raise SelectionError(f"No {what} was given; choose among {', '.join(words)}.")
    return tuple(_name_parse(what, part, words) for part in parts)


def variants_of(preprocessings: Sequence[str], bases: Sequence[str], controls: Sequence[str]) -> list[Variant]:
    """Every combination of them, in this order."""
    return [
        Variant(preprocessing, *seeded_parse(basis, BASES), *_control_parse(control))
        for preprocessing in preprocessings
        for control in controls
        for basis in bases
    ]


def selection_arguments_add(parser: ArgumentParser) -> None:
    """The options of a command that works on stored matrices; `selection_of` reads them."""
    parser.add_argument("--circuits", default="", help="like ov,mlp_in (default: all that are stored)")
    parser.add_argument("--layers", default="", help="like 0,5,9-11 (default: all)")
    parser.add_argument("--preprocessing", default="raw", help=f"of {', '.join(PREPROCESSINGS)}, or all (default: raw)")
    parser.add_argument(
        "--basis", default="svd", help=f"of {', '.join(BASES)}, with a seed as in rotated.3, or all (default: svd)"
    )
    parser.add_argument(
        "--control",
        default=NO_CONTROL,
        help=f"of {', '.join(CONTROLS)}, with a seed as in gaussian.3, or none (the model's own weights), or all; "
        "with commas for several: none,gaussian mixes noise among the real ones (default: none)",
    )


def selection_of(model: Model, options: Mapping[str, Any]) -> MatrixSelection:
    """The selection that a command's options name. Raises SelectionError."""
    names = ("circuits", "layers", "preprocessing", "basis", "control")
    return selection_parse(model, **{name: options[name] for name in names})


def _name_parse(what: str, part: str, words: Sequence[str]) -> str:
    if part in words:
        return part
    word = part.partition(".")[0]
    if word not in words or word == NO_CONTROL or what == "preprocessing":
        raise SelectionError(f"There is no {what} '{part}'; choose among {', '.join(words)}.")
    try:
        return seeded(*seeded_parse(part, words))
    except KeyFormError as error:
        raise SelectionError(str(error)) from None


def _control_parse(text: str) -> tuple[str, int]:
    return ("", 0) if text == NO_CONTROL else seeded_parse(text, CONTROLS)


def _seeded_filter(field: str, names: Sequence[str], prefix: str) -> Q:
    """Basis or control with their seeds, any of some; all where none is named."""
    found = Q()
    for name in names:
        word, seed = _control_parse(name) if field == "control" else seeded_parse(name, BASES)
        found |= Q(**{f"{prefix}{field}": word, f"{prefix}{field}_seed": seed})
    return found
