"""Which circuits, layers and heads a user asked for. Imports nothing heavy, so a command line can use it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workers.weights.errors import BadSelection

SIDES: dict[str, tuple[str, ...]] = {
    "ov": ("read", "write"),
    "qk": ("query", "key"),
    "mlp_in": ("read",),
    "mlp_gate": ("read",),
    "mlp_out": ("write",),
    "embed": ("write",),
    "unembed": ("read",),
}
"""The sides of each circuit that live in the residual stream, in the order in which results hold them."""

CIRCUITS = tuple(SIDES)
CIRCUITS_WITH_HEADS = ("ov", "qk")
CIRCUITS_WITHOUT_LAYER = ("embed", "unembed")
PREPROCESSINGS = ("raw", "folded")


def parse_circuits(text: str | Sequence[str], supported: Sequence[str] = CIRCUITS) -> list[str]:
    """``"ov,mlp_in"`` (or a sequence of names) as a list in the order of ``supported``, without repeats.

    Raises BadSelection where a name is unknown or none is given.
    """
    parts = text.split(",") if isinstance(text, str) else text
    names = [part.strip() for part in parts if part.strip()]
    for name in names:
        if name not in supported:
            raise BadSelection(f"There is no circuit '{name}' here; choose among {', '.join(supported)}.")
    if not names:
        raise BadSelection(f"No circuit was given; choose among {', '.join(supported)}.")
    return [circuit for circuit in supported if circuit in names]


def parse_layers(text: str, n_layers: int) -> list[int]:
    """``"0,5,9-11"`` as ``[0, 5, 9, 10, 11]``: ascending, without repeats.

    ``"all"`` and ``""`` are every layer. Raises BadSelection where a part is no number or range, runs
    backwards, or leaves 0 … n_layers - 1.
    """
    if text.strip() in ("", "all"):
        return list(range(n_layers))
    chosen: set[int] = set()
    for part in text.split(","):
        chosen.update(_layer_range(part.strip(), n_layers))
    return sorted(chosen)


def _layer_range(part: str, n_layers: int) -> range:
    match = re.fullmatch(r"([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?", part)
    if match is None:
        raise BadSelection(f"'{part}' is not a layer; write layers like 0,5,9-11.")
    first = int(match[1])
    last = int(match[2]) if match[2] is not None else first
    if last < first:
        raise BadSelection(f"The layers '{part}' run backwards; write {last}-{first}.")
    check_layer(last, n_layers)
    return range(first, last + 1)


def check_layer(layer: int, n_layers: int) -> None:
    """Raises BadSelection unless 0 ≤ layer < n_layers."""
    if not 0 <= layer < n_layers:
        raise BadSelection(f"There is no layer {layer}: this model has {n_layers}, 0 to {n_layers - 1}.")


def choose_heads(heads: Sequence[int] | None, n_heads: int) -> list[int]:
    """The heads asked for, ascending, without repeats; all of them for None. Raises BadSelection."""
    if heads is None:
        return list(range(n_heads))
    for head in heads:
        if not 0 <= head < n_heads:
            raise BadSelection(f"There is no head {head}: this model has {n_heads}, 0 to {n_heads - 1}.")
    if not heads:
        raise BadSelection("No head was given; leave the heads out to take all of them.")
    return sorted({int(head) for head in heads})


def check_counts(directions: int | None, top: int, vocab_size: int) -> None:
    """Raises BadSelection unless directions ≥ 1 (or None: all) and 1 ≤ top ≤ vocab_size."""
    if directions is not None and directions < 1:
        raise BadSelection(f"{directions} directions were asked for; ask for at least 1.")
    if not 1 <= top <= vocab_size:
        raise BadSelection(f"The top {top} tokens were asked for; this vocabulary allows 1 to {vocab_size}.")
