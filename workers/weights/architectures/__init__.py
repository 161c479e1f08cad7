"""The registry of architectures: a new one is a module with an adapter, and a line here."""

from __future__ import annotations

from workers.weights.architectures.base import Adapter
from workers.weights.architectures.gemma import Gemma, Gemma2, Gemma3
from workers.weights.architectures.gpt2 import Gpt2
from workers.weights.architectures.gpt_neo import GptNeo
from workers.weights.architectures.gpt_neox import GptNeoX
from workers.weights.architectures.llama import Llama, Qwen2, Qwen3
from workers.weights.architectures.opt import Opt
from workers.weights.errors import UnsupportedArchitecture

_ADAPTERS: tuple[type[Adapter], ...] = (Gpt2, GptNeo, GptNeoX, Opt, Llama, Qwen2, Qwen3, Gemma, Gemma2, Gemma3)
_BY_MODEL_TYPE = {model_type: adapter for adapter in _ADAPTERS for model_type in adapter.model_types}

SUPPORTED = tuple(sorted(_BY_MODEL_TYPE))


def adapter_class(model_type: str) -> type[Adapter]:
    """The adapter for a configuration's ``model_type``. Raises UnsupportedArchitecture."""
    if model_type not in _BY_MODEL_TYPE:
        raise UnsupportedArchitecture(model_type, SUPPORTED)
    return _BY_MODEL_TYPE[model_type]
