"""How well judges hit a reference, alone and side by side, over clusters that are counted by kind.

A cluster is a vector: its two ends are kept together in every interval. Most vectors fall into few kinds, such as "both
ends yes, and the judge said yes and no", so a database counts the kinds and nothing here grows with the items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.agreement import cohens_kappa
from labelapp.statistics.agreement_card import NOTHING, ONE_VALUE, Cells, Coefficient, kappas
from labelapp.statistics.clusters import interval_of
from labelapp.statistics.estimation import Floats, normal_quantile
from labelapp.statistics.resampling import RESAMPLES, bootstrap

# Columns of a kind's cells: the reference says the first word, the judge the second.
YES_YES, YES_NO, NO_YES, NO_NO = range(4)
NO_YES_SAID = "The judge said yes to none of these, so there is nothing to be right about."
NO_YES_THERE = "The reference has no yes among these, so there is nothing to be found."


@dataclass(frozen=True)
class Scores:
    """One judge against a reference; what is not defined is None with its sentence, never 0."""

    n: int
    clusters: int
    table: Cells  # table[i][j]: the reference says i, the judge j, 0 yes and 1 no
    accuracy: Coefficient
    precision: Coefficient
    recall: Coefficient
    kappa: Coefficient


def judge_scores(cells: ArrayLike, frequencies: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Scores:
    """Accuracy, precision and recall with score intervals over clusters, and kappa with a bootstrap one.

    cells: [kinds, 4], of each kind of cluster its items by YES_YES … NO_NO; frequencies: [kinds], how many clusters are
    of it. Shares: `clusters.interval_of` with the clusters' variance. Raises ValueError where they do not match.
    """
    sums, counts = _checked(cells, frequencies, 4)
    totals = (counts @ sums).astype(int)
    n = int(totals.sum())
    table = ((int(totals[YES_YES]), int(totals[YES_NO])), (int(totals[NO_YES]), int(totals[NO_NO])))
    every = (YES_YES, YES_NO, NO_YES, NO_NO)
    return Scores(
        n,
        int(counts[sums.sum(axis=1) > 0].sum()),
        table,
        _share(sums, counts, (YES_YES, NO_NO), every, NOTHING),
        _share(sums, counts, (YES_YES,), (YES_YES, NO_YES), NO_YES_SAID if n else NOTHING),
        _share(sums, counts, (YES_YES,), (YES_YES, YES_NO), NO_YES_THERE if n else NOTHING),
        _kappa(sums, counts, table, resamples, seed),
    )


@dataclass(frozen=True)
class PairedScores:
    """Two judges, each right or wrong on the same items."""

    n: int
    clusters: int
    first_only: int  # right by the first alone
    second_only: int
    difference: float | None  # first - second, of the shares that are right
    low: float | None = None
    high: float | None = None
    p: float | None = None  # McNemar's, exact, each item for itself
    p_clusters: float | None = None  # the same over clusters, by which judge is right on more of their items
    why: str = ""


def paired_scores(outcomes: ArrayLike, frequencies: ArrayLike, confidence: float = 0.95) -> PairedScores:
    """The paired difference of two judges' accuracies, and McNemar's exact test.

    As `contrasts.paired_judges` (McNemar 1947; Agresti and Min 2005), its counts divided by the design effect, the
    variance over clusters by that over items where it is larger (Kish 1965, "Survey Sampling"). Over clusters the test
    is the exact sign test of which judge is right on more items of a cluster.

    outcomes: [kinds, 4], of each kind of cluster how many items both hit, the first alone, the second alone, neither;
    frequencies: [kinds]. None, and the sentence, without a common item.
    """
    sums, counts = _checked(outcomes, frequencies, 4)
    totals = counts @ sums
    n, first, second = float(totals.sum()), float(totals[1]), float(totals[2])
    clusters = int(counts[sums.sum(axis=1) > 0].sum())
    if not n:
        return PairedScores(0, 0, 0, 0, None, why="The two judges have no item in common.")
    net: Floats = sums[:, 1] - sums[:, 2]
    value = (first - second) / n
    effect = _design_effect(net, sums.sum(axis=1), counts, value, first + second, n, clusters)
    b, c, size = first / effect, second / effect, n / effect + 2
    centre = (b - c) / size
    half = normal_quantile(confidence) * sqrt(b + c + 1 - (b - c) ** 2 / size) / size
    return PairedScores(
        int(n), clusters, int(first), int(second), value,
        max(min(centre - half, value), -1.0), min(max(centre + half, value), 1.0),
        _sign_test(first, second), _sign_test(float(counts[net > 0].sum()), float(counts[net < 0].sum())),
    )  # fmt: skip


def _design_effect(
    net: Floats, items: Floats, counts: Floats, value: float, discordant: float, n: float, clusters: int
) -> float:
    single = discordant - n * value**2
    if single <= 0 or clusters < 2:
        return 1.0
    together = float(counts @ (net - value * items) ** 2) * clusters / (clusters - 1)
    return max(1.0, together / single)


def _sign_test(first: float, second: float) -> float:
    from scipy.special import bdtr  # the web process starts without scipy

    n = first + second
    return min(1.0, 2 * float(bdtr(min(first, second), int(n), 0.5))) if n else 1.0


def _share(sums: Floats, counts: Floats, right: Sequence[int], of: Sequence[int], why: str) -> Coefficient:
    hits, items = sums[:, list(right)].sum(axis=1), sums[:, list(of)].sum(axis=1)
    n = float(counts @ items)
    if not n:
        return Coefficient(None, why=why)
    p = float(counts @ hits) / n
    m = int(counts[items > 0].sum())
    variance = float(counts @ ((hits - p * items) / n) ** 2) * m / (m - 1) if m > 1 else None
    return Coefficient(p, *interval_of(p, int(n), m, variance))


def _kappa(sums: Floats, counts: Floats, table: Cells, resamples: int, seed: int) -> Coefficient:
    value = cohens_kappa(table)
    if value is None:
        return Coefficient(None, why=ONE_VALUE if sum(map(sum, table)) else NOTHING)
    held = sums.sum(axis=1) > 0
    found = bootstrap(sums[held], kappas, frequencies=counts[held], resamples=resamples, seed=seed)
    return Coefficient(value, why=found) if isinstance(found, str) else Coefficient(value, *found)


def _checked(cells: ArrayLike, frequencies: ArrayLike, columns: int) -> tuple[Floats, Floats]:
    sums = np.asarray(cells, dtype=np.float64).reshape(-1, columns)
    counts = np.asarray(frequencies, dtype=np.float64)
    if counts.shape != (len(sums),) or (sums < 0).any() or (counts < 0).any():
        raise ValueError(f"Every kind of cluster needs its counts and its frequency: {sums.shape}, {counts.shape}.")
    return sums, counts
