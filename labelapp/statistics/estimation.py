"""Estimates of a fraction and how far they can be trusted."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def wilson_interval(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval for a binomial proportion (Wilson 1927, "Probable inference, the law of succession, and
    statistical inference").

    With p = successes / n and z the standard normal's quantile at (1 + confidence) / 2 its ends are

        (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)

    Both counts may be fractions, as an effective sample size is one (`statistics.clusters`).
    It keeps its coverage at small n and near 0 and 1, where p ± z √(p(1 − p)/n) does not, and never leaves 0 to 1.

    Raises ValueError unless n ≥ 1, 0 ≤ successes ≤ n and 0 < confidence < 1.
    """
    if n < 1:
        raise ValueError(f"an interval needs at least one observation, not n = {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n = {n}, not be {successes}")
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie between 0 and 1, not be {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the edges the formula gives exactly 0 or 1, rounding apart.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return low, high
