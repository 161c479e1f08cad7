"""How close the tokens of a readout are to one another: the statistic of the offline baseline."""

from __future__ import annotations

import torch
from torch import Tensor

ALONG = 1e-4
"""A token whose remainder keeps no more than this share of its squared length lies along the direction."""


class Coherence:
    """The mean pairwise cosine of a direction's ``top`` tokens, the direction itself projected out.

    ``rows`` [V, D] are the (centred) rows of the tokens that may be read, in any orthonormal basis;
    directions are unit vectors in the same basis. Readouts here are positions in ``rows``.
    """

    def __init__(self, rows: Tensor, top: int) -> None:
        self.top = top
        self._rows = rows
        self._squares = (rows**2).sum(1)

    def __len__(self) -> int:
        return len(self._rows)

    def readouts(self, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and scores [n, 2, top] of the ends ``+`` and ``-`` of ``directions`` [n, D]."""
        scores = directions @ self._rows.T
        best, tokens = scores.topk(self.top, dim=1)
        worst, other_tokens = scores.topk(self.top, dim=1, largest=False)
        return torch.stack([tokens, other_tokens], 1), torch.stack([best, -worst], 1)

    def statistics(self, directions: Tensor) -> Tensor:
        """The statistic [n, 2] of both ends of ``directions`` [n, D]."""
        tokens, scores = self.readouts(directions)
        return self.of_readouts(tokens.flatten(0, 1), scores.flatten(0, 1)).reshape(-1, 2)

    def of_readouts(self, tokens: Tensor, scores: Tensor) -> Tensor:
        """The statistic [n] of readouts [n, top].

        With r_t = z_t - s_t·x what is left of token t, and w_t = 1/|r_t|: |Σ w_t r_t|² = |Σ w_t z_t|² - (Σ
        w_t s_t)², as what is left is orthogonal to the unit vector x. So no remainder is ever formed.
        """
        weights = self._inverse_lengths(tokens, scores)
        total = torch.nn.functional.embedding_bag(tokens, self._rows, per_sample_weights=weights, mode="sum")
        along = (weights * scores).sum(1)
        with_themselves = (weights > 0).sum(1)
        return ((total**2).sum(1) - along**2 - with_themselves) / (self.top * (self.top - 1))

    def central_first(self, tokens: Tensor, scores: Tensor) -> Tensor:
        """The tokens of one readout [top], by their cosine to the mean remainder, largest first."""
        weights = self._inverse_lengths(tokens, scores)
        rows = self._rows[tokens]
        cosines = weights * (rows @ (weights @ rows) - scores * (weights * scores).sum())
        return tokens[cosines.argsort(descending=True, stable=True)]

    def _inverse_lengths(self, tokens: Tensor, scores: Tensor) -> Tensor:
        """1/|r_t|, or 0 for a token along the direction: it has no remainder, and cosine 0 to all others."""
        squares = self._squares[tokens]
        remainders = squares - scores**2
        return torch.where(remainders > ALONG * squares, remainders.clamp_min(1e-30).rsqrt(), 0.0)
