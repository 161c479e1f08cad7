"""Preprocessing ``folded``: what a norm does is written into the matrices beside it.

A norm before a matrix divides x (a LayerNorm: x less its mean) by its length, multiplies by a gain g and adds
a bias β. All but the division is linear, so it can be folded: the gain and β into the matrix and its bias,
and the centring too, since centring x and centring the axis of the matrix that reads x are the same thing.
Once every reader of a stream is centred, what is written along (1, …, 1) is never read, so it can be taken
out of what writes as well. What is left of the norm is the division (and, for a LayerNorm, a centring that no
longer changes anything). The same as TransformerLens's ``fold_ln``, ``center_writing_weights`` and, for the
unembedding, the centring of its residual axis; its centring over the vocabulary is not done here, as it
cannot change a readout.

Every function returns new tensors; in float64 where its arguments are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workers.weights.architectures.base import Attention, Linear, Mlp, Norm, QueryKey

if TYPE_CHECKING:
    from torch import Tensor


TABLE_ROWS = 8192
"""How many rows of a vocabulary's table are held in float64 at once."""


def fold_read(linear: Linear, norm: Norm) -> Linear:
    """x̂·(g ∘ W), centred over the axis that reads, and the bias b + β·W; ``linear.weight`` [.., D, out].

    x̂ is the divided stream. The bias is None where there was neither b nor β.
    """
    weight = centred(norm.gain.to(linear.weight)[:, None] * linear.weight, -2, norm.centres)
    if norm.bias is None:
        return Linear(weight, linear.bias)
    shift = norm.bias.to(linear.weight) @ linear.weight
    return Linear(weight, shift if linear.bias is None else shift + linear.bias)


def fold_write(linear: Linear, centres: bool, post_norm: Norm | None) -> Linear:
    """W and b as they reach the residual stream: ``linear.weight`` [.., in, D].

    Centred over D where the stream's readers are. The gain of a norm after the matrix (Gemma 2 and 3) is
    multiplied in: that norm divides by the length of the output *before* its gain, so this is what is added
    to the stream up to a positive factor for each token, and its division has to be done with the gain taken
    out again.
    """
    gain = None if post_norm is None else post_norm.gain.to(linear.weight)
    weight = linear.weight if gain is None else linear.weight * gain
    bias = linear.bias if linear.bias is None or gain is None else linear.bias * gain
    return Linear(centred(weight, -1, centres), None if bias is None else centred(bias, -1, centres))


def fold_attention(attention: Attention) -> Attention:
    """The same attention behind a bare norm, as ``bare`` makes it."""
    norm = attention.norm
    value = fold_read(Linear(attention.value, attention.value_bias), norm)
    output = fold_write(Linear(attention.output, attention.output_bias), norm.centres, attention.post_norm)
    return replace(
        attention,
        norm=bare(norm),
        value=value.weight,
        value_bias=value.bias,
        output=output.weight,
        output_bias=output.bias,
    )


def fold_query_key(weights: QueryKey) -> QueryKey:
    """The same queries and keys behind a bare norm. The gains of norms on the heads stay where they are."""
    query = fold_read(Linear(weights.query, weights.query_bias), weights.norm)
    key = fold_read(Linear(weights.key, weights.key_bias), weights.norm)
    return replace(
        weights,
        norm=bare(weights.norm),
        query=query.weight,
        query_bias=query.bias,
        key=key.weight,
        key_bias=key.bias,
    )


def fold_mlp(mlp: Mlp) -> Mlp:
    """The same MLP behind a bare norm."""
    w_in = fold_read(Linear(mlp.w_in, mlp.b_in), mlp.norm)
    gate = None if mlp.w_gate is None else fold_read(Linear(mlp.w_gate, mlp.b_gate), mlp.norm)
    w_out = fold_write(Linear(mlp.w_out, mlp.b_out), mlp.norm.centres, mlp.post_norm)
    return replace(
        mlp,
        norm=bare(mlp.norm),
        w_in=w_in.weight,
        b_in=w_in.bias,
        w_out=w_out.weight,
        b_out=w_out.bias,
        w_gate=None if gate is None else gate.weight,
        b_gate=None if gate is None else gate.bias,
    )


def fold_table(table: Tensor, gain: Tensor | None, *, centres: bool) -> Tensor:
    """An embedding or unembedding [V, D], float32, with ``gain`` [D] on its rows, centred over D.

    Computed in float64 a block of rows at a time and written over ``table``, so that there is never a second.
    """
    for start in range(0, len(table), TABLE_ROWS):
        rows = table[start : start + TABLE_ROWS]
        exact = rows.double() if gain is None else rows.double() * gain.double()
        rows.copy_(centred(exact, -1, centres))
    return table


def unembedding_bias(unembedding: Tensor, norm: Norm) -> Tensor | None:
    """β·Uᵀ [V]: what the final norm's bias adds to each logit, for the raw ``unembedding`` [V, D]."""
    return None if norm.bias is None else unembedding @ norm.bias.to(unembedding)


def bare(norm: Norm) -> Norm:
    """What is left of a norm when it has been folded: gain 1 and no bias."""
    return replace(norm, gain=norm.gain.new_ones(norm.gain.shape), bias=None)


def centred(tensor: Tensor, axis: int, centres: bool = True) -> Tensor:
    """``tensor`` less its mean over ``axis``, or as it is where the norms do not centre."""
    return tensor - tensor.mean(axis, keepdim=True) if centres else tensor
