"""From an architecture's canonical weights to the matrices that are decomposed, in either preprocessing.

``raw`` is the post's: the gain of the norm before a matrix multiplies the matrix's input axis (for QK, the
input axes of W_Q and W_K); nothing is centred; biases, the write side (W_O, MLP-out), the embedding and the
unembedding stay as they are. ``folded`` is ``folding.py``'s: gains folded, LayerNorm's centring on the
residual axis of what reads and what writes, the final norm's gain on the unembedding.

What is *not* in a matrix, because it is a positive factor and changes only the scale of its singular values:
the attention's scale (1/√dh; none in GPT-Neo; in Gemma 2 and 3 one of their own) and Gemma's √D on
embeddings. What cannot be in one, because it is not linear: the divisions of the norms, those on the heads'
queries and keys in Qwen3 and Gemma 3 included (their gains are linear, and are in ``qk`` in either
preprocessing), and soft caps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.weights.architectures.base import Attention, Linear, Mlp, Norm
from workers.weights.errors import BadSelection
from workers.weights.folding import fold_read, fold_write
from workers.weights.selection import (
    CIRCUITS_WITH_HEADS,
    CIRCUITS_WITHOUT_LAYER,
    PREPROCESSINGS,
    SIDES,
    check_layer,
    choose_heads,
    parse_circuits,
)

if TYPE_CHECKING:
    from torch import Tensor

    from workers.weights.checkpoint import Checkpoint

BLOCK_COLUMNS = 8192
"""How many columns of a wide matrix are held in float64 at once."""


@dataclass(frozen=True)
class Factors:
    """The n matrices of one circuit in one layer: n heads, or n = 1 and head None. ``layer`` None: embeddings.

    Where both sides live in the residual stream (``ov``, ``qk``) each matrix is the product of ``left``
    [n, D, r] and ``right`` [n, r, D]. Elsewhere ``right`` is None and ``left`` [1, D, M] is the matrix, its
    residual axis first: M is d_mlp or the size of the vocabulary. ``sides`` names the residual sides in the
    order (left, right), or (left,).

    float64; but ``left`` of ``embed`` and ``unembed`` is float32, because a vocabulary in float64 would not
    fit: take it in ``blocks``.
    """

    circuit: str
    layer: int | None
    heads: Sequence[int | None]
    left: Tensor
    right: Tensor | None
    sides: tuple[str, ...]

    def blocks(self, columns: int = BLOCK_COLUMNS) -> Iterator[Tensor]:
        """``left`` in float64 blocks [n, D, ≤ columns]: for a Gram matrix of a matrix of any width."""
        for start in range(0, self.left.shape[-1], columns):
            yield self.left[..., start : start + columns].double()


def factors(
    checkpoint: Checkpoint,
    circuit: str,
    layer: int | None = None,
    *,
    heads: Sequence[int] | None = None,
    preprocessing: str = "raw",
) -> Factors:
    """The matrices of one circuit in one layer, reading only the tensors that they are made of.

    - ``ov``: left = W_V [D, dh] (side ``read``), right = W_O [dh, D] (``write``).
    - ``qk``: left = W_Q [D, dh] (``query``), right = W_Kᵀ [dh, D] (``key``). With rotary embeddings scores
      depend on the distance between two tokens; this is distance 0, where the two rotations cancel.
    - ``mlp_in``, ``mlp_gate`` (``read``): W [D, M]. ``mlp_out`` (``write``): W_outᵀ [D, M].
    - ``embed`` (``write``), ``unembed`` (``read``): the transposed tables [D, vocab].

    ``heads`` are query heads, None: all; with grouped queries h uses key/value head h // (H / KV). ``heads``
    is ignored by circuits without heads, ``layer`` by ``embed`` and ``unembed``.

    Raises BadSelection for a circuit, layer, head or preprocessing that this model does not have,
    DamagedWeights where weights cannot be read.
    """
    parse_circuits([circuit], checkpoint.info.circuits)
    if preprocessing not in PREPROCESSINGS:
        raise BadSelection(f"There is no preprocessing '{preprocessing}'; choose {' or '.join(PREPROCESSINGS)}.")
    if circuit in CIRCUITS_WITHOUT_LAYER:
        return _of_vocabulary(checkpoint, circuit, preprocessing)
    if layer is None:
        raise BadSelection(f"The circuit '{circuit}' is one matrix or more in each layer; give a layer.")
    check_layer(layer, checkpoint.info.n_layers)
    if circuit not in CIRCUITS_WITH_HEADS:
        return _of_mlp(checkpoint, circuit, layer, preprocessing)
    chosen = choose_heads(heads, checkpoint.info.n_heads)
    build = _ov if circuit == "ov" else _qk
    left, right = build(checkpoint, layer, chosen, preprocessing)
    return Factors(circuit, layer, chosen, left, right, SIDES[circuit])


def _ov(checkpoint: Checkpoint, layer: int, heads: Sequence[int], preprocessing: str) -> tuple[Tensor, Tensor]:
    attention = checkpoint.adapter.attention(checkpoint.tensor, layer)
    if preprocessing == "raw":
        return raw_ov_factors(attention, heads)
    read = _read(attention.value[attention.kv_heads(heads)], attention.norm, preprocessing)
    write = fold_write(
        Linear(attention.output[list(heads)].double(), None), attention.norm.centres, attention.post_norm
    )
    return read, write.weight


def _qk(checkpoint: Checkpoint, layer: int, heads: Sequence[int], preprocessing: str) -> tuple[Tensor, Tensor]:
    weights = checkpoint.adapter.query_key(checkpoint.tensor, layer)
    query = _read(weights.query[list(heads)], weights.norm, preprocessing)
    key = _read(weights.key[weights.kv_heads(heads)], weights.norm, preprocessing)
    if weights.query_gain is not None:
        query = query * weights.query_gain.double()
    if weights.key_gain is not None:
        key = key * weights.key_gain.double()
    return query, key.mT


def _read(weight: Tensor, norm: Norm, preprocessing: str) -> Tensor:
    """``weight`` [n, D, out] as it reads the divided stream, float64."""
    if preprocessing == "raw":
        return norm.gain.double()[:, None] * weight
    return fold_read(Linear(weight.double(), None), norm).weight


def _of_mlp(checkpoint: Checkpoint, circuit: str, layer: int, preprocessing: str) -> Factors:
    adapter, read = checkpoint.adapter, checkpoint.tensor
    weight = adapter.mlp_linear(read, layer, circuit).weight
    if circuit != "mlp_out":
        left = _read(weight[None], adapter.mlp_norm(read, layer), preprocessing)
    elif preprocessing == "raw":
        left = weight.double().mT[None]
    else:
        centres = adapter.mlp_norm(read, layer).centres
        left = fold_write(Linear(weight.double(), None), centres, adapter.mlp_post_norm(read, layer)).weight.mT[None]
    return Factors(circuit, layer, [None], left, None, SIDES[circuit])


def _of_vocabulary(checkpoint: Checkpoint, circuit: str, preprocessing: str) -> Factors:
    table = checkpoint.embedding if circuit == "embed" else checkpoint.unembedding
    return Factors(circuit, None, [None], table(preprocessing=preprocessing).mT[None], None, SIDES[circuit])


def raw_ov_factors(attention: Attention, heads: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The factors of g ∘ W_V · W_O: [heads, D, dh] (axis 1 reads) and [heads, dh, D] (axis 2 writes)."""
    read = _read(attention.value[attention.kv_heads(heads)], attention.norm, "raw")
    return read, attention.output[list(heads)].double()


def raw_mlp_in(mlp: Mlp) -> Tensor:
    """g ∘ W_in [D, M]: axis 0 reads from the residual stream."""
    return mlp.norm.gain.double()[:, None] * mlp.w_in.double()


def raw_mlp_out(mlp: Mlp) -> Tensor:
    """W_outᵀ [D, M]: axis 0 writes to the residual stream."""
    return mlp.w_out.double().mT
