"""Estimates for samples that were not drawn with equal probability, and for strata.

An item's weight is 1/π. What has no π (a disagreement queue, directions picked by hand) is refused: no weight would
make a sample of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.clusters import Share
from labelapp.statistics.estimation import (
    ROGAN_GLADEN,
    Census,
    Estimate,
    Floats,
    normal_estimate,
    pairs_checked,
    probabilities_checked,
    verdicts_checked,
)

HORVITZ_THOMPSON, HAJEK, POST_STRATIFIED = (
    "IPW difference (Horvitz-Thompson)",
    "IPW human only (Hájek)",
    "post-stratified",
)
ONE_VERDICT = "The calibration set has only one of the two verdicts, so one error rate is unknown."
TOO_FEW = "The formula needs at least 2 labels."
BELOW = (
    "Below 0: the machine says yes here more seldom than its false positives on the calibration set alone would make "
    "it, so it does not err here as it did there."
)
ABOVE = (
    "Above 1: the machine says yes here more often than it would if all were interpretable, by its rates on the "
    "calibration set, so it does not err here as it did there."
)
BEYOND = "A normal interval, which leaves 0 to 1: it does not hold so near to the edge."


def ipw_difference(h: ArrayLike, f: ArrayLike, pi: ArrayLike, census: Census, *, confidence: float = 0.95) -> Estimate:
    """Mean of f + Σ (h − f)/π / N: the Horvitz-Thompson difference estimator, unbiased whatever π and machine.

    Särndal, Swensson and Wretman (1992), "Model Assisted Survey Sampling", eq. 6.3.1. Its variance is Hájek's for
    samples of a fixed size, eq. 4 in `fixed_size_variance`. Estimand: this census.

    h, f, π: [n] on the labelled; census: of all N. Raises ValueError where they do not match or a π is missing.
    """
    human, machine = pairs_checked(h, f)
    probability = probabilities_checked(pi, len(human))
    if len(human) < 2:
        return Estimate(HORVITZ_THOMPSON, len(human), why=TOO_FEW)
    value, variance = (float(it) for it in ipw_difference_moments(human, machine, probability, census))
    return normal_estimate(HORVITZ_THOMPSON, len(human), value, variance, confidence=confidence, tuning=1.0)


def ipw_difference_moments(h: Floats, f: Floats, pi: Floats, census: Census) -> tuple[Floats, Floats]:
    """Estimate and variance of `ipw_difference` over the last axis, [..., n]."""
    off = h - f
    value = census.mean + (off / pi).sum(-1) / census.size
    return value, fixed_size_variance(off, pi) / census.size**2


def ipw_human(h: ArrayLike, pi: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Σ h/π / Σ 1/π: Hájek's ratio of the people's verdicts alone; it needs neither machine nor N.

    Särndal, Swensson and Wretman (1992), eq. 5.7.1, its variance by the residuals h − estimate (eq. 5.7.4) in
    `fixed_size_variance`. Estimand: this census. h, π: [n]. Raises ValueError where they do not match or a π is
    missing.
    """
    human = verdicts_checked(h)
    probability = probabilities_checked(pi, len(human))
    if len(human) < 2:
        return Estimate(HAJEK, len(human), why=TOO_FEW)
    value, variance = (float(it) for it in ipw_human_moments(human, probability))
    return normal_estimate(HAJEK, len(human), value, variance, confidence=confidence, tuning=0.0)


def ipw_human_moments(h: Floats, pi: Floats) -> tuple[Floats, Floats]:
    """Estimate and variance of `ipw_human` over the last axis, [..., n]."""
    total = (1 / pi).sum(-1)
    value = (h / pi).sum(-1) / total
    return value, fixed_size_variance(h - value[..., None], pi) / total**2


def fixed_size_variance(y: Floats, pi: Floats) -> Floats:
    """The variance of Σ y/π for a sample of fixed size with unequal π, over the last axis.

        n/(n − 1) Σ (1 − π) (y/π − B)²,   B = Σ (1 − π) y/π / Σ (1 − π)

    Hájek (1964), "Asymptotic theory of rejective sampling with varying probabilities from a finite population",
    eq. 4 with the small-sample factor of Deville (1999), "Variance estimation for complex statistics and estimators".
    With equal π it is the simple random sample's own; a census (π = 1) has none.
    """
    n = y.shape[-1]
    open_share = np.broadcast_to(1 - pi, y.shape)
    expanded = y / pi
    total = open_share.sum(-1)
    centre = np.divide((open_share * expanded).sum(-1), total, out=np.zeros_like(total), where=total > 0)
    variance: Floats = n / (n - 1) * (open_share * (expanded - centre[..., None]) ** 2).sum(-1)
    return variance


def post_stratified(
    h: ArrayLike, strata: Sequence[Hashable], sizes: Mapping[Hashable, int], *, confidence: float = 0.95
) -> Estimate:
    """Σ W_s p_s: the share in each stratum, weighted by the stratum's share of the census.

        variance = Σ W_s² q_s (1 − q_s)/n_s · (1 − n_s/N_s),   q_s = (k_s + 1)/(n_s + 2),  W_s = N_s/N

    Holt and Smith (1979), "Post stratification"; q is Laplace's, so that a stratum where people said the same of every
    item still has a variance. A simple random sample, or one drawn at random within each stratum. Estimand: this
    census.

    h, strata: [n] on the labelled; sizes: N_s of every stratum. None where a stratum has no label.
    Raises ValueError where a label's stratum is unknown.
    """
    human = verdicts_checked(h)
    if len(human) != len(strata) or not set(strata) <= set(sizes):
        raise ValueError("Every label needs a stratum, and every stratum its size in the census.")
    kinds = [kind for kind, size in sizes.items() if size]
    of_kind = {kind: human[[it == kind for it in strata]] for kind in kinds}
    bare = [str(kind) for kind in kinds if not len(of_kind[kind])]
    if bare:
        why = f"No label of a person in {', '.join(bare)}: join strata, or label some there."
        return Estimate(POST_STRATIFIED, len(human), why=why)
    yes = np.array([of_kind[kind].sum() for kind in kinds])
    counts = np.array([float(len(of_kind[kind])) for kind in kinds])
    held = np.array([float(sizes[kind]) for kind in kinds])
    value, variance = (float(it) for it in post_stratified_moments(yes, counts, held))
    return normal_estimate(POST_STRATIFIED, len(human), value, variance, confidence=confidence)


def post_stratified_moments(yes: Floats, counts: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Estimate and variance of `post_stratified` from k_s, n_s and N_s, [..., strata]; NaN where an n_s is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares, smooth = sizes / sizes.sum(-1), (yes + 1) / (counts + 2)
        variance = shares**2 * smooth * (1 - smooth) / counts * (1 - counts / sizes)
        return (shares * yes / counts).sum(-1), variance.sum(-1)


def rogan_gladen(
    share: float,
    size: int,
    right_yes: int,
    n_yes: int,
    right_no: int,
    n_no: int,
    *,
    confidence: float = 0.95,
) -> Estimate:
    """The fraction behind an imperfect judge whose errors were measured elsewhere: (q + Sp − 1)/(Se + Sp − 1).

        variance = (q(1 − q)/N + p² Se(1 − Se)/n₊ + (1 − p)² Sp(1 − Sp)/n₋) / (Se + Sp − 1)²

    Rogan and Gladen (1978), "Estimating prevalence from the results of a screening test", eq. 2 and 4. On a random
    sample of the same census PPI++ and the difference estimator are about twice as exact; this is for calibration sets
    from other models or projects, and takes it that the machine errs here as it did there.

    share: q, the machine's of `size` = N directions. right_yes of the n_yes that people called interpretable the
    machine called so too (Se), right_no of the n_no others it did not (Sp). None where Se + Sp ≤ 1: no better than
    chance. Nothing is cut off at 0 or 1: a value beyond them says that the machine errs otherwise here, and `why` says
    so. Raises ValueError for impossible counts.
    """
    if not (0 <= right_yes <= n_yes and 0 <= right_no <= n_no and 0 <= share <= 1 and size >= 1):
        raise ValueError("Of the calibration set more are right than there are, or the machine's share is none.")
    n = n_yes + n_no
    if not n_yes or not n_no:
        return Estimate(ROGAN_GLADEN, n, why=ONE_VERDICT)
    rates = (float(share), right_yes / n_yes, right_no / n_no)
    return _rogan_gladen(n, rates, (size, n_yes, n_no), confidence)


def rogan_gladen_over(share: Share, right_yes: Share, right_no: Share, *, confidence: float = 0.95) -> Estimate:
    """`rogan_gladen` from shares over vectors: N, n₊ and n₋ are the effective sizes, which keep a vector's ends
    together.
    """
    n = right_yes.n + right_no.n
    found = (share, right_yes, right_no)
    if share.value is None or right_yes.value is None or right_no.value is None:
        return Estimate(ROGAN_GLADEN, n, why=ONE_VERDICT)
    rates = (share.value, right_yes.value, right_no.value)
    sizes = tuple(it.effective_n or 1.0 for it in found)
    return _rogan_gladen(n, rates, sizes, confidence)  # type: ignore[arg-type]


def _rogan_gladen(
    n: int, rates: tuple[float, float, float], sizes: tuple[float, float, float], confidence: float
) -> Estimate:
    """From q, Se and Sp, and how many directions each is exact as."""
    share, se, sp = rates
    better = se + sp - 1
    if better <= 0:
        return Estimate(ROGAN_GLADEN, n, why="On the calibration set the machine was no better than chance.")
    value = (share + sp - 1) / better
    parts = (share * (1 - share), value**2 * se * (1 - se), (1 - value) ** 2 * sp * (1 - sp))
    spread = sum(part / size for part, size in zip(parts, sizes, strict=True))
    found = normal_estimate(ROGAN_GLADEN, n, value, spread / better**2, confidence=confidence)
    if not 0 <= value <= 1:
        return found.because(BELOW if value < 0 else ABOVE)
    if found.low is not None and found.high is not None and not 0 <= found.low <= found.high <= 1:
        return found.because(BEYOND)
    return found
