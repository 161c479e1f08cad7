"""Controls: noise in the shape of a circuit's factors, which then passes through the same pipeline.

A judge that finds meaning in them finds it where there is none, so they give false-positive rates. Each keeps
something of the real matrix and breaks the rest:

- ``gaussian``: independent normal numbers with each factor's shape, rank and mean square.
- ``covariance``: normal numbers whose covariance along the residual axis is the unembedding's, with each factor's
  Frobenius norm; so vectors lean where the vocabulary lies, as those of a trained model do.
- ``shuffled``: the entries of each factor in a random order. W_V and W_O (W_Q and W_K) separately: shuffling their
  product would keep neither the rank nor the spectrum's shape.
- ``column_shuffled``: the entries of each factor in a random order within each residual coordinate, which keeps
  the coordinates with unusually large weights.

The factors are those of the preprocessing that is asked for. Every factor of every head has a stream of random
numbers of its own, named by the weights, the circuit, layer and head, the control and the seed (``streams.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from workers.weights.artefacts import gram_matrix
from workers.weights.checkpoint import Checkpoint
from workers.weights.circuits import Factors
from workers.weights.errors import BadSelection
from workers.weights.results import CONTROLS, Float64
from workers.weights.spectrum import numerical_rank
from workers.weights.streams import Stream

Maker = Callable[[Float64, Stream], Float64]
"""From a factor [D, m], residual axis first, and a stream to the noise that takes its place."""


def control_factors(
    factors: Factors, control: str, seed: int, *, weights_hash: str, covariance_root: Float64 | None = None
) -> Factors:
    """``factors`` with noise in their place; the same types and shapes, on the CPU.

    ``covariance_root`` [D, D] is needed by ``covariance`` alone. Raises BadSelection for an unknown control.
    """
    make = _maker(control, covariance_root)

    def noise(factor: Tensor, name: str, *, residual_first: bool) -> Tensor:
        made = torch.empty(factor.shape, dtype=factor.dtype)
        for number, head in enumerate(factors.heads):
            stream = Stream(weights_hash, factors.circuit, factors.layer, head, control, seed, name)
            real = factor[number].double().cpu().numpy()
            array = make(real, stream) if residual_first else make(real.T, stream).T
            made[number] = torch.from_numpy(np.ascontiguousarray(array))
        return made

    return replace(
        factors,
        left=noise(factors.left, "left", residual_first=True),
        right=None if factors.right is None else noise(factors.right, "right", residual_first=False),
    )


def covariance_root(unembedding: Tensor) -> Float64:
    """The symmetric square root [D, D] of the covariance over the vocabulary of the rows of ``unembedding`` [V, D]."""
    mean = unembedding.double().mean(0).cpu().numpy()
    covariance = gram_matrix(unembedding.cpu()) / len(unembedding) - np.outer(mean, mean)
    variances, axes = np.linalg.eigh(covariance)
    root: Float64 = (axes * np.sqrt(np.clip(variances, 0.0, None))) @ axes.T
    return root


_ROOTS: WeakKeyDictionary[Checkpoint, dict[str, Float64]] = WeakKeyDictionary()


def unembedding_root(checkpoint: Checkpoint, preprocessing: str) -> Float64:
    """``covariance_root`` of a checkpoint's unembedding, computed once. Raises DamagedWeights."""
    roots = _ROOTS.setdefault(checkpoint, {})
    if preprocessing not in roots:
        roots[preprocessing] = covariance_root(checkpoint.unembedding(preprocessing=preprocessing))
    return roots[preprocessing]


def _maker(control: str, root: Float64 | None) -> Maker:
    if control == "covariance":
        if root is None:
            raise ValueError("the control 'covariance' needs the unembedding's covariance")
        return lambda real, stream: _covariance(real, stream, root)
    makers: dict[str, Maker] = {"gaussian": _gaussian, "shuffled": _shuffled, "column_shuffled": _column_shuffled}
    if control not in makers:
        raise BadSelection(f"There is no control '{control}'; choose among {', '.join(CONTROLS)}.")
    return makers[control]


def _gaussian(real: Float64, stream: Stream) -> Float64:
    noise = stream.normal(*real.shape)
    rank = _rank(real)
    if rank < min(real.shape):
        noise = _of_rank(noise, rank, stream)
    return noise * _mean_root_square(real)


def _covariance(real: Float64, stream: Stream, root: Float64) -> Float64:
    noise: Float64 = root @ stream.normal(*real.shape)
    length = np.linalg.norm(noise)
    return noise * (np.linalg.norm(real) / length) if length > 0 else noise


def _shuffled(real: Float64, stream: Stream) -> Float64:
    shuffled: Float64 = real.ravel()[stream.orders(1, real.size)[0]].reshape(real.shape)
    return shuffled


def _column_shuffled(real: Float64, stream: Stream) -> Float64:
    return np.take_along_axis(real, stream.orders(*real.shape), axis=1)


def _mean_root_square(real: Float64) -> float:
    return float(np.sqrt(np.mean(real**2)))


def _rank(real: Float64) -> int:
    narrow = real if real.shape[0] <= real.shape[1] else real.T
    squares = np.linalg.eigvalsh(narrow @ narrow.T)[::-1]
    return numerical_rank(np.sqrt(np.clip(squares, 0.0, None)))


def _of_rank(noise: Float64, rank: int, stream: Stream) -> Float64:
    """``noise`` projected on a random subspace of its shorter axis, with its mean square unchanged on average."""
    if rank == 0:
        return np.zeros_like(noise)
    shorter = min(noise.shape)
    basis = np.linalg.qr(stream.normal(shorter, rank))[0] * (shorter / rank) ** 0.25
    projected: Float64 = basis @ (basis.T @ noise) if noise.shape[0] == shorter else noise @ basis @ basis.T
    return projected
