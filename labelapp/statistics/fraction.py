"""The fraction interpretable: which estimate to show, and all others beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from labelapp.statistics.clusters import clustered_share
from labelapp.statistics.corrected import CORRECTED, design_effect, stratified_beta
from labelapp.statistics.estimation import (
    MINIMUM,
    Census,
    Estimate,
    Floats,
    human_only,
    probabilities_checked,
    score_bounds,
    verdicts_checked,
)
from labelapp.statistics.ppi import DIFFERENCE, PPI_PLUS, difference_estimate, ppi_mean
from labelapp.statistics.weighting import (
    HAJEK,
    HORVITZ_THOMPSON,
    POST_STRATIFIED,
    ipw_difference,
    ipw_human,
    post_stratified,
)

SMALL = 200
EDGE = 0.1
HUMAN_OVER = "human only (Wilson, vectors)"
THIS_CENSUS = "this census of directions"
POPULATION = "the population that this census stands for"

BIASED = "Biased here: the items were drawn with unequal probability, and this formula takes them as equal."
TOO_SHORT = f"A normal interval, too short here: fewer than {SMALL} labels, or a share outside .1 to .9."
OPEN_AS_NO = "The machine's answers that are neither yes nor no count as no in this formula: less exact, and as valid."


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
    pi: [n] inclusion probabilities, equal if left out. clusters: [n], the vector of each end, kept together in every
    interval: a normal one is stretched by the root of the design effect of its residuals on the labels. finite: the
    estimand is this census.

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
    n_open = total - sizes[0] - sizes[1]
    name, why = choice(
        n, made[CORRECTED].value, equal=equal, finite=finite, clustered=clusters is not None, gaps=bool(n_open)
    )
    correlation = _correlation(labels, _numbers(machine))
    if made[name].low is None:
        name, why = CORRECTED, made[name].why
    others = [_noted(it, n, equal, n_open) for key, it in made.items() if key != name]
    return FractionEstimate(made[name], why, others, estimand, n, total, correlation)


def choice(
    n: int,
    share: float | None,
    *,
    equal: bool = True,
    finite: bool = True,
    clustered: bool = False,
    gaps: bool = False,
) -> tuple[str, str]:
    """The estimate to show for n labels and a share near `share`, and why. One rule, fixed before anything is seen.

    At n ≥ 200, a share within .1 to .9, equal π, ends that are alone and a machine that said yes or no everywhere: the
    difference estimator for this census, PPI++ for the population. Else the stratified Beta interval, which is as exact
    there and holds elsewhere too.
    """
    inner = share is not None and EDGE <= share <= 1 - EDGE
    if not equal:
        return (
            CORRECTED,
            "The items were drawn with unequal probability: weights 1/π, and an interval that allows for them.",
        )
    if clustered:
        return CORRECTED, "Both ends of some vectors are in the sample: the interval keeps them together."
    if gaps:
        return CORRECTED, "Where the machine said neither yes nor no is a stratum of its own."
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
    options = {"pi": pi, "clusters": clusters, "finite": finite, "confidence": confidence}
    found = [
        stratified_beta(labels, machine, sizes, **options),  # type: ignore[arg-type]
        human_only(labels, confidence) if clusters is None else _human_over(labels, clusters, confidence),
    ]
    numbers, whole = _numbers(machine), Census.counted(sizes[1], sizes.total())
    strata, joined = _with_labels(machine, sizes)
    means = {kind: labels[[it == kind for it in strata]].mean() for kind in set(strata)}
    off = labels - np.array([means[it] for it in strata])
    shares = np.array([joined[it] / strata.count(it) for it in strata])
    normal = [(post_stratified(labels, strata, joined, confidence=confidence), off, shares)]
    for it in (
        ppi_mean(labels, numbers, whole, confidence=confidence),
        ppi_mean(labels, numbers, whole, tuning=1.0, confidence=confidence),
        difference_estimate(labels, numbers, whole, confidence=confidence),
    ):
        residual = labels - (it.tuning or 0.0) * numbers
        normal.append((it, residual - residual.mean(), np.ones(len(labels))))
    if pi is not None:
        alone = ipw_human(labels, pi, confidence=confidence)
        both = ipw_difference(labels, numbers, pi, whole, confidence=confidence)
        normal += [(alone, labels - (alone.value or 0.0), 1 / pi), (both, _centred(labels - numbers, pi), 1 / pi)]
    found += [it if clusters is None else over_vectors(it, off, weight, clusters) for it, off, weight in normal]
    return {it.method: it for it in found}


def _human_over(labels: Floats, clusters: Sequence[Hashable], confidence: float) -> Estimate:
    share = clustered_share(labels, clusters)
    low, high = score_bounds(share.value, share.effective_n, confidence)  # type: ignore[arg-type]
    return Estimate(HUMAN_OVER, len(labels), share.value, float(low), float(high), share.effective_n, 0.0)


def over_vectors(estimate: Estimate, residual: Floats, weight: Floats, clusters: Sequence[Hashable]) -> Estimate:
    """A normal interval stretched by the root of its residuals' design effect: variances over vectors, not ends."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    effect = design_effect(residual, weight, clusters)
    half = (estimate.high - estimate.low) / 2 * np.sqrt(effect)
    exact = None if estimate.effective_n is None else estimate.effective_n / effect
    return replace(estimate, low=float(estimate.value - half), high=float(estimate.value + half), effective_n=exact)


def _centred(y: Floats, pi: Floats) -> Floats:
    """y - B π with B of `weighting.fixed_size_variance`, whose terms are these over π."""
    open_share = 1 - pi
    total = float(open_share.sum())
    return y - (float((open_share * y / pi).sum()) / total if total > 0 else 0.0) * pi


def _noted(estimate: Estimate, n: int, equal: bool, n_open: int) -> Estimate:
    """The same with what to beware of."""
    if estimate.why or estimate.value is None:
        return estimate
    if not equal and estimate.method not in (CORRECTED, HAJEK, HORVITZ_THOMPSON):
        return estimate.because(BIASED)
    inner = n >= SMALL and EDGE <= estimate.value <= 1 - EDGE
    of_people = estimate.method.startswith(("human only", HAJEK))
    normal = not estimate.method.startswith("human only") and estimate.method != CORRECTED
    notes = [TOO_SHORT] if normal and not inner else []
    if n_open and not of_people and estimate.method not in (CORRECTED, POST_STRATIFIED):
        notes.append(OPEN_AS_NO)
    return estimate.because(" ".join(notes)) if notes else estimate


def _numbers(machine: Sequence[Hashable]) -> Floats:
    """The machine's verdicts on the labelled as 1. for its yes, else 0.: any number makes a valid correction."""
    return np.array([float(it == 1) for it in machine])


def _with_labels(
    machine: Sequence[Hashable], sizes: Mapping[Hashable, int]
) -> tuple[list[Hashable], dict[Hashable, int]]:
    """The strata, with those open answers that no person has labelled joined with the machine's no."""
    labelled = set(machine)
    bare = {kind for kind, size in sizes.items() if size and kind not in labelled and kind not in (0, 1)}
    joined: Counter[Hashable] = Counter()
    for kind, size in sizes.items():
        joined[0 if kind in bare else kind] += size
    return list(machine), {kind: size for kind, size in joined.items() if size}


def _correlation(h: Floats, f: Floats) -> float | None:
    return float(np.corrcoef(h, f)[0, 1]) if h.std() and f.std() else None
