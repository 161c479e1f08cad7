"""Agreement between two judges. An agreement that is not defined is None, never 0 and never 1."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelapp.statistics.repeats import nominal_alpha


def contingency(a: ArrayLike, b: ArrayLike, categories: Sequence[object] = (True, False)) -> NDArray[np.int64]:
    """Count the pairs: `table[i, j]` is how often `a` said categories[i] where `b` said categories[j].

    a, b: [n], the two judges' verdicts on the same n items. By default the first row and column are yes.
    Raises ValueError where their lengths differ or a verdict is none of the categories.
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"The two judges need the same items, not {first.shape} and {second.shape}.")
    of_first = np.array([first == category for category in categories]).reshape(len(categories), -1)
    of_second = np.array([second == category for category in categories]).reshape(len(categories), -1)
    table: NDArray[np.int64] = of_first.astype(np.int64) @ of_second.astype(np.int64).T
    if table.sum() != len(first):
        raise ValueError(f"A verdict is none of {', '.join(map(str, categories))}.")
    return table


def raw_agreement(table: ArrayLike) -> float | None:
    """The share of items on which both said the same, p_o = trace / n; None where n = 0.

    table: [k, k] counts, from `contingency`.
    """
    counts = _square(table)
    n = counts.sum()
    return float(np.trace(counts) / n) if n else None


def cohens_kappa(table: ArrayLike) -> float | None:
    """Agreement beyond chance, (p_o - p_e) / (1 - p_e), with p_e = Σ_i p_i. p_.i from the margins.

    Cohen (1960), "A coefficient of agreement for nominal scales", Educational and Psychological
    Measurement 20, 37-46. None where n = 0, and where both judges only ever said the same one thing:
    chance alone would then agree always (p_e = 1), and there is nothing to measure.

    table: [k, k] counts, from `contingency`.
    """
    counts = _square(table)
    n = counts.sum()
    if not n:
        return None
    by_chance = int(counts.sum(axis=0) @ counts.sum(axis=1))  # n² p_e, exact in integers
    beyond = int(n) ** 2 - by_chance
    if beyond == 0:
        return None
    return (int(np.trace(counts)) * int(n) - by_chance) / beyond


def gwets_ac1(table: ArrayLike) -> float | None:
    """Agreement beyond chance where chance is a guess on the items that are hard: (p_o - p_e) / (1 - p_e) with
    p_e = Σ_k π_k (1 - π_k) / (q - 1), π_k the mean of both judges' shares of category k, q the categories.

    Gwet (2008), "Computing inter-rater reliability and its variance in the presence of high agreement", British Journal
    of Mathematical and Statistical Psychology 61, eq. 3 and 8. Unlike kappa it stays high where nearly all is yes.
    None where n = 0.

    table: [q, q] counts, from `contingency`. Raises ValueError where there is one category.
    """
    counts = _square(table)
    if len(counts) < 2:
        raise ValueError("Agreement needs two categories at least.")
    n = counts.sum()
    if not n:
        return None
    shares = (counts.sum(axis=0) + counts.sum(axis=1)) / (2 * n)
    by_chance = float((shares * (1 - shares)).sum()) / (len(counts) - 1)
    return (float(np.trace(counts) / n) - by_chance) / (1 - by_chance)


def krippendorff_alpha(ratings: Sequence[Sequence[Hashable | None]]) -> float | None:
    """Krippendorff's alpha for nominal values of any number of judges, some of which did not judge every item.

    ratings: [judges][items], None where a judge did not judge; the formula is in `repeats.nominal_alpha`. None where no
    item has two values, and where there is only one value at all. Raises ValueError where the rows differ in length.
    """
    if len({len(row) for row in ratings}) > 1:
        raise ValueError("Every judge needs a place for every item; None where it was not judged.")
    return nominal_alpha([[it for it in unit if it is not None] for unit in zip(*ratings, strict=True)])


def prevalence(table: ArrayLike) -> float | None:
    """The share of yes over both judges, from a table whose first row and column are yes; None where n = 0."""
    counts = _square(table)
    n = counts.sum()
    return float((counts[0].sum() + counts[:, 0].sum()) / (2 * n)) if n else None


def _square(table: ArrayLike) -> NDArray[np.int64]:
    counts = np.asarray(table, dtype=np.int64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts < 0).any():
        raise ValueError(f"A table of counts is square and holds no negative ones; this one is {counts.shape}.")
    return counts
