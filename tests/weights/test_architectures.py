"""Every adapter's slices, biases included, against what the model itself computes in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.weights.conftest import save_checkpoint
from tests.weights.small_models import CASES, OPT, Case, watch
from workers.weights.checkpoint import Checkpoint, open_checkpoint

TIGHT = {"atol": 1e-9, "rtol": 1e-9}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Any, Checkpoint]:
    """A case, its model in float64, and the checkpoint that it was saved to in float32."""
    case: Case = request.param
    model = case.build(seed=3)
    checkpoint = open_checkpoint(str(save_checkpoint(tmp_path_factory.mktemp(case.name), model)))
    return case, model.double(), checkpoint


def stream(checkpoint: Checkpoint, batch: int, length: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, checkpoint.info.d_model, generator=generator, dtype=torch.float64)


def plus(product: Tensor, bias: Tensor | None) -> Tensor:
    return product if bias is None else product + bias.double()


def test_sizes(opened: tuple[Case, Any, Checkpoint]) -> None:
    case, model, checkpoint = opened
    info, config = checkpoint.info, model.config.get_text_config()
    assert info.n_layers == 2 and info.d_mlp == 40 and info.vocab_size == 60
    assert (info.d_model, info.n_heads) == (config.hidden_size, config.num_attention_heads)
    assert info.n_kv_heads == (getattr(config, "num_key_value_heads", None) or info.n_heads)
    assert ("mlp_gate" in info.circuits) == (case.modules.mlp_gate is not None)
    assert info.tied == config.tie_word_embeddings


@pytest.mark.parametrize("layer", [0, 1])
def test_every_head_alone_and_all_together(opened: tuple[Case, Any, Checkpoint], layer: int) -> None:
    case, model, checkpoint = opened
    attention = checkpoint.adapter.attention(checkpoint.tensor, layer)
    x = stream(checkpoint, 5, 1)
    total = torch.zeros(5, checkpoint.info.d_model, dtype=torch.float64)
    for head in range(checkpoint.info.n_heads):
        seen = watch(model, case.modules, layer, x, head)
        (own,) = attention.kv_heads([head])
        normed = seen.outputs[case.modules.attention_norm][:, 0]
        value = plus(
            normed @ attention.value[own].double(), None if attention.value_bias is None else attention.value_bias[own]
        )
        ours = value @ attention.output[head].double()
        total += ours
        torch.testing.assert_close(plus(ours, attention.output_bias), seen.outputs[case.modules.output][:, 0], **TIGHT)
    whole = watch(model, case.modules, layer, x).outputs[case.modules.output][:, 0]
    torch.testing.assert_close(plus(total, attention.output_bias), whole, **TIGHT)


@pytest.mark.parametrize("layer", [0, 1])
def test_scores_between_tokens_at_one_position(opened: tuple[Case, Any, Checkpoint], layer: int) -> None:
    """Position 4 of a batch of two: one gives the query, the other the key, rotated alike."""
    case, model, checkpoint = opened
    weights = checkpoint.adapter.query_key(checkpoint.tensor, layer)
    seen = watch(model, case.modules, layer, stream(checkpoint, 2, 5))
    query_input, key_input = seen.outputs[case.modules.attention_norm][:, 4]
    for head in range(checkpoint.info.n_heads):
        (own,) = weights.kv_heads([head])
        query = plus(query_input @ weights.query[head].double(), pick(weights.query_bias, head))
        key = plus(key_input @ weights.key[own].double(), pick(weights.key_bias, own))
        score = normed(query, weights.query_gain) @ normed(key, weights.key_gain)
        expected = seen.queries[0, head, 4] @ seen.keys[1, head, 4]
        # Rotations and RMSNorms are computed in float32 by the model.
        torch.testing.assert_close(score * scale_of_queries(case, checkpoint), expected, atol=1e-5, rtol=1e-5)


def pick(bias: Tensor | None, head: int) -> Tensor | None:
    return None if bias is None else bias[head]


def normed(vector: Tensor, gain: Tensor | None) -> Tensor:
    if gain is None:
        return vector
    return vector / (vector.square().mean() + 1e-6).sqrt() * gain.double()


def scale_of_queries(case: Case, checkpoint: Checkpoint) -> float:
    """OPT's scale is on its queries, the others' on their scores."""
    return checkpoint.info.d_head**-0.5 if case.modules is OPT else 1.0


def test_the_mlp(opened: tuple[Case, Any, Checkpoint]) -> None:
    case, model, checkpoint = opened
    modules = case.modules
    mlp = checkpoint.adapter.mlp(checkpoint.tensor, 1)
    seen = watch(model, modules, 1, stream(checkpoint, 2, 3))
    x = seen.outputs[modules.mlp_norm]
    ours = plus(x @ mlp.w_in.double(), mlp.b_in)
    torch.testing.assert_close(ours, seen.outputs[modules.mlp_in].reshape(ours.shape), **TIGHT)
    if modules.mlp_gate is None:
        assert mlp.w_gate is None and mlp.b_gate is None
    else:
        assert mlp.w_gate is not None
        torch.testing.assert_close(plus(x @ mlp.w_gate.double(), mlp.b_gate), seen.outputs[modules.mlp_gate], **TIGHT)
    hidden, out = seen.inputs[modules.mlp_out], seen.outputs[modules.mlp_out]
    torch.testing.assert_close(plus(hidden @ mlp.w_out.double(), mlp.b_out), out, **TIGHT)


def test_norms(opened: tuple[Case, Any, Checkpoint]) -> None:
    case, model, checkpoint = opened
    adapter, read, modules = checkpoint.adapter, checkpoint.tensor, case.modules
    block = model.get_submodule(f"{modules.base}.{modules.block}.1")
    final = model.get_submodule(f"{modules.base}.{modules.final_norm}")
    attention = adapter.attention(read, 1)
    pairs = [
        (attention.norm, block.get_submodule(modules.attention_norm)),
        (adapter.query_key(read, 1).norm, block.get_submodule(modules.attention_norm)),
        (adapter.mlp_norm(read, 1), block.get_submodule(modules.mlp_norm)),
        (adapter.final_norm(read), final),
    ]
    assert (attention.post_norm is not None) == (modules.attention_post_norm is not None)
    if attention.post_norm is not None:
        pairs.append((attention.post_norm, block.get_submodule(modules.attention_post_norm)))
        pairs.append((adapter.mlp(read, 1).post_norm, block.get_submodule(modules.mlp_post_norm)))
    x = stream(checkpoint, 1, 4)
    for ours, module in pairs:
        assert ours.centres == case.centres
        centred = x - x.mean(-1, keepdim=True) if ours.centres else x
        expected = centred / (centred.square().mean(-1, keepdim=True)).sqrt() * ours.gain.double()
        with torch.no_grad():
            torch.testing.assert_close(plus(expected, ours.bias), module(x), atol=1e-4, rtol=1e-4)


def test_embedding_and_unembedding(opened: tuple[Case, Any, Checkpoint]) -> None:
    _, model, checkpoint = opened
    embedding = model.get_input_embeddings().weight.detach().float()
    torch.testing.assert_close(checkpoint.embedding(), embedding, atol=0, rtol=0)
    x = stream(checkpoint, 3, 1)[:, 0]
    with torch.no_grad():
        logits = model.get_output_embeddings()(x)
    torch.testing.assert_close(x @ checkpoint.unembedding().double().T, logits, **TIGHT)


def test_every_tensor_that_is_expected_is_in_the_file_and_most_of_the_file_is_expected(
    opened: tuple[Case, Any, Checkpoint],
) -> None:
    case, _, checkpoint = opened
    left_out = set(checkpoint._entries) - set(checkpoint.adapter.expected_shapes())
    ignored = ("wpe.weight", "embed_positions.weight", "masked_bias", "attn.bias", "attention.bias")
    if case.name != "gemma3-multimodal":
        assert not {name for name in left_out if not name.endswith(ignored)}
