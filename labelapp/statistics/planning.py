"""How many labels of people an interval needs, with a machine beside them and without one.

`estimation.labels_needed` has the normal formula; here are Wilson's, the finite census, and the correlation of people
and machine on which all of it depends.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import atanh, ceil, sqrt, tanh

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.clusters import cluster_codes, clustered_variance
from labelapp.statistics.estimation import labels_needed, normal_quantile, pairs_checked, wilson_interval

FEWEST_PAIRS = 20
"""Items judged by both below which no correlation is told."""
FEW = f"The correlation needs at least {FEWEST_PAIRS} items that people and the machine both judged with yes or no."
ONE_VALUE = "People or the machine only ever said the same one thing, so there is no correlation."


@dataclass(frozen=True)
class Correlation:
    """Of human and machine verdicts, with its interval; None, all three, where it cannot be known, and `why`."""

    n: int
    clusters: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


def verdict_correlation(
    h: ArrayLike,
    f: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Correlation:
    """Pearson's correlation of the verdicts (phi, where both are 0 or 1) on the items that both judged.

    h, f: [n]; weights: [n], 1/π of a sample with unequal probabilities; clusters: [n], the vector of each end.
    The interval is tanh(atanh ρ ± z s/(1 − ρ²)), s from the influences u_i = x y − ρ (x² + y²)/2 of the standardised
    x and y (Devlin, Gnanadesikan and Kettenring 1975, "Robust estimation and outlier detection with correlation
    coefficients"), summed over clusters. No normality is assumed. Raises ValueError where lengths differ.
    """
    human, machine = pairs_checked(h, f)
    n = len(human)
    groups: Sequence[Hashable] = range(n) if clusters is None else clusters
    codes, m = cluster_codes(groups, n)
    if n < FEWEST_PAIRS:
        return Correlation(n, m, why=FEW)
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != human.shape or not (w > 0).all():
        raise ValueError("Every item needs a weight above 0.")
    w = w / w.sum()
    x, y = human - w @ human, machine - w @ machine
    spread_x, spread_y = float(w @ x**2), float(w @ y**2)
    if spread_x < 1e-12 or spread_y < 1e-12:
        return Correlation(n, m, why=ONE_VALUE)
    x, y = x / sqrt(spread_x), y / sqrt(spread_y)
    rho = float(w @ (x * y))
    variance = clustered_variance(w * (x * y - rho * (x**2 + y**2) / 2), codes, m)
    if variance is None or 1 - abs(rho) < 1e-9:
        return Correlation(n, m, rho, why="On the items so far they never differ, so it has no interval.")
    half = normal_quantile(confidence) * sqrt(variance) / (1 - rho**2)
    return Correlation(n, m, rho, tanh(atanh(rho) - half), tanh(atanh(rho) + half))


def labels_of_census(labels: int, population: int) -> int:
    """So many labels, if they come from a census of `population` that the figure is about: n / (1 + n/N), rounded up.

    From the variance σ²/n (1 − n/N) (Cochran 1977, "Sampling Techniques", section 4.3). Raises ValueError.
    """
    if population < 1 or labels < 0:
        raise ValueError(f"{labels} labels from a census of {population} cannot be.")
    return min(population, ceil(labels / (1 + labels / population)))


def labels_needed_wilson(half_width: float, share: float = 0.5, confidence: float = 0.95) -> int:
    """The fewest labels with which Wilson's interval around `share` is at most ± half_width wide, people alone.

    Its half width is z/(1 + z²/n) √(p(1 − p)/n + z²/4n²), which falls with n. Raises ValueError as `labels_needed`.
    """
    most = max(2, 2 * labels_needed(half_width, 0.5, confidence=confidence) + 10)
    fewest = 1
    while fewest < most:
        middle = (fewest + most) // 2
        low, high = wilson_interval(share * middle, middle, confidence)
        if (high - low) / 2 <= half_width:
            most = middle
        else:
            fewest = middle + 1
    return fewest


def weighting_effect(weights: ArrayLike) -> float:
    """How many times as many labels unequal weights cost: n Σw² / (Σw)², Kish's (1965, "Survey Sampling", 11.7) 1 + L.

    weights: [n], 1/π; 1 where all are equal. Raises ValueError where there are none.
    """
    w = np.asarray(weights, dtype=np.float64)
    if not len(w) or not (w > 0).all():
        raise ValueError("Every item needs a weight above 0.")
    return float(len(w) * (w @ w) / w.sum() ** 2)
