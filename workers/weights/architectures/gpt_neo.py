"""GPT-Neo: as GPT-2 with weights [out, in] and q, k, v apart; its attention is not scaled by 1/√dh."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from workers.weights.architectures.base import UNGATED, Sizes
from workers.weights.architectures.table import Names, TableAdapter, divide


class GptNeo(TableAdapter):
    """``transformer.h.L.``; no biases on queries, keys and values."""

    model_types = ("gpt_neo",)
    circuits = UNGATED
    names = Names(
        prefix="transformer.",
        block="h.{}.",
        embedding="wte",
        final_norm="ln_f",
        attention_norm="ln_1",
        queries=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"),
        output="attn.attention.out_proj",
        mlp_norm="ln_2",
        mlp_in="mlp.c_fc",
        mlp_out="mlp.c_proj",
    )

    def read_sizes(self, config: Any) -> Sizes:
        width, heads = int(config.hidden_size), int(config.num_heads)
        return Sizes(
            n_layers=int(config.num_layers),
            n_heads=heads,
            n_kv_heads=heads,
            d_model=width,
            d_head=divide(width, heads),
            d_mlp=int(config.intermediate_size or 4 * width),
            vocab_size=int(config.vocab_size),
        )

    def biased_modules(self, config: Any) -> Collection[str]:
        return ("attn.attention.out_proj", "mlp.c_fc", "mlp.c_proj")
