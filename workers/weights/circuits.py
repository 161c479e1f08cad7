"""From an architecture's canonical weights to what is decomposed: preprocessing ``raw``.

``raw`` is the post's: the gain of the norm before a matrix multiplies the matrix's input axis; nothing is
centred; the write side (W_O, MLP-out) and the unembedding stay as they are. Everything in float64, where
products of float32 weights are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from workers.weights.architectures.base import Attention, Mlp


def raw_ov_factors(attention: Attention, heads: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The factors of g ∘ W_V · W_O: [heads, D, dh] (axis 1 reads) and [heads, dh, D] (axis 2 writes)."""
    chosen = list(heads)
    value = attention.norm.gain.double()[:, None] * attention.value[chosen].double()
    return value, attention.output[chosen].double()


def raw_mlp_in(mlp: Mlp) -> Tensor:
    """g ∘ W_in [D, M]: axis 0 reads from the residual stream."""
    return mlp.norm.gain.double()[:, None] * mlp.w_in.double()


def raw_mlp_out(mlp: Mlp) -> Tensor:
    """W_outᵀ [D, M]: axis 0 writes to the residual stream."""
    return mlp.w_out.double().mT
