"""The share of each of several verdicts in a sample whose items need not have been equally likely to be drawn."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from labelapp.statistics.estimation import probabilities_checked, score_bounds


@dataclass(frozen=True)
class Share:
    """One verdict's share of the items; `effective_n` equally likely ones would be as exact."""

    n: int
    count: int
    value: float
    low: float
    high: float
    effective_n: float


def shares(
    values: Sequence[Hashable], pi: Sequence[float], categories: Sequence[Hashable], *, confidence: float = 0.95
) -> list[Share]:
    """Of each category Σ [value = category]/π / Σ 1/π (Hájek 1971) with Wilson's score interval.

    values, π: [n], an item's verdict and the probability with which it was drawn. The interval takes n as
    (Σ w)² / Σ w², w = 1/π (Kish 1965, "Survey sampling", § 11.7): n itself where all π are equal, so that it is then
    `estimation.wilson_interval` of the counts. Without a finite population's correction: the estimand is what the
    items were drawn from and more like it, and the interval is rather too wide than too narrow for a census.

    Raises ValueError where there are no items, the lengths differ, a π is not in (0, 1], or a value is no category.
    """
    if not values:
        raise ValueError("There are no verdicts to take a share of.")
    if unknown := set(values) - set(categories):
        raise ValueError(f"A verdict is none of {', '.join(map(str, categories))}: {unknown}.")
    weights = 1 / probabilities_checked(pi, len(values))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    found = []
    for category in categories:
        hits = np.array([value == category for value in values])
        value = float((weights * hits).sum() / weights.sum())
        low, high = score_bounds(value, effective, confidence)
        found.append(Share(len(values), int(hits.sum()), value, float(low), float(high), effective))
    return found
