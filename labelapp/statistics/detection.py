"""The detection score: can a judge that sees only a label pick the direction's tokens out of a shuffled list?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.clusters import cluster_codes, clustered_variance, interval_of

CHANCE = 0.5


@dataclass(frozen=True)
class Detection:
    """Of `own` tokens of the directions `hits` were picked, and of `others` `false_alarms`.

    `score` is their balanced accuracy, from `low` to `high` with 95 %; None, all three, where either kind is missing.
    """

    hits: int
    own: int
    false_alarms: int
    others: int
    clusters: int
    score: float | None = None
    low: float | None = None
    high: float | None = None


def detection(own: ArrayLike, picked: ArrayLike, clusters: Sequence[Hashable]) -> Detection:
    """Balanced accuracy over the tokens of any number of lists, against CHANCE.

    own: [n] booleans, whether each token shown is the direction's own; picked: [n], whether the judge picked it;
    clusters: [n], what the tokens of one list share: the vector, so that both ends of it count as one observation.

    Score = (hits / own + (others - false_alarms) / others) / 2. Whoever picks any share of a list blindly has .5.
    The interval is over clusters: with P own tokens and N others, and the two rates T and S of right answers, a
    token's influence is (right - T) / 2P or (right - S) / 2N; see `clusters.interval_of`.
    Raises ValueError where the lengths differ.
    """
    is_own, is_picked = np.asarray(own, dtype=bool), np.asarray(picked, dtype=bool)
    if is_own.shape != is_picked.shape or is_own.ndim != 1:
        raise ValueError(f"Every token is either picked or not: {is_own.shape} tokens, {is_picked.shape} picks.")
    codes, m = cluster_codes(clusters, len(is_own))
    n_own = int(is_own.sum())
    n_others = len(is_own) - n_own
    hits, false_alarms = int((is_own & is_picked).sum()), int((~is_own & is_picked).sum())
    if not n_own or not n_others:
        return Detection(hits, n_own, false_alarms, n_others, m)
    found, refused = hits / n_own, 1 - false_alarms / n_others
    score = (found + refused) / 2
    right = (is_own == is_picked).astype(np.float64)
    influence = np.where(is_own, (right - found) / (2 * n_own), (right - refused) / (2 * n_others))
    low, high = interval_of(score, len(is_own), m, clustered_variance(influence, codes, m))
    return Detection(hits, n_own, false_alarms, n_others, m, score, low, high)
