"""Keys: the addresses of matrices and directions, parsed and printed in this one place.

    gpt2-medium/ov.22.10                          a matrix
    gpt2-medium/ov.22.10/1+                       a direction
    gpt2-medium@607a30d/ov.22.10:read/1+;folded;rotated

What differs from the default is added in a fixed order: revision, side, preprocessing, basis, control;
a seed follows its basis or control (`;rotated.3`, `;gaussian.7`) where it is not 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast
from urllib.parse import quote

Sign = Literal["+", "-"]

# For each circuit its sides, the default first.
SIDES: dict[str, tuple[str, ...]] = {
    "ov": ("write", "read"),
    "qk": ("query", "key"),
    "mlp_in": ("read",),
    "mlp_gate": ("read",),
    "mlp_out": ("write",),
    "embed": ("write",),
    "unembed": ("read",),
}
CIRCUITS = tuple(SIDES)
CIRCUITS_WITH_HEADS = ("ov", "qk")
CIRCUITS_WITHOUT_LAYER = ("embed", "unembed")
PREPROCESSINGS = ("raw", "folded")
COMPUTED_BASES = ("svd", "neuron", "rotated", "varimax")
# A dictionary (a sparse autoencoder, say) is trained elsewhere: its features come as imported readouts alone.
BASES = (*COMPUTED_BASES, "dictionary")
UNSEEDED_BASES = ("svd", "varimax")  # nothing in them is random
CONTROLS = ("gaussian", "covariance", "shuffled", "column_shuffled")
SEED_DIGITS = 9  # what the databases' integers hold

_MODEL = r"(?P<model>[a-z0-9][a-z0-9._-]*)(?:@(?P<revision>[0-9a-z._-]+))?"
_MATRIX = r"(?P<circuit>[a-z_]+)(?:\.(?P<layer>\d+))?(?:\.(?P<head>\d+))?"
_DIRECTION = r"(?::(?P<side>[a-z]+))?/(?P<index>\d+)(?P<sign>[+-])"
_VARIANT = r"(?P<variant>(?:;[a-z_]+(?:\.\d+)?)*)"
_MATRIX_KEY = re.compile(f"{_MODEL}/{_MATRIX}{_VARIANT}")
_DIRECTION_KEY = re.compile(f"{_MODEL}/{_MATRIX}{_DIRECTION}{_VARIANT}")


class KeyFormError(ValueError):
    """Text that is not a key; the message says what a key looks like."""


@dataclass(frozen=True)
class Variant:
    """How a matrix was made from the weights; `control` is empty for the model's own."""

    preprocessing: str = "raw"
    basis: str = "svd"
    basis_seed: int = 0
    control: str = ""
    control_seed: int = 0

    def __str__(self) -> str:
        """What differs from the default, as it ends a key: `;folded;rotated`; empty where nothing does."""
        parts = []
        if self.preprocessing != "raw":
            parts.append(self.preprocessing)
        if self.basis != "svd":
            parts.append(seeded(self.basis, self.basis_seed))
        if self.control:
            parts.append(seeded(self.control, self.control_seed))
        return "".join(f";{part}" for part in parts)


@dataclass(frozen=True)
class MatrixKey:
    """The address of one decomposed matrix; `revision` is empty for a model's default one."""

    model: str
    circuit: str
    layer: int | None = None
    head: int | None = None
    revision: str = ""
    preprocessing: str = "raw"
    basis: str = "svd"
    basis_seed: int = 0
    control: str = ""
    control_seed: int = 0

    @property
    def model_part(self) -> str:
        return f"{self.model}@{self.revision}" if self.revision else self.model

    @property
    def matrix_part(self) -> str:
        """Circuit, layer and head: `ov.22.10`."""
        return ".".join(str(part) for part in (self.circuit, self.layer, self.head) if part is not None)

    @property
    def variant(self) -> Variant:
        return Variant(self.preprocessing, self.basis, self.basis_seed, self.control, self.control_seed)

    @property
    def variant_part(self) -> str:
        """Preprocessing, basis and control, as far as they differ from the default: `;folded;rotated`."""
        return str(self.variant)

    def of_variant(self, variant: Variant) -> MatrixKey:
        """The same circuit, layer and head in another variant."""
        return replace(self, **asdict(variant))

    @property
    def address(self) -> str:
        """The key without the model: what is unique within one."""
        return self.matrix_part + self.variant_part

    def __str__(self) -> str:
        return f"{self.model_part}/{self.address}"

    @property
    def url(self) -> str:
        return quote(str(self), safe="/")


@dataclass(frozen=True)
class DirectionKey:
    """The address of one direction: a matrix, a side, an index and a sign."""

    matrix: MatrixKey
    side: str
    index: int
    sign: Sign

    def __str__(self) -> str:
        default = self.side == SIDES[self.matrix.circuit][0]
        side = "" if default else f":{self.side}"
        matrix = self.matrix
        return f"{matrix.model_part}/{matrix.matrix_part}{side}/{self.index}{self.sign}{matrix.variant_part}"

    @property
    def url(self) -> str:
        return quote(str(self), safe="/")

    @property
    def antipode(self) -> DirectionKey:
        """The other end of the same vector."""
        return replace(self, sign="-" if self.sign == "+" else "+")


def matrix_key_parse(text: str) -> MatrixKey:
    """Raises KeyFormError where `text` is not the one printed form of a matrix's key."""
    match = _MATRIX_KEY.fullmatch(text)
    if not match:
        raise KeyFormError(f"{text!r} is not a matrix's key; one looks like gpt2-medium/ov.22.10.")
    key = _matrix_key(match)
    _require_printed_form(str(key), text)
    return key


def direction_key_parse(text: str) -> DirectionKey:
    """Raises KeyFormError where `text` is not the one printed form of a direction's key."""
    match = _DIRECTION_KEY.fullmatch(text)
    if not match:
        raise KeyFormError(f"{text!r} is not a direction's key; one looks like gpt2-medium/ov.22.10/1+.")
    matrix = _matrix_key(match)
    sides = SIDES[matrix.circuit]
    side = match["side"] or sides[0]
    if side not in sides:
        raise KeyFormError(f"{matrix.circuit} has no side {side!r}; it has {' and '.join(sides)}.")
    key = DirectionKey(matrix, side, int(match["index"]), cast(Sign, match["sign"]))
    _require_printed_form(str(key), text)
    return key


def _matrix_key(match: re.Match[str]) -> MatrixKey:
    circuit = match["circuit"]
    if circuit not in SIDES:
        raise KeyFormError(f"{circuit!r} is not a circuit; the circuits are {', '.join(CIRCUITS)}.")
    layer = None if match["layer"] is None else int(match["layer"])
    head = None if match["head"] is None else int(match["head"])
    if (layer is None) != (circuit in CIRCUITS_WITHOUT_LAYER):
        raise KeyFormError(f"{match[0]!r}: {circuit} {'needs' if layer is None else 'has no'} layer.")
    if (head is None) == (circuit in CIRCUITS_WITH_HEADS):
        raise KeyFormError(f"{match[0]!r}: {circuit} {'needs' if head is None else 'has no'} head.")
    return MatrixKey(
        match["model"], circuit, layer, head, match["revision"] or "", **asdict(_variant(match["variant"]))
    )


def variant_parse(text: str) -> Variant:
    """`;folded;rotated.3` as it ends a key; empty text is the default. Raises KeyFormError."""
    variant = _variant(text)
    _require_printed_form(str(variant), text)
    return variant


def _variant(text: str) -> Variant:
    found: dict[str, Any] = {}
    for part in text.split(";")[1:]:
        found |= _variant_part(part)
    return Variant(**found)


def _variant_part(part: str) -> dict[str, str | int]:
    if part in PREPROCESSINGS:
        return {"preprocessing": part}
    for name, words in (("basis", BASES), ("control", CONTROLS)):
        if part.partition(".")[0] in words:
            word, seed = seeded_parse(part, words)
            return {name: word, f"{name}_seed": seed}
    raise KeyFormError(f"{part!r} is neither a preprocessing nor a basis nor a control.")


def seeded(word: str, seed: int) -> str:
    """A basis or control with its seed, as keys have it: `rotated`, `rotated.3`."""
    return f"{word}.{seed}" if seed else word


def seeded_parse(text: str, words: Sequence[str]) -> tuple[str, int]:
    """What `seeded` printed, for one of `words`. Raises KeyFormError."""
    word, dot, seed = text.partition(".")
    if word not in words:
        raise KeyFormError(f"{word!r} is none of {', '.join(words)}.")
    if dot and not (seed.isascii() and seed.isdigit() and len(seed) <= SEED_DIGITS):
        raise KeyFormError(f"{text!r}: a seed is a number from 0 to {10**SEED_DIGITS - 1:,}, as in {word}.3.")
    if word in UNSEEDED_BASES and int(seed or 0):
        raise KeyFormError(f"{text!r}: nothing in {word} is random, so it has no seed.")
    return word, int(seed or 0)


def _require_printed_form(printed: str, text: str) -> None:
    if printed != text:
        raise KeyFormError(f"{text!r} is not written as a key is; it should be {printed!r}.")
