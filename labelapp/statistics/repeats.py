"""The same list of tokens on several directions: does a judge say the same of it?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Repeats:
    """How a judge's verdicts agree over directions with identical token sets; None where there is nothing to say."""

    sets: int
    directions: int
    pairs: int
    agreement: float | None
    alpha: float | None


def repeated_lists(readouts: Sequence[Sequence[str]]) -> list[list[int]]:
    """The places of readouts that hold the same set of tokens in whatever order, where there are two or more."""
    groups: dict[frozenset[str], list[int]] = defaultdict(list)
    for place, tokens in enumerate(readouts):
        groups[frozenset(tokens)].append(place)
    return [places for places in groups.values() if len(places) > 1]


def repeats(groups: Sequence[Sequence[int]], verdicts: Sequence[Hashable]) -> Repeats:
    """The agreement of `verdicts`, [n], over all pairs within the groups of places, and Krippendorff's alpha."""
    units = [[verdicts[place] for place in places] for places in groups]
    pairs = [a == b for unit in units for a, b in combinations(unit, 2)]
    return Repeats(
        len(units),
        sum(map(len, units)),
        len(pairs),
        sum(pairs) / len(pairs) if pairs else None,
        nominal_alpha(units),
    )


def nominal_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal values, 1 - D_o / D_e, units with one value apart.

    With m_u values in unit u, n = Σ m_u, n_c how often value c stands in them:
    D_o = Σ_u (ordered pairs of unequal values in u) / (m_u - 1) / n,  D_e = (n² - Σ_c n_c²) / (n (n - 1)).

    Krippendorff (2011), "Computing Krippendorff's alpha-reliability". None where no unit has two values, and where
    there is only one value at all: then nothing can be disagreed on.
    """
    paired = [Counter(unit) for unit in units if len(unit) > 1]
    totals = sum(paired, Counter())
    n = totals.total()
    by_chance = n * n - sum(count * count for count in totals.values())
    if not by_chance:
        return None
    seen = sum(
        (unit.total() ** 2 - sum(count * count for count in unit.values())) / (unit.total() - 1) for unit in paired
    )
    return 1 - (seen / n) / (by_chance / (n * (n - 1)))
