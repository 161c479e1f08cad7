"""The proof that ``folded`` changes nothing: a model with folded weights and bare norms gives the same logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.weights.conftest import save_checkpoint
from tests.weights.small_models import CASES, Case, bare_norm, epsilon_of
from workers.weights.architectures.base import Adapter, Attention, Norm, QueryKey
from workers.weights.checkpoint import Checkpoint, open_checkpoint
from workers.weights.folding import (
    bare,
    centred,
    fold_attention,
    fold_mlp,
    fold_query_key,
    fold_table,
    unembedding_bias,
)


class Bare(nn.Module):
    """A norm without gain and bias that does not even centre: the folded weights left nothing to centre.

    ``taken_in`` is the gain that the matrix before it has taken in, which its division has to leave out.
    """

    def __init__(self, epsilon: float, taken_in: Tensor | None = None) -> None:
        super().__init__()
        self.epsilon, self.taken_in = epsilon, taken_in

    def forward(self, stream: Tensor) -> Tensor:
        measured = stream if self.taken_in is None else stream / self.taken_in.to(stream)
        return stream / (measured.square().mean(-1, keepdim=True) + self.epsilon).sqrt()


def fold_model(model: Any, case: Case, adapter: Adapter) -> None:
    """Write folded weights into ``model``, in place, through the adapter's own views of its parameters."""
    modules, base = case.modules, model.get_submodule(case.modules.base)
    read = reader_of(model)
    for layer in range(adapter.sizes.n_layers):
        block = base.get_submodule(f"{modules.block}.{layer}")
        attention, query_key, mlp = (
            adapter.attention(read, layer),
            adapter.query_key(read, layer),
            adapter.mlp(read, layer),
        )
        folded, scores, folded_mlp = fold_attention(attention), fold_query_key(query_key), fold_mlp(mlp)
        for views, new in ((attention, folded), (query_key, scores), (mlp, folded_mlp)):
            for name, value in vars(new).items():
                if isinstance(value, Tensor) and vars(views)[name] is not None:
                    vars(views)[name].copy_(value)
        add_biases(block.get_submodule(modules.attention), query_key, scores, folded)
        if mlp.b_in is None and folded_mlp.b_in is not None:
            block.get_submodule(modules.mlp_in).bias = nn.Parameter(folded_mlp.b_in)
        for name, taken_in in (
            (modules.attention_norm, None),
            (modules.mlp_norm, None),
            (modules.attention_post_norm, attention.post_norm),
            (modules.mlp_post_norm, mlp.post_norm),
        ):
            if name is not None:
                gain = None if taken_in is None else taken_in.gain
                setattr(block, name, Bare(epsilon_of(block.get_submodule(name)), gain))
    fold_ends(model, case, adapter.final_norm(read))


def add_biases(module: Any, query_key: QueryKey, scores: QueryKey, folded: Attention) -> None:
    """Give ``module`` the biases that only a norm's bias gives it, where it had none."""
    if query_key.query_bias is not None or scores.query_bias is None:
        return
    biases = (scores.query_bias, scores.key_bias, folded.value_bias)
    if hasattr(module, "query_key_value"):
        module.query_key_value.bias = nn.Parameter(torch.stack(biases, 1).flatten())
        return
    for linear, bias in zip((module.q_proj, module.k_proj, module.v_proj), biases, strict=True):
        linear.bias = nn.Parameter(bias.flatten())


def fold_ends(model: Any, case: Case, norm: Norm) -> None:
    """The embeddings, the final norm and the unembedding, which is untied."""
    base = model.get_submodule(case.modules.base)
    old = model.get_output_embeddings()
    head = nn.Linear(old.in_features, old.out_features, bias=norm.bias is not None, dtype=old.weight.dtype)
    bias = unembedding_bias(old.weight, norm)
    if bias is not None:
        head.bias.copy_(bias)
    head.weight.copy_(fold_table(old.weight.detach().clone(), norm.gain, centres=norm.centres))
    model.set_output_embeddings(head)
    fold_table(model.get_input_embeddings().weight, None, centres=norm.centres)
    if case.modules.positions is not None:
        positions = base.get_submodule(case.modules.positions).weight
        positions.copy_(centred(positions, -1, norm.centres))
    setattr(base, case.modules.final_norm, Bare(epsilon_of(base.get_submodule(case.modules.final_norm))))


def reader_of(model: Any) -> Any:
    """The model's parameters by the names in the file."""
    parameters = dict(model.named_parameters())

    def read(name: str) -> Tensor:
        moved = name.replace("language_model.model.", "model.language_model.").replace("embed_out", "lm_head")
        found = parameters[name if name in parameters else moved]
        return found.detach()

    return read


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Case, Any, Checkpoint]:
    case: Case = request.param
    model = case.build(seed=11)
    return case, model.double(), open_checkpoint(str(save_checkpoint(tmp_path / case.name, model)))


def test_folded_weights_give_the_same_logits(opened: tuple[Case, Any, Checkpoint]) -> None:
    case, model, checkpoint = opened
    tokens = torch.randint(2, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = model(tokens).logits
        fold_model(model, case, checkpoint.adapter)
        after = model(tokens).logits
    # RMSNorms and rotations of the models themselves compute in float32; nothing in LayerNorm models does.
    exact = case.centres and "neox" not in case.name
    bound = {"atol": 1e-8, "rtol": 1e-8} if exact else {"atol": 2e-5, "rtol": 1e-4}
    torch.testing.assert_close(after, before, **bound)
    assert before.std() > 0.1


def test_the_folded_parameters_are_those_of_the_checkpoint(opened: tuple[Case, Any, Checkpoint]) -> None:
    """The proof's head and embedding are what ``checkpoint`` hands out."""
    case, model, checkpoint = opened
    with torch.no_grad():
        fold_model(model, case, checkpoint.adapter)
    head = model.get_output_embeddings().weight.detach().float()
    torch.testing.assert_close(checkpoint.unembedding(preprocessing="folded"), head, atol=1e-6, rtol=1e-6)
    embedding = model.get_input_embeddings().weight.detach().float()
    torch.testing.assert_close(checkpoint.embedding(preprocessing="folded"), embedding, atol=1e-6, rtol=1e-6)


def test_folding_twice_is_folding_once(opened: tuple[Case, Any, Checkpoint]) -> None:
    """A bare norm leaves nothing to fold; what comes after a post-norm would take its gain twice."""
    _, _, checkpoint = opened
    adapter, read = checkpoint.adapter, checkpoint.tensor
    once = fold_query_key(adapter.query_key(read, 0))
    twice = fold_query_key(once)
    torch.testing.assert_close(twice.query, once.query)
    torch.testing.assert_close(twice.key, once.key)
    assert once.norm.bias is None and bool((once.norm.gain == 1).all())
    attention = adapter.attention(read, 0)
    if attention.post_norm is None:
        torch.testing.assert_close(fold_attention(fold_attention(attention)).output, fold_attention(attention).output)


def test_a_bare_norm_keeps_its_centring() -> None:
    norm = Norm(torch.full((3,), 2.0), torch.ones(3), centres=True)
    assert bare(norm).centres and bare(norm).bias is None
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(3))
    expected = nn.functional.layer_norm(x, (3,), eps=1e-5)
    torch.testing.assert_close(bare_norm(x, True, 1e-5), expected)
