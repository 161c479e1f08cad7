"""Does a judge say the same when it is asked again? Verdicts and labels of two looks at the same items."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.agreement import cohens_kappa, contingency
from labelapp.statistics.clusters import Share, cluster_codes, clustered_share, clustered_variance
from labelapp.statistics.labels import label_key


@dataclass(frozen=True)
class Agreement:
    """How two looks agree: the share of items with the same verdict, and Cohen's kappa, which is None where chance
    alone would agree always. Its interval is None where nothing varies between clusters.
    """

    share: Share
    kappa: float | None = None
    kappa_low: float | None = None
    kappa_high: float | None = None


@dataclass(frozen=True)
class LabelAgreement:
    """Of the items that both looks name: the share with the very same label, and with labels of one `label_key`."""

    exact: Share
    normalised: Share


def agreement(first: ArrayLike, second: ArrayLike, clusters: Sequence[Hashable]) -> Agreement:
    """first, second: [n] booleans, the two verdicts on the same items; clusters: [n], the vector of each.

    kappa's interval is normal, with the variance of its linearisation over clusters: an item with verdicts (a, b)
    has the influence ((a = b) - p_o) / (1 - p_e) - (1 - p_o) (p_.a + p_b. - 2 p_e) / (1 - p_e)², divided by n
    (Fleiss, Cohen and Everitt 1969, "Large sample standard errors of kappa and weighted kappa", for clusters of one).
    Raises ValueError where the lengths differ.
    """
    table = contingency(first, second)  # sees to the lengths
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    share = clustered_share(a == b, clusters)
    kappa = cohens_kappa(table)
    if kappa is None:
        return Agreement(share)
    n = len(a)
    codes, m = cluster_codes(clusters, n)
    p_first, p_second = a.mean(), b.mean()
    p_o = float((a == b).mean())
    p_e = float(p_first * p_second + (1 - p_first) * (1 - p_second))
    chance = np.where(a, p_second, 1 - p_second) + np.where(b, p_first, 1 - p_first)
    influence = ((a == b) - p_o) / (1 - p_e) - (1 - p_o) * (chance - 2 * p_e) / (1 - p_e) ** 2
    variance = clustered_variance(influence / n, codes, m)
    if not variance or variance < 1e-18:
        return Agreement(share, kappa)
    half = NormalDist().inv_cdf(0.975) * sqrt(variance)
    return Agreement(share, kappa, max(kappa - half, -1.0), min(kappa + half, 1.0))


def label_agreement(first: Sequence[str], second: Sequence[str], clusters: Sequence[Hashable]) -> LabelAgreement:
    """first, second: [n] labels of the same items, both not empty; clusters: [n]. Raises ValueError."""
    pairs = list(zip(first, second, strict=True))
    return LabelAgreement(
        clustered_share([a == b for a, b in pairs], clusters),
        clustered_share([label_key(a) == label_key(b) for a, b in pairs], clusters),
    )
