"""What an architecture's adapter must say. One adapter each; everything else in the package is shared.

Layouts here are canonical, whatever the file's: matrices act on row vectors, so axis -2 is the input and axis
-1 the output, and heads are the first axis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    TensorReader = Callable[[str], Tensor]


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
    """The normalisation before a matrix: ``gain`` g [D] and ``bias`` β [D] (None for an RMSNorm)."""

    gain: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Attention:
    """A layer's OV weights: head h maps x [.., D] to ``(x·value[h] + value_bias[h])·output[h]``.

    The sum over the heads and ``output_bias`` is the attention's output. ``value`` [H, D, dh], ``value_bias``
    [H, dh] or None, ``output`` [H, dh, D], ``output_bias`` [D] or None. With grouped queries key/value heads
    stand once for each query head that uses them. ``norm`` comes before ``value``.
    """

    norm: Norm
    value: Tensor
    value_bias: Tensor | None
    output: Tensor
    output_bias: Tensor | None


@dataclass(frozen=True)
class Mlp:
    """A layer's MLP: ``w_in`` [D, M], ``b_in`` [M], ``w_out`` [M, D], ``b_out`` [D]; ``norm`` comes first."""

    norm: Norm
    w_in: Tensor
    b_in: Tensor | None
    w_out: Tensor
    b_out: Tensor | None


class Adapter(ABC):
    """Where one architecture keeps its weights.

    Made from a ``transformers`` configuration and the names of the tensors in the file. It reads nothing
    itself: each method takes a reader that gives a tensor by name, in float32. The reader's errors pass
    through.
    """

    model_types: ClassVar[tuple[str, ...]]
    circuits: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __init__(self, config: Any, names: Collection[str]) -> None:
        """Raises AttributeError, TypeError or ValueError for a nonsensical configuration."""

    @property
    @abstractmethod
    def sizes(self) -> Sizes: ...

    @property
    @abstractmethod
    def tie_flag(self) -> bool:
        """Whether the configuration says that the unembedding is the embedding; the file may differ."""

    @property
    @abstractmethod
    def embedding_name(self) -> str: ...

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
    def mlp(self, read: TensorReader, layer: int) -> Mlp: ...
