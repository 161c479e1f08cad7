"""A matrix as `manage.py show` prints it, and the vectors behind a key as a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from labelapp.atlas.models import Direction, Matrix
from labelapp.atlas.selectors import NotStoredError, vectors_read
from labelapp.atlas.tokens import token_display

FIRST_TOKENS = 8


def matrix_directions(matrix: Matrix) -> list[Direction]:
    """All of a matrix's directions, the default side first: one query."""
    rows = list(Direction.objects.filter(matrix=matrix).order_by("index", "sign"))
    for row in rows:
        row.matrix = matrix
    return sorted(rows, key=lambda it: matrix.sides.index(it.side))


def matrix_record(matrix: Matrix) -> dict[str, Any]:
    """A matrix with the first tokens of each direction; tokens as the pages show them."""
    directions = matrix_directions(matrix)
    return {
        "key": str(matrix.key),
        "sides": list(matrix.sides),
        "rank": matrix.rank,
        "n_vectors": matrix.n_vectors,
        "top": matrix.top,
        "singular_values": matrix.singular_values,
        "blocks": matrix_blocks(directions),
        "directions": [_direction_record(it) for it in directions],
    }


def matrix_blocks(directions: Iterable[Direction]) -> list[list[int]]:
    """The indices of each block of near-equal singular values."""
    blocks = sorted({(it.block, it.index) for it in directions if it.block is not None})
    return [[index for _, index in group] for _, group in groupby(blocks, key=lambda it: it[0])]


def first_tokens(direction: Direction) -> list[str]:
    return [token_display(token) for token in direction.tokens[:FIRST_TOKENS]]


def direction_vectors(direction: Direction) -> dict[str, np.ndarray]:
    """The unit vector of every side, [d_model] float32, turned to the key's sign. Raises NotStoredError."""
    turn = np.float32(-1 if direction.sign == "-" else 1)
    return {side: turn * rows[direction.index] for side, rows in matrix_vectors(direction.matrix).items()}


def matrix_vectors(matrix: Matrix) -> dict[str, np.ndarray]:
    """The unit vectors of every side, [n_vectors, d_model] float32, their `+` ends. Raises NotStoredError."""
    if not matrix.model.has_weights:
        raise NotStoredError(f"{matrix} holds imported readouts, which have no vectors.")
    try:
        return {side: vectors_read(matrix, side) for side in matrix.sides}
    except (KeyError, FileNotFoundError):
        raise NotStoredError(
            f"The vectors of {matrix} are not in the file storage; `manage.py decompose` brings them."
        ) from None


def arrays_write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz file, written whole or not at all; one that is there is replaced. Raises OSError."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _direction_record(direction: Direction) -> dict[str, Any]:
    return {
        "key": str(direction.key),
        "singular_value": direction.singular_value,
        "gap_above": direction.gap_above,
        "gap_below": direction.gap_below,
        "block": direction.block,
        "first_tokens": first_tokens(direction),
    }


def blocks_in_words(blocks: Sequence[Sequence[int]]) -> str:
    """As in "1 to 2, 7 to 9", or "none"."""
    return ", ".join(f"{block[0]} to {block[-1]}" if len(block) > 1 else str(block[0]) for block in blocks) or "none"
