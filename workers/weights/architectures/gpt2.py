"""GPT-2: Conv1D weights [in, out], queries, keys and values side by side in one matrix."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from workers.weights.architectures.base import UNGATED, Linear, Sizes
from workers.weights.architectures.table import Names, Role, TableAdapter, divide

if TYPE_CHECKING:
    from workers.weights.architectures.base import TensorReader


class Gpt2(TableAdapter):
    """``transformer.h.L.`` in a language model's file, ``h.L.`` in the base model's."""

    model_types = ("gpt2",)
    circuits = UNGATED
    weights_are_in_out = True
    names = Names(
        prefix="transformer.",
        block="h.{}.",
        embedding="wte",
        final_norm="ln_f",
        attention_norm="ln_1",
        queries=("attn.c_attn",),
        output="attn.c_proj",
        mlp_norm="ln_2",
        mlp_in="mlp.c_fc",
        mlp_out="mlp.c_proj",
    )

    def read_sizes(self, config: Any) -> Sizes:
        width, heads = int(config.n_embd), int(config.n_head)
        return Sizes(
            n_layers=int(config.n_layer),
            n_heads=heads,
            n_kv_heads=heads,
            d_model=width,
            d_head=divide(width, heads),
            d_mlp=int(config.n_inner or 4 * width),
            vocab_size=int(config.vocab_size),
        )

    def biased_modules(self, config: Any) -> Collection[str]:
        return ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")

    def heads(self, read: TensorReader, block: str, role: Role) -> Linear:
        # Columns: queries, keys, values; within each head by head.
        fused, width = self._linear(read, block, "attn.c_attn"), self._sizes.d_model
        start = ("query", "key", "value").index(role) * width
        own = slice(start, start + width)
        bias = None if fused.bias is None else fused.bias[own]
        return self.in_heads(Linear(fused.weight[:, own], bias), self._sizes.n_heads)
