"""A small random model of every supported architecture, and what it computes by itself, seen through hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

VOCAB = 60
TOKENS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
SIZES = {"num_hidden_layers": 2, "intermediate_size": 40, "vocab_size": VOCAB, "max_position_embeddings": 16}
SQUARE = {"hidden_size": 16, "num_attention_heads": 4}
GROUPED = SQUARE | {"num_key_value_heads": 2}
WIDE = {"hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}


@dataclass(frozen=True)
class Modules:
    """Where a model (not a file) keeps the modules of a layer, written down here a second time on purpose."""

    base: str = "model"
    block: str = "layers"
    attention: str = "self_attn"
    attention_norm: str = "input_layernorm"
    output: str = "self_attn.o_proj"
    mlp_norm: str = "post_attention_layernorm"
    mlp_in: str = "mlp.up_proj"
    mlp_gate: str | None = "mlp.gate_proj"
    mlp_out: str = "mlp.down_proj"
    final_norm: str = "norm"
    query_norm: str | None = None
    key_norm: str | None = None
    attention_post_norm: str | None = None
    mlp_post_norm: str | None = None
    positions: str | None = None
    """Learned position embeddings, below ``base``."""


GPT2 = Modules(
    base="transformer",
    block="h",
    attention="attn",
    attention_norm="ln_1",
    output="attn.c_proj",
    mlp_norm="ln_2",
    mlp_in="mlp.c_fc",
    mlp_gate=None,
    mlp_out="mlp.c_proj",
    final_norm="ln_f",
    positions="wpe",
)
NEO = Modules(**(vars(GPT2) | {"attention": "attn.attention", "output": "attn.attention.out_proj"}))
NEOX = Modules(
    base="gpt_neox",
    attention="attention",
    output="attention.dense",
    mlp_in="mlp.dense_h_to_4h",
    mlp_gate=None,
    mlp_out="mlp.dense_4h_to_h",
    final_norm="final_layer_norm",
)
OPT = Modules(
    base="model.decoder",
    attention_norm="self_attn_layer_norm",
    output="self_attn.out_proj",
    mlp_norm="final_layer_norm",
    mlp_in="fc1",
    mlp_gate=None,
    mlp_out="fc2",
    final_norm="final_layer_norm",
    positions="embed_positions",
)
LLAMA = Modules()
QWEN3 = Modules(query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")
GEMMA2 = Modules(
    mlp_norm="pre_feedforward_layernorm",
    attention_post_norm="post_attention_layernorm",
    mlp_post_norm="post_feedforward_layernorm",
)
GEMMA3 = Modules(**(vars(GEMMA2) | {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"}))
GEMMA3_WHOLE = Modules(**(vars(GEMMA3) | {"base": "model.language_model"}))


@dataclass(frozen=True)
class Case:
    """A model class of transformers, its configuration, and its modules."""

    name: str
    model: str
    config: str
    modules: Modules
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, *, seed: int = 0, biases: bool = True, **changes: Any) -> Any:
        """The model with random weights, biases and gains; without ``biases`` all biases, β too, are 0."""
        import transformers

        options = {key: value() if callable(value) else value for key, value in self.options.items()}
        config = getattr(transformers, self.config)(**(TOKENS | options | changes))
        return randomise(getattr(transformers, self.model)(config).eval(), seed, biases)

    @property
    def centres(self) -> bool:
        return self.modules in (GPT2, NEO, NEOX, OPT)


def randomise(model: Any, seed: int, biases: bool = True) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.3, generator=generator)
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter.add_(1.0)
            if name.endswith("bias") and not biases:
                parameter.zero_()
    return model


def gemma3_text() -> Any:
    from transformers import Gemma3TextConfig

    return Gemma3TextConfig(**(TOKENS | SIZES | WIDE | {"layer_types": ["sliding_attention", "full_attention"]}))


SMALL_VISION = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "image_size": 28,
    "patch_size": 14,
}
_NEO_SIZES = {"num_layers": 2, "intermediate_size": 40, "vocab_size": VOCAB, "max_position_embeddings": 16}
_OPT_SIZES = {"num_hidden_layers": 2, "ffn_dim": 40, "vocab_size": VOCAB, "max_position_embeddings": 16}
_GPT2_SIZES = {"n_layer": 2, "n_inner": 40, "vocab_size": VOCAB, "n_positions": 16}
_GEMMA3 = {"layer_types": ["sliding_attention", "full_attention"]}

CASES = [
    Case("gpt2", "GPT2LMHeadModel", "GPT2Config", GPT2, _GPT2_SIZES | {"n_embd": 16, "n_head": 4}),
    Case("gpt2-3x8", "GPT2LMHeadModel", "GPT2Config", GPT2, _GPT2_SIZES | {"n_embd": 24, "n_head": 3}),
    Case(
        "gpt_neo",
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        NEO,
        _NEO_SIZES | {"hidden_size": 16, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    ),
    Case("gpt_neox", "GPTNeoXForCausalLM", "GPTNeoXConfig", NEOX, SIZES | SQUARE),
    Case(
        "gpt_neox-serial",
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        NEOX,
        SIZES | {"hidden_size": 24, "num_attention_heads": 3, "use_parallel_residual": False},
    ),
    Case(
        "gpt_neox-no-bias",
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        NEOX,
        SIZES | SQUARE | {"attention_bias": False, "tie_word_embeddings": True},
    ),
    Case("opt", "OPTForCausalLM", "OPTConfig", OPT, _OPT_SIZES | SQUARE),
    Case("opt-no-bias", "OPTForCausalLM", "OPTConfig", OPT, _OPT_SIZES | SQUARE | {"enable_bias": False}),
    Case(
        "opt-plain-norms",
        "OPTForCausalLM",
        "OPTConfig",
        OPT,
        _OPT_SIZES | SQUARE | {"layer_norm_elementwise_affine": False},
    ),
    Case("llama", "LlamaForCausalLM", "LlamaConfig", LLAMA, SIZES | GROUPED),
    Case(
        "llama-wide",
        "LlamaForCausalLM",
        "LlamaConfig",
        LLAMA,
        SIZES | WIDE | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    Case("mistral", "MistralForCausalLM", "MistralConfig", LLAMA, SIZES | GROUPED),
    Case("mistral-wide", "MistralForCausalLM", "MistralConfig", LLAMA, SIZES | WIDE),
    Case("qwen2", "Qwen2ForCausalLM", "Qwen2Config", LLAMA, SIZES | GROUPED),
    Case("qwen2-wide", "Qwen2ForCausalLM", "Qwen2Config", LLAMA, SIZES | WIDE | {"tie_word_embeddings": True}),
    Case("qwen3", "Qwen3ForCausalLM", "Qwen3Config", QWEN3, SIZES | GROUPED | {"head_dim": 4}),
    Case("qwen3-wide", "Qwen3ForCausalLM", "Qwen3Config", QWEN3, SIZES | WIDE | {"attention_bias": True}),
    Case("gemma", "GemmaForCausalLM", "GemmaConfig", LLAMA, SIZES | GROUPED | {"head_dim": 4}),
    Case("gemma-wide", "GemmaForCausalLM", "GemmaConfig", LLAMA, SIZES | WIDE | {"num_key_value_heads": 1}),
    Case("gemma2", "Gemma2ForCausalLM", "Gemma2Config", GEMMA2, SIZES | GROUPED | {"head_dim": 4}),
    Case("gemma2-wide", "Gemma2ForCausalLM", "Gemma2Config", GEMMA2, SIZES | WIDE),
    Case("gemma3", "Gemma3ForCausalLM", "Gemma3TextConfig", GEMMA3, SIZES | GROUPED | _GEMMA3 | {"head_dim": 4}),
    Case("gemma3-wide", "Gemma3ForCausalLM", "Gemma3TextConfig", GEMMA3, SIZES | WIDE | _GEMMA3),
    Case(
        "gemma3-multimodal",
        "Gemma3ForConditionalGeneration",
        "Gemma3Config",
        GEMMA3_WHOLE,
        {"text_config": gemma3_text, "vision_config": SMALL_VISION, "mm_tokens_per_image": 4},
    ),
]
BY_NAME = {case.name: case for case in CASES}


@dataclass
class Seen:
    """What went through a layer. For a module by its name: its input and output [batch, length, ..].

    ``queries`` and ``keys`` [batch, H, length, dh] are what the attention was given, rotated and normed, each
    key once for every query head that uses it. ``attention`` is what the attention returned.
    """

    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    queries: Tensor = field(default_factory=lambda: torch.empty(0))
    keys: Tensor = field(default_factory=lambda: torch.empty(0))


def watch(model: Any, modules: Modules, layer: int, stream: Tensor, head: int | None = None) -> Seen:
    """Run the model on ``stream`` [batch, length, D] in place of embeddings; of ``layer``, only ``head`` acts."""
    seen = Seen()
    block = model.get_submodule(f"{modules.base}.{modules.block}.{layer}")
    names = [name for name in vars(modules).values() if name is not None and has_module(block, name)]
    hooks = [block.get_submodule(name).register_forward_hook(_recorder(seen, name)) for name in names]
    try:
        with torch.no_grad(), _probe(model, block.get_submodule(modules.attention), seen, head):
            model(inputs_embeds=stream)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def has_module(block: nn.Module, name: str) -> bool:
    return any(found == name for found, _ in block.named_modules())


def _recorder(seen: Seen, name: str) -> Callable[..., None]:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        if inputs:
            seen.inputs[name] = inputs[0].detach().clone()
        seen.outputs[name] = (output[0] if isinstance(output, tuple) else output).detach().clone()

    return record


@contextmanager
def _probe(model: Any, attention: nn.Module, seen: Seen, head: int | None) -> Iterator[None]:
    """Put our own attention function into the model: softmax over everything, and only one head, if asked."""

    def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        copies = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(copies, 1), value.repeat_interleave(copies, 1)
        out = torch.softmax(query @ key.mT, -1) @ value
        if module is attention:
            seen.queries, seen.keys = query, key
            if head is not None:
                out = out * (torch.arange(out.shape[1]) == head)[:, None, None]
        return out

    def interface(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any) -> Any:
        return attend(module, query, key, value).transpose(1, 2).contiguous(), None

    if hasattr(attention, "_attn"):  # GPT-Neo does not use the interface
        attention._attn = lambda query, key, value, *rest: (attend(attention, query, key, value), None)
        try:
            yield
        finally:
            del attention._attn
        return
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register("probe", interface)
    before = model.config._attn_implementation
    model.set_attn_implementation("probe")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def bare_norm(stream: Tensor, centres: bool, epsilon: float) -> Tensor:
    """What a norm does before its gain and bias, in the precision of ``stream``."""
    if centres:
        stream = stream - stream.mean(-1, keepdim=True)
    return stream / (stream.square().mean(-1, keepdim=True) + epsilon).sqrt()


def epsilon_of(norm: Any) -> float:
    return float(getattr(norm, "eps", None) or getattr(norm, "variance_epsilon", 0.0))
