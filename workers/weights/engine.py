"""Decompose a layer: the one entrance for tasks, commands and notebooks.

The heavy modules, and torch with them, are imported when a layer is decomposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workers.weights.checkpoint import Checkpoint
from workers.weights.errors import BadSelection
from workers.weights.results import BASES, CONTROLS, MatrixResult, SideResult
from workers.weights.selection import (
    CIRCUITS,
    CIRCUITS_WITH_HEADS,
    CIRCUITS_WITHOUT_LAYER,
    PREPROCESSINGS,
    SIDES,
    check_counts,
    check_layer,
    choose_heads,
    parse_circuits,
    parse_layers,
)
from workers.weights.spectrum import BLOCK_THRESHOLD, degenerate_blocks, relative_gaps

if TYPE_CHECKING:
    from torch import Tensor

    from workers.weights.bases import Cut
    from workers.weights.circuits import Factors
    from workers.weights.readout import Readout

__all__ = [
    "BASES",
    "CIRCUITS",
    "CONTROLS",
    "SIDES",
    "MatrixResult",
    "SideResult",
    "decompose_layer",
    "decompose_matrix",
    "parse_circuits",
    "parse_layers",
]


def decompose_layer(
    checkpoint: Checkpoint,
    layer: int | None,
    *,
    circuits: Sequence[str],
    directions: int | None = 64,
    top: int = 50,
    heads: Sequence[int] | None = None,
    preprocessing: str = "raw",
    basis: str = "svd",
    basis_seed: int = 0,
    control: str = "",
    control_seed: int = 0,
    unembedding: Tensor | None = None,
    device: str = "auto",
    block_threshold: float = BLOCK_THRESHOLD,
    on_matrix: Callable[[MatrixResult], None] | None = None,
) -> list[MatrixResult]:
    """Decompose and read out one layer's matrices, circuit by circuit, the chosen heads in ascending order.

    ``layer`` is None for ``embed`` and ``unembed``, which are no layer's. ``directions`` is the number of vectors
    of each matrix (None: all; fewer where a matrix has fewer, d_head for ``ov`` and ``qk``); ``top`` the length of
    each readout. ``preprocessing`` is explained in ``circuits``, ``basis`` in ``bases``, ``control`` in ``controls``
    (empty: the model's own weights); the two seeds belong to the last two.

    ``unembedding`` [V, D], in the same preprocessing and on the same device, may be passed by whoever decomposes
    several layers. ``device`` is a name of torch's; ``auto`` is CUDA where there is one, else the CPU.
    ``block_threshold`` is the relative gap up to which neighbours form a block (``spectrum``). ``on_matrix`` is
    called with each result as it is made, in order.

    Raises BadSelection for a layer, circuit, head, count, basis, control or device that there is not,
    DamagedWeights where weights cannot be read.
    """
    check_counts(directions, top, checkpoint.info.vocab_size)
    names = parse_circuits(circuits, checkpoint.info.circuits)
    chosen = choose_heads(heads, checkpoint.info.n_heads)
    variant = _Variant(preprocessing, basis, basis_seed, control, control_seed)
    variant.check()
    _check_place(names, layer, checkpoint.info.n_layers)
    place = choose_device(device)
    if unembedding is None:
        unembedding = checkpoint.unembedding(preprocessing=preprocessing)
    unembedding = unembedding.to(place)
    decomposed = [_decompose(checkpoint, name, layer, chosen, directions, variant, place) for name in names]
    results: list[MatrixResult] = []
    for result in _results(decomposed, unembedding, top, variant, block_threshold):
        results.append(result)
        if on_matrix is not None:
            on_matrix(result)
    return results


def decompose_matrix(
    checkpoint: Checkpoint, circuit: str, layer: int | None = None, head: int | None = None, **options: Any
) -> MatrixResult:
    """One matrix: ``decompose_matrix(checkpoint, "ov", 22, 10)``, ``decompose_matrix(checkpoint, "embed")``.

    ``options`` and what is raised are those of ``decompose_layer``.
    """
    if (head is None) == (circuit in CIRCUITS_WITH_HEADS):
        raise BadSelection(
            f"The circuit '{circuit}' {'has a matrix for each head; name one' if head is None else 'has no heads'}."
        )
    heads = None if head is None else [head]
    (result,) = decompose_layer(checkpoint, layer, circuits=[circuit], heads=heads, **options)
    return result


def choose_device(name: str = "auto") -> str:
    """The torch device that a name stands for. Raises BadSelection where this machine has no such device."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name)
    except RuntimeError as error:
        raise BadSelection(f"There is no device '{name}'; choose auto, cpu or cuda.") from error
    usable = kind.type == "cpu" or (kind.type == "cuda" and (kind.index or 0) < torch.cuda.device_count())
    if not usable:
        raise BadSelection(f"This machine has no device '{name}' that can be used here; choose auto or cpu.")
    return name


@dataclass(frozen=True)
class _Variant:
    """What is done to the weights, and how they are cut."""

    preprocessing: str
    basis: str
    basis_seed: int
    control: str
    control_seed: int

    def check(self) -> None:
        """Raises BadSelection."""
        for what, chosen, known in (
            ("preprocessing", self.preprocessing, PREPROCESSINGS),
            ("basis", self.basis, BASES),
            ("control", self.control, ("", *CONTROLS)),
        ):
            if chosen not in known:
                raise BadSelection(f"There is no {what} '{chosen}'; choose among {', '.join(filter(None, known))}.")
        if min(self.basis_seed, self.control_seed) < 0:
            raise BadSelection("A seed is a number from 0 up.")


def _check_place(circuits: Sequence[str], layer: int | None, n_layers: int) -> None:
    if layer is not None:
        check_layer(layer, n_layers)
    for circuit in circuits:
        if (layer is None) != (circuit in CIRCUITS_WITHOUT_LAYER):
            says = "needs a layer" if layer is None else "belongs to no layer; ask for it without one"
            raise BadSelection(f"The circuit '{circuit}' {says}.")


@dataclass(frozen=True)
class _Decomposed:
    """The matrices of one circuit and layer, without their readouts."""

    factors: Factors
    cut: Cut


def _decompose(
    checkpoint: Checkpoint,
    circuit: str,
    layer: int | None,
    heads: Sequence[int],
    directions: int | None,
    variant: _Variant,
    device: str,
) -> _Decomposed:
    from workers.weights.bases import cut
    from workers.weights.circuits import factors
    from workers.weights.controls import control_factors, unembedding_root
    from workers.weights.streams import Stream

    weights_hash = checkpoint.info.weights_hash
    found = factors(checkpoint, circuit, layer, heads=heads, preprocessing=variant.preprocessing)
    if variant.control:
        root = unembedding_root(checkpoint, variant.preprocessing) if variant.control == "covariance" else None
        found = control_factors(
            found, variant.control, variant.control_seed, weights_hash=weights_hash, covariance_root=root
        )
    found = replace(found, left=found.left.to(device), right=None if found.right is None else found.right.to(device))
    streams = [
        Stream(
            weights_hash, circuit, layer, head, variant.control, variant.control_seed, variant.basis, variant.basis_seed
        )
        for head in found.heads
    ]
    made = cut(found, variant.basis, directions, streams)
    return _Decomposed(replace(found, left=found.left[:0], right=None), made)  # the weights are done with


def _results(
    decomposed: Sequence[_Decomposed], unembedding: Tensor, top: int, variant: _Variant, block_threshold: float
) -> Iterator[MatrixResult]:
    """The results in order, each as soon as the readouts of all its sides are there."""
    stream = _Readouts(decomposed, unembedding, top)
    for part in decomposed:
        for number, head in enumerate(part.factors.heads):
            sides = tuple(
                stream.next_side(name, vectors[number])
                for name, vectors in zip(part.factors.sides, part.cut.sides, strict=True)
            )
            yield MatrixResult(
                circuit=part.factors.circuit,
                layer=part.factors.layer,
                head=head,
                singular_values=part.cut.values[number],
                rank=part.cut.ranks[number],
                **_degeneracy(part.cut.values[number], len(sides[0].vectors), variant.basis, block_threshold),
                sides=sides,
                neurons=None if part.cut.neurons is None else part.cut.neurons[number],
                preprocessing=variant.preprocessing,
                basis=variant.basis,
                basis_seed=variant.basis_seed,
                control=variant.control,
                control_seed=variant.control_seed,
            )


def _degeneracy(values: Any, k: int, basis: str, block_threshold: float) -> dict[str, Any]:
    """Gaps and blocks of the first ``k`` vectors, from the whole spectrum."""
    if basis != "svd":
        nothing = np.full(k, np.nan)
        return {"gap_above": nothing, "gap_below": nothing.copy(), "block": np.full(k, -1, dtype=np.int32)}
    above, below = relative_gaps(values)
    return {"gap_above": above[:k], "gap_below": below[:k], "block": degenerate_blocks(values, block_threshold)[:k]}


class _Readouts:
    """The readouts of all vectors of a layer, in one stream of products: a product of few rows costs as much as one
    of hundreds, since it reads the whole unembedding."""

    def __init__(self, decomposed: Sequence[_Decomposed], unembedding: Tensor, top: int) -> None:
        import torch

        from workers.weights.readout import read_blocks

        rows = [
            vectors[number]
            for part in decomposed
            for number in range(len(part.factors.heads))
            for vectors in part.cut.sides
        ]
        self._blocks = read_blocks(torch.cat(rows).float(), unembedding, top)
        self._waiting: list[Readout] = []

    def next_side(self, name: str, vectors: Tensor) -> SideResult:
        """The readouts of the next side, whose ``vectors`` [k, D] are next in the stream."""
        readout = self._take(len(vectors))
        return SideResult(
            side=name,
            vectors=vectors.float().cpu().numpy(),
            token_ids=readout.token_ids,
            scores=readout.scores,
            score_mean=readout.score_mean,
            score_std=readout.score_std,
        )

    def _take(self, count: int) -> Readout:
        from workers.weights.readout import joined

        while sum(len(block.scores) for block in self._waiting) < count:
            self._waiting.append(next(self._blocks))
        whole = joined(self._waiting)
        self._waiting = [whole[count:]]
        return whole[:count]
