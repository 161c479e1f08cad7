"""Trends corrected by human labels: does the fraction rise with depth, fall with the index, differ between kinds?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelapp.statistics.clusters import cluster_codes
from labelapp.statistics.estimation import Estimate, Floats, normal_quantile, pairs_checked

FEWEST = 20
"""With fewer labels the variance of a slope is a guess, and no interval is given."""
WARNING_LEVEL = 0.05


@dataclass(frozen=True)
class Trend:
    """A straight line through the fraction: its value where the covariate is at its mean, and its slope per unit."""

    n: int
    level: Estimate
    slope: Estimate
    error_slope: float | None  # of machine − human on the labels, per unit
    error_p: float | None
    warning: str = ""


def trend(
    h: ArrayLike,
    f: ArrayLike,
    x: ArrayLike,
    f_others: ArrayLike,
    x_others: ArrayLike,
    *,
    tuning: float | None = None,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Trend:
    """PPI++ regression of the human verdict on a covariate: depth, index, or 0 and 1 for two kinds of matrices.

        θ = λ (X_uᵀX_u)⁻¹X_uᵀf_u + (X_lᵀX_l)⁻¹X_lᵀ(h − λ f_l),   X = (1, x − mean of all x)
        variance = H⁻¹ (cov(g − λ ĝ_l)/n + λ² cov(ĝ_u)/N_u) H⁻¹,  g = X(Xθ − h), ĝ = X(Xθ − f), H = mean of XXᵀ over all

    Angelopoulos, Duchi and Zrnic (2023), "PPI++: efficient prediction-powered inference", sections 3 and 6 (linear
    model; robust to a fraction that is not straight, of which it is the best line). λ is tuned for the slope, within 0
    to 1. A simple random sample; l the n labelled, u the N_u others.

    clusters: [n], the vector of each end, if both ends of some are there: their gradients are summed before the first
    covariance is taken (Liang and Zeger 1986), and the second, of the census, is doubled: as if its ends always agreed.

    Where the machine's error itself has a slope (its Wald test at 5 %), `warning` says so: an uncorrected trend of the
    machine is then partly its error's. h, f, x: [n]; f_others, x_others: [N_u]. Raises ValueError where shapes
    disagree.
    """
    human, machine = pairs_checked(h, f)
    covariate, told, elsewhere = (np.asarray(it, dtype=np.float64) for it in (x, f_others, x_others))
    if covariate.shape != human.shape or told.shape != elsewhere.shape:
        raise ValueError("Every verdict needs its covariate.")
    n = len(human)
    why = _refusal(n, covariate, elsewhere)
    if why:
        nothing = Estimate("PPI++ regression", n, why=why)
        return Trend(n, nothing, nothing, None, None)
    middle = float(np.concatenate([covariate, elsewhere]).mean())
    labelled, others = _design(covariate - middle), _design(elsewhere - middle)
    if tuning is None:
        tuning = _tuned(labelled, human, machine, others, told)
    codes = None if clusters is None else cluster_codes(clusters, n)[0]
    theta, variance = _ppi_line(labelled, human, machine, others, told, tuning, codes)
    z = normal_quantile(confidence)
    level, slope = (
        Estimate("PPI++ regression", n, float(t), float(t - z * sqrt(v)), float(t + z * sqrt(v)), tuning=tuning)
        for t, v in zip(theta, np.diag(variance), strict=True)
    )
    error, p = _error_slope(labelled, machine - human)
    return Trend(n, level, slope, error, p, _warning(error, p))


def _refusal(n: int, x: Floats, others: Floats) -> str:
    if n < FEWEST:
        return f"{n} labels are too few for a trend: at least {FEWEST} are needed."
    if not len(others) or not np.ptp(others):
        return "The directions without a label do not differ in this covariate: there is no trend to see."
    if not np.ptp(x):
        return "The labelled directions do not differ in this covariate: there is no trend to see."
    return ""


def _design(x: Floats) -> Floats:
    return np.column_stack([np.ones(len(x)), x])


def _line(design: Floats, y: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(design, y, rcond=None)[0], dtype=np.float64)


def _gradients(design: Floats, y: Floats, theta: Floats) -> Floats:
    result: Floats = design * (design @ theta - y)[:, None]
    return result


def _inverse_hessian(labelled: Floats, others: Floats) -> Floats:
    mean = (labelled.T @ labelled + others.T @ others) / (len(labelled) + len(others))
    return np.asarray(np.linalg.inv(mean), dtype=np.float64)


def _ppi_line(
    labelled: Floats,
    h: Floats,
    f: Floats,
    others: Floats,
    told: Floats,
    tuning: float,
    clusters: NDArray[np.intp] | None = None,
) -> tuple[Floats, Floats]:
    """The two coefficients and their covariance; clusters: [n] numbers from 0."""
    theta = _line(others, tuning * told) + _line(labelled, h - tuning * f)
    inverse = _inverse_hessian(labelled, others)
    scores = _gradients(labelled, h, theta) - tuning * _gradients(labelled, f, theta)
    census = np.cov(tuning * _gradients(others, told, theta).T) / len(told)
    if clusters is None:
        return theta, inverse @ (np.cov(scores.T) / len(h) + census) @ inverse
    sums = np.zeros((int(clusters.max()) + 1, 2))
    np.add.at(sums, clusters, scores - scores.mean(0))
    m = len(sums)
    return theta, inverse @ (sums.T @ sums * m / (m - 1) / len(h) ** 2 + 2 * census) @ inverse


def _tuned(labelled: Floats, h: Floats, f: Floats, others: Floats, told: Floats) -> float:
    """λ that makes the slope's variance least (PPI++, proposition 2), from the estimate at λ = 1."""
    theta, _ = _ppi_line(labelled, h, f, others, told, 1.0)
    weight = _inverse_hessian(labelled, others)[1]
    own, hat, hat_others = (
        _gradients(design, y, theta) @ weight for design, y in ((labelled, h), (labelled, f), (others, told))
    )
    cov = float(((own - own.mean()) * (hat - hat.mean())).mean())
    spread = float(np.concatenate([hat, hat_others]).var(ddof=1))
    return min(max(cov / spread / (1 + len(h) / len(told)), 0.0), 1.0) if spread > 0 else 0.0


def _error_slope(design: Floats, error: Floats) -> tuple[float, float | None]:
    """The slope of machine − human and its two-sided p, by the robust variance of White (1980), HC0."""
    theta = _line(design, error)
    inverse = np.linalg.inv(design.T @ design)
    scores = _gradients(design, error, theta)
    variance = float((inverse @ (scores.T @ scores) @ inverse)[1, 1])
    if variance <= 1e-18:
        return float(theta[1]), None
    return float(theta[1]), 2 * (1 - NormalDist().cdf(abs(float(theta[1])) / sqrt(variance)))


def _warning(slope: float, p: float | None) -> str:
    if p is None or p > WARNING_LEVEL:
        return ""
    way = "more" if slope > 0 else "fewer"
    return (
        f"The machine's error depends on this covariate: it calls {way} directions interpretable than people do as it "
        f"grows ({slope:+.3g} per unit, p = {p:.2g}). Its uncorrected trend is not the people's."
    )
