"""The recommended estimate: people's verdicts corrected by the machine's census, in an interval that holds at small n.

A normal interval trusts the variance that it estimates, and at small n or near 0 and 1 that is often 0 by luck: no
disagreement among 50 labels is no proof that there is none. Here the directions are cut into strata by what the machine
said of them, each stratum gets half a label for yes and half a label for no, and the interval is a Beta distribution's.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

from labelapp.statistics.clusters import cluster_codes
from labelapp.statistics.estimation import (
    Estimate,
    Floats,
    normal_quantile,
    probabilities_checked,
    verdicts_checked,
)

CORRECTED = "stratified Beta"
PSEUDO = 0.5
"""Pseudo-labels of each verdict in each stratum: Jeffreys' prior."""
SHIFT, EDGE_SHIFT = 0.25, 0.19
"""Of a label, at each end: Clopper and Pearson's interval is Jeffreys' with 1/2. The second is added near 0 and 1."""


class Moments(NamedTuple):
    """Arrays of the shape that the samples have without their last axis."""

    mean: Floats
    effective_n: Floats  # mean (1 − mean) / variance


def stratified_beta(
    h: ArrayLike,
    strata: Sequence[Hashable],
    sizes: Mapping[Hashable, int],
    *,
    pi: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    finite: bool = True,
    confidence: float = 0.95,
) -> Estimate:
    """Post-stratified by the machine's verdict, weighted by 1/π, in a Beta interval. Strata may be any answers of it.

    With weights w = 1/π, W_s = N_s/N, and w* the largest weight of the sample, in stratum s (sums over its labels):

        μ_s = (Σ w h + w*/2) / (Σ w + w*)
        V_s = (Σ w² (1 − π)(h − μ_s)² + w*² ((1 − μ_s)² + μ_s²)/2) / (Σ w + w*)² · (n_s + 1)/(n_s + 2)
        μ = Σ W_s μ_s,  V = Σ W_s² V_s,  ν = (μ(1 − μ)/V − 1) (z/t)²,  t Student's with n − (number of strata)
        s = .25 + .19 (1 − 4 μ(1 − μ))
        low:  quantile α/2 of Beta(μν − s, (1 − μ)ν + s);  high: 1 − α/2 of Beta(μν + s, (1 − μ)ν − s)

    The value shown is the same sum without pseudo-labels wherever every stratum has a label, else μ; the interval is
    stretched to hold it (at 0 and 1 it else would not).

    With one stratum and equal π it is Jeffreys' interval (Brown, Cai and DasGupta 2001, "Interval estimation for a
    binomial proportion") widened by (z/t)² as Korn and Graubard (1998), "Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data", and by s towards Clopper and Pearson's. That
    the unseen label may be of the largest weight is Fay and Feuer (1997), "Confidence intervals for directly
    standardized rates". The combination is ours: `benchmarks/results/coverage.md` shows what it covers.

    h, strata: [n] on the labelled; sizes: N_s of every stratum; pi: [n], equal if left out. clusters: [n], what belongs
    together (the vector that an end is of): where its items err alike, ν falls by the design effect. finite: the
    estimand is this census; False, the population that it stands for, leaves (1 − π) out.

    Raises ValueError where shapes do not match, a stratum is unknown or a π is missing.
    """
    human = verdicts_checked(h)
    n, total = len(human), sum(sizes.values())
    if n != len(strata) or not set(strata) <= {kind for kind, size in sizes.items() if size}:
        raise ValueError("Every label needs a stratum, and every stratum its size in the census.")
    if n > total:
        raise ValueError(f"There are {n} labels, more than the {total} directions of the census.")
    kinds = [kind for kind, size in sizes.items() if size]
    if n <= len(kinds):
        return Estimate(CORRECTED, n, why=f"{n} labels are too few for {len(kinds)} strata.")
    probability = np.full(n, n / total) if pi is None else probabilities_checked(pi, n)
    places = np.array([kinds.index(it) for it in strata])
    shares = np.array([sizes[kind] / total for kind in kinds])
    found = beta_moments(human, places, probability, shares, finite=finite)
    value = weighted_value(human, places, probability, shares)
    effective = float(found.effective_n)
    if clusters is not None:
        means = np.array([human[places == s].mean() if (places == s).any() else 0.0 for s in range(len(kinds))])
        effective /= design_effect(human - means[places], shares[places] / probability, clusters)
    shown = float(found.mean) if np.isnan(value) else float(value)
    low, high = beta_bounds(found.mean, np.asarray(effective), n - len(kinds), confidence)
    exact = effective if np.isfinite(effective) else None
    return Estimate(CORRECTED, n, shown, min(float(low), shown), max(float(high), shown), exact)


def weighted_value(h: Floats, strata: NDArray[np.intp], pi: Floats, shares: Floats) -> Floats:
    """Σ W_s Σ w h / Σ w over the last axis of h, strata (places in shares) and π; NaN where one has no label."""
    value = np.zeros(h.shape[:-1])
    for place, share in enumerate(shares):
        weight = (strata == place) / pi
        total = weight.sum(-1)
        value = value + share * np.divide((weight * h).sum(-1), total, out=np.full_like(total, np.nan), where=total > 0)
    return value


def beta_moments(h: Floats, strata: NDArray[np.intp], pi: Floats, shares: Floats, *, finite: bool = True) -> Moments:
    """μ and effective n of `stratified_beta` over the last axis of h, strata (places in shares) and π, [..., n]."""
    weight = np.broadcast_to(1 / pi, h.shape)
    square = weight**2 * (1 - pi) if finite else weight**2
    # Where every direction was judged, nothing is left to chance.
    heaviest = np.where((square > 0).any(-1), weight.max(-1), 0.0)
    mean, variance = np.zeros(h.shape[:-1]), np.zeros(h.shape[:-1])
    for place, share in enumerate(shares):
        here = strata == place
        count = here.sum(-1)
        total = (weight * here).sum(-1) + 2 * PSEUDO * heaviest
        middle = ((weight * h * here).sum(-1) + PSEUDO * heaviest) / total
        seen = (square * here * (h - middle[..., None]) ** 2).sum(-1)
        unseen = PSEUDO * heaviest**2 * ((1 - middle) ** 2 + middle**2)
        mean += share * middle
        variance += share**2 * (seen + unseen) / total**2 * (count + 2 * PSEUDO) / (count + 2 * PSEUDO + 1)
    exact = np.full_like(variance, np.inf)
    return Moments(mean, np.divide(mean * (1 - mean), variance, out=exact, where=variance > 0))


def beta_bounds(mean: Floats, effective_n: Floats, freedom: int, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """The interval of `stratified_beta` from μ, effective n and Student's degrees of freedom; arrays broadcast.

    An infinite effective n (every direction was judged) has no width.
    """
    z, tail = normal_quantile(confidence), (1 - confidence) / 2
    known = np.isinf(effective_n)
    scale = (z / float(stdtrit(freedom, 1 - tail))) ** 2
    size = np.maximum(np.where(known, 2.0, effective_n) - 1, 1.0) * scale
    yes, no = mean * size, (1 - mean) * size
    shift, tiny = SHIFT + EDGE_SHIFT * (1 - 4 * mean * (1 - mean)), 1e-9
    low = np.where(yes > shift, betaincinv(np.maximum(yes - shift, tiny), no + shift, tail), 0.0)
    high = np.where(no > shift, betaincinv(yes + shift, np.maximum(no - shift, tiny), 1 - tail), 1.0)
    return np.where(known, mean, low), np.where(known, mean, high)


def design_effect(residual: Floats, weight: Floats, clusters: Sequence[Hashable]) -> float:
    """How much more clusters vary than independent items would: Σ_c (Σ_i w e)² / Σ_i (w e)², at least 1.

    The variance of a clustered total over that of its items (Särndal, Swensson and Wretman 1992, "Model Assisted Survey
    Sampling", section 4.2); e are residuals. residual, weight, clusters: [n]. Raises ValueError where they do not
    match.
    """
    if not len(residual) == len(weight) == len(clusters):
        raise ValueError("Every label needs its cluster.")
    scaled = weight * residual
    single = float((scaled**2).sum())
    sums = np.bincount(cluster_codes(clusters, len(residual))[0], weights=scaled)
    return max(1.0, float((sums**2).sum()) / single) if single > 0 else 1.0
