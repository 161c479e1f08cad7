"""Bootstrap over clusters: the two ends of a vector, or all directions of a layer, are drawn together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.clusters import cluster_codes
from labelapp.statistics.estimation import Estimate, Floats

RESAMPLES = 2000
FEWEST_CLUSTERS = 10
UNDEFINED_MOST = 0.05
"""More undefined resamples than this share, and no interval is given."""


def cluster_sums(values: ArrayLike, clusters: Sequence[Hashable]) -> Floats:
    """The sums of each column over each cluster: [n, columns] to [clusters, columns]. Raises ValueError."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(clusters):
        raise ValueError(f"Every item needs its cluster: {table.shape} values, {len(clusters)} clusters.")
    places, count = cluster_codes(clusters, len(table))
    sums = np.zeros((count, table.shape[1]))
    np.add.at(sums, places, table)
    return sums


def bootstrap(
    sums: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    frequencies: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float] | str:
    """The percentile interval of a statistic of sums, or the sentence why there is none.

    Efron (1979), "Bootstrap methods: another look at the jackknife"; clusters drawn whole, Davison and Hinkley (1997),
    "Bootstrap Methods and their Application", section 3.8. sums: [clusters, columns]; statistic: from [resamples,
    columns] of totals to [resamples], NaN where it is not defined. With frequencies, [clusters], each row stands for so
    many clusters that are alike: the same draws in distribution, at the cost of the rows alone.
    """
    return bootstrap_all(
        sums, [statistic], frequencies=frequencies, confidence=confidence, resamples=resamples, seed=seed
    )[0]


def bootstrap_all(
    sums: Floats,
    statistics: Sequence[Callable[[Floats], Floats]],
    *,
    frequencies: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[tuple[float, float] | str]:
    """`bootstrap` of several statistics over the same draws."""
    if frequencies is None:
        # With few kinds of clusters (the four cells of two judges) a thousandth of the work.
        kinds, alike = np.unique(sums, axis=0, return_counts=True)
    else:
        kinds, alike = sums, np.asarray(frequencies, dtype=np.int64)
    count = int(alike.sum())
    if count < FEWEST_CLUSTERS:
        why = f"{count} clusters are too few to be drawn again: an interval needs at least {FEWEST_CLUSTERS}."
        return [why] * len(statistics)
    draws = np.random.default_rng(seed).multinomial(count, alike / count, size=resamples) @ kinds
    return [_percentiles(statistic(draws), confidence) for statistic in statistics]


def _percentiles(found: Floats, confidence: float) -> tuple[float, float] | str:
    """The interval of what was found in the resamples, NaN where it is not defined."""
    defined = found[np.isfinite(found)]
    if len(defined) < (1 - UNDEFINED_MOST) * len(found):
        return "In too many of the resamples it is not defined: there are too few of one verdict."
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    if low == high:
        return "Every resample gives the same value, so resampling cannot say how sure it is."
    return float(low), float(high)


def over_layers(
    yes: ArrayLike,
    counts: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A share whose estimand is layers like these, not these: Σ yes / Σ n with layers drawn whole.

    A ratio of totals over clusters (Cochran 1977, "Sampling Techniques", section 9A.1), its interval by `bootstrap`.
    yes, counts: [layers]; yes may be an estimate of each layer's yes. Fewer than ten layers have no interval, and the
    sentence why. Raises ValueError where they do not match.
    """
    table = np.column_stack([np.asarray(yes, dtype=np.float64), np.asarray(counts, dtype=np.float64)])
    total = table.sum(0)
    n = int(total[1])
    if not n:
        return Estimate("bootstrap over layers", 0, why="No direction of any layer was judged.")
    value = float(total[0] / total[1])

    def share(sums: Floats) -> Floats:
        result: Floats = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
        return result

    found = bootstrap(table, share, confidence=confidence, resamples=resamples, seed=seed)
    if isinstance(found, str):
        return Estimate("bootstrap over layers", n, value, why=found.replace("clusters", "layers"))
    return Estimate("bootstrap over layers", n, value, *found)


def corrected_over_layers(
    h: ArrayLike,
    f: ArrayLike,
    layers: Sequence[Hashable],
    census: ArrayLike,
    census_layers: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The difference estimator (`ppi.difference_estimate`) where the estimand is layers like these: layers drawn whole,
    with their labels and their part of the census, λ estimated anew each time.

    h, f, layers: [n] on the labelled (equal π); census, census_layers: [N]. Raises ValueError where they do not match.
    """
    human, machine, told = (np.asarray(it, dtype=np.float64) for it in (h, f, census))
    if not len(human) == len(machine) == len(layers) or len(told) != len(census_layers):
        raise ValueError("Every label and every direction of the census needs its verdict and its layer.")
    yes: dict[Hashable, float] = defaultdict(float)
    for layer, verdict in zip(census_layers, told, strict=True):
        yes[layer] += verdict
    sizes = Counter(census_layers)
    return counted_over_layers(
        human, machine, layers, yes, sizes, confidence=confidence, resamples=resamples, seed=seed
    )


def counted_over_layers(
    h: ArrayLike,
    f: ArrayLike,
    layers: Sequence[Hashable],
    yes: Mapping[Hashable, float],
    sizes: Mapping[Hashable, int],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """`corrected_over_layers` from a census that is counted: of each layer how many directions there are, and of how
    many the machine says yes.
    """
    human, machine = (np.asarray(it, dtype=np.float64) for it in (h, f))
    if not len(human) == len(machine) == len(layers):
        raise ValueError("Every label needs its verdicts and its layer.")
    if not set(layers) <= set(sizes):
        raise ValueError("A label is of a layer that the census does not have.")
    labelled = np.column_stack([np.ones(len(human)), human, machine, human * machine, machine**2])
    rows = np.zeros((len(human) + len(sizes), 7))
    rows[: len(human), :5] = labelled
    rows[len(human) :, 5:] = [[size, yes.get(layer, 0)] for layer, size in sizes.items()]
    sums = cluster_sums(rows, [*layers, *sizes])

    def estimate(totals: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            n, mean_h, mean_f = totals[:, 0], totals[:, 1] / totals[:, 0], totals[:, 2] / totals[:, 0]
            spread = totals[:, 4] / n - mean_f**2
            slope = np.where(spread > 1e-12, (totals[:, 3] / n - mean_h * mean_f) / spread, 0.0)
            result: Floats = mean_h - slope * (mean_f - totals[:, 6] / totals[:, 5])
        return result

    name, n = "difference, bootstrap over layers", len(human)
    if n < 3:
        return Estimate(name, n, why="The formula needs at least 3 labels.")
    value = float(estimate(sums.sum(0, keepdims=True))[0])
    found = bootstrap(sums, estimate, confidence=confidence, resamples=resamples, seed=seed)
    if isinstance(found, str):
        return Estimate(name, n, value, why=found.replace("clusters", "layers"))
    return Estimate(name, n, value, *found)
