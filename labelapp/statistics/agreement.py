"""Agreement between two judges. An agreement that is not defined is None, never 0 and never 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def contingency(a: ArrayLike, b: ArrayLike, categories: Sequence[object] = (True, False)) -> NDArray[np.int64]:
    """Count the pairs: `table[i, j]` is how often `a` said categories[i] where `b` said categories[j].

    a, b: [n], the two judges' verdicts on the same n items. By default the first row and column are yes.
    Raises ValueError where their lengths differ or a verdict is none of the categories.
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"The two judges need the same items, not {first.shape} and {second.shape}.")
    of_first = np.array([first == category for category in categories]).reshape(len(categories), -1)
    of_second = np.array([second == category for category in categories]).reshape(len(categories), -1)
    table: NDArray[np.int64] = of_first.astype(np.int64) @ of_second.astype(np.int64).T
    if table.sum() != len(first):
        raise ValueError(f"A verdict is none of {', '.join(map(str, categories))}.")
    return table


def raw_agreement(table: ArrayLike) -> float | None:
    """The share of items on which both said the same, p_o = trace / n; None where n = 0.

    table: [k, k] counts, from `contingency`.
    """
    counts = _square(table)
    n = counts.sum()
    return float(np.trace(counts) / n) if n else None


def cohens_kappa(table: ArrayLike) -> float | None:
    """Agreement beyond chance, (p_o - p_e) / (1 - p_e), with p_e = Σ_i p_i. p_.i from the margins.

    Cohen (1960), "A coefficient of agreement for nominal scales", Educational and Psychological
    Measurement 20, 37-46. None where n = 0, and where both judges only ever said the same one thing:
    chance alone would then agree always (p_e = 1), and there is nothing to measure.

    table: [k, k] counts, from `contingency`.
    """
    counts = _square(table)
    n = counts.sum()
    if not n:
        return None
    by_chance = int(counts.sum(axis=0) @ counts.sum(axis=1))  # n² p_e, exact in integers
    beyond = int(n) ** 2 - by_chance
    if beyond == 0:
        return None
    return (int(np.trace(counts)) * int(n) - by_chance) / beyond


def _square(table: ArrayLike) -> NDArray[np.int64]:
    counts = np.asarray(table, dtype=np.int64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts < 0).any():
        raise ValueError(f"A table of counts is square and holds no negative ones; this one is {counts.shape}.")
    return counts
