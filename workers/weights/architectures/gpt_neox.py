"""GPT-NeoX and Pythia: queries, keys and values fused head by head; an unembedding of its own, ``embed_out``."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from workers.weights.architectures.base import UNGATED, Linear
from workers.weights.architectures.table import Names, Role, TableAdapter, split_axis

if TYPE_CHECKING:
    from workers.weights.architectures.base import TensorReader


class GptNeoX(TableAdapter):
    """``gpt_neox.layers.L.``. Attention and MLP may stand side by side: each still has its own norm."""

    model_types = ("gpt_neox",)
    circuits = UNGATED
    rotary = True
    names = Names(
        prefix="gpt_neox.",
        block="layers.{}.",
        embedding="embed_in",
        final_norm="final_layer_norm",
        attention_norm="input_layernorm",
        queries=("attention.query_key_value",),
        output="attention.dense",
        mlp_norm="post_attention_layernorm",
        mlp_in="mlp.dense_h_to_4h",
        mlp_out="mlp.dense_4h_to_h",
        heads=("embed_out", "lm_head"),
    )

    def biased_modules(self, config: Any) -> Collection[str]:
        attention = ("attention.query_key_value", "attention.dense") if config.attention_bias else ()
        return (*attention, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")

    def heads(self, read: TensorReader, block: str, role: Role) -> Linear:
        # Columns: head by head, and within a head its query, key and value. (Thirds would fit in shape too.)
        sizes, which = self._sizes, ("query", "key", "value").index(role)
        fused = self._linear(read, block, "attention.query_key_value")
        shape = (sizes.n_heads, 3, sizes.d_head)
        bias = None if fused.bias is None else split_axis(fused.bias, 0, shape)[:, which]
        return Linear(split_axis(fused.weight, 1, shape)[:, :, which].permute(1, 0, 2), bias)
