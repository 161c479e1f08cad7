"""Whether the directions of one matrix resemble one another more than others do: a head's broad concept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.clusters import cluster_codes
from labelapp.statistics.estimation import Floats

DRAWS = 1999
TOLD_EVERY = 50


@dataclass(frozen=True)
class WithinMatrix:
    """Mean cosine of pairs within a matrix and across matrices, and how often chance does as much."""

    directions: int
    matrices: int
    within: float | None
    across: float | None
    p: float | None
    by_matrix: Sequence[float | None]  # mean cosine within each, in the order in which they first appear
    why: str = ""

    @property
    def difference(self) -> float | None:
        return None if self.within is None or self.across is None else self.within - self.across


def within_matrix(
    vectors: ArrayLike,
    matrices: Sequence[Hashable],
    strata: Sequence[Hashable] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    on_draw: Callable[[int, int], object] | None = None,
) -> WithinMatrix:
    """The mean cosine within matrices against across them, with a permutation test.

    T = mean of v_i·v_j over pairs of one matrix − the same over pairs of two. The matrices' names are dealt out anew
    among the directions (within strata, such as layer and circuit, if given), and p = (1 + draws with T* ≥ T)/(1 +
    draws), one-sided: Mantel (1967), "The detection of disease clustering and a generalized regression approach"; the 1
    is Phipson and Smyth's (2010).

    vectors: [n, d], what stands for each direction, such as the mean embedding of its tokens; lengths do not matter.
    One row a vector, not an end: two ends of one vector are no two directions. matrices, strata: [n]. None where there
    is no pair of either sort. on_draw is told now and then how many of the draws are done.
    Raises ValueError for a zero vector or where shapes disagree.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(matrices) or (strata is not None and len(strata) != len(rows)):
        raise ValueError(f"Every direction needs its vector and its matrix: {rows.shape} and {len(matrices)}.")
    lengths = np.linalg.norm(rows, axis=1)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("A direction has a vector of zeros or one that is not finite; leave it out.")
    unit: Floats = rows / lengths[:, None]
    places, count = cluster_codes(matrices, len(matrices))
    n, sizes = len(unit), np.bincount(places, minlength=count)
    pairs = int((sizes * (sizes - 1)).sum())
    if not pairs or n * (n - 1) == pairs:
        why = "It takes two matrices, and two directions of one, to compare within with across."
        return WithinMatrix(n, count, None, None, None, [], why)
    all_pairs = float((unit.sum(0) ** 2).sum()) - n
    sums = _group_sums(unit, places, count)
    inner = float(sums.sum())
    rng = np.random.default_rng(seed)
    blocks = _blocks(strata, n)
    # Within and across share one sum, so the sum within alone orders the draws.
    beaten = 0
    for draw in range(draws):
        beaten += float(_group_sums(unit, _dealt(places, blocks, rng), count).sum()) >= inner - 1e-9
        if on_draw is not None and draw % TOLD_EVERY == 0:
            on_draw(draw, draws)
    each = [float(s / (m * (m - 1))) if m > 1 else None for s, m in zip(sums, sizes, strict=True)]
    across = (all_pairs - inner) / (n * (n - 1) - pairs)
    return WithinMatrix(n, count, inner / pairs, across, (1 + beaten) / (1 + draws), each)


def _group_sums(unit: Floats, places: np.ndarray, count: int) -> Floats:
    """The sum of cosines over ordered pairs of each matrix, |Σ v|² − m, [matrices]."""
    totals = np.zeros((count, unit.shape[1]))
    np.add.at(totals, places, unit)
    result: Floats = (totals**2).sum(1) - np.bincount(places, minlength=count)
    return result


def _blocks(strata: Sequence[Hashable] | None, n: int) -> list[np.ndarray]:
    if strata is None:
        return [np.arange(n)]
    places, count = cluster_codes(strata, len(strata))
    return [np.flatnonzero(places == it) for it in range(count)]


def _dealt(places: np.ndarray, blocks: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    result = places.copy()
    for block in blocks:
        result[block] = rng.permutation(places[block])
    return result
