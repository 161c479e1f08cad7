"""Keys: the addresses of matrices and directions, parsed and printed in this one place.

    gpt2-medium/ov.22.10                          a matrix
    gpt2-medium/ov.22.10/1+                       a direction
    gpt2-medium@607a30d/ov.22.10:read/1+;folded;rotated

What differs from the default is added in a fixed order: revision, side, preprocessing, basis, control;
a seed follows its basis or control (`;rotated.3`, `;gaussian.7`) where it is not 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, cast
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
BASES = ("svd", "neuron", "rotated", "varimax")
CONTROLS = ("gaussian", "covariance", "shuffled", "column_shuffled")

_MODEL = r"(?P<model>[a-z0-9][a-z0-9._-]*)(?:@(?P<revision>[0-9a-z._-]+))?"
_MATRIX = r"(?P<circuit>[a-z_]+)(?:\.(?P<layer>\d+))?(?:\.(?P<head>\d+))?"
_DIRECTION = r"(?::(?P<side>[a-z]+))?/(?P<index>\d+)(?P<sign>[+-])"
_VARIANT = r"(?P<variant>(?:;[a-z_]+(?:\.\d+)?)*)"
_MATRIX_KEY = re.compile(f"{_MODEL}/{_MATRIX}{_VARIANT}")
_DIRECTION_KEY = re.compile(f"{_MODEL}/{_MATRIX}{_DIRECTION}{_VARIANT}")


class KeyFormError(ValueError):
    """Text that is not a key; the message says what a key looks like."""


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
    def variant_part(self) -> str:
        """Preprocessing, basis and control, as far as they differ from the default: `;folded;rotated`."""
        parts = []
        if self.preprocessing != "raw":
            parts.append(self.preprocessing)
        if self.basis != "svd":
            parts.append(_seeded(self.basis, self.basis_seed))
        if self.control:
            parts.append(_seeded(self.control, self.control_seed))
        return "".join(f";{part}" for part in parts)

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
    variant = {"preprocessing": "raw", "basis": "svd", "basis_seed": 0, "control": "", "control_seed": 0}
    for part in match["variant"].split(";")[1:]:
        variant |= _variant(part)
    return MatrixKey(match["model"], circuit, layer, head, match["revision"] or "", **variant)  # type: ignore[arg-type]


def _variant(part: str) -> dict[str, str | int]:
    word, _, seed = part.partition(".")
    for name, words in (("preprocessing", PREPROCESSINGS), ("basis", BASES), ("control", CONTROLS)):
        if word in words and not (seed and name == "preprocessing"):
            return {name: word} if name == "preprocessing" else {name: word, f"{name}_seed": int(seed or 0)}
    raise KeyFormError(f"{part!r} is neither a preprocessing nor a basis nor a control.")


def _seeded(word: str, seed: int) -> str:
    return f"{word}.{seed}" if seed else word


def _require_printed_form(printed: str, text: str) -> None:
    if printed != text:
        raise KeyFormError(f"{text!r} is not written as a key is; it should be {printed!r}.")
