"""All that is said of two judges' agreement, always together: high raw agreement at an uneven prevalence is little."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelapp.statistics.agreement import cohens_kappa, gwets_ac1, prevalence
from labelapp.statistics.estimation import Floats, score_bounds
from labelapp.statistics.resampling import RESAMPLES, bootstrap_all, cluster_sums

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
    cells = np.zeros((len(places), 4))
    for row, i in enumerate(places):
        cells[row, 2 * (not first[i]) + (not second[i])] = 1
    sums = cluster_sums(cells, [clusters[i] if clusters is not None else i for i in places])
    kinds, alike = np.unique(sums, axis=0, return_counts=True)
    return agreement_card_counted(
        kinds, alike, left_out=seen - len(places), confidence=confidence, resamples=resamples, seed=seed
    )


def agreement_card_counted(
    kinds: ArrayLike,
    frequencies: ArrayLike,
    *,
    left_out: int = 0,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AgreementCard:
    """The same from counts of vectors by kind, as a database gives them: its cost does not grow with the directions.

    kinds: [kinds, 4], of each kind of vector its ends by cell (yes/yes, yes/no, no/yes, no/no: the first judge says the
    first word); frequencies: [kinds], how many vectors are of it. A multinomial draw of these counts is a bootstrap
    over the vectors. Raises ValueError where they do not match.
    """
    sums, alike = np.asarray(kinds, dtype=np.float64).reshape(-1, 4), np.asarray(frequencies, dtype=np.int64)
    if alike.shape != (len(sums),) or (sums < 0).any() or (alike < 0).any():
        raise ValueError(f"Every kind of vector needs its four counts and its frequency: {sums.shape}, {alike.shape}.")
    totals = (alike @ sums).astype(int)
    counts, n = totals.reshape(2, 2), int(totals.sum())
    values = cohens_kappa(counts), _alpha(totals), gwets_ac1(counts)
    intervals = bootstrap_all(
        sums, (kappas, alphas, ac1s), frequencies=alike, confidence=confidence, resamples=resamples, seed=seed
    )

    def coefficient(value: float | None, found: tuple[float, float] | str) -> Coefficient:
        if value is None:
            return Coefficient(None, why=ONE_VALUE if n else NOTHING)
        return Coefficient(value, why=found) if isinstance(found, str) else Coefficient(value, *found)

    kappa, alpha, ac1 = (coefficient(value, found) for value, found in zip(values, intervals, strict=True))
    return AgreementCard(
        n,
        int(alike[sums.sum(axis=1) > 0].sum()),
        left_out,
        ((int(counts[0, 0]), int(counts[0, 1])), (int(counts[1, 0]), int(counts[1, 1]))),
        _raw(sums, alike, confidence),
        kappa,
        alpha,
        ac1,
        prevalence(counts),
        (counts[0].sum() / n, counts[:, 0].sum() / n) if n else (None, None),
    )


def _alpha(totals: NDArray[np.int64]) -> float | None:
    value = float(alphas(totals[None].astype(np.float64))[0]) if totals.sum() else np.nan
    return None if np.isnan(value) else value


def _raw(sums: Floats, alike: NDArray[np.int64], confidence: float) -> Coefficient:
    """Its design effect is `corrected.design_effect` over kinds; the variance of n items alone is n p (1 - p)."""
    n = float(alike @ sums.sum(axis=1))
    if not n:
        return Coefficient(None, why=NOTHING)
    same = sums[:, 0] + sums[:, 3]
    share = float(alike @ same) / n
    together, single = float(alike @ (same - share * sums.sum(axis=1)) ** 2), n * share * (1 - share)
    effect = max(1.0, together / single) if single > 0 else 1.0
    low, high = score_bounds(share, n / effect, confidence)
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
