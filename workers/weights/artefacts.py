"""How vectors are stored and addressed: numpy and safetensors alone, so the web process can read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from workers.weights.errors import DamagedWeights
from workers.weights.results import Array, Float32, Float64

FORMAT = 2
"""Counts changes that give other vectors for the same request: of the method, the sign rule, the types."""

RANK_TOLERANCE = 1e-12
"""Eigenvalues of UᵀU below this share of the largest count as zero: float64 cannot tell them apart."""


def artefact_digest(
    *,
    weights_hash: str,
    circuit: str,
    side: str,
    layer: int | None,
    heads: Sequence[int] | None,
    directions: int | None,
    preprocessing: str = "raw",
    basis: str = "svd",
    basis_seed: int = 0,
    control: str = "",
    control_seed: int = 0,
) -> str:
    """A sha256 (hex) of everything that makes one file of vectors; equal digests mean equal vectors.

    ``heads`` are those stacked in the file, in that order (None for a matrix of the whole layer), ``layer`` is None
    for ``embed`` and ``unembed``;
    ``directions`` the number asked for (None: all). ``weights_hash`` is ``ModelInfo.weights_hash``, which
    covers the sizes too.
    """
    made_of = {
        "format": FORMAT,
        "weights": weights_hash,
        "circuit": circuit,
        "side": side,
        "layer": layer,
        "heads": None if heads is None else [int(head) for head in heads],
        "directions": directions,
        "preprocessing": preprocessing,
        "basis": basis,
        "basis_seed": basis_seed,
        "control": control,
        "control_seed": control_seed,
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def vectors_to_bytes(vectors: Float32, heads: Sequence[int] | None) -> bytes:
    """A safetensors file of ``vectors`` [heads, k, d_model]; without heads the first axis is 1.

    Raises ValueError where the two do not fit.
    """
    expected = 1 if heads is None else len(heads)
    if vectors.ndim != 3 or vectors.shape[0] != expected:
        raise ValueError(f"vectors have the shape {vectors.shape}, not [{expected}, k, d_model]")
    arrays = {"vectors": vectors.astype(np.float32, copy=False)}
    if heads is not None:
        arrays["heads"] = np.asarray(heads, dtype=np.int32)
    return arrays_to_bytes(arrays)


def vectors_from_bytes(data: bytes) -> tuple[Float32, list[int] | None]:
    """The vectors [heads, k, d_model] and their heads (None: no heads). Raises DamagedWeights."""
    arrays = arrays_from_bytes(data)
    if "vectors" not in arrays:
        raise DamagedWeights("A file of vectors holds no vectors; decompose this layer again.")
    heads = arrays.get("heads")
    return arrays["vectors"], None if heads is None else [int(head) for head in heads]


def arrays_to_bytes(arrays: Mapping[str, Array]) -> bytes:
    """A safetensors file of some arrays by name (an unembedding, say, with its pseudo-inverse factor)."""
    # safetensors writes the memory as it lies, so a transposed view would come back scrambled.
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(save(plain, metadata={"format": f"tealeaves-{FORMAT}"}))


def arrays_from_bytes(data: bytes) -> dict[str, Array]:
    """What ``arrays_to_bytes`` wrote. Raises DamagedWeights where the bytes are cut short or changed."""
    try:
        return dict(load(data))
    except (SafetensorError, ValueError, KeyError) as error:
        raise DamagedWeights("A stored file of vectors is damaged; decompose this layer again.") from error


def pseudo_inverse_factor(unembedding: Any) -> Float64:
    """The symmetric F [D, D], float64, with pinv(U) = F·F·Uᵀ for the unembedding U [V, D].

    U may be numpy's, or torch's on the CPU. F = (UᵀU)^(-1/2) over the eigenvectors whose eigenvalue exceeds
    RANK_TOLERANCE of the largest, and zero on the rest, so it exists for an unembedding of any rank, and is unique.
    Tracing maps tokens to directions with it: the columns of pinv(U) that belong to the tokens T are ``U[T] @ F @
    F``, as rows [T, D]; no V × D array is needed.
    """
    gram = gram_matrix(unembedding)
    squares, vectors = np.linalg.eigh(gram)
    kept = squares > RANK_TOLERANCE * max(float(squares[-1]), 0.0)
    inverse_roots = np.where(kept, 1.0 / np.sqrt(np.where(kept, squares, 1.0)), 0.0)
    factor: Float64 = (vectors * inverse_roots) @ vectors.T
    return factor


def gram_matrix(unembedding: Any, rows: int = 8192) -> Float64:
    """UᵀU [D, D] in float64 for U [V, D], in blocks of rows, so that no float64 copy of U is made."""
    gram = np.zeros((unembedding.shape[1], unembedding.shape[1]))
    for start in range(0, unembedding.shape[0], rows):
        block = np.asarray(unembedding[start : start + rows], dtype=np.float64)
        gram += block.T @ block
    return gram
