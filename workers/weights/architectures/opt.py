"""OPT: LayerNorm before each block. What norms after it, as OPT-350m does, is refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from workers.weights.architectures.base import UNGATED, Norm, Sizes, UnsupportedVariant
from workers.weights.architectures.table import Names, TableAdapter, divide

if TYPE_CHECKING:
    from workers.weights.architectures.base import TensorReader


class Opt(TableAdapter):
    """``model.decoder.layers.L.``; a layer's ``final_layer_norm`` is the norm before its MLP."""

    model_types = ("opt",)
    circuits = UNGATED
    names = Names(
        prefix="model.decoder.",
        block="layers.{}.",
        embedding="embed_tokens",
        final_norm="final_layer_norm",
        attention_norm="self_attn_layer_norm",
        queries=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        output="self_attn.out_proj",
        mlp_norm="final_layer_norm",
        mlp_in="fc1",
        mlp_out="fc2",
    )

    def __init__(self, config: Any, names: Collection[str]) -> None:
        if not config.do_layer_norm_before or config.word_embed_proj_dim != config.hidden_size:
            raise UnsupportedVariant("opt with norms after the blocks or projected embeddings, as OPT-350m")
        if getattr(config, "_remove_final_layer_norm", False):
            raise UnsupportedVariant("opt without a final norm")
        self._affine = bool(config.layer_norm_elementwise_affine)
        super().__init__(config, names)

    def read_sizes(self, config: Any) -> Sizes:
        width, heads = int(config.hidden_size), int(config.num_attention_heads)
        return Sizes(
            n_layers=int(config.num_hidden_layers),
            n_heads=heads,
            n_kv_heads=heads,
            d_model=width,
            d_head=divide(width, heads),
            d_mlp=int(config.ffn_dim),
            vocab_size=int(config.vocab_size),
        )

    def biased_modules(self, config: Any) -> Collection[str]:
        names = self.names
        return (*names.queries, names.output, names.mlp_in, names.mlp_out) if config.enable_bias else ()

    def _norm(self, read: TensorReader, name: str) -> Norm:
        if self._affine:
            return super()._norm(read, name)
        import torch

        return Norm(torch.ones(self._sizes.d_model), None, centres=True)

    def _norm_tensors(self, norm: str | None) -> list[str]:
        return super()._norm_tensors(norm) if self._affine else []
