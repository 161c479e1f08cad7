"""Shares over items that come in clusters, as the two ends of a vector do, and how far they can be trusted.

Items of a cluster are not independent, so an interval that counts each of them is too short. Here an estimate's
variance is taken over clusters, and the interval is Wilson's with the sample size that has this variance (Kish 1965,
"Survey Sampling", the design effect; Dean and Pagano 2015, "Evaluating confidence interval methods for binomial
proportions in clustered surveys").
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelapp.statistics.estimation import wilson_interval


@dataclass(frozen=True)
class Share:
    """A share of `n` items in so many clusters, with its 95 % interval; None, all three, where n = 0."""

    yes: int
    n: int
    clusters: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    effective_n: float | None = None  # as many independent items would be as exact


def clustered_share(yes: ArrayLike, clusters: Sequence[Hashable], weights: ArrayLike | None = None) -> Share:
    """The share of yes among n items and its interval over clusters; where each item is one, it is Wilson's.

    With weights w, 1/π of items that were not equally likely to be drawn, it is Hájek's Σ w y / Σ w, its variance over
    clusters that of the residuals w (y − p) / Σ w, and n and the clusters count as Kish's (Σ w)² / Σ w².

    yes: [n] booleans; clusters: [n], which cluster each item is of; weights: [n], above 0. Raises ValueError where
    their lengths differ or a weight is none.
    """
    says = np.asarray(yes, dtype=bool)
    codes, m = cluster_codes(clusters, len(says))
    n = len(says)
    if weights is not None:
        return _weighted_share(says, codes, m, np.asarray(weights, dtype=np.float64))
    if not n:
        return Share(0, 0, 0)
    p = float(says.mean())
    variance = p * (1 - p) / n if m == n else clustered_variance((says - p) / n, codes, m)
    return Share(int(says.sum()), n, m, p, *interval_of(p, n, m, variance), effective_size(p, n, m, variance))


def _weighted_share(says: NDArray[np.bool_], codes: NDArray[np.intp], m: int, weights: NDArray[np.float64]) -> Share:
    n = len(says)
    if weights.shape != (n,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"Every item needs a weight above 0: there are {n} items and {weights.shape} weights.")
    if not n:
        return Share(0, 0, 0)
    total = float(weights.sum())
    p = min(float((weights * says).sum()) / total, 1.0)
    if says.all() or not says.any():
        p = float(says[0])
    variance = clustered_variance(weights * (says - p) / total, codes, m)
    of_clusters = np.bincount(codes, weights=weights, minlength=m)
    n_kish, m_kish = (max(total**2 / float(it @ it), 1.0) for it in (weights, of_clusters))
    return Share(
        int(says.sum()), n, m, p, *interval_of(p, n_kish, m_kish, variance), effective_size(p, n_kish, m_kish, variance)
    )


def share_of_pairs(yes: int, n: int, pairs: tuple[int, int, int]) -> Share:
    """`clustered_share` from counts, for clusters of one or two items, as vectors have one or two ends.

    yes of n items; pairs: how many clusters hold two items of which both, one, none are yes. The other items are alone.
    With p = yes / n and m clusters, y the yes of a cluster and k its items, the variance is the same

        m / (m - 1) Σ (y - k p)² / n²

    Raises ValueError where the counts do not fit together.
    """
    both, one, none = pairs
    paired = both + one + none
    alone, alone_yes = n - 2 * paired, yes - 2 * both - one
    if min(both, one, none, alone, alone_yes, alone - alone_yes) < 0:
        raise ValueError(f"{yes} yes of {n} items cannot hold {both}, {one} and {none} pairs with two, one and no yes.")
    if not n:
        return Share(0, 0, 0)
    p, m = yes / n, alone + paired
    squares = alone_yes * (1 - p) ** 2 + (alone - alone_yes) * p**2
    squares += both * (2 - 2 * p) ** 2 + one * (1 - 2 * p) ** 2 + none * (2 * p) ** 2
    variance = p * (1 - p) / n if m == n else squares / n**2 * m / (m - 1) if m > 1 else None
    return Share(yes, n, m, p, *interval_of(p, n, m, variance), effective_size(p, n, m, variance))


def clustered_variance(influence: ArrayLike, codes: NDArray[np.intp], m: int) -> float | None:
    """Of an estimate that is off by the sum of its items' influences: m / (m - 1) Σ_c (Σ_{i in c} u_i)².

    influence: [n] floats that sum to 0; codes: [n], each item's cluster, 0 to m - 1. It is the sandwich of cluster-
    robust regression (Liang and Zeger 1986). None for a single cluster, which has no variance.
    """
    if m < 2:
        return None
    sums = np.bincount(codes, weights=np.asarray(influence, dtype=np.float64), minlength=m)
    return float(sums @ sums) * m / (m - 1)


def interval_of(p: float, n: float, m: float, variance: float | None) -> tuple[float, float]:
    """Wilson's interval of a share p whose variance is known, over n items in m clusters: with `effective_size`."""
    effective = effective_size(p, n, m, variance)
    return wilson_interval(min(p * effective, effective), effective)


def effective_size(p: float, n: float, m: float, variance: float | None) -> float:
    """p (1 - p) / variance, and no more than n. At 0 and 1, where nothing varies, it is the number of clusters; with
    one cluster it is 1.
    """
    spread = p * (1 - p)
    if variance is None:
        return 1.0
    if spread == 0:
        return float(m)
    return float(n) if variance * n <= spread else max(spread / variance, 1.0)


def cluster_codes(clusters: Sequence[Hashable], n: int) -> tuple[NDArray[np.intp], int]:
    """Each item's cluster as a number from 0, and how many clusters there are. Raises ValueError."""
    if len(clusters) != n:
        raise ValueError(f"Every item needs its cluster: there are {n} items and {len(clusters)} clusters.")
    numbers: dict[Hashable, int] = {}
    codes = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    return np.array(codes, dtype=np.intp), len(numbers)
