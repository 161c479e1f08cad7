"""What an architecture's adapter must say. One adapter each; everything else in the package is shared.

Layouts here are canonical, whatever the file's: matrices act on row vectors, so axis -2 is the input and axis
-1 the output, and heads are the first axis. Tensors are views of what the reader gave wherever that can be,
so a layer costs little more than its file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    TensorReader = Callable[[str], Tensor]

UNGATED = ("ov", "qk", "mlp_in", "mlp_out", "embed", "unembed")
GATED = ("ov", "qk", "mlp_in", "mlp_gate", "mlp_out", "embed", "unembed")


@dataclass(frozen=True)
class Sizes:
    """A model's sizes: H ``n_heads``, KV ``n_kv_heads``, D ``d_model``, dh ``d_head``, M ``d_mlp``."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    vocab_size: int


@dataclass(frozen=True)
class Norm:
    """A normalisation: ``gain`` g [D] (Gemma's 1 + w already added), ``bias`` β [D] or None.

    ``centres`` says whether it subtracts the mean first: LayerNorm does, RMSNorm does not.
    """

    gain: Tensor
    bias: Tensor | None
    centres: bool


@dataclass(frozen=True)
class Linear:
    """x ↦ x·weight + bias: ``weight`` [.., in, out], ``bias`` [.., out] or None."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Attention:
    """A layer's OV weights: head h maps x [.., D] to ``(x·value[v] + value_bias[v])·output[h]``.

    v is ``kv_heads([h])``, which is h itself without grouped queries. The sum over the heads and
    ``output_bias`` is the attention's output. ``value`` [KV, D, dh], ``value_bias`` [KV, dh] or None,
    ``output`` [H, dh, D], ``output_bias`` [D] or None. ``norm`` comes before ``value``; ``post_norm`` (Gemma
    2 and 3) acts on the whole output before it is added to the residual stream.
    """

    norm: Norm
    value: Tensor
    value_bias: Tensor | None
    output: Tensor
    output_bias: Tensor | None
    post_norm: Norm | None = None

    def kv_heads(self, heads: Sequence[int]) -> list[int]:
        """The key/value head that each query head uses: ``h // (H / KV)``."""
        return kv_heads(heads, len(self.output), len(self.value))


@dataclass(frozen=True)
class QueryKey:
    """A layer's QK weights: head h scores x against y by ``(x·query[h] + …)·(y·key[v] + …)ᵀ``.

    ``query`` [H, D, dh], ``query_bias`` [H, dh] or None, ``key`` [KV, D, dh], ``key_bias`` [KV, dh] or None;
    v as in ``Attention``. ``norm`` comes before both. ``query_gain`` and ``key_gain`` [dh] are the gains of
    norms on each head's queries and keys (Qwen3, Gemma 3), None elsewhere.
    """

    norm: Norm
    query: Tensor
    query_bias: Tensor | None
    key: Tensor
    key_bias: Tensor | None
    query_gain: Tensor | None = None
    key_gain: Tensor | None = None

    def kv_heads(self, heads: Sequence[int]) -> list[int]:
        """The key/value head that each query head uses: ``h // (H / KV)``."""
        return kv_heads(heads, len(self.query), len(self.key))


@dataclass(frozen=True)
class Mlp:
    """A layer's MLP: ``w_in`` [D, M], ``b_in`` [M], ``w_out`` [M, D], ``b_out`` [D]; ``norm`` comes first.

    Where there is a gate, ``w_gate`` [D, M] and ``b_gate`` [M] read what ``w_in`` reads, and the activation
    function of the gate multiplies ``w_in``'s output. ``post_norm`` (Gemma 2 and 3) acts on the output.
    """

    norm: Norm
    w_in: Tensor
    b_in: Tensor | None
    w_out: Tensor
    b_out: Tensor | None
    w_gate: Tensor | None = None
    b_gate: Tensor | None = None
    post_norm: Norm | None = None


class UnsupportedVariant(Exception):  # noqa: N818
    """A supported architecture in a form that is not done right here; the message names it."""


def kv_heads(heads: Sequence[int], n_heads: int, n_kv_heads: int) -> list[int]:
    """The key/value heads of query heads; ``h % KV`` would have the right shapes and be wrong."""
    return [head // (n_heads // n_kv_heads) for head in heads]


class Adapter(ABC):
    """Where one architecture keeps its weights.

    Made from a ``transformers`` configuration and the names of the tensors in the file. It reads nothing
    itself: each method takes a reader that gives a tensor by name, in float32, and asks it only for what the
    method's result needs. The reader's errors pass through.
    """

    model_types: ClassVar[tuple[str, ...]]
    circuits: ClassVar[tuple[str, ...]]
    rotary: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, config: Any, names: Collection[str]) -> None:
        """Raises AttributeError, TypeError or ValueError for a nonsensical configuration.

        Raises UnsupportedVariant.
        """

    @property
    @abstractmethod
    def sizes(self) -> Sizes: ...

    @property
    @abstractmethod
    def tie_flag(self) -> bool:
        """Whether the configuration says that the unembedding is the embedding; the file may differ."""

    @property
    @abstractmethod
    def embedding_name(self) -> str:
        """The tensor [vocab, D] whose rows enter the residual stream."""

    @property
    @abstractmethod
    def unembedding_name(self) -> str:
        """The tensor [vocab, D] that reads the residual stream out; the embedding where they are tied."""

    @abstractmethod
    def expected_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that this adapter may read, with its shape in the file."""

    @abstractmethod
    def attention(self, read: TensorReader, layer: int) -> Attention: ...

    @abstractmethod
    def query_key(self, read: TensorReader, layer: int) -> QueryKey: ...

    @abstractmethod
    def mlp_norm(self, read: TensorReader, layer: int) -> Norm:
        """The norm before the MLP."""

    @abstractmethod
    def mlp_post_norm(self, read: TensorReader, layer: int) -> Norm | None:
        """The norm after the MLP and before the residual stream, where there is one."""

    @abstractmethod
    def mlp_linear(self, read: TensorReader, layer: int, circuit: str) -> Linear:
        """One of the MLP's maps: ``mlp_in`` or ``mlp_gate`` [D, M], or ``mlp_out`` [M, D]."""

    @abstractmethod
    def final_norm(self, read: TensorReader) -> Norm:
        """The norm before the unembedding."""

    def mlp(self, read: TensorReader, layer: int) -> Mlp:
        """The whole MLP of a layer."""
        w_in = self.mlp_linear(read, layer, "mlp_in")
        w_out = self.mlp_linear(read, layer, "mlp_out")
        gate = self.mlp_linear(read, layer, "mlp_gate") if "mlp_gate" in self.circuits else None
        return Mlp(
            norm=self.mlp_norm(read, layer),
            w_in=w_in.weight,
            b_in=w_in.bias,
            w_out=w_out.weight,
            b_out=w_out.bias,
            w_gate=None if gate is None else gate.weight,
            b_gate=None if gate is None else gate.bias,
            post_norm=self.mlp_post_norm(read, layer),
        )
