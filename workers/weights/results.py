"""What a decomposition hands out: plain numpy in frozen dataclasses. Imports numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Array = npt.NDArray[Any]

BASES = ("svd", "neuron", "rotated", "varimax")
"""The ways to cut a matrix into vectors: see ``bases``."""

CONTROLS = ("gaussian", "covariance", "shuffled", "column_shuffled")
"""The kinds of noise that can take a matrix's place: see ``controls``."""

POSITIVE, NEGATIVE = 0, 1
"""Positions of the two ends, ``+`` and ``-``, on axis 1 of a readout."""


@dataclass(frozen=True)
class SideResult:
    """The vectors with which one circuit touches the residual stream on one side, and their readouts.

    ``vectors`` [k, d_model] are rows of unit length, index 0 that of the largest singular value (a hidden unit
    without weights, in the basis ``neuron``, is a row of zeros).
    ``token_ids`` and ``scores`` [k, 2, top] are the readouts of the ends ``+`` and ``-`` (axis 1), best
    first, equal scores by token id (``readout`` says how exactly). The scores of ``-`` are those of the
    flipped vector, so both ends descend. ``score_mean`` and ``score_std`` [k] are taken over the whole
    vocabulary with the vector as it stands (``+``); the deviation is the population's.
    """

    side: str
    vectors: Float32
    token_ids: Int32
    scores: Float32
    score_mean: Float32
    score_std: Float32


@dataclass(frozen=True)
class MatrixResult:
    """One decomposed matrix.

    ``singular_values`` are all that the matrix's shape allows, descending, in float64; the vectors are those
    of the first k. ``rank`` is the numerical rank (see ``spectrum.numerical_rank``); vectors with an index of
    ``rank`` or more only complete an orthonormal set. ``gap_above``, ``gap_below`` [k] are relative gaps to
    the neighbours (``spectrum.relative_gaps``; nan where there is none). ``block`` [k] numbers the blocks of
    nearly equal singular values, -1 where a direction stands alone: inside a block only the span means
    something.

    In another basis than ``svd``, ``singular_values`` [k] are what that basis orders its vectors by (``bases``);
    gaps are nan and blocks -1. ``neurons`` [k] are the hidden units' numbers in the basis ``neuron``.

    ``layer`` is None for ``embed`` and ``unembed``, ``head`` for all but ``ov`` and ``qk``; ``control`` is empty for
    the model's own matrix. ``sides`` has the residual sides in the order of ``selection.SIDES``: ``read`` and
    ``write`` for ``ov``, ``query`` and ``key`` for ``qk``, otherwise the one that there is.
    """

    circuit: str
    layer: int | None
    head: int | None
    preprocessing: str
    basis: str
    singular_values: Float64
    rank: int
    gap_above: Float64
    gap_below: Float64
    block: Int32
    sides: tuple[SideResult, ...]
    basis_seed: int = 0
    control: str = ""
    control_seed: int = 0
    neurons: Int32 | None = None

    def side(self, name: str) -> SideResult:
        """The side of that name; ``KeyError`` where the circuit has none such."""
        for side in self.sides:
            if side.side == name:
                return side
        raise KeyError(name)
