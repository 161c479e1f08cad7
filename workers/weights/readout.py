"""Read directions out in token space: both ends' best tokens from one product, streamed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workers.weights.results import Float32, Int32, SideResult

__all__ = ["Readout", "SideResult", "read_out"]

BLOCK_BYTES = 64 * 2**20
"""How much of the scores is held at a time."""


@dataclass(frozen=True)
class Readout:
    """The readouts of n vectors; axis 1 is the end, ``+`` then ``-``. Shapes and units as in SideResult."""

    token_ids: Int32
    scores: Float32
    score_mean: Float32
    score_std: Float32


def read_out(vectors: Tensor, unembedding: Tensor, top: int) -> Readout:
    """The ``top`` tokens at both ends of ``vectors`` [n, D] under ``unembedding`` [V, D], float32 on one device.

    Scores are vectors · unembeddingᵀ, computed in blocks of directions and never kept. Equal scores are
    ordered by token id, also at the edge of the readout. ``top`` must be 1 … V.
    """
    vocabulary = unembedding.shape[0]
    rows = max(16, min(1024, BLOCK_BYTES // (4 * vocabulary)))
    centre = unembedding.mean(0)
    blocks = [_read_block(block, unembedding, centre, top) for block in torch.split(vectors, rows)]
    return Readout(
        token_ids=np.concatenate([block.token_ids for block in blocks]),
        scores=np.concatenate([block.scores for block in blocks]),
        score_mean=np.concatenate([block.score_mean for block in blocks]),
        score_std=np.concatenate([block.score_std for block in blocks]),
    )


def _read_block(vectors: Tensor, unembedding: Tensor, centre: Tensor, top: int) -> Readout:
    scores = vectors @ unembedding.T
    ends = [_best(scores, top, largest=True), _best(scores, top, largest=False)]
    mean = vectors.double() @ centre.double()
    square = torch.linalg.vector_norm(scores, dim=1).double() ** 2 / scores.shape[1]
    return Readout(
        token_ids=torch.stack([ids for ids, _ in ends], 1).to(torch.int32).cpu().numpy(),
        scores=torch.stack([best for _, best in ends], 1).cpu().numpy(),
        score_mean=mean.float().cpu().numpy(),
        score_std=(square - mean**2).clamp_min(0).sqrt().float().cpu().numpy(),
    )


def _best(scores: Tensor, top: int, *, largest: bool) -> tuple[Tensor, Tensor]:
    """Token ids and scores [n, top] of one end, best first; the scores of the low end are negated."""
    # One more than asked for shows a tie at the edge.
    best, ids = scores.topk(min(top + 1, scores.shape[1]), dim=1, largest=largest)
    best = best if largest else -best
    tied = (best[:, 1:] == best[:, :-1]).any(1)
    best, ids = best[:, :top].contiguous(), ids[:, :top].contiguous()
    for row in tied.nonzero()[:, 0].tolist():
        best[row], ids[row] = _best_with_ties(scores[row] if largest else -scores[row], best[row, -1], top)
    return ids, best


def _best_with_ties(scores: Tensor, last: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Scores and ids [top] of one direction, best first, then by token id; ``last`` is the lowest of them."""
    candidates = (scores >= last).nonzero()[:, 0]  # ascending token ids, which the stable sort keeps
    best, order = scores[candidates].sort(descending=True, stable=True)
    return best[:top], candidates[order][:top]
