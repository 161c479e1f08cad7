"""Gemma 1, 2 and 3: as Llama, with gains 1 + w and, from 2 on, norms after attention and MLP too."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

from workers.weights.architectures.base import UnsupportedVariant
from workers.weights.architectures.llama import Llama


class Gemma(Llama):
    """Gemma 1. The model multiplies embeddings by √D; the tensors here are the file's."""

    model_types: ClassVar[tuple[str, ...]] = ("gemma",)
    norm_offset = 1.0

    def __init__(self, config: Any, names: Collection[str]) -> None:
        if getattr(config, "use_bidirectional_attention", None) is True:
            raise UnsupportedVariant(f"{self.model_types[0]} with bidirectional attention, an encoder")
        super().__init__(config, names)


class Gemma2(Gemma):
    """Its ``post_attention_layernorm`` acts on the attention's output; the MLP has a norm before and after."""

    model_types: ClassVar[tuple[str, ...]] = ("gemma2",)
    names = replace(
        Gemma.names,
        attention_post_norm="post_attention_layernorm",
        mlp_norm="pre_feedforward_layernorm",
        mlp_post_norm="post_feedforward_layernorm",
    )


class Gemma3(Gemma2):
    """Gemma 2 with RMSNorms on each head's queries and keys. Of a multimodal one, the language model."""

    model_types: ClassVar[tuple[str, ...]] = ("gemma3_text", "gemma3")
    names = replace(Gemma2.names, query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")

    def __init__(self, config: Any, names: Collection[str]) -> None:
        text = getattr(config, "text_config", None)
        if text is not None:
            # The whole model's flag: the text's own is not looked at when the head is tied.
            config = SimpleNamespace(**(text.to_dict() | {"tie_word_embeddings": config.tie_word_embeddings}))
        super().__init__(config, names)
