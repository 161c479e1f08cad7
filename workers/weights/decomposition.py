"""Exact singular value decompositions of weight matrices, and the sign convention.

Vectors are rows throughout: a matrix W [d_in, d_out] that acts on row vectors is Σ σ_i · left_iᵀ · right_i,
where ``left`` [k, d_in] reads from the residual stream and ``right`` [k, d_out] writes to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TIE = 1e-6
"""Relative size under which the sign rule calls a sum undecided; far above float64's noise in the vectors."""


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
    q_a, r_a = torch.linalg.qr(a.double())
    q_b, r_b = torch.linalg.qr(b.double().mT)
    u, values, vh = torch.linalg.svd(r_a @ r_b.mT, full_matrices=False)
    left = (q_a @ u[..., :k]).mT
    right = vh[..., :k, :] @ q_b.mT
    sign = sign_of_pairs(left, right)[..., None]
    return ProductSvd(values, left * sign, right * sign)


def svd_of_side(matrix: Tensor, k: int | None = None) -> tuple[Tensor, Tensor]:
    """Singular values [min(D, M)] and the first k left singular vectors [k, D] of ``matrix`` [D, M], float64.

    The eigenvectors of the Gram matrix W·Wᵀ are W's left singular vectors, its eigenvalues their squared
    singular values. In float64 this keeps the vectors of singular values down to about 1e-7 of the largest;
    in float32 it would lose them below 1e-3. Signs follow ``sign_of_pairs`` with the one side that there is.
    """
    wide = matrix.double()
    squares, vectors = torch.linalg.eigh(wide @ wide.mT)
    values = squares.flip(-1).clamp_min(0).sqrt()[: min(wide.shape)]
    left = vectors.flip(-1).mT[: len(values)][:k]
    return values, left * sign_of_pairs(left)[..., None]


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
    pair = torch.cat(sides, dim=-1)
    magnitude = pair.abs()
    cubes = pair**3
    skew = cubes.sum(-1)
    undecided = skew.abs() <= TIE * cubes.abs().sum(-1)
    largest = magnitude >= (1 - TIE) * magnitude.amax(-1, keepdim=True)
    first = largest.to(torch.uint8).argmax(-1, keepdim=True)
    decisive = torch.where(undecided, pair.gather(-1, first)[..., 0], skew)
    return torch.where(decisive < 0, -1.0, 1.0).to(pair.dtype)
