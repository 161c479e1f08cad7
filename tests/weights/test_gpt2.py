"""The adapter's slices against what the model itself computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.weights.conftest import gpt2_config, random_gpt2, save_checkpoint
from workers.weights.checkpoint import Checkpoint, open_checkpoint
from workers.weights.circuits import factors


@pytest.fixture(scope="module", params=[(24, 3), (16, 4), (12, 12)], ids=["3x8", "4x4", "12x1"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Checkpoint]:
    """A model and its checkpoint; with four heads of width four every wrong reshape keeps the right shapes."""
    width, heads = request.param
    model = random_gpt2(gpt2_config(n_embd=width, n_head=heads), seed=width)
    return model, open_checkpoint(str(save_checkpoint(tmp_path_factory.mktemp("gpt2"), model)))


def own_attention(model: Any, layer: int, head: int | None, x: torch.Tensor) -> torch.Tensor:
    """What the model's attention makes of normed inputs x [n, D], each alone (sequence length 1); one head or all."""
    attention = model.transformer.h[layer].attn
    weight, bias = attention.c_proj.weight, attention.c_proj.bias
    kept, kept_bias = weight.detach().clone(), bias.detach().clone()
    width = len(bias) // attention.num_heads
    try:
        with torch.no_grad():
            if head is not None:
                others = [row for row in range(len(bias)) if row // width != head]
                weight[others] = 0
                bias.zero_()
            return attention(x[:, None])[0][:, 0]
    finally:
        with torch.no_grad():
            weight.copy_(kept)
            bias.copy_(kept_bias)


@pytest.mark.parametrize("layer", [0, 1])
def test_every_head_alone_equals_the_models_own_attention(case: tuple[Any, Checkpoint], layer: int) -> None:
    model, checkpoint = case
    weights = checkpoint.adapter.attention(checkpoint.tensor, layer)
    x = torch.randn(5, checkpoint.info.d_model, generator=torch.Generator().manual_seed(1))
    for head in range(checkpoint.info.n_heads):
        ours = (x @ weights.value[head] + weights.value_bias[head]) @ weights.output[head]
        torch.testing.assert_close(ours, own_attention(model, layer, head, x), atol=1e-5, rtol=1e-5)


def test_all_heads_and_biases_together(case: tuple[Any, Checkpoint]) -> None:
    model, checkpoint = case
    weights = checkpoint.adapter.attention(checkpoint.tensor, 1)
    x = torch.randn(5, checkpoint.info.d_model, generator=torch.Generator().manual_seed(2))
    values = torch.einsum("nd,hdk->hnk", x, weights.value) + weights.value_bias[:, None]
    ours = torch.einsum("hnk,hkd->nd", values, weights.output) + weights.output_bias
    torch.testing.assert_close(ours, own_attention(model, 1, None, x), atol=1e-5, rtol=1e-5)


def test_raw_ov_maps_the_normalised_stream_with_the_gain_applied(case: tuple[Any, Checkpoint]) -> None:
    """The head's output for a stream x minus its output for a stream that normalises to 0 is ẑ · g∘W_V · W_O."""
    model, checkpoint = case
    block, width = model.transformer.h[0], checkpoint.info.d_model
    x = torch.randn(4, width, generator=torch.Generator().manual_seed(3))
    normalised = torch.nn.functional.layer_norm(x, (width,), eps=model.config.layer_norm_epsilon).double()
    ov = factors(checkpoint, "ov", 0, heads=[1])
    with torch.no_grad():
        own = own_attention(model, 0, 1, block.ln_1(x)) - own_attention(model, 0, 1, block.ln_1.bias[None])
    torch.testing.assert_close((normalised @ ov.left[0] @ ov.right[0]).float(), own, atol=1e-5, rtol=1e-5)


def test_raw_mlp_sides_are_those_of_the_residual_stream(case: tuple[Any, Checkpoint]) -> None:
    model, checkpoint = case
    block, width = model.transformer.h[1], checkpoint.info.d_model
    w_in, w_out = factors(checkpoint, "mlp_in", 1).left[0], factors(checkpoint, "mlp_out", 1).left[0]
    x = torch.randn(4, width, generator=torch.Generator().manual_seed(4))
    hidden = torch.randn(4, checkpoint.info.d_mlp, generator=torch.Generator().manual_seed(5))
    normalised = torch.nn.functional.layer_norm(x, (width,), eps=model.config.layer_norm_epsilon).double()
    with torch.no_grad():
        own_in = block.mlp.c_fc(block.ln_2(x)) - block.mlp.c_fc(block.ln_2.bias[None])
        own_out = block.mlp.c_proj(hidden) - block.mlp.c_proj.bias
    torch.testing.assert_close((normalised @ w_in).float(), own_in, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close((hidden.double() @ w_out.mT).float(), own_out, atol=1e-5, rtol=1e-5)


def test_biases_of_the_mlp(gpt2: Any, gpt2_folder: Path) -> None:
    checkpoint = open_checkpoint(str(gpt2_folder))
    mlp = checkpoint.adapter.mlp(checkpoint.tensor, 0)
    block = gpt2.transformer.h[0]
    x = torch.randn(3, 24, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        normed = block.ln_2(x)
        own = block.mlp(normed)
        ours = block.mlp.act(normed @ mlp.w_in + mlp.b_in) @ mlp.w_out + mlp.b_out
    torch.testing.assert_close(ours, own, atol=1e-5, rtol=1e-5)


def test_the_readout_is_the_models_own_logits(gpt2: Any, gpt2_folder: Path) -> None:
    unembedding = open_checkpoint(str(gpt2_folder)).unembedding()
    x = torch.randn(3, 24, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        torch.testing.assert_close(x @ unembedding.T, gpt2.lm_head(x))
