"""Bases: the ways to cut a matrix into vectors. ``svd`` is the one of interest, the others are its contrasts.

- ``svd``: the singular vectors.
- ``neuron``: the residual-side vectors of single hidden units as they stand: MLP neurons, a head's d_head
  coordinates (the column of W_V and the row of W_O that belong together; likewise W_Q and W_K), or tokens for
  ``embed`` and ``unembed``. As unit vectors, with the sign that the weights have.
- ``rotated``: the first n singular vectors, turned by a random rotation; by the same one on both sides.
- ``varimax``: the first n singular vectors, turned so that each has few large coordinates.

Outside ``svd`` the order is that of a value that each vector has, the largest first: how much longer the matrix
makes it (``rotated``, ``varimax``: √(Σ R_ij² σ_j²), the same on both sides), or the size of the unit's term in the
matrix (``neuron``: the length of the vector, or the product of both lengths). It is handed out where the singular
values would be. Such values say nothing on degeneracy, so there are no gaps and no blocks. A rotation of the first
n is another for another n; and where the n-th singular value is near the next, it hangs on rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from workers.weights.circuits import Factors
from workers.weights.decomposition import sign_of_pairs, svd_of_blocks, svd_of_product
from workers.weights.errors import BadSelection
from workers.weights.results import BASES, Float64, Int32
from workers.weights.spectrum import numerical_rank
from workers.weights.streams import Stream

VARIMAX_TOLERANCE = 1e-12
VARIMAX_STEPS = 2000


@dataclass(frozen=True)
class Cut:
    """n matrices of one circuit, cut into vectors: ``sides`` [n, k, D] each, unit rows, float64, on one device.

    ``values`` are [n, r] singular values, all that there are, or for other bases [n, k], one for each vector;
    descending. ``ranks`` has each matrix's numerical rank (``neuron``: how many of the values are told from zero).
    ``neurons`` [n, k] says which hidden unit each vector belongs to; None for other bases.
    """

    values: Float64
    sides: tuple[Tensor, ...]
    ranks: list[int]
    neurons: Int32 | None = None


def cut(factors: Factors, basis: str, k: int | None, streams: Sequence[Stream]) -> Cut:
    """The first ``k`` vectors (None: all that there are) of each of the n matrices in ``basis``.

    ``streams``, one for each matrix, are the random numbers of ``neuron`` and ``rotated``. Raises BadSelection
    for an unknown basis.
    """
    if basis not in BASES:
        raise BadSelection(f"There is no basis '{basis}'; choose among {', '.join(BASES)}.")
    if basis == "neuron":
        return _neurons(factors, k, streams)
    values, sides = _svd(factors, k)
    singular = values.cpu().numpy()
    ranks = [numerical_rank(row) for row in singular]
    if basis == "svd":
        return Cut(singular, sides, ranks)
    count = sides[0].shape[1]
    rotations = [
        stream.rotation(count) if basis == "rotated" else varimax_rotation(_loadings(sides, number))
        for number, stream in enumerate(streams)
    ]
    return _turned(singular[:, :count], sides, np.stack(rotations), ranks)


def _svd(factors: Factors, k: int | None) -> tuple[Tensor, tuple[Tensor, ...]]:
    if factors.right is not None:
        svd = svd_of_product(factors.left, factors.right, k)
        return svd.values, (svd.left, svd.right)
    values, vectors = svd_of_blocks((block[0] for block in factors.blocks()), factors.left.shape[-1], k)
    return values[None], (vectors[None],)


def _turned(singular: Float64, sides: tuple[Tensor, ...], rotations: Float64, ranks: list[int]) -> Cut:
    """``sides`` [n, k, D] turned by ``rotations`` [n, k, k] (rows are the new vectors), by value, signs by the rule."""
    values = np.sqrt(np.einsum("nij,nj->ni", rotations**2, singular**2))
    order = np.argsort(-values, axis=1, kind="stable")
    sorted_rotations = np.take_along_axis(rotations, order[:, :, None], axis=1)
    turn = torch.from_numpy(sorted_rotations).to(sides[0].device)
    turned = [turn @ side for side in sides]
    sign = sign_of_pairs(*turned)[..., None]
    return Cut(np.take_along_axis(values, order, axis=1), tuple(side * sign for side in turned), ranks)


def _loadings(sides: tuple[Tensor, ...], number: int) -> Float64:
    """One matrix's vectors as columns [D or 2D, k]; the two sides of a pair one below the other."""
    loadings: Float64 = torch.cat([side[number] for side in sides], dim=-1).T.cpu().numpy()
    return loadings


def varimax_rotation(loadings: Float64, tolerance: float = VARIMAX_TOLERANCE) -> Float64:
    """The rotation R [k, k] that makes the varimax criterion of ``loadings`` [d, k] · Rᵀ as large as it gets.

    The criterion is Σ over columns of the variance of the squared entries (Kaiser 1958), raw: rows are not
    normalised first. For a pair of sides the two lie one below the other, so that one rotation serves both. The
    search is the usual one by singular value decompositions (Horst 1965; scikit-learn's and R's too), from the
    identity, until the criterion grows by less than ``tolerance`` of itself; it finds a local maximum, the
    same each time.
    """
    rotation = np.eye(loadings.shape[1])
    before = 0.0
    with threadpool_limits(1, user_api="blas"):  # hundreds of small steps: threads cost ten times what they bring
        for _ in range(VARIMAX_STEPS):
            turned = loadings @ rotation
            gradient = loadings.T @ (turned**3 - turned * np.mean(turned**2, axis=0))
            u, grown, vh = np.linalg.svd(gradient)
            rotation = u @ vh
            if grown.sum() <= before * (1 + tolerance):
                break
            before = float(grown.sum())
    transposed: Float64 = rotation.T
    return transposed


def varimax_criterion(loadings: Float64) -> float:
    """The sum over the columns of ``loadings`` [d, k] of the variance of their squared entries."""
    return float(np.var(loadings**2, axis=0).sum())


def _neurons(factors: Factors, k: int | None, streams: Sequence[Stream]) -> Cut:
    """A sample of the hidden units of each matrix, or all; the largest first, equal ones by their number.

    The units of a smaller sample are among those of a larger one with the same seed.
    """
    sides = [factors.left.mT] if factors.right is None else [factors.left.mT, factors.right]
    lengths = [torch.linalg.vector_norm(side, dim=-1, dtype=torch.float64) for side in sides]
    sizes = torch.stack(lengths).prod(0).cpu().numpy()
    units = np.stack([_sample(row, k, stream) for row, stream in zip(sizes, streams, strict=True)])
    values = np.take_along_axis(sizes, units, axis=1)
    chosen = torch.from_numpy(units).to(factors.left.device)
    vectors = tuple(_unit(side.gather(1, chosen[:, :, None].expand(-1, -1, side.shape[-1])).double()) for side in sides)
    return Cut(values, vectors, [numerical_rank(row) for row in values], units.astype(np.int32))


def _sample(sizes: Float64, k: int | None, stream: Stream) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    chosen = np.sort(stream.orders(1, len(sizes))[0, :k])
    by_size: np.ndarray[tuple[int], np.dtype[np.int64]] = chosen[np.argsort(-sizes[chosen], kind="stable")]
    return by_size


def _unit(vectors: Tensor) -> Tensor:
    """Rows of length 1; a row of zeros stays one."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(length > 0, length, 1.0)
