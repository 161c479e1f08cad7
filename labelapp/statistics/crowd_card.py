"""How people agree among themselves, where any number of them said yes or no to an item: all coefficients together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.agreement_card import Coefficient
from labelapp.statistics.clusters import interval_of
from labelapp.statistics.estimation import Floats
from labelapp.statistics.resampling import RESAMPLES, bootstrap_all, cluster_sums

NOTHING = "No two people said yes or no to the same item."
ONE_VALUE = "Everybody only ever said the same one thing, so agreement beyond chance is not defined."
# Columns of an item: 1, its share of agreeing pairs, its share of yes, its verdicts, its yes, its disagreement.
ITEM, AGREED, SHARE, VALUES, YES, DISAGREED = range(6)


@dataclass(frozen=True)
class CrowdCard:
    """Of the items with a yes or no of two people at least."""

    n: int
    clusters: int  # vectors: the two ends of one are kept together
    verdicts: int
    left_out: int  # items with one verdict
    raw: Coefficient
    alpha: Coefficient
    ac1: Coefficient
    prevalence: float | None  # the mean over items of their shares of yes


def crowd_card(
    yes: ArrayLike,
    verdicts: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> CrowdCard:
    """Agreement of any number of judges, not all of whom judged every item; intervals over vectors.

    yes: [items], how many said yes; verdicts: [items], how many said yes or no; clusters: [items], the vector of each.
    Items with fewer than two verdicts are left out. With y of r verdicts yes:

    - raw: the mean over items of the share of pairs that agree, (y (y - 1) + (r - y) (r - y - 1)) / (r (r - 1)), its
      interval Wilson's with the variance over clusters (`clusters.interval_of`);
    - Krippendorff's alpha as `repeats.nominal_alpha`;
    - Gwet's AC1 (2008) for two categories and several raters: (raw - p_e) / (1 - p_e), p_e = 2 π (1 - π), π the mean
      of y / r.

    With two complete judges raw and AC1 are those of `agreement_card`. Raises ValueError where the arrays do not match.
    """
    y, r = np.asarray(yes, dtype=np.float64), np.asarray(verdicts, dtype=np.float64)
    if y.ndim != 1 or y.shape != r.shape or len(clusters) != len(y) or (y < 0).any() or (y > r).any():
        raise ValueError("Every item needs how many said yes, of how many, and its vector.")
    held = r >= 2
    left_out = int((r == 1).sum())
    y, r = y[held], r[held]
    groups = [it for it, is_held in zip(clusters, held, strict=True) if is_held]
    n = len(y)
    if not n:
        nothing = Coefficient(None, why=NOTHING)
        return CrowdCard(0, 0, 0, left_out, nothing, nothing, nothing, None)
    apart = y * (r - y)
    agreed = 1 - 2 * apart / (r * (r - 1))
    sums = cluster_sums(np.column_stack([np.ones(n), agreed, y / r, r, y, 2 * apart / (r - 1)]), groups)
    whole = sums.sum(axis=0)[None]
    intervals = bootstrap_all(sums, (_alphas, _ac1s), confidence=confidence, resamples=resamples, seed=seed)
    alpha, ac1 = (
        _coefficient(float(statistic(whole)[0]), found)
        for statistic, found in zip((_alphas, _ac1s), intervals, strict=True)
    )
    return CrowdCard(n, len(sums), int(r.sum()), left_out, _raw(sums, n), alpha, ac1, float(whole[0, SHARE] / n))


def _coefficient(value: float, found: tuple[float, float] | str) -> Coefficient:
    if np.isnan(value):
        return Coefficient(None, why=ONE_VALUE)
    return Coefficient(value, why=found) if isinstance(found, str) else Coefficient(value, *found)


def _raw(sums: Floats, n: int) -> Coefficient:
    share, m = float(sums[:, AGREED].sum()) / n, len(sums)
    influence = (sums[:, AGREED] - share * sums[:, ITEM]) / n
    variance = float(influence @ influence) * m / (m - 1) if m > 1 else None
    return Coefficient(share, *interval_of(share, n, m, variance))


def _alphas(totals: Floats) -> Floats:
    """Of many totals at once, [..., 6] to [...]; NaN where there is one value alone."""
    values, yes = totals[..., VALUES], totals[..., YES]
    by_chance = 2 * yes * (values - yes)
    ratio = np.divide(
        totals[..., DISAGREED] * (values - 1), by_chance, out=np.full_like(by_chance, np.nan), where=by_chance > 1e-9
    )
    result: Floats = 1 - ratio
    return result


def _ac1s(totals: Floats) -> Floats:
    observed, share = totals[..., AGREED] / totals[..., ITEM], totals[..., SHARE] / totals[..., ITEM]
    by_chance = 2 * share * (1 - share)
    result: Floats = (observed - by_chance) / (1 - by_chance)
    return result
