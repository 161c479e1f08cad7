"""Draws with known inclusion probabilities. A unit is a place in the population, from 0.

Every draw rests on `random.Random(seed).random()` alone, whose sequence Python promises never to change, so a design
can be drawn again from its seed years later.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

# Two of each stratum, or its variance cannot be estimated.
LEAST_OF_A_STRATUM = 2


@dataclass(frozen=True)
class Sample:
    """Units that were drawn, in random order, and with which probability each unit of the population is drawn.

    `units` is [n] of whole numbers, `probabilities` [population] of floats in 0 to 1.
    """

    units: np.ndarray
    probabilities: np.ndarray


def simple_random(population: int, n: int, seed: int) -> Sample:
    """n of the population without replacement, each set of n with the same probability, so π = n / population.

    Raises ValueError unless 1 ≤ n ≤ population.
    """
    _require_size(n, population)
    stream = random.Random(seed)
    units = np.argsort(_uniforms(stream, population), kind="stable")[:n]
    return Sample(_shuffled(units, stream), np.full(population, n / population))


def stratified(strata: np.ndarray, allocation: Sequence[int], seed: int) -> Sample:
    """Of each stratum h a simple random sample of n_h = allocation[h], independently; in it π = n_h / N_h.

    `strata` is [population] with the number of each unit's stratum. Raises ValueError where a stratum is to give none
    (π would be 0) or more than it has.
    """
    sizes = np.bincount(strata, minlength=len(allocation))
    if len(sizes) != len(allocation):
        raise ValueError(f"there are {len(sizes)} strata and {len(allocation)} numbers to draw from them")
    for size, n in zip(sizes.tolist(), allocation, strict=True):
        _require_size(n, size)
    stream = random.Random(seed)
    # By stratum, and in it at random: the first n_h of each are drawn.
    order = np.lexsort((_uniforms(stream, len(strata)), strata))
    first = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    units = np.concatenate(
        [order[start : start + n] for start, n in zip(first.tolist(), allocation, strict=True)]
    )  # fmt: skip
    return Sample(_shuffled(units, stream), (np.asarray(allocation) / sizes)[strata])


def allocate(
    sizes: Sequence[int],
    n: int,
    deviations: Sequence[float] | None = None,
    *,
    least: int = LEAST_OF_A_STRATUM,
) -> list[int]:
    """How many to draw from each stratum, n in all: Neyman's allocation with `deviations`, else the proportional one.

    The numbers minimise the variance Σ N_h² S_h² (1/n_h − 1/N_h) of the stratified total exactly among all whole
    numbers with `least` ≤ n_h ≤ N_h (a smaller stratum gives all): each further unit goes where N_h S_h / √(k(k + 1))
    is largest, k being how many the stratum has already (Wright 2012, "The equivalence of Neyman optimum allocation
    for sampling and equal proportions for apportioning the U.S. House of Representatives"). Proportional is the case
    of equal deviations S_h. A stratum of deviation 0 gets `least`, unless all others are used up.

    Raises ValueError where n is less than `least` of each or more than there are.
    """
    spread = [1.0] * len(sizes) if deviations is None else list(deviations)
    if len(spread) != len(sizes) or any(it < 0 for it in spread):
        raise ValueError("each stratum has one deviation, of at least 0")
    taken = [min(least, size) for size in sizes]
    if not sum(taken) <= n <= sum(sizes):
        raise ValueError(f"n must lie between {sum(taken)} and {sum(sizes)}, not be {n}")

    def priority(stratum: int) -> tuple[float, float, int]:
        k = taken[stratum]
        reach = sizes[stratum] / sqrt(k * (k + 1)) if k else float("inf")
        return -reach * spread[stratum] if spread[stratum] else 0.0, -reach, stratum

    waiting = [priority(stratum) for stratum, size in enumerate(sizes) if taken[stratum] < size]
    heapq.heapify(waiting)
    for _ in range(n - sum(taken)):
        stratum = heapq.heappop(waiting)[2]
        taken[stratum] += 1
        if taken[stratum] < sizes[stratum]:
            heapq.heappush(waiting, priority(stratum))
    return taken


def inclusion_probabilities(weights: np.ndarray, n: int) -> np.ndarray:
    """π proportional to the weights [population], with sum n and none above 1.

    Units whose share would be 1 or more are taken for certain, and the rest share what is left (Särndal, Swensson and
    Wretman 1992, "Model Assisted Survey Sampling", section 3.6.2). Raises ValueError where a weight is not positive:
    its unit could never be drawn, and no estimate could make up for that.
    """
    weights = np.asarray(weights, dtype=float)
    _require_size(n, len(weights))
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("every weight must be a number above 0")
    certain = np.zeros(len(weights), dtype=bool)
    while True:
        left = n - int(certain.sum())
        rest = weights[~certain].sum()
        shares = np.where(certain, 1.0, left * weights / rest if left else 0.0)
        beyond = ~certain & (shares >= 1.0)
        if not beyond.any():
            return np.minimum(shares, 1.0)
        certain |= beyond


def proportional_to_weight(weights: np.ndarray, n: int, seed: int) -> Sample:
    """n units with exactly the `inclusion_probabilities` of the weights: systematic sampling of a random order.

    The units are laid end to end in random order, each as long as its π, and taken where a grid of step 1 with a
    random start falls. So a unit is taken with probability π whatever the order, and exactly n are (Madow 1949, "On
    the theory of systematic sampling, II"; in random order: Hartley and Rao 1962, "Sampling with unequal
    probabilities and without replacement").
    """
    probabilities = inclusion_probabilities(weights, n)
    stream = random.Random(seed)
    order = np.argsort(_uniforms(stream, len(probabilities)), kind="stable")
    certain = np.flatnonzero(probabilities >= 1.0)
    order = order[probabilities[order] < 1.0]
    chosen = order[grid_hits(probabilities[order], n - len(certain), stream.random())]
    return Sample(_shuffled(np.concatenate([certain, chosen]), stream), probabilities)


def grid_hits(lengths: np.ndarray, n: int, start: float) -> np.ndarray:
    """The places of the intervals, laid end to end, that the points start, start + 1, …, start + n − 1 fall into.

    The lengths sum to n, rounding apart, and each is below 1; start is in 0 to 1.
    """
    if n == 0:
        return np.empty(0, dtype=np.int64)
    ends = np.cumsum(lengths)
    ends *= n / ends[-1]
    return np.searchsorted(ends, start + np.arange(n), side="right")


def _require_size(n: int, population: int) -> None:
    if not 1 <= n <= population:
        raise ValueError(f"n must lie between 1 and {population}, not be {n}")


def _uniforms(stream: random.Random, n: int) -> np.ndarray:
    return np.fromiter((stream.random() for _ in range(n)), dtype=float, count=n)


def _shuffled(units: np.ndarray, stream: random.Random) -> np.ndarray:
    """In random order, which tells nothing of stratum or weight."""
    units = np.sort(units)
    return units[np.argsort(_uniforms(stream, len(units)), kind="stable")]
