"""What fixes the offline baseline, apart from the model. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

VERSION = 1
"""Counts changes that can change a verdict."""

UNTRAINED_COSINE = 0.5
"""Tokens whose row in the unembedding has at least this cosine to the mean row of tokens that are known to be
unused (both centred) count as hardly trained, and are left out.

On the demo model trained tokens scatter around 0 with a deviation of .2, unused ones lie above .99. Between
are fragments that exist only as steps towards one longer token (" propert", "akespe").
"""


@dataclass(frozen=True)
class BaselineSettings:
    """``top`` tokens are judged against ``draws`` null draws; ``interpretable`` is p ≤ ``alpha``."""

    top: int = 15
    draws: int = 199
    alpha: float = 0.05

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments that make the same settings, or the same ``Baseline``, again: JSON values."""
        return asdict(self)

    def parameters(self) -> dict[str, Any]:
        """Everything that fixes the judge, whichever the model: JSON values."""
        return {
            "judge": "offline-baseline",
            "version": VERSION,
            "statistic": "mean pairwise cosine, centred unembedding, direction projected out",
            "null": "random signs in the principal axes of the centred unembedding, both ends",
            "untrained_cosine": UNTRAINED_COSINE,
            **self.arguments(),
        }
