"""A machine's census corrected by a random sample of human labels: prediction-powered and regression estimators.

They need a simple random sample (all inclusion probabilities equal); `weighting` has what needs none. Their intervals
are normal ones: below n = 200 or outside .1 to .9 they are too short, see `fraction`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.estimation import Census, Estimate, Floats, normal_estimate, pairs_checked

PPI_PLUS, PPI_ONE, DIFFERENCE = "PPI++", "PPI, λ = 1", "finite-census difference"
TOO_FEW = "The formula needs at least 3 labels."


def ppi_mean(
    h: ArrayLike, f: ArrayLike, census: Census, *, tuning: float | None = None, confidence: float = 0.95
) -> Estimate:
    """PPI++ for a mean; with tuning = 1 the original prediction-powered estimate.

        estimate = mean(h) − λ (mean(f_l) − mean(f_u))
        variance = var(h − λ f_l)/n + λ² var(f_u)/N_u,   all with ddof 0
        λ        = clip(cov(h, f_l) / var(f over all) / (1 + n/N_u), 0, 1) unless it is given

    l are the n labelled, u the other N_u. Angelopoulos, Bates, Fannjiang, Jordan and Zrnic (2023), "Prediction-powered
    inference", algorithm 1; Angelopoulos, Duchi and Zrnic (2023), "PPI++: efficient prediction-powered inference",
    eq. 2 and section 6. Estimand: the population that the census is a sample from.

    h, f: [n] on the labelled; census: of all N. Raises ValueError where they do not match.
    """
    human, machine = pairs_checked(h, f)
    name = PPI_ONE if tuning == 1 else PPI_PLUS
    if len(human) < 3 or census.size <= len(human):
        why = TOO_FEW if len(human) < 3 else "All directions are labelled by people: there is nothing to infer."
        return Estimate(name, len(human), why=why)
    value, variance, used = (float(it) for it in ppi_moments(human, machine, census, tuning))
    return normal_estimate(name, len(human), value, variance, confidence=confidence, tuning=used)


def ppi_moments(h: Floats, f: Floats, census: Census, tuning: float | None = None) -> tuple[Floats, Floats, Floats]:
    """Estimate, variance and λ of `ppi_mean` over the last axis of h and f, [..., n]."""
    n = h.shape[-1]
    others = census.size - n
    mean_h, mean_f = h.mean(-1), f.mean(-1)
    mean_u = (census.size * census.mean - n * mean_f) / others
    squares = census.size * (census.variance + census.mean**2) - (f * f).sum(-1)
    var_u = np.maximum(squares / others - mean_u**2, 0.0)
    if tuning is None:
        cov = (h * f).mean(-1) - mean_h * mean_f
        scale = census.variance * (1 + n / others)
        used = np.clip(cov / scale, 0.0, 1.0) if scale else np.zeros_like(cov)
    else:
        used = np.full_like(mean_h, tuning)
    variance = (h - used[..., None] * f).var(-1) / n + used**2 * var_u / others
    return mean_h - used * (mean_f - mean_u), variance, used


def difference_estimate(h: ArrayLike, f: ArrayLike, census: Census, *, confidence: float = 0.95) -> Estimate:
    """The regression estimator for a finite census.

        λ        = cov(h, f_l) / var(f_l)
        estimate = mean(h) − λ (mean(f_l) − mean(f))
        variance = var(h − λ f_l, ddof 2)/n · (1 − n/N)

    Cochran (1977), "Sampling Techniques", eq. 7.1 and 7.29. Estimand: this census, hence the last factor. Where the
    machine says the same of all labelled directions, λ = 0.

    h, f: [n] on the labelled; census: of all N. Raises ValueError where they do not match.
    """
    human, machine = pairs_checked(h, f)
    if len(human) < 3:
        return Estimate(DIFFERENCE, len(human), why=TOO_FEW)
    value, variance, used = (float(it) for it in difference_moments(human, machine, census))
    return normal_estimate(DIFFERENCE, len(human), value, variance, confidence=confidence, tuning=used)


def difference_moments(h: Floats, f: Floats, census: Census) -> tuple[Floats, Floats, Floats]:
    """Estimate, variance and λ of `difference_estimate` over the last axis of h and f, [..., n]."""
    n = h.shape[-1]
    mean_h, mean_f = h.mean(-1), f.mean(-1)
    spread = f.var(-1)
    cov = (h * f).mean(-1) - mean_h * mean_f
    used = np.divide(cov, spread, out=np.zeros_like(cov), where=spread > 0)
    residual = (h - used[..., None] * f).var(-1) * n / (n - 2)
    return mean_h - used * (mean_f - census.mean), residual / n * (1 - n / census.size), used
