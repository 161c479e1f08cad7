"""Differences: of two slices, of a fraction and its control rate, of two judges on the same items, of two bases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtrit

from labelapp.statistics.estimation import Estimate, Floats, normal_quantile, verdicts_checked

EXACT_FLIPS = 14
"""Up to as many matrices all 2^m flips of sign are counted, else as many are drawn."""


def slice_difference(first: Estimate, second: Estimate) -> Estimate:
    """first − second of two independent estimates, from their intervals alone.

        d ± : low = d − √((p₁ − l₁)² + (u₂ − p₂)²),  high = d + √((u₁ − p₁)² + (p₂ − l₂)²)

    Zou and Donner (2008), "Construction of confidence limits about effect measures: a general approach" (MOVER, eq. 3);
    with Wilson's intervals it is method 10 of Newcombe (1998), "Interval estimation for the difference between
    independent proportions". The slices must not share labels. None where one of the two has no value.
    """
    name, n = "difference of slices", first.n + second.n
    if first.value is None or second.value is None:
        return Estimate(name, n, why=(first if first.value is None else second).why)
    value = first.value - second.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Estimate(name, n, value, why=first.why or second.why)
    low = value - sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    high = value + sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Estimate(name, n, value, max(low, -1.0), min(high, 1.0))


def net_of_control(fraction: Estimate, control: Estimate) -> Estimate:
    """(p − c)/(1 − c): the fraction beyond what the same judge passes of noise, c the rate on controls.

    Abbott (1925), "A method of computing the effectiveness of an insecticide". It is 1 − (1 − p)/(1 − c); the interval
    of that ratio of independent estimates is MOVER's (Donner and Zou 2012, "Closed-form confidence intervals for
    functions of the normal mean and standard deviation", eq. 9), from the two intervals. Below 0 noise passes more
    often. None where every control passed, or one of the two has no value.
    """
    name, n = "net of the control rate", fraction.n + control.n
    if fraction.value is None or control.value is None:
        return Estimate(name, n, why=(fraction if fraction.value is None else control).why)
    if control.value >= 1:
        return Estimate(name, n, why="Every control passed, so nothing can be said beyond noise.")
    value = (fraction.value - control.value) / (1 - control.value)
    if fraction.low is None or fraction.high is None or control.low is None or control.high is None:
        return Estimate(name, n, value, why=fraction.why or control.why)
    if control.high >= 1:
        return Estimate(name, n, value, why="The control rate may be 1, so the net fraction has no lower end.")
    ratio = _ratio_bounds(
        (1 - fraction.value, 1 - fraction.high, 1 - fraction.low),
        (1 - control.value, 1 - control.high, 1 - control.low),
    )
    return Estimate(name, n, value, 1 - ratio[1], min(1 - ratio[0], 1.0))


def _ratio_bounds(top: tuple[float, float, float], base: tuple[float, float, float]) -> tuple[float, float]:
    """The interval of top/base from value, low and high of both, low of the base above 0."""
    (a, la, ua), (b, lb, ub) = top, base
    low = (a * b - sqrt(max((a * b) ** 2 - la * ub * (2 * a - la) * (2 * b - ub), 0.0))) / (ub * (2 * b - ub))
    high = (a * b + sqrt(max((a * b) ** 2 - ua * lb * (2 * a - ua) * (2 * b - lb), 0.0))) / (lb * (2 * b - lb))
    return max(low, 0.0), high


@dataclass(frozen=True)
class PairedJudges:
    """Two judges, each right or wrong on the same items."""

    n: int
    first_only: int  # right by the first alone
    second_only: int
    difference: float | None  # first − second, of the shares that are right
    low: float | None
    high: float | None
    p: float | None  # McNemar's, exact
    why: str = ""


def paired_judges(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> PairedJudges:
    """The paired difference of two judges' shares, and McNemar's exact test.

    p is the binomial test of the smaller of the discordant counts b and c against 1/2 (McNemar 1947, "Note on the
    sampling error of the difference between correlated proportions or percentages"). The interval has half a label
    added to each of the four cells: d = (b* − c*)/n*, d ± z √(b* + c* − (b* − c*)²/n*)/n*, n* = n + 2 (Agresti and Min
    2005, "Simple improved confidence intervals for comparing matched proportions", section 3); the difference shown is
    (b − c)/n.

    first, second: [n], 1 where right. None, and the sentence, without a common item.
    """
    one, two = verdicts_checked(first), verdicts_checked(second)
    if one.shape != two.shape:
        raise ValueError(f"The two judges need the same items, not {len(one)} and {len(two)}.")
    n, b, c = len(one), int((one > two).sum()), int((two > one).sum())
    if not n:
        return PairedJudges(0, 0, 0, None, None, None, None, "The two judges have no item in common.")
    z, plus, size = normal_quantile(confidence), b + c + 1, n + 2
    centre, half = (b - c) / size, z * sqrt(plus - (b - c) ** 2 / size) / size
    value = (b - c) / n
    p = min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5))) if b + c else 1.0
    return PairedJudges(n, b, c, value, max(min(centre - half, value), -1.0), min(max(centre + half, value), 1.0), p)


@dataclass(frozen=True)
class PairedMatrices:
    """Two bases of the same matrices, such as singular directions and neurons."""

    matrices: int
    difference: float | None  # the mean over matrices of first − second
    low: float | None
    high: float | None
    p: float | None  # of flipping signs
    why: str = ""


def paired_by_matrix(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.95, *, draws: int = 9999, seed: int = 0
) -> PairedMatrices:
    """The difference of two bases' fractions, matrix by matrix: t interval of the mean, and the test by flipping signs.

    mean(d) ± t_{m−1} s_d/√m (Student 1908, "The probable error of a mean"); p is the share of sign patterns whose
    |mean| is at least as large (Fisher 1935, "The Design of Experiments", section 21), all 2^m up to 14 matrices, else
    `draws` of them and the one seen. Matrices are the unit: directions of one matrix are not independent.

    first, second: [m], the fraction of each matrix in either basis, in the same order. None below 2 matrices.
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"Each matrix needs its fraction in both bases, not {one.shape} and {two.shape}.")
    gap: Floats = one - two
    m = len(gap)
    if m < 2:
        value = float(gap[0]) if m else None
        return PairedMatrices(
            m, value, None, None, None, "Fewer than two matrices in both bases: nothing to compare over."
        )
    mean, spread = float(gap.mean()), float(gap.std(ddof=1))
    p = _sign_flip_p(gap, draws, seed)
    if not spread:
        return PairedMatrices(m, mean, None, None, p, "All matrices differ alike, so their spread says nothing.")
    half = float(stdtrit(m - 1, (1 + confidence) / 2)) * spread / sqrt(m)
    return PairedMatrices(m, mean, mean - half, mean + half, p)


def _sign_flip_p(gap: Floats, draws: int, seed: int) -> float:
    m, seen = len(gap), abs(gap.sum()) - 1e-12
    if m <= EXACT_FLIPS:
        signs = 1 - 2.0 * ((np.arange(2**m)[:, None] >> np.arange(m)) & 1)
        return float((np.abs(signs @ gap) >= seen).mean())
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, m))
    return float((1 + (np.abs(signs @ gap) >= seen).sum()) / (draws + 1))
