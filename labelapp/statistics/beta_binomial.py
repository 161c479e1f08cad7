"""Intrusion tests: each direction was tried a few times; how many mean something, and how often is a trial right?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import betainc, betaincc, betaln, chdtrc, digamma, expit

from labelapp.statistics.estimation import Floats, normal_quantile

FEWEST = 20
"""Directions with two trials or more, below which no spread between directions can be estimated."""
WIDEST = 12.0
WORTHLESS = 0.95
"""The width from which an interval of the share says nothing, and is left out."""
FLAT = 9.0
"""|log(α + β)| from which directions are as good as all alike, or each right always or never."""
ALIKE = "Directions differ no more than by chance, or each is right always or never: the share has no interval."


@dataclass(frozen=True)
class BetaBinomial:
    """What is said of the directions' rates; `why` says why a part is missing."""

    directions: int
    trials: int
    mean: float | None = None  # rate of right trials, α/(α + β)
    mean_interval: tuple[float, float] | None = None
    overdispersion: float | None = None  # 1/(α + β + 1): 0 all directions alike, 1 each always or never right
    p_alike: float | None = None  # of all directions having the same rate, by the likelihood ratio
    share: float | None = None  # of directions whose rate is above the bar
    share_interval: tuple[float, float] | None = None
    why: str = ""


def beta_binomial(right: ArrayLike, trials: ArrayLike, bar: float, confidence: float = 0.95) -> BetaBinomial:
    """The rates of directions as draws from a Beta(α, β), from k_i right of n_i trials each, and the share above a bar.

        log L = Σ log B(k_i + α, n_i − k_i + β) − log B(α, β)  (binomial coefficients left out)
        share = P(rate > bar) under Beta(α, β)

    Skellam (1948), "A probability distribution derived from the binomial distribution by regarding the probability of
    success as variable between the sets of trials". Intervals by the delta method on the logit, from the likelihood's
    curvature in (logit mean, log(α + β)). p_alike halves the χ²₁ tail, since no spread lies at the edge (Self and Liang
    1987). bar: half-way from chance to 1, say: 7/12 where six words are shown.

    right, trials: [directions]. Where directions differ no more than by chance the share is 0 or 1 by the mean alone,
    and has no interval; nor has it one that would be wider than .95. Below 20 directions with two trials nothing is
    estimated. Raises ValueError unless 0 ≤ right ≤ trials, trials ≥ 1 and 0 < bar < 1.
    """
    k, n = (np.asarray(it, dtype=np.float64) for it in (right, trials))
    if k.shape != n.shape or k.ndim != 1 or not ((k >= 0) & (k <= n) & (n >= 1)).all() or not 0 < bar < 1:
        raise ValueError(
            "Each direction needs its trials, at least one, and how many of them were right; the bar a share."
        )
    count, total = len(k), int(n.sum())
    if int((n >= 2).sum()) < FEWEST:
        why = f"Fewer than {FEWEST} directions have two trials: how directions differ cannot be told from chance."
        return BetaBinomial(count, total, why=why)
    pooled = float(k.sum() / n.sum())
    if pooled in (0.0, 1.0):
        why = "Every trial ended alike, so nothing is known of how directions differ."
        return BetaBinomial(count, total, pooled, why=why)
    pairs, often = np.unique(np.column_stack([k, n]), axis=0, return_counts=True)
    data = np.column_stack([pairs, often])
    point, likelihood = _fit(data, pooled)
    alike = float((k * log(pooled) + (n - k) * log(1 - pooled)).sum())
    p = 0.5 * float(chdtrc(1, 2 * max(likelihood - alike, 0.0)))
    mean, size = 1 / (1 + exp(-point[0])), exp(point[1])
    share = float(betaincc(mean * size, (1 - mean) * size, bar))
    covariance = _covariance(point, data) if abs(point[1]) < FLAT else None
    found = BetaBinomial(count, total, mean, None, 1 / (size + 1), p, share, None, ALIKE)
    if covariance is None:
        return found
    z = normal_quantile(confidence)
    half = z * sqrt(covariance[0, 0])
    low, high = (float(expit(point[0] + step)) for step in (-half, half))
    of_share = _share_interval(point, covariance, bar, z)
    return replace(found, mean_interval=(low, high), share_interval=of_share, why="" if of_share else ALIKE)


def _log_likelihood(point: Floats, data: Floats) -> float:
    """data: [kinds, 3], k, n and how many directions have these."""
    mean, size = 1 / (1 + exp(-point[0])), exp(point[1])
    k, n, often = data.T
    a, b = mean * size, (1 - mean) * size
    return float((often * (betaln(k + a, n - k + b) - betaln(a, b))).sum())


def _slope(point: Floats, data: Floats) -> Floats:
    """The likelihood's first derivatives in (logit mean, log size)."""
    mean, size = 1 / (1 + exp(-point[0])), exp(point[1])
    k, n, often = data.T
    a, b = mean * size, (1 - mean) * size
    whole = digamma(n + size) - digamma(size)
    by_a = float((often * (digamma(k + a) - digamma(a) - whole)).sum())
    by_b = float((often * (digamma(n - k + b) - digamma(b) - whole)).sum())
    return np.array([size * mean * (1 - mean) * (by_a - by_b), a * by_a + b * by_b])


def _fit(data: Floats, pooled: float) -> tuple[Floats, float]:
    """The most likely (logit mean, log size) and its log likelihood, the better from two starts."""
    start = log(pooled / (1 - pooled))
    fits = [
        minimize(
            lambda it: -_log_likelihood(it, data),
            [start, size],
            jac=lambda it: -_slope(it, data),
            method="L-BFGS-B",
            bounds=[(-WIDEST, WIDEST), (-WIDEST, WIDEST)],
            options={"ftol": 1e-12, "gtol": 1e-5, "maxiter": 200},
        )
        for size in (0.0, 3.0)
    ]
    best = min(fits, key=lambda it: float(it.fun))
    return np.asarray(best.x, dtype=np.float64), -float(best.fun)


def _covariance(point: Floats, data: Floats, step: float = 1e-3) -> Floats | None:
    """The inverse of minus the likelihood's second derivatives (central differences); None where it is no peak."""
    moves = np.eye(2) * step
    curve = np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            signs = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
            terms = (w * _log_likelihood(point + a * moves[i] + b * moves[j], data) for a, b, w in signs)
            curve[i, j] = -sum(terms) / (4 * step**2)
    if np.linalg.eigvalsh(curve)[0] <= 1e-8:
        return None
    return np.asarray(np.linalg.inv(curve), dtype=np.float64)


def _share_interval(point: Floats, covariance: Floats, bar: float, z: float) -> tuple[float, float] | None:
    def logit(at: Floats) -> float:
        mean, size = 1 / (1 + exp(-at[0])), exp(at[1])
        a, b = mean * size, (1 - mean) * size
        above, below = betaincc(a, b, bar), betainc(a, b, bar)
        return float(np.log(above) - np.log(below)) if above and below else float("nan")

    step = 1e-4
    slope = np.array([(logit(point + move) - logit(point - move)) / (2 * step) for move in np.eye(2) * step])
    variance = float(slope @ covariance @ slope)
    if not np.isfinite(variance):
        return None
    half = z * sqrt(variance)
    low, high = (float(expit(logit(point) + it)) for it in (-half, half))
    return (low, high) if high - low < WORTHLESS else None
