"""Llama and those built like it: grouped queries, gated MLP, RMSNorm, rotary embeddings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, ClassVar

from workers.weights.architectures.base import GATED
from workers.weights.architectures.table import Names, TableAdapter

_QUERIES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_OUTPUT = "self_attn.o_proj"
_MLP = ("mlp.up_proj", "mlp.gate_proj", "mlp.down_proj")


class Llama(TableAdapter):
    """``model.layers.L.``; its ``post_attention_layernorm`` is the norm before the MLP."""

    model_types: ClassVar[tuple[str, ...]] = ("llama", "mistral")
    circuits = GATED
    rotary = True
    rms = True
    names = Names(
        prefix="model.",
        block="layers.{}.",
        embedding="embed_tokens",
        final_norm="norm",
        attention_norm="input_layernorm",
        queries=_QUERIES,
        output=_OUTPUT,
        mlp_norm="post_attention_layernorm",
        mlp_in="mlp.up_proj",
        mlp_gate="mlp.gate_proj",
        mlp_out="mlp.down_proj",
    )

    def biased_modules(self, config: Any) -> Collection[str]:
        attention = (*_QUERIES, _OUTPUT) if getattr(config, "attention_bias", False) else ()
        return (*attention, *(_MLP if getattr(config, "mlp_bias", False) else ()))


class Qwen2(Llama):
    """Llama with biases on queries, keys and values."""

    model_types = ("qwen2",)

    def biased_modules(self, config: Any) -> Collection[str]:
        return _QUERIES


class Qwen3(Llama):
    """Llama with an RMSNorm on each head's queries and keys."""

    model_types = ("qwen3",)
    names = replace(Llama.names, query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")
