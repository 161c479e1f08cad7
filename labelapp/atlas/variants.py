"""What pages say of a matrix's variant: its name, what was done to it, and where the others of the same place are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from labelapp.atlas.keys import BASES, COMPUTED_BASES, CONTROLS, PREPROCESSINGS, MatrixKey, Variant, seeded
from labelapp.atlas.models import Model


@dataclass(frozen=True)
class ValueName:
    """What a basis orders its vectors by; in the SVD's basis the singular value."""

    symbol: str
    name: str
    explanation: str


VALUES = {
    "svd": ValueName("σ", "singular value", "Singular value"),
    "neuron": ValueName(
        "size", "size of a unit", "Size of the unit's term in the matrix: its vector's length, or the product of both"
    ),
    "rotated": ValueName("stretch", "stretch", "How much longer the matrix makes this vector"),
    "varimax": ValueName("stretch", "stretch", "How much longer the matrix makes this vector"),
    "dictionary": ValueName("value", "value", "The number that was imported with this feature"),
}
COLUMNS = {
    "svd": "directions by singular value",
    "neuron": "hidden units by size",
    "rotated": "vectors of a random rotation, by how much longer the matrix makes them",
    "varimax": "vectors of the varimax rotation, by how much longer the matrix makes them",
}
IMPORTED_COLUMNS = "directions by index"  # whatever the basis: only what was imported is there
PREPROCESSING_NOTES = {
    "folded": "Folded: the norms' gains and biases are folded into the weights, which are centred as LayerNorm "
    "centres; readouts use the unembedding with the final norm's gain.",
}
BASIS_NOTES = {
    "neuron": "A contrast: the vectors of single hidden units as they stand, not singular directions.",
    "rotated": "A contrast: the first singular vectors turned by a random rotation. It spans the same space, so a "
    "vector of it can mean something.",
    "varimax": "A contrast: the first singular vectors turned so that each has few large coordinates.",
    "dictionary": "Features of a dictionary that was trained elsewhere (a sparse autoencoder, say): imported readouts.",
}
CONTROL_NOTES = {
    "gaussian": "random numbers in the shape, rank and mean square of the weights",
    "covariance": "random numbers with the unembedding's covariance and the weights' size",
    "shuffled": "the weights' own entries in a random order",
    "column_shuffled": "the weights' own entries in a random order within each residual coordinate",
}
ROTARY_NOTE = (
    "Queries and keys of this model are turned by their position (rotary), so what QK compares depends on the distance "
    "between two tokens. This is the matrix at relative position offset 0: a token with itself."
)


@dataclass(frozen=True)
class VariantNotes:
    """What a page says of a matrix that is not the model's own, raw, in the SVD's basis."""

    control: str  # a sentence for a control; empty for the model's own weights
    notes: Sequence[str]


@dataclass(frozen=True)
class Choice:
    """A link to the same place in another variant."""

    name: str
    key: MatrixKey
    is_current: bool
    is_stored: bool


@dataclass(frozen=True)
class Axis:
    name: str
    choices: Sequence[Choice]


def value_name(basis: str) -> ValueName:
    return VALUES[basis]


def variant_title(variant: Variant) -> str:
    """In a few words: "folded, rotated 3, control gaussian", or "the model's own"."""
    parts = [] if variant.preprocessing == "raw" else [variant.preprocessing]
    parts += [] if variant.basis == "svd" else [_seeded_words(variant.basis, variant.basis_seed)]
    parts += [f"control {_seeded_words(variant.control, variant.control_seed)}"] if variant.control else []
    return ", ".join(parts) or "the model's own"


def variant_notes(variant: Variant) -> VariantNotes:
    control = ""
    if variant.control:
        made = CONTROL_NOTES[variant.control]
        control = f"{variant.control}, seed {variant.control_seed}: {made} stand in the weights' place."
    known = (PREPROCESSING_NOTES.get(variant.preprocessing), BASIS_NOTES.get(variant.basis))
    return VariantNotes(control, [note for note in known if note])


def qk_note(model: Model, circuit: str) -> str:
    """What must be said of the QK circuit of a model with rotary embeddings; empty elsewhere."""
    return ROTARY_NOTE if circuit == "qk" and model.rotary else ""


def variant_axes(key: MatrixKey, stored: Collection[Variant], *, can_compute: bool) -> list[Axis]:
    """The links from one matrix to its variants: one thing changed at a time; seeds other than 0 where stored.

    Where there are no weights to compute others from, only to those that are stored.
    """
    here = key.variant
    bases = _names(COMPUTED_BASES, ((it.basis, it.basis_seed) for it in {*stored, here}))
    controls = _names(("", *CONTROLS), ((it.control, it.control_seed) for it in {*stored, here}))
    changes = {
        "Preprocessing": [(name, replace(here, preprocessing=name)) for name in PREPROCESSINGS],
        "Basis": [(seeded(*it), replace(here, basis=it[0], basis_seed=it[1])) for it in bases],
        "Control": [(seeded(*it) or "none", replace(here, control=it[0], control_seed=it[1])) for it in controls],
    }
    axes = [
        Axis(axis, [Choice(name, key.of_variant(it), it == here, it in stored) for name, it in choices])
        for axis, choices in changes.items()
    ]
    if can_compute:
        return axes
    there = [Axis(axis.name, [choice for choice in axis.choices if choice.is_stored]) for axis in axes]
    return [axis for axis in there if len(axis.choices) > 1]


def _names(words: Sequence[str], found: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Every word with the seed 0, and what was found besides."""
    order = ("", *CONTROLS, *BASES)
    return sorted({*((word, 0) for word in words), *found}, key=lambda it: (order.index(it[0]), it[1]))


def _seeded_words(word: str, seed: int) -> str:
    return f"{word} {seed}" if seed else word
