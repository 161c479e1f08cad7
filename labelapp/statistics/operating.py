"""How a machine's confidences can be used: calibration, and its sensitivity at a fixed rate of false positives."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelapp.statistics.clusters import cluster_codes, clustered_share
from labelapp.statistics.estimation import Floats, clopper_pearson_interval, verdicts_checked
from labelapp.statistics.resampling import RESAMPLES

FEWEST_IN_BIN = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """The answers with a confidence from `start` to `stop`; no interval where they are fewer than ten."""

    start: float
    stop: float
    n: int
    confidence: float | None  # mean
    share: float | None  # that people call interpretable
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Reliability:
    """The curve, and two numbers of it: Brier's score and the expected calibration error."""

    n: int
    bins: Sequence[ReliabilityBin]
    brier: float | None
    expected_error: float | None
    why: str = ""


def reliability_curve(
    confidence: ArrayLike, h: ArrayLike, bins: int = 10, *, clusters: Sequence[Hashable] | None = None
) -> Reliability:
    """How often people say yes where the machine is so confident: bins of equal width from 0 to 1.

        Brier = mean (confidence − h)²  (Brier 1950, "Verification of forecasts expressed in terms of probability")
        expected error = Σ n_b/n |mean confidence_b − mean h_b|  (Naeini, Cooper and Hauskrecht 2015, eq. 4)

    confidence: [n], the probability that the machine gives to yes; h: [n], 0 or 1. The last bin holds 1, and each but
    the last not its end. clusters: [n], the vector of each end: a bin's interval keeps them together. Raises ValueError
    for a confidence outside 0 to 1, for unequal lengths or less than one bin.
    """
    given, human = np.asarray(confidence, dtype=np.float64), verdicts_checked(h)
    if given.shape != human.shape or bins < 1 or not ((given >= 0) & (given <= 1)).all():
        raise ValueError("A reliability curve needs a confidence from 0 to 1 for each verdict of people.")
    n = len(human)
    if not n:
        return Reliability(0, [], None, None, "No direction has both a confidence and a person's verdict.")
    edges = np.linspace(0, 1, bins + 1)
    places = np.minimum(np.searchsorted(edges, given, side="right") - 1, bins - 1)
    vectors = cluster_codes(range(n) if clusters is None else clusters, n)[0]
    made = [_bin(edges[i], edges[i + 1], *(it[places == i] for it in (given, human, vectors))) for i in range(bins)]
    error = sum(
        it.n / n * abs(it.confidence - it.share) for it in made if it.confidence is not None and it.share is not None
    )
    return Reliability(n, made, float(((given - human) ** 2).mean()), float(error))


def _bin(start: float, stop: float, given: Floats, human: Floats, vectors: NDArray[np.intp]) -> ReliabilityBin:
    n = len(human)
    if not n:
        return ReliabilityBin(float(start), float(stop), 0, None, None, None, None)
    share = clustered_share(human, vectors.tolist())
    low, high = (share.low, share.high) if n >= FEWEST_IN_BIN else (None, None)
    return ReliabilityBin(float(start), float(stop), n, float(given.mean()), share.value, low, high)


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold at which at most `rate` of the controls pass, and what passes of the rest there."""

    rate: float
    n: int
    n_controls: int
    threshold: float | None = None
    false_positives: float | None = None  # the controls' share at the threshold
    sensitivity: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


def sensitivity_at(
    scores: ArrayLike,
    controls: ArrayLike,
    rate: float = 0.05,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: Sequence[Hashable] | None = None,
    control_clusters: Sequence[Hashable] | None = None,
) -> OperatingPoint:
    """The share of directions that pass where at most `rate` of the controls do (a point of the empirical ROC curve).

    The threshold is the (⌊rate · n_controls⌋ + 1)-th largest control's score, and what lies above it passes. Directions
    and controls are each drawn again, threshold and all (Platt, Hanley and Yang 2000, "Bootstrap confidence intervals
    for the sensitivity of a quantitative diagnostic test"); the interval is at least Clopper and Pearson's at the
    threshold seen, which alone would take the threshold as known.

    scores: [n], of directions that people call interpretable (or of all, for a rate of passing); controls:
    [n_controls]. None, and the sentence, where fewer than 1/rate controls are there: no threshold then lets through so
    few. clusters, control_clusters: [n] and [n_controls], the vector of each end: then as many are drawn as independent
    ends would be as exact, by the variance over vectors of what passes.
    """
    found, noise = (np.asarray(it, dtype=np.float64) for it in (scores, controls))
    if not 0 < rate < 1 or found.ndim != 1 or noise.ndim != 1:
        raise ValueError("Scores are two lists, and the rate lies between 0 and 1.")
    if not np.isfinite(found).all() or not np.isfinite(noise).all():
        raise ValueError("A score is not a number: leave out answers without one, and say how many these are.")
    n, m = len(found), len(noise)
    if not n or m * rate < 1:
        why = "No direction has a score." if not n else f"{m} controls are too few for a rate of {rate:g}."
        return OperatingPoint(rate, n, m, why=why)
    allowed = floor(rate * m + 1e-9)
    threshold = float(np.sort(noise)[m - 1 - allowed])
    passed = int((found > threshold).sum())
    n_drawn, m_drawn = (
        len(it) if vectors is None else clustered_share(it > threshold, vectors).effective_n or 1.0
        for it, vectors in ((found, clusters), (noise, control_clusters))
    )
    rng = np.random.default_rng(seed)
    # The same in distribution as drawing m controls and n directions each time: the place of an order statistic of m
    # uniform draws is Beta's (David and Nagaraja 2003, "Order Statistics", section 2.1), a count of n draws binomial.
    places = (m * rng.beta(m_drawn * (m - allowed) / m, m_drawn * allowed / m + 1, size=resamples)).astype(int)
    again = np.sort(noise)[np.minimum(places, m - 1)]
    passing = 1 - np.searchsorted(np.sort(found), again, side="right") / n
    size = max(1, round(n_drawn))
    shares = rng.binomial(size, passing) / size
    low, high = np.quantile(shares, [(1 - confidence) / 2, (1 + confidence) / 2])
    exact = clopper_pearson_interval(passed / n * n_drawn, n_drawn, confidence)
    return OperatingPoint(
        rate, n, m, threshold, float((noise > threshold).mean()), passed / n,
        min(float(low), exact[0]), max(float(high), exact[1]),
    )  # fmt: skip
