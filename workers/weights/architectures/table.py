"""Adapters that are a table of names. All supported architectures are; a fused q, k, v overrides ``heads``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from workers.weights.architectures.base import Adapter, Attention, Linear, Norm, QueryKey, Sizes

if TYPE_CHECKING:
    from torch import Tensor

    from workers.weights.architectures.base import TensorReader

Role = Literal["query", "key", "value"]


@dataclass(frozen=True)
class Names:
    """Where an architecture's modules lie. ``prefix`` is a language model's; the file's own is looked for.

    ``block``, ``embedding`` and ``final_norm`` are below the prefix, all else below the block (``{}``: its
    number). A module has a tensor ``.weight`` and perhaps a ``.bias``. ``queries`` are the modules of query,
    key and value, or the one that holds all three. ``heads`` are the names that an unembedding of its own may
    have, the usual one first.
    """

    prefix: str
    block: str
    embedding: str
    final_norm: str
    attention_norm: str
    queries: tuple[str, ...]
    output: str
    mlp_norm: str
    mlp_in: str
    mlp_out: str
    mlp_gate: str | None = None
    attention_post_norm: str | None = None
    mlp_post_norm: str | None = None
    query_norm: str | None = None
    key_norm: str | None = None
    heads: tuple[str, ...] = ("lm_head",)


class TableAdapter(Adapter):
    """Reads by ``names``; a subclass says how its configuration calls the sizes and which modules have biases.

    Weights are [out, in] in the file unless ``weights_are_in_out``. ``norm_offset`` is added to every gain.
    Norms have a bias unless ``rms``, and RMSNorms do not centre.
    """

    names: ClassVar[Names]
    weights_are_in_out: ClassVar[bool] = False
    rms: ClassVar[bool] = False
    norm_offset: ClassVar[float] = 0.0

    def __init__(self, config: Any, names: Collection[str]) -> None:
        self._sizes = self.read_sizes(config)
        check_sizes(self._sizes)
        self._biased = frozenset(self.biased_modules(config))
        self._prefix = _find_prefix(names, self.names.embedding, self.names.prefix)
        self._tie_flag = bool(config.tie_word_embeddings)
        heads = [f"{head}.weight" for head in self.names.heads]
        own = next((name for name in names if name.endswith(tuple(heads)) and _is_top(name, heads)), None)
        # What the file holds counts, whatever the flag says: a head of its own wins.
        self._unembedding_name = own or (self.embedding_name if self._tie_flag else heads[0])

    def read_sizes(self, config: Any) -> Sizes:
        """The sizes by the configuration's names; what most architectures call them."""
        heads, width = int(config.num_attention_heads), int(config.hidden_size)
        return Sizes(
            n_layers=int(config.num_hidden_layers),
            n_heads=heads,
            n_kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
            d_model=width,
            d_head=int(getattr(config, "head_dim", None) or divide(width, heads)),
            d_mlp=int(config.intermediate_size),
            vocab_size=int(config.vocab_size),
        )

    def biased_modules(self, config: Any) -> Collection[str]:
        """The modules below a block, norms aside, that have a bias."""
        raise NotImplementedError

    @property
    def sizes(self) -> Sizes:
        return self._sizes

    @property
    def tie_flag(self) -> bool:
        return self._tie_flag

    @property
    def embedding_name(self) -> str:
        return f"{self._prefix}{self.names.embedding}.weight"

    @property
    def unembedding_name(self) -> str:
        return self._unembedding_name

    def expected_shapes(self) -> dict[str, tuple[int, ...]]:
        sizes = self._sizes
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(sizes.n_layers):
            for module, shape in self._layer_shapes():
                shapes[f"{self._block(layer)}{module}"] = shape
        for tensor in self._norm_tensors(self.names.final_norm):
            shapes[self._prefix + tensor] = (sizes.d_model,)
        shapes[self.embedding_name] = shapes[self.unembedding_name] = (sizes.vocab_size, sizes.d_model)
        return shapes

    def attention(self, read: TensorReader, layer: int) -> Attention:
        names, sizes, block = self.names, self._sizes, self._block(layer)
        value = self.heads(read, block, "value")
        output = self._linear(read, block, names.output)
        return Attention(
            norm=self._norm(read, block + names.attention_norm),
            value=value.weight,
            value_bias=value.bias,
            # Its input axis: head by head.
            output=split_axis(output.weight, 0, (sizes.n_heads, sizes.d_head)),
            output_bias=output.bias,
            post_norm=self._optional_norm(read, block, names.attention_post_norm),
        )

    def query_key(self, read: TensorReader, layer: int) -> QueryKey:
        names, block = self.names, self._block(layer)
        query, key = self.heads(read, block, "query"), self.heads(read, block, "key")
        query_norm = self._optional_norm(read, block, names.query_norm)
        key_norm = self._optional_norm(read, block, names.key_norm)
        return QueryKey(
            norm=self._norm(read, block + names.attention_norm),
            query=query.weight,
            query_bias=query.bias,
            key=key.weight,
            key_bias=key.bias,
            query_gain=None if query_norm is None else query_norm.gain,
            key_gain=None if key_norm is None else key_norm.gain,
        )

    def mlp_norm(self, read: TensorReader, layer: int) -> Norm:
        return self._norm(read, self._block(layer) + self.names.mlp_norm)

    def mlp_post_norm(self, read: TensorReader, layer: int) -> Norm | None:
        return self._optional_norm(read, self._block(layer), self.names.mlp_post_norm)

    def mlp_linear(self, read: TensorReader, layer: int, circuit: str) -> Linear:
        names = self.names
        module = {"mlp_in": names.mlp_in, "mlp_gate": names.mlp_gate, "mlp_out": names.mlp_out}[circuit]
        if module is None:
            raise ValueError(f"this architecture's MLP has no {circuit}")
        return self._linear(read, self._block(layer), module)

    def final_norm(self, read: TensorReader) -> Norm:
        return self._norm(read, self._prefix + self.names.final_norm)

    def heads(self, read: TensorReader, block: str, role: Role) -> Linear:
        """``weight`` [heads, D, dh] and ``bias`` [heads, dh] of the queries, or of the KV keys or values."""
        linear = self._linear(read, block, self.names.queries[("query", "key", "value").index(role)])
        return self.in_heads(linear, self._sizes.n_heads if role == "query" else self._sizes.n_kv_heads)

    def in_heads(self, linear: Linear, heads: int) -> Linear:
        """A map [D, heads · dh] head by head: ``weight`` [heads, D, dh], ``bias`` [heads, dh]."""
        shape = (heads, self._sizes.d_head)
        bias = None if linear.bias is None else split_axis(linear.bias, 0, shape)
        return Linear(split_axis(linear.weight, 1, shape).permute(1, 0, 2), bias)

    def _linear(self, read: TensorReader, block: str, module: str) -> Linear:
        weight = read(f"{block}{module}.weight")
        bias = read(f"{block}{module}.bias") if module in self._biased else None
        return Linear(weight if self.weights_are_in_out else weight.mT, bias)

    def _norm(self, read: TensorReader, name: str) -> Norm:
        gain = read(f"{name}.weight")
        if self.norm_offset:
            gain = gain + self.norm_offset
        return Norm(gain, None if self.rms else read(f"{name}.bias"), centres=not self.rms)

    def _optional_norm(self, read: TensorReader, block: str, name: str | None) -> Norm | None:
        return None if name is None else self._norm(read, block + name)

    def _layer_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Every tensor of a layer, below its block, with its shape in the file."""
        names, sizes = self.names, self._sizes
        for norm in (names.attention_norm, names.mlp_norm, names.attention_post_norm, names.mlp_post_norm):
            for tensor in self._norm_tensors(norm):
                yield tensor, (sizes.d_model,)
        for norm in (names.query_norm, names.key_norm):
            for tensor in self._norm_tensors(norm):
                yield tensor, (sizes.d_head,)
        for module, (inputs, outputs) in self._module_sizes():
            yield f"{module}.weight", (inputs, outputs) if self.weights_are_in_out else (outputs, inputs)
            if module in self._biased:
                yield f"{module}.bias", (outputs,)

    def _module_sizes(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Every linear module of a layer with the sizes of its input and its output."""
        names, sizes = self.names, self._sizes
        queries, keys = sizes.n_heads * sizes.d_head, sizes.n_kv_heads * sizes.d_head
        outputs = (queries, keys, keys) if len(names.queries) == 3 else (queries + 2 * keys,)
        for module, size in zip(names.queries, outputs, strict=True):
            yield module, (sizes.d_model, size)
        yield names.output, (queries, sizes.d_model)
        yield names.mlp_in, (sizes.d_model, sizes.d_mlp)
        if names.mlp_gate is not None:
            yield names.mlp_gate, (sizes.d_model, sizes.d_mlp)
        yield names.mlp_out, (sizes.d_mlp, sizes.d_model)

    def _norm_tensors(self, norm: str | None) -> list[str]:
        if norm is None:
            return []
        return [f"{norm}.weight"] if self.rms else [f"{norm}.weight", f"{norm}.bias"]

    def _block(self, layer: int) -> str:
        return self._prefix + self.names.block.format(layer)


def check_sizes(sizes: Sizes) -> None:
    """Raises ValueError for sizes that no model has."""
    if min(vars(sizes).values()) < 1:
        raise ValueError("a size is not positive")
    if sizes.n_heads % sizes.n_kv_heads:
        raise ValueError("the number of heads is not a multiple of the number of key/value heads")


def divide(width: int, heads: int) -> int:
    """The size of a head where the heads share the width. Raises ValueError."""
    if heads < 1 or width % heads:
        raise ValueError("the width is not a multiple of the number of heads")
    return width // heads


def split_axis(tensor: Tensor, axis: int, shape: tuple[int, ...]) -> Tensor:
    """``tensor`` with one axis cut into several; a view, on a transposed tensor too."""
    return tensor.view(*tensor.shape[:axis], *shape, *tensor.shape[axis + 1 :])


def _find_prefix(names: Collection[str], embedding: str, usual: str) -> str:
    """What stands before the embedding's name in the file: a base model's, or one inside a larger model's.

    The shortest where there are several; ``usual`` where there is none, so that a complaint names it.
    """
    end = f"{embedding}.weight"
    found = [name.removesuffix(end) for name in names if name == end or name.endswith(f".{end}")]
    return min(found, key=len, default=usual)


def _is_top(name: str, heads: Collection[str]) -> bool:
    """Whether ``name`` is an unembedding's: one of ``heads``, alone or in a ``language_model``."""
    return name.removeprefix("language_model.") in heads
