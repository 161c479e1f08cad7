"""What an estimate of a fraction is, and intervals that hold for small counts.

Notation throughout: N directions in the census, of which people judged n; h and f, [n], are the human and the machine
verdict on these, 0 or 1 (f may be a probability); π, [n], is how probable it was that each came into the sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROGAN_GLADEN = "Rogan-Gladen"
MINIMUM = 10
"""With fewer labels an interval is so wide that it says nothing, and a sentence stands in its place."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One estimate with its interval; what cannot be said is None, and `why` says why (or what to beware of)."""

    method: str
    n: int  # labels of people that it rests on
    value: float | None = None
    low: float | None = None
    high: float | None = None
    effective_n: float | None = None  # as many labels at random would be as exact without the machine
    tuning: float | None = None  # λ: how much of the machine is used
    why: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def width(self) -> float | None:
        return None if self.low is None or self.high is None else self.high - self.low

    @property
    def gain(self) -> float | None:
        """Effective labels for each label made; below 1 the correction, or unequal π, costs more than it brings."""
        return self.effective_n / self.n if self.effective_n is not None and self.n else None

    def because(self, why: str) -> Estimate:
        return replace(self, why=why)


@dataclass(frozen=True)
class Census:
    """A machine's verdicts on all N directions, as far as estimates need them: their mean and variance (ddof 0)."""

    size: int
    mean: float
    variance: float

    @classmethod
    def of(cls, verdicts: ArrayLike) -> Census:
        """From the verdicts themselves, [N]. Raises ValueError where there are none or one is not finite."""
        values = np.asarray(verdicts, dtype=np.float64)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ValueError(f"A census is a list of the machine's verdicts, not {values.shape} or with gaps.")
        return cls(len(values), float(values.mean()), float(values.var()))

    @classmethod
    def counted(cls, yes: int, size: int) -> Census:
        """From how many of `size` the machine called interpretable. Raises ValueError unless 0 ≤ yes ≤ size ≥ 1."""
        if not 0 <= yes <= size or size < 1:
            raise ValueError(f"{yes} of {size} is no census.")
        share = yes / size
        return cls(size, share, share * (1 - share))


def normal_quantile(confidence: float) -> float:
    """z with probability `confidence` between -z and z. Raises ValueError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie between 0 and 1, not be {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson_interval(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval for a binomial proportion (Wilson 1927, "Probable inference, the law of succession, and
    statistical inference").

    With p = successes / n and z the standard normal's quantile at (1 + confidence) / 2 its ends are

        (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)

    Both counts may be fractions, as an effective sample size is one (`statistics.clusters`).
    It keeps its coverage at small n and near 0 and 1, where p ± z √(p(1 − p)/n) does not, and never leaves 0 to 1.

    Raises ValueError unless n ≥ 1, 0 ≤ successes ≤ n and 0 < confidence < 1.
    """
    _check_counts(successes, n)
    z = normal_quantile(confidence)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the edges the formula gives exactly 0 or 1, rounding apart.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return low, high


def clopper_pearson_interval(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval for a binomial proportion: it never covers less than `confidence`, and often more.

    Clopper and Pearson (1934), "The use of confidence or fiducial limits illustrated in the case of the binomial": the
    quantiles α/2 of Beta(k, n − k + 1) and 1 − α/2 of Beta(k + 1, n − k); 0 where k = 0, 1 where k = n. With an
    effective n (`statistics.clusters`) it is Korn and Graubard's (1998) of clustered samples.

    Raises ValueError unless n ≥ 1, 0 ≤ successes ≤ n and 0 < confidence < 1.
    """
    from scipy.special import betaincinv  # the web process, which needs Wilson's, starts without scipy

    _check_counts(successes, n)
    normal_quantile(confidence)
    tail = (1 - confidence) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


def score_bounds(share: ArrayLike, effective_n: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's interval around a share that need not be a count, as exact as `effective_n` labels; arrays broadcast.

    Kott and Liu (2009), "One-sided coverage intervals for a proportion estimated from a stratified simple random
    sample", and Dean and Pagano (2015), "Evaluating confidence interval methods for binomial proportions in clustered
    surveys": of the intervals for weighted samples it holds best near 0 and 1. An infinite effective n has no width.
    """
    z = normal_quantile(confidence)
    p = np.asarray(share, dtype=np.float64)
    per = 1 / np.asarray(effective_n, dtype=np.float64)
    centre = p + z * z * per / 2
    half = z * np.sqrt(p * (1 - p) * per + (z * per / 2) ** 2)
    scale = 1 + z * z * per
    return np.maximum((centre - half) / scale, 0.0), np.minimum((centre + half) / scale, 1.0)


def human_only(h: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The people's own share on a simple random sample, with Wilson's interval; the machine is not asked.

    h: [n], 0 or 1. Raises ValueError for other values.
    """
    verdicts = verdicts_checked(h)
    n, yes = len(verdicts), int(verdicts.sum())
    if not n:
        return Estimate("human only (Wilson)", 0, why="No person has judged any of these directions.")
    low, high = wilson_interval(yes, n, confidence)
    return Estimate("human only (Wilson)", n, yes / n, low, high, float(n), 0.0)


def labels_needed(half_width: float, share: float = 0.5, correlation: float = 0.0, confidence: float = 0.95) -> int:
    """How many labels of people make the interval ± half_width: n = z² p (1 − p) (1 − ρ²) / half_width², rounded up.

    share: the fraction p that is expected (0.5 asks for most). correlation: ρ of the human and the machine verdict; a
    regression on the machine leaves 1 − ρ² of the variance (Cochran 1977, "Sampling Techniques", eq. 7.11).

    Raises ValueError unless 0 < half_width < 1, 0 ≤ share ≤ 1 and |ρ| < 1.
    """
    if not 0 < half_width < 1 or not 0 <= share <= 1 or not -1 < correlation < 1:
        raise ValueError(
            "The half width must lie between 0 and 1, the share too, and the correlation between -1 and 1, "
            f"not be {half_width}, {share} and {correlation}."
        )
    z = normal_quantile(confidence)
    return max(1, ceil(z * z * share * (1 - share) * (1 - correlation**2) / half_width**2))


def normal_estimate(
    method: str, n: int, value: float, variance: float, *, confidence: float, tuning: float | None = None
) -> Estimate:
    """value ± z √variance, cut off at nothing: below 0 or above 1 it shows that it does not hold there."""
    half = normal_quantile(confidence) * sqrt(max(variance, 0.0))
    effective = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else None
    if variance <= 0:
        why = "All residuals on the labels are equal, so this formula sees no uncertainty: it says nothing here."
        return Estimate(method, n, value, tuning=tuning, why=why)
    return Estimate(method, n, value, value - half, value + half, effective, tuning)


def verdicts_checked(values: ArrayLike) -> Floats:
    """Two-valued verdicts as 0. and 1., [n]. Raises ValueError for anything else: unsure is left out beforehand."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isin(found, (0.0, 1.0)).all():
        raise ValueError("Verdicts are a list of 0 and 1; leave out what is unsure, and say how many that are.")
    return found


def pairs_checked(h: ArrayLike, f: ArrayLike) -> tuple[Floats, Floats]:
    """The human verdicts and the machine's on the same directions. Raises ValueError where they do not match."""
    human, machine = verdicts_checked(h), np.asarray(f, dtype=np.float64)
    if human.shape != machine.shape or not np.isfinite(machine).all():
        raise ValueError(f"People and machine need verdicts on the same items, not {human.shape} and {machine.shape}.")
    return human, machine


def probabilities_checked(pi: ArrayLike, n: int) -> Floats:
    """Inclusion probabilities, [n]. Raises ValueError where one is missing or not within 0 to 1."""
    found = np.asarray(pi, dtype=np.float64)
    if found.shape != (n,):
        raise ValueError(f"There are {n} labels and {found.shape} inclusion probabilities.")
    if not ((found > 0) & (found <= 1)).all():
        raise ValueError(
            "An item without an inclusion probability above 0 and at most 1 is no part of a sample: leave out what "
            "came from a disagreement queue or was picked by hand."
        )
    return found


def _check_counts(successes: float, n: float) -> None:
    if n < 1:
        raise ValueError(f"an interval needs at least one observation, not n = {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n = {n}, not be {successes}")
