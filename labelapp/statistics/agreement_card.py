"""All that is said of two judges' agreement, always together: high raw agreement at an uneven prevalence is little."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from labelapp.statistics.agreement import cohens_kappa, gwets_ac1, krippendorff_alpha, prevalence, raw_agreement
from labelapp.statistics.corrected import design_effect
from labelapp.statistics.estimation import Floats, score_bounds
from labelapp.statistics.resampling import RESAMPLES, bootstrap, cluster_sums

Cells = tuple[tuple[int, int], tuple[int, int]]
NOTHING = "The two judges have no direction in common on which both said yes or no."
ONE_VALUE = "Both judges only ever said the same one thing, so agreement beyond chance is not defined."


@dataclass(frozen=True)
class Coefficient:
    """One number of the card with its interval; `why` says why one of them is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True)
class AgreementCard:
    """Two judges on the directions that both judged."""

    n: int
    clusters: int  # vectors: the two ends of one are kept together
    left_out: int  # judged by one of them only, or unsure
    table: Cells  # table[i][j]: the first judge said i, the second j, 0 yes and 1 no
    raw: Coefficient
    kappa: Coefficient
    alpha: Coefficient
    ac1: Coefficient
    prevalence: float | None
    yes_shares: tuple[float | None, float | None]


def agreement_card(
    first: Sequence[bool | None],
    second: Sequence[bool | None],
    clusters: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AgreementCard:
    """The agreement of two judges with bootstrap intervals over vectors.

    first, second: [items], None where a judge gave no yes or no. clusters: [items], the vector of each end; every item
    its own if left out. Raw agreement has a score interval with the effective n of its clusters, the others the
    percentile interval of `resampling.bootstrap`. Raises ValueError where the lengths differ.
    """
    if len(first) != len(second) or (clusters is not None and len(clusters) != len(first)):
        raise ValueError(f"The two judges need the same items, not {len(first)} and {len(second)}.")
    places = [i for i in range(len(first)) if first[i] is not None and second[i] is not None]
    seen = sum(a is not None or b is not None for a, b in zip(first, second, strict=True))
    groups: list[Hashable] = [clusters[i] if clusters is not None else i for i in places]
    cells = np.zeros((len(places), 4))
    for row, i in enumerate(places):
        cells[row, 2 * (not first[i]) + (not second[i])] = 1
    counts = cells.sum(axis=0).astype(int).reshape(2, 2)
    sums = cluster_sums(cells, groups)

    def interval(value: float | None, statistic: Callable[[Floats], Floats]) -> Coefficient:
        if value is None:
            return Coefficient(None, why=ONE_VALUE if len(places) else NOTHING)
        found = bootstrap(sums, statistic, confidence=confidence, resamples=resamples, seed=seed)
        return Coefficient(value, why=found) if isinstance(found, str) else Coefficient(value, *found)

    alpha = krippendorff_alpha([[first[i] for i in places], [second[i] for i in places]])
    n = len(places)
    return AgreementCard(
        n,
        len(set(groups)),
        seen - n,
        ((int(counts[0, 0]), int(counts[0, 1])), (int(counts[1, 0]), int(counts[1, 1]))),
        _raw(cells, groups, confidence),
        interval(cohens_kappa(counts), kappas),
        interval(alpha, alphas),
        interval(gwets_ac1(counts), ac1s),
        prevalence(counts),
        (counts[0].sum() / n, counts[:, 0].sum() / n) if n else (None, None),
    )


def _raw(cells: Floats, clusters: Sequence[Hashable], confidence: float) -> Coefficient:
    share = raw_agreement(cells.sum(axis=0).reshape(2, 2))
    if share is None:
        return Coefficient(None, why=NOTHING)
    same = cells[:, 0] + cells[:, 3]
    effective = len(same) / design_effect(same - share, np.ones(len(same)), clusters)
    low, high = score_bounds(share, effective, confidence)
    return Coefficient(share, float(low), float(high))


def _shares(cells: Floats) -> tuple[Floats, Floats, Floats]:
    """Raw agreement and each judge's share of yes from cells yes/yes, yes/no, no/yes, no/no, [..., 4]."""
    n = cells.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            (cells[..., 0] + cells[..., 3]) / n,
            (cells[..., 0] + cells[..., 1]) / n,
            (cells[..., 0] + cells[..., 2]) / n,
        )


def _beyond(observed: Floats, by_chance: Floats) -> Floats:
    free = 1 - by_chance
    return np.divide(observed - by_chance, free, out=np.full_like(free, np.nan), where=free > 1e-12)


def kappas(cells: Floats) -> Floats:
    """`agreement.cohens_kappa` of many tables at once, [..., 4] to [...]; NaN where it is not defined."""
    observed, first, second = _shares(cells)
    return _beyond(observed, first * second + (1 - first) * (1 - second))


def ac1s(cells: Floats) -> Floats:
    """`agreement.gwets_ac1` of many tables at once, [..., 4] to [...]."""
    observed, first, second = _shares(cells)
    yes = (first + second) / 2
    return _beyond(observed, 2 * yes * (1 - yes))


def alphas(cells: Floats) -> Floats:
    """Krippendorff's alpha of two judges for many tables at once, [..., 4] to [...]; NaN where it is not defined.

    With 2n values, D_e = 2 p (1 - p) 2n / (2n - 1), p the share of yes over both (`repeats.nominal_alpha`).
    """
    observed, first, second = _shares(cells)
    yes, values = (first + second) / 2, 2 * cells.sum(-1)
    expected = 2 * yes * (1 - yes) * values / (values - 1)
    disagreed: Floats = np.divide(1 - observed, expected, out=np.full_like(expected, np.nan), where=expected > 1e-12)
    return 1 - disagreed
