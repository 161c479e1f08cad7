"""GPT-2: Conv1D weights [in, out], queries, keys and values side by side in one matrix."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from workers.weights.architectures.base import Adapter, Attention, Mlp, Norm, Sizes

if TYPE_CHECKING:
    from workers.weights.architectures.base import TensorReader


class Gpt2(Adapter):
    """``transformer.h.L.`` in a language model's file, ``h.L.`` in the base model's."""

    model_types = ("gpt2",)
    circuits = ("ov", "mlp_in", "mlp_out")

    def __init__(self, config: Any, names: Collection[str]) -> None:
        width, heads = int(config.n_embd), int(config.n_head)
        if min(width, heads, int(config.n_layer), int(config.vocab_size)) < 1 or width % heads:
            raise ValueError("n_embd is not a multiple of n_head, or a size is not positive")
        self._sizes = Sizes(
            n_layers=int(config.n_layer),
            n_heads=heads,
            n_kv_heads=heads,
            d_model=width,
            d_head=width // heads,
            d_mlp=int(config.n_inner or 4 * width),
            vocab_size=int(config.vocab_size),
        )
        self._prefix = "transformer." if any(name.startswith("transformer.") for name in names) else ""
        self._tie_flag = bool(config.tie_word_embeddings)
        # What the file holds counts, whatever the flag says: a head of its own wins.
        tied = self._tie_flag and "lm_head.weight" not in names
        self._unembedding_name = self.embedding_name if tied else "lm_head.weight"

    @property
    def sizes(self) -> Sizes:
        return self._sizes

    @property
    def tie_flag(self) -> bool:
        return self._tie_flag

    @property
    def embedding_name(self) -> str:
        return f"{self._prefix}wte.weight"

    @property
    def unembedding_name(self) -> str:
        return self._unembedding_name

    def expected_shapes(self) -> dict[str, tuple[int, ...]]:
        sizes = self._sizes
        width, inner = sizes.d_model, sizes.d_mlp
        layer_shapes = {
            "ln_1.weight": (width,),
            "ln_1.bias": (width,),
            "attn.c_attn.weight": (width, 3 * width),
            "attn.c_attn.bias": (3 * width,),
            "attn.c_proj.weight": (width, width),
            "attn.c_proj.bias": (width,),
            "ln_2.weight": (width,),
            "ln_2.bias": (width,),
            "mlp.c_fc.weight": (width, inner),
            "mlp.c_fc.bias": (inner,),
            "mlp.c_proj.weight": (inner, width),
            "mlp.c_proj.bias": (width,),
        }
        shapes: dict[str, tuple[int, ...]] = {
            self._block(layer) + name: shape for layer in range(sizes.n_layers) for name, shape in layer_shapes.items()
        }
        shapes[self.embedding_name] = shapes[self.unembedding_name] = (sizes.vocab_size, width)
        return shapes

    def attention(self, read: TensorReader, layer: int) -> Attention:
        sizes, block = self._sizes, self._block(layer)
        heads, d_head, width = sizes.n_heads, sizes.d_head, sizes.d_model
        # Columns: queries, keys, values; within the values head by head. Rows of c_proj: head by head.
        value = read(f"{block}attn.c_attn.weight")[:, 2 * width :]
        value_bias = read(f"{block}attn.c_attn.bias")[2 * width :]
        return Attention(
            norm=self._norm(read, f"{block}ln_1"),
            value=value.reshape(width, heads, d_head).permute(1, 0, 2),
            value_bias=value_bias.reshape(heads, d_head),
            output=read(f"{block}attn.c_proj.weight").reshape(heads, d_head, width),
            output_bias=read(f"{block}attn.c_proj.bias"),
        )

    def mlp(self, read: TensorReader, layer: int) -> Mlp:
        block = self._block(layer)
        return Mlp(
            norm=self._norm(read, f"{block}ln_2"),
            w_in=read(f"{block}mlp.c_fc.weight"),
            b_in=read(f"{block}mlp.c_fc.bias"),
            w_out=read(f"{block}mlp.c_proj.weight"),
            b_out=read(f"{block}mlp.c_proj.bias"),
        )

    def _norm(self, read: TensorReader, name: str) -> Norm:
        return Norm(gain=read(f"{name}.weight"), bias=read(f"{name}.bias"))

    def _block(self, layer: int) -> str:
        return f"{self._prefix}h.{layer}."
