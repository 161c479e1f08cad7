"""Does a judge name the same when it is asked again? Labels of two looks; their verdicts are `agreement_card`'s."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from labelapp.statistics.clusters import Share, clustered_share
from labelapp.statistics.labels import label_key


@dataclass(frozen=True)
class LabelAgreement:
    """Of the items that both looks name: the share with the very same label, and with labels of one `label_key`."""

    exact: Share
    normalised: Share


def label_agreement(first: Sequence[str], second: Sequence[str], clusters: Sequence[Hashable]) -> LabelAgreement:
    """first, second: [n] labels of the same items, both not empty; clusters: [n]. Raises ValueError."""
    pairs = list(zip(first, second, strict=True))
    return LabelAgreement(
        clustered_share([a == b for a, b in pairs], clusters),
        clustered_share([label_key(a) == label_key(b) for a, b in pairs], clusters),
    )
