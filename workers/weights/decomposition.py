"""Exact singular value decompositions of weight matrices, and the sign convention.

Vectors are rows throughout: a matrix W [d_in, d_out] that acts on row vectors is Σ σ_i · left_iᵀ · right_i,
where ``left`` [k, d_in] reads from the residual stream and ``right`` [k, d_out] writes to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

TIE = 1e-6
"""Relative size under which the sign rule calls a sum undecided; far above float64's noise in the vectors."""

CONDITION = 500.0
"""Up to which condition number Cholesky's way to an orthonormal basis is taken: it costs κ² of float64's 16 digits."""

FEW = 4
"""Only where fewer than 1 / FEW of the eigenvectors are wanted does it pay to leave the others out."""


@dataclass(frozen=True)
class ProductSvd:
    """``values`` [.., r] descending; k pairs ``left`` [.., k, d_in], ``right`` [.., k, d_out]; float64."""

    values: Tensor
    left: Tensor
    right: Tensor


def svd_of_product(a: Tensor, b: Tensor, k: int | None = None) -> ProductSvd:
    """The SVD of a·b for ``a`` [.., d_in, r] and ``b`` [.., r, d_out] without forming the product.

    a = Q_a R_a and bᵀ = Q_b R_b, so a·b = Q_a (R_a R_bᵀ) Q_bᵀ, and an SVD of the small core in the middle is
    one of the product (Golub & Van Loan, Matrix Computations, §5.4: QR as a preparation of the SVD). Cost
    O((d_in + d_out) r²) instead of O(d³); the singular values have the accuracy of a float64 SVD. Signs
    follow ``sign_of_pairs``.
    """
    columns_a, mix_a, r_a = _orthonormal(a.double())
    columns_b, mix_b, r_b = _orthonormal(b.double().mT)
    u, values, vh = torch.linalg.svd(r_a @ r_b.mT, full_matrices=False)
    left = (u[..., :k].mT @ mix_a.mT) @ columns_a.mT
    right = (vh[..., :k, :] @ mix_b.mT) @ columns_b.mT
    sign = sign_of_pairs(left, right)[..., None]
    return ProductSvd(values, left.mul_(sign), right.mul_(sign))


def _orthonormal(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``a`` [.., d, r] as columns·mix·triangle, where columns·mix has orthonormal columns: a QR decomposition.

    Where a matrix is well conditioned, columns is ``a`` itself and the triangle Cholesky's factor of aᵀa, three
    times as fast as Householder's QR here, and its columns are orthonormal to about 2^-53 · κ² (Golub & Van Loan,
    §5.3; Stathopoulos & Wu 2002). ‖R‖_F ‖R⁻¹‖_F bounds κ from above. Where it exceeds CONDITION, Householder.
    """
    if a.shape[-2] < a.shape[-1]:
        q, r = torch.linalg.qr(a)
        return q, _identity_like(r @ r.mT), r
    lower, failed = torch.linalg.cholesky_ex(a.mT @ a)
    mix = torch.linalg.solve_triangular(lower, _identity_like(lower), upper=False).mT
    condition = torch.linalg.matrix_norm(lower) * torch.linalg.matrix_norm(mix)
    poor = (failed != 0) | ~(condition <= CONDITION)
    if not bool(poor.any()):
        return a, mix, lower.mT
    columns, mix, triangle = a.clone(), mix.clone(), lower.mT.clone()
    columns[poor], triangle[poor] = torch.linalg.qr(a[poor])
    mix[poor] = _identity_like(mix)[poor]
    return columns, mix, triangle


def _identity_like(square: Tensor) -> Tensor:
    return torch.eye(square.shape[-1], dtype=square.dtype, device=square.device).expand_as(square)


def svd_of_side(matrix: Tensor, k: int | None = None) -> tuple[Tensor, Tensor]:
    """Singular values [min(D, M)] and the first k left singular vectors [k, D] of ``matrix`` [D, M], float64."""
    return svd_of_blocks([matrix.double()], matrix.shape[1], k)


def svd_of_blocks(blocks: Iterable[Tensor], width: int, k: int | None = None) -> tuple[Tensor, Tensor]:
    """``svd_of_side`` of the matrix [D, width] whose columns come in float64 ``blocks`` [D, ·].

    The eigenvectors of the Gram matrix W·Wᵀ are W's left singular vectors, its eigenvalues their squared
    singular values. In float64 this keeps the vectors of singular values down to about 1e-7 of the largest;
    in float32 it would lose them below 1e-3. Signs follow ``sign_of_pairs`` with the one side that there is.
    """
    gram = _gram(blocks)
    count = min(len(gram), width)
    wanted = count if k is None else min(k, count)
    squares, vectors = _eigen(gram, wanted)
    values = squares.flip(-1).clamp_min(0).sqrt()[:count]
    left = vectors.flip(-1)[:, :wanted].mT.contiguous()
    return values, left.mul_(sign_of_pairs(left)[..., None])


def _gram(blocks: Iterable[Tensor]) -> Tensor:
    """The sum of block·blockᵀ. numpy takes BLAS's syrk for that, half the work of a general product."""
    total: Any = 0
    for block in blocks:
        if block.device.type == "cpu":
            array = block.numpy()
            total = total + array @ array.T
        else:
            total = total + block @ block.mT
    return torch.from_numpy(total) if isinstance(total, np.ndarray) else total


def _eigen(gram: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """All eigenvalues [D], ascending, of a symmetric matrix, and the vectors [D, ≥ k] of (at least) the k largest."""
    if gram.device.type == "cpu" and 0 < k < len(gram) // FEW:
        try:
            return _eigen_few(gram.numpy(), k)
        except np.linalg.LinAlgError:
            pass  # divide and conquer, below, always converges
    squares, vectors = torch.linalg.eigh(gram)
    return squares, vectors


def _eigen_few(gram: np.ndarray[Any, Any], k: int) -> tuple[Tensor, Tensor]:
    """All eigenvalues and the k leading vectors from one reduction to tridiagonal form.

    LAPACK's own driver (dsyevr) does the same, and then hands out only as many eigenvalues as vectors.
    gram = Q T Qᵀ, where Q is a product of reflectors that leaves the first coordinate alone; T's eigenvalues
    come from dsterf, its leading vectors from dstemr, and Q is applied to those alone.
    Raises numpy's LinAlgError where an iteration does not converge.
    """
    from scipy.linalg import eigh_tridiagonal, lapack
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    size = len(gram)
    work, _ = lapack.dsytrd_lwork(size, lower=1)
    with threadpool_limits(
        1
    ):  # half of it is bound by memory, and two threads on a busy machine take three times as long
        packed, diagonal, beside, tau, _ = lapack.dsytrd(gram, lower=1, lwork=int(work))
        squares, failed = lapack.dsterf(diagonal, beside)
        if failed:
            raise np.linalg.LinAlgError("dsterf did not converge")
        chosen = (size - k, size - 1)
        _, vectors = eigh_tridiagonal(diagonal, beside, select="i", select_range=chosen, lapack_driver="stemr")
        rest = np.asfortranarray(vectors[1:])
        vectors[1:], _, _ = lapack.dormqr("L", "N", np.asfortranarray(packed[1:, :-1]), tau, rest, lwork=64 * size)
    return torch.from_numpy(squares), torch.from_numpy(vectors)


def sign_of_pairs(*sides: Tensor) -> Tensor:
    """The factors, +1 or -1 [.., k], for pairs of singular vectors: both of a pair are multiplied by one.

    ``sides`` are one or two tensors [.., k, d] (a left vector and its right one may differ in d). An SVD
    leaves the sign of a pair open. The convention: the sum of the cubes of all entries of the pair is
    positive, that is, ``+`` is the end with the longer tail of large weights. Where that sum is a tie (within
    TIE of the sum of the absolute cubes), the entry of largest magnitude is positive, the first of those
    within TIE of it, ``left`` before ``right``. It is an odd function of the pair, so it does not depend on
    the sign that the routine happened to return; and it changes with rounding only where a quantity comes
    within rounding of TIE (some such place every rule must have: there is no continuous choice of sign on a
    sphere).
    """
    skew, length = torch.zeros(()).to(sides[0]), torch.zeros(()).to(sides[0])
    for side in sides:
        squares = side.square()
        length = length + squares.sum(-1)
        skew = skew + squares.mul_(side).sum(-1)
    # A pair's absolute cubes sum to no more than length^(3/2), so few pairs need that sum itself.
    close = skew.abs() <= TIE * length**1.5
    if bool(close.any()):
        skew[close] = _skew_or_largest(torch.cat([side[close] for side in sides], dim=-1))
    return torch.where(skew < 0, -1.0, 1.0).to(sides[0].dtype)


def _skew_or_largest(pairs: Tensor) -> Tensor:
    """What decides the signs of ``pairs`` [n, d]: the sum of the cubes, or the largest entry where that is a tie."""
    cubes, magnitude = pairs**3, pairs.abs()
    skew = cubes.sum(-1)
    largest = magnitude >= (1 - TIE) * magnitude.amax(-1, keepdim=True)
    first = largest.to(torch.uint8).argmax(-1, keepdim=True)
    undecided = skew.abs() <= TIE * cubes.abs().sum(-1)
    return torch.where(undecided, pairs.gather(-1, first)[..., 0], skew)
