"""How often the right one was found: model precision of intrusion tests and label matching, with its interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labelapp.statistics.clusters import clustered_share

if TYPE_CHECKING:
    from labelapp.statistics.beta_binomial import BetaBinomial

FEWEST_VECTORS = 10
TOO_FEW = f"Fewer than {FEWEST_VECTORS} vectors were answered about: an interval over directions would say nothing."
NOTHING = "Nobody has answered yet."


@dataclass(frozen=True)
class Precision:
    """The share of trials that were answered right, and what it says of the ends; `why` says why a part is missing."""

    right: int
    trials: int
    ends: int
    vectors: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""
    meaning: BetaBinomial | None = None  # how many ends are found more often than half-way from chance to always


def precision(right: Sequence[bool], ends: Sequence[Hashable], vectors: Sequence[Hashable], chance: float) -> Precision:
    """Model precision (Chang et al. 2009) over directions, with an interval over vectors.

    right, ends, vectors: [trials], whether each was answered right, and the end and the vector that it was about. The
    trials of a vector are one cluster, both its ends': see `clusters`. Below ten vectors there is no interval. The
    share of ends that mean something is that of a beta-binomial of the ends above (1 + chance)/2. Raises ValueError
    where the lengths differ.
    """
    # scipy's optimiser takes long to come in: only where a figure is made.
    from labelapp.statistics.beta_binomial import beta_binomial

    share = clustered_share(right, vectors)
    counts = by_end(right, ends)
    if not counts:
        return Precision(0, 0, 0, 0, why=NOTHING)
    k, n = zip(*counts.values(), strict=True)
    meaning = beta_binomial(k, n, (1 + chance) / 2)
    found = (share.yes, share.n, len(counts), share.clusters, share.value)
    if share.clusters < FEWEST_VECTORS:
        return Precision(*found, why=TOO_FEW, meaning=meaning)
    return Precision(*found, share.low, share.high, meaning=meaning)


def by_end(right: Sequence[bool], ends: Sequence[Hashable]) -> dict[Hashable, tuple[int, int]]:
    """Of each end how many trials were answered right, and of how many."""
    found: dict[Hashable, list[int]] = defaultdict(lambda: [0, 0])
    for was_right, end in zip(right, ends, strict=True):
        found[end][0] += bool(was_right)
        found[end][1] += 1
    return {end: (k, n) for end, (k, n) in found.items()}
