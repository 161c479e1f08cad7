"""Decompose a layer: the one entrance for tasks, commands and notebooks.

The heavy modules, and torch with them, are imported when a layer is decomposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.weights.checkpoint import Checkpoint
from workers.weights.results import MatrixResult, SideResult
from workers.weights.selection import (
    CIRCUITS,
    SIDES,
    check_counts,
    check_layer,
    choose_heads,
    parse_circuits,
    parse_layers,
)
from workers.weights.spectrum import BLOCK_THRESHOLD, degenerate_blocks, numerical_rank, relative_gaps

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "CIRCUITS",
    "SIDES",
    "MatrixResult",
    "SideResult",
    "decompose_layer",
    "parse_circuits",
    "parse_layers",
]


def decompose_layer(
    checkpoint: Checkpoint,
    layer: int,
    *,
    circuits: Sequence[str],
    directions: int | None = 64,
    top: int = 50,
    heads: Sequence[int] | None = None,
    unembedding: Tensor | None = None,
    device: str = "cpu",
    block_threshold: float = BLOCK_THRESHOLD,
    on_matrix: Callable[[MatrixResult], None] | None = None,
) -> list[MatrixResult]:
    """Decompose and read out one layer's matrices: every chosen head of ``ov``, then ``mlp_in``, ``mlp_out``.

    ``directions`` is the number of vectors of each matrix (None: all; fewer where a matrix has fewer, d_head
    for ``ov``); ``top`` the length of each readout. ``unembedding`` [V, D] may be passed, on ``device``
    already, by whoever decomposes several layers. ``block_threshold`` is the relative gap up to which
    neighbours form a block (``spectrum``). ``on_matrix`` is called with each result as it is made, in order.

    Raises BadSelection for a layer, circuit, head or count that this model does not have, DamagedWeights
    where weights cannot be read.
    """
    info = checkpoint.info
    check_layer(layer, info.n_layers)
    check_counts(directions, top, info.vocab_size)
    names = parse_circuits(circuits, info.circuits)
    chosen = choose_heads(heads, info.n_heads)
    if unembedding is None:
        unembedding = checkpoint.unembedding()
    unembedding = unembedding.to(device)
    results: list[MatrixResult] = []
    for circuit in names:
        decomposed = _decompose(checkpoint, circuit, layer, chosen, directions, device)
        for result in _results(decomposed, unembedding, top, block_threshold):
            results.append(result)
            if on_matrix is not None:
                on_matrix(result)
    return results


@dataclass(frozen=True)
class _Decomposed:
    """The matrices of one circuit and layer: ``values`` [n, r] and ``sides`` [n, k, D] each, n heads or 1."""

    circuit: str
    layer: int
    heads: Sequence[int | None]
    values: Tensor
    sides: Sequence[Tensor]


def _decompose(
    checkpoint: Checkpoint,
    circuit: str,
    layer: int,
    heads: Sequence[int],
    directions: int | None,
    device: str,
) -> _Decomposed:
    from workers.weights.circuits import raw_mlp_in, raw_mlp_out, raw_ov_factors
    from workers.weights.decomposition import svd_of_product, svd_of_side

    if circuit == "ov":
        value, output = raw_ov_factors(checkpoint.adapter.attention(checkpoint.tensor, layer), heads)
        svd = svd_of_product(value.to(device), output.to(device), directions)
        return _Decomposed(circuit, layer, heads, svd.values, (svd.left, svd.right))
    residual_first = raw_mlp_in if circuit == "mlp_in" else raw_mlp_out
    matrix = residual_first(checkpoint.adapter.mlp(checkpoint.tensor, layer))
    values, vectors = svd_of_side(matrix.to(device), directions)
    return _Decomposed(circuit, layer, [None], values[None], (vectors[None],))


def _results(decomposed: _Decomposed, unembedding: Tensor, top: int, block_threshold: float) -> Iterator[MatrixResult]:
    names = SIDES[decomposed.circuit]
    read_sides = [
        _read_side(name, vectors.float(), unembedding, top)
        for name, vectors in zip(names, decomposed.sides, strict=True)
    ]
    for position, head in enumerate(decomposed.heads):
        values = decomposed.values[position].cpu().numpy()
        k = decomposed.sides[0].shape[1]
        above, below = relative_gaps(values)
        yield MatrixResult(
            circuit=decomposed.circuit,
            layer=decomposed.layer,
            head=head,
            preprocessing="raw",
            basis="svd",
            singular_values=values,
            rank=numerical_rank(values),
            gap_above=above[:k],
            gap_below=below[:k],
            block=degenerate_blocks(values, block_threshold)[:k],
            sides=tuple(sides[position] for sides in read_sides),
        )


def _read_side(name: str, vectors: Tensor, unembedding: Tensor, top: int) -> list[SideResult]:
    """The readouts of ``vectors`` [n, k, D] from one stream of products, a result for each matrix."""
    from workers.weights.readout import read_out

    matrices, k, _ = vectors.shape
    readout = read_out(vectors.flatten(0, 1), unembedding, top)
    return [
        SideResult(
            side=name,
            vectors=vectors[number].cpu().numpy(),
            token_ids=readout.token_ids[rows],
            scores=readout.scores[rows],
            score_mean=readout.score_mean[rows],
            score_std=readout.score_std[rows],
        )
        for number in range(matrices)
        for rows in [slice(number * k, (number + 1) * k)]
    ]
