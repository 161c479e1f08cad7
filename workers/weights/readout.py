"""Read directions out in token space: both ends' best tokens from one product, streamed.

The products are float32, whose last digits depend on the machine, on the number of threads and on how many
directions share a product. The order of tokens must not, so it is that of the *exact* scores (float64 sums over
the float32 entries of vector and unembedding, rounded to float32), and of token ids where those are equal. Few
scores need to be computed again for that: only those that lie so close to a neighbour in the readout, or to its
edge, that float32's error could have changed their order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from workers.weights.results import Float32, Int32, SideResult

__all__ = ["Readout", "SideResult", "joined", "read_blocks", "read_out"]

BLOCK_BYTES = 128 * 2**20
"""How much of the scores is held at a time."""

ERROR = 1.5
"""How far a float32 score of D terms may be from the exact one, in units of √D · 2^-24 · ‖vector‖ · ‖token‖.

Each of D additions is off by at most 2^-24 of the sum so far, which is at most ‖vector‖ · ‖token‖, and such errors add
up like a random walk (Higham & Mary 2019, "A new approach to probabilistic rounding error analysis"). Where all terms
have one sign, the worst case, its standard deviation is 1/3 of the unit; for random directions it is under 1/100.
"""

SLACK = 8
"""How many tokens more than asked for are looked at; where ties at the edge go beyond, the whole row is."""

GROUPS_PER_CANDIDATE = 100
"""How many groups of tokens there are for each that is looked for (see ``_candidates``); tried on 50,257 tokens."""

EXACT_ROWS = 2048
"""How many scores are computed again at a time."""


@dataclass(frozen=True)
class Readout:
    """The readouts of n vectors; axis 1 is the end, ``+`` then ``-``. Shapes and units as in SideResult."""

    token_ids: Int32
    scores: Float32
    score_mean: Float32
    score_std: Float32

    def __getitem__(self, rows: slice) -> Readout:
        return Readout(self.token_ids[rows], self.scores[rows], self.score_mean[rows], self.score_std[rows])


def joined(blocks: Sequence[Readout]) -> Readout:
    """Some readouts one after the other."""
    return Readout(
        token_ids=np.concatenate([block.token_ids for block in blocks]),
        scores=np.concatenate([block.scores for block in blocks]),
        score_mean=np.concatenate([block.score_mean for block in blocks]),
        score_std=np.concatenate([block.score_std for block in blocks]),
    )


def read_out(vectors: Tensor, unembedding: Tensor, top: int) -> Readout:
    """The ``top`` tokens at both ends of ``vectors`` [n, D] under ``unembedding`` [V, D], float32 on one device.

    ``top`` must be 1 … V. See ``read_blocks``.
    """
    return joined(list(read_blocks(vectors, unembedding, top)))


def read_blocks(vectors: Tensor, unembedding: Tensor, top: int) -> Iterator[Readout]:
    """``read_out`` in blocks of directions, in order: the scores of a block are dropped before the next.

    Scores are vectors · unembeddingᵀ. Equal scores are ordered by token id, also at the edge of the readout.
    """
    # Blocks of one size: a short last one would read the whole unembedding for a few directions.
    blocks = max(1, math.ceil(len(vectors) / block_rows(len(unembedding))))
    for block in torch.tensor_split(vectors, blocks):
        yield _read_block(block, unembedding, top)


def block_rows(vocabulary: int) -> int:
    """How many directions are in a block at most."""
    return max(16, min(1024, BLOCK_BYTES // (4 * vocabulary)))


def _read_block(vectors: Tensor, unembedding: Tensor, top: int) -> Readout:
    known = _facts(unembedding)
    with _full_precision():
        scores = vectors @ unembedding.T
    unit = ERROR * math.sqrt(vectors.shape[1]) * 2.0**-24
    margin = unit * torch.linalg.vector_norm(vectors, dim=1) * known.longest
    ends = [_best(scores, vectors, unembedding, margin, top, sign) for sign in (1, -1)]
    mean = vectors.double() @ known.centre
    square = torch.linalg.vector_norm(scores, dim=1).double() ** 2 / scores.shape[1]
    return Readout(
        token_ids=torch.stack([ids for ids, _ in ends], 1).to(torch.int32).cpu().numpy(),
        scores=torch.stack([best for _, best in ends], 1).cpu().numpy(),
        score_mean=mean.float().cpu().numpy(),
        score_std=(square - mean**2).clamp_min(0).sqrt().float().cpu().numpy(),
    )


def _best(
    scores: Tensor, vectors: Tensor, unembedding: Tensor, margin: Tensor, top: int, sign: int
) -> tuple[Tensor, Tensor]:
    """Token ids and scores [n, top] of one end, best first; the scores of the low end are negated.

    ``margin`` [n] bounds the error of a row's ``scores`` [n, V]. So tokens more than twice that below the top-th
    score do not belong in, and neighbours that are more than that apart stand in their exact order already.
    """
    best, ids = _candidates(scores, min(top + SLACK, scores.shape[1]), sign)
    edge = best[:, top - 1] - 2 * margin
    beyond = best[:, -1] >= edge
    near = best[:, :-1] - best[:, 1:] <= 2 * margin[:, None]
    doubtful = torch.zeros_like(best, dtype=torch.bool)
    doubtful[:, 1:] |= near
    doubtful[:, :-1] |= near
    rows, places = doubtful.nonzero(as_tuple=True)
    best[rows, places] = sign * _exact(vectors, unembedding, rows, ids[rows, places])
    best, ids = _in_order(best, ids, top)
    if best.shape[1] < scores.shape[1]:
        for row in beyond.nonzero()[:, 0].tolist():
            near_edge = (sign * scores[row] >= edge[row]).nonzero()[:, 0]
            exact = sign * _exact(vectors, unembedding, near_edge.new_full((len(near_edge),), row), near_edge)
            best[row : row + 1], ids[row : row + 1] = _in_order(exact[None], near_edge[None], top)
    return ids, best


def _candidates(scores: Tensor, count: int, sign: int) -> tuple[Tensor, Tensor]:
    """The ``count`` best scores of each row of ``scores`` [n, V] at one end, best first (negated at the low end).

    The best tokens lie in the groups with the best bests: one pass that keeps a group's best, and the selection
    among a few groups, take half the time of a selection among all tokens. Group g holds g, g + m, g + 2m, …
    """
    largest = sign > 0
    many = GROUPS_PER_CANDIDATE * count
    size = scores.shape[1] // many
    if scores.device.type != "cpu" or size < 2:
        best, ids = scores.topk(count, dim=1, largest=largest)
        return sign * best, ids
    many = scores.shape[1] // size
    grouped = scores[:, : many * size].view(len(scores), size, many)
    group_best = grouped.amax(1) if largest else grouped.amin(1)
    groups = group_best.topk(count, dim=1, largest=largest, sorted=False).indices
    members = torch.arange(0, many * size, many)
    rest = torch.arange(many * size, scores.shape[1]).expand(len(scores), -1)
    tokens = torch.cat([(groups[:, :, None] + members).flatten(1), rest], dim=1)
    best, places = scores.gather(1, tokens).topk(count, dim=1, largest=largest)
    return sign * best, tokens.gather(1, places)


def _exact(vectors: Tensor, unembedding: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """The scores [m] of ``tokens`` [m] for ``vectors[rows]``, summed in float64, rounded to float32."""
    chunks = zip(torch.split(rows, EXACT_ROWS), torch.split(tokens, EXACT_ROWS), strict=True)
    return torch.cat([_dot(vectors[row], unembedding[token]).float() for row, token in chunks])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Row by row, in float64, where the products of float32 numbers are exact."""
    if a.device.type == "cpu":  # numpy converts as it goes, five times as fast as copies in float64
        return torch.from_numpy(np.einsum("nd,nd->n", a.numpy(), b.numpy(), dtype=np.float64))
    return (a.double() * b.double()).sum(1)


def _in_order(best: Tensor, ids: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The first ``top`` of each row by score, descending, then by token id, ascending."""
    ids, order = ids.sort(dim=1)
    best, places = best.gather(1, order).sort(dim=1, descending=True, stable=True)
    return best[:, :top], ids.gather(1, places)[:, :top]


@dataclass(frozen=True)
class _Facts:
    """What the readout needs of an unembedding: its mean row [D], float64, and the length of its longest."""

    version: int
    centre: Tensor
    longest: Tensor


_FACTS: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def _facts(unembedding: Tensor) -> _Facts:
    """Computed once for an unembedding as long as it lives unchanged."""
    facts: _Facts | None = _FACTS.get(unembedding)  # type: ignore[no-untyped-call]
    if facts is None or facts.version != unembedding._version:
        longest = torch.linalg.vector_norm(unembedding, dim=1).amax()
        facts = _Facts(unembedding._version, unembedding.mean(0).double(), longest)
        _FACTS[unembedding] = facts
    return facts


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products in whole float32, whatever a notebook has set: TF32 or bfloat16 passes would break ERROR's bound."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
