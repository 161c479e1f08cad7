"""What the singular values say about the singular vectors: gaps, blocks, rank. numpy alone."""

from __future__ import annotations

import math

import numpy as np

from workers.weights.results import Float64, Int32

BLOCK_THRESHOLD = 2.0**-10
"""The relative gap up to which neighbours count as nearly equal: twice the unit roundoff of float16, 2^-11.

A perturbation E of the matrix turns a singular vector by an angle of at most about ‖E‖ / gap, the gap being the
distance to the nearest other singular value (Davis & Kahan 1970 for symmetric matrices, Wedin 1972 for all).
Rounding weights to float16 is a perturbation of up to 2^-11 of the matrix; where the gap is no larger than
twice that, storing the same weights in another format can turn the directions by half a radian and more, so
single directions are then a property of the file, not of the model. The bound is that of the worst perturbation:
rounding errors that are independent of each other turn most directions far less, so no direction outside a block
is in doubt on that account (but for singular values that are themselves within rounding of zero, see
``numerical_rank``), and some inside one would have been the same. A larger threshold asks for robustness
against more than rounding (another seed, some more steps of training).
"""


def relative_gaps(values: Float64) -> tuple[Float64, Float64]:
    """The relative gaps (above, below), [n] each, of ``values`` [n] ≥ 0 in descending order.

    The gap between two neighbours is 1 - σ_lower / σ_higher, seen from either, so ``above[i + 1] == below[i]``;
    it lies in 0 … 1, and is 0 for equal values (two zeros too). Above the first and below the last there is
    nothing: nan.
    """
    higher, lower = values[:-1], values[1:]
    between = 1.0 - np.divide(lower, higher, out=np.ones_like(lower), where=higher > 0)
    nothing = np.full(min(1, len(values)), np.nan)
    return np.concatenate([nothing, between]), np.concatenate([between, nothing])


def degenerate_blocks(values: Float64, threshold: float = BLOCK_THRESHOLD) -> Int32:
    """The block [n] of each of ``values`` [n] (descending), counted from 0; -1 for those that stand alone.

    A block is a run of two or more in which every relative gap to the next is at most ``threshold``.
    """
    return blocks_of_gaps(relative_gaps(values)[1], threshold)


def blocks_of_gaps(below: Float64, threshold: float = BLOCK_THRESHOLD) -> Int32:
    """The same from the relative gaps ``below`` [n] to the next value, nan where there is no next one.

    So blocks can be found again for another threshold from what is stored of the first n of a longer spectrum: a
    small gap below the last of them makes it part of a block, whose others are not stored.
    """
    blocks = np.full(len(below), -1, dtype=np.int32)
    number = -1
    for index in np.flatnonzero(below <= threshold):
        number += int(blocks[index] == -1)
        blocks[index : index + 2] = number
    return blocks


def numerical_rank(values: Float64) -> int:
    """How many of ``values`` [n] (descending) exceed √n · 2^-23 · σ_max.

    Weights are held in float32 at best. Rounding them moves a matrix by at most 2^-24 ‖W‖_F ≤ 2^-24 √n σ_max,
    and no singular value moves further than that (Weyl), so what lies below twice this bound cannot be told
    from zero.
    """
    if len(values) == 0 or values[0] <= 0:
        return 0
    return int((values > math.sqrt(len(values)) * 2.0**-23 * values[0]).sum())
