"""The fraction interpretable: which estimate to show, and all others beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.corrected import CORRECTED, stratified_beta
from labelapp.statistics.estimation import (
    Census,
    Estimate,
    Floats,
    human_only,
    probabilities_checked,
    verdicts_checked,
)
from labelapp.statistics.ppi import DIFFERENCE, PPI_PLUS, difference_estimate, ppi_mean
from labelapp.statistics.weighting import HAJEK, HORVITZ_THOMPSON, ipw_difference, ipw_human, post_stratified

SMALL = 200
EDGE = 0.1
MINIMUM = 10
"""With fewer labels an interval is so wide that it says nothing, and a sentence stands in its place."""
THIS_CENSUS = "this census of directions"
POPULATION = "the population that this census stands for"

BIASED = "Biased here: the items were drawn with unequal probability, and this formula takes them as equal."
TOO_SHORT = f"A normal interval, too short here: fewer than {SMALL} labels, or a share outside .1 to .9."


@dataclass(frozen=True)
class FractionEstimate:
    """What to show, why, and the rest for comparison."""

    recommended: Estimate
    why: str
    others: Sequence[Estimate]
    estimand: str
    n: int
    n_census: int
    correlation: float | None  # of human and machine verdicts on the labels; None where one of them is constant


def fraction_estimate(
    human: ArrayLike,
    machine: Sequence[Hashable],
    census: Sequence[Hashable] | Mapping[Hashable, int],
    *,
    pi: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    finite: bool = True,
    confidence: float = 0.95,
) -> FractionEstimate:
    """The fraction of a census that people would call interpretable, from n human labels and a machine's N verdicts.

    human: [n], 0 or 1. machine: [n], what the machine said of the same directions: 1, 0 or anything else, such as None
    where it failed. census: [N], the same of all directions, the labelled among them, or how many have each verdict.
    pi: [n] inclusion probabilities, equal if left out. clusters: [n], the vector of each end. finite: the estimand is
    this census.

    Which is recommended is in `choice`. Estimates are None, with the sentence why, where they cannot be made; below
    MINIMUM labels all are. Raises ValueError for input that does not fit together.
    """
    labels = verdicts_checked(human)
    sizes: Counter[Hashable] = Counter(census)
    n, total = len(labels), sizes.total()
    estimand = THIS_CENSUS if finite else POPULATION
    if len(machine) != n or n > total:
        raise ValueError(f"{n} labels, {len(machine)} verdicts of the machine on them and {total} on all disagree.")
    probability = None if pi is None else probabilities_checked(pi, n)
    if n < MINIMUM:
        why = f"{n} labels of people are too few for an interval that says anything: at least {MINIMUM} are needed."
        refused = Estimate(CORRECTED, n, why=why)
        return FractionEstimate(refused, why, [], estimand, n, total, None)
    equal = probability is None or bool(np.ptp(probability) < 1e-12)
    if clusters is not None and len(set(clusters)) == n:
        clusters = None
    made = _all(labels, machine, sizes, probability, clusters, finite, confidence)
    name, why = choice(n, made[CORRECTED].value, equal=equal, finite=finite, clustered=clusters is not None)
    numbers = _numbers(machine, sizes)
    correlation = None if numbers is None else _correlation(labels, numbers)
    if made[name].low is None:
        name, why = CORRECTED, made[name].why
    others = [_noted(it, n, equal) for key, it in made.items() if key != name]
    return FractionEstimate(made[name], why, others, estimand, n, total, correlation)


def choice(
    n: int, share: float | None, *, equal: bool = True, finite: bool = True, clustered: bool = False
) -> tuple[str, str]:
    """The estimate to show for n labels and a share near `share`, and why. One rule, fixed before anything is seen.

    At n ≥ 200, a share within .1 to .9, equal π and ends that are alone: the difference estimator for this census,
    PPI++ for the population. Else the stratified Beta interval, which is as exact there and holds elsewhere too.
    """
    inner = share is not None and EDGE <= share <= 1 - EDGE
    if not equal:
        return (
            CORRECTED,
            "The items were drawn with unequal probability: weights 1/π, and an interval that allows for them.",
        )
    if clustered:
        return CORRECTED, "Both ends of some vectors are in the sample: the interval keeps them together."
    if n < SMALL or not inner:
        where = f"with {n} labels, fewer than {SMALL}," if n < SMALL else "outside .1 to .9"
        return CORRECTED, f"Normal intervals are too short {where} so a Beta interval by the machine's verdict."
    if finite:
        return DIFFERENCE, f"{n} labels of equal probability from a census that is known whole."
    return PPI_PLUS, f"{n} labels of equal probability; the census stands for a larger population."


def _all(
    labels: Floats,
    machine: Sequence[Hashable],
    sizes: Counter[Hashable],
    pi: Floats | None,
    clusters: Sequence[Hashable] | None,
    finite: bool,
    confidence: float,
) -> dict[str, Estimate]:
    """Every estimate by its name, the stratified one first."""
    n = len(labels)
    options = {"pi": pi, "clusters": clusters, "finite": finite, "confidence": confidence}
    found = [
        stratified_beta(labels, machine, sizes, **options),  # type: ignore[arg-type]
        human_only(labels, confidence),
        post_stratified(labels, machine, sizes, confidence=confidence),
    ]
    numbers, whole = _numbers(machine, sizes), Census.counted(sizes[1], sizes.total())
    if numbers is not None:
        found += [
            ppi_mean(labels, numbers, whole, confidence=confidence),
            ppi_mean(labels, numbers, whole, tuning=1.0, confidence=confidence),
            difference_estimate(labels, numbers, whole, confidence=confidence),
        ]
    else:
        gaps = "The machine gave no verdict on some directions, and this formula has no place for them."
        found += [Estimate(name, n, why=gaps) for name in (PPI_PLUS, DIFFERENCE)]
    if pi is not None:
        found.append(ipw_human(labels, pi, confidence=confidence))
        if numbers is not None:
            found.append(ipw_difference(labels, numbers, pi, whole, confidence=confidence))
    return {it.method: it for it in found}


def _noted(estimate: Estimate, n: int, equal: bool) -> Estimate:
    """The same with what to beware of."""
    if estimate.why or estimate.value is None:
        return estimate
    if not equal and estimate.method not in (CORRECTED, HAJEK, HORVITZ_THOMPSON):
        return estimate.because(BIASED)
    inner = n >= SMALL and EDGE <= estimate.value <= 1 - EDGE
    normal = not estimate.method.startswith("human only") and estimate.method != CORRECTED
    return estimate.because(TOO_SHORT) if normal and not inner else estimate


def _numbers(machine: Sequence[Hashable], sizes: Counter[Hashable]) -> Floats | None:
    """The machine's verdicts on the labelled as 0. and 1.; None where some of the census are neither."""
    if not all(it in (0, 1) for it in sizes):
        return None
    return np.asarray(machine, dtype=np.float64)


def _correlation(h: Floats, f: Floats) -> float | None:
    return float(np.corrcoef(h, f)[0, 1]) if h.std() and f.std() else None
