"""The matrices of every circuit against what a model without biases makes of the stream, raw and folded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.weights.conftest import save_checkpoint
from tests.weights.small_models import BY_NAME, CASES, Case, bare_norm, epsilon_of, watch
from workers.weights.checkpoint import Checkpoint, open_checkpoint
from workers.weights.circuits import factors
from workers.weights.errors import BadSelection, DamagedWeights

# The models compute their RMSNorms and rotations in float32.
LOOSE = {"atol": 2e-5, "rtol": 2e-5}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Any, Checkpoint]:
    case: Case = request.param
    model = case.build(seed=5, biases=False)
    checkpoint = open_checkpoint(str(save_checkpoint(tmp_path_factory.mktemp(case.name), model)))
    return case, model.double(), checkpoint


def stream(checkpoint: Checkpoint, batch: int, length: int) -> Tensor:
    """Not centred on purpose."""
    generator = torch.Generator().manual_seed(2)
    return 1 + torch.randn(batch, length, checkpoint.info.d_model, generator=generator, dtype=torch.float64)


def divided(case: Case, model: Any, layer: int, norm: str, x: Tensor, preprocessing: str) -> Tensor:
    """The stream before ``norm`` as the matrices of this preprocessing read it: folded ones centre themselves."""
    module = model.get_submodule(f"{case.modules.base}.{case.modules.block}.{layer}.{norm}")
    reference = bare_norm(x, case.centres, epsilon_of(module))
    if preprocessing == "raw" or not case.centres:
        return reference
    length = (x - x.mean(-1, keepdim=True)).norm(dim=-1, keepdim=True) / reference.norm(dim=-1, keepdim=True)
    return x / length


def written(case: Case, output: Tensor, gain: Tensor | None, preprocessing: str) -> Tensor:
    """What reaches the stream of a module's ``output``: folded, centred and with the gain of a norm after it."""
    if preprocessing == "raw":
        return output
    output = output if gain is None else output * gain.double()
    return output - output.mean(-1, keepdim=True) if case.centres else output


@pytest.mark.parametrize("preprocessing", ["raw", "folded"])
@pytest.mark.parametrize("layer", [0, 1])
def test_ov(opened: tuple[Case, Any, Checkpoint], layer: int, preprocessing: str) -> None:
    case, model, checkpoint = opened
    found = factors(checkpoint, "ov", layer, preprocessing=preprocessing)
    assert found.right is not None and found.left.dtype == found.right.dtype == torch.float64
    assert (found.sides, list(found.heads)) == (("read", "write"), list(range(checkpoint.info.n_heads)))
    assert found.left.shape[1:] == found.right.mT.shape[1:] == (checkpoint.info.d_model, checkpoint.info.d_head)
    x = stream(checkpoint, 3, 1)
    post_norm = checkpoint.adapter.attention(checkpoint.tensor, layer).post_norm
    for head in found.heads:
        seen = watch(model, case.modules, layer, x, head)
        before = seen.inputs[case.modules.attention_norm]
        z = divided(case, model, layer, case.modules.attention_norm, before, preprocessing)
        own = written(
            case, seen.outputs[case.modules.output], None if post_norm is None else post_norm.gain, preprocessing
        )
        torch.testing.assert_close(z @ found.left[head] @ found.right[head], own, **LOOSE)


@pytest.mark.parametrize("preprocessing", ["raw", "folded"])
def test_qk(opened: tuple[Case, Any, Checkpoint], preprocessing: str) -> None:
    """The score of two tokens at one position, times the lengths by which a norm on the heads divided."""
    case, model, checkpoint = opened
    modules = case.modules
    found = factors(checkpoint, "qk", 1, preprocessing=preprocessing)
    assert found.right is not None and found.sides == ("query", "key")
    seen = watch(model, modules, 1, stream(checkpoint, 2, 5))
    z = divided(case, model, 1, modules.attention_norm, seen.inputs[modules.attention_norm], preprocessing)[:, 4]
    group = checkpoint.info.n_heads // checkpoint.info.n_kv_heads
    for head in range(checkpoint.info.n_heads):
        expected = seen.queries[0, head, 4] @ seen.keys[1, head, 4]
        if modules.query_norm is not None and modules.key_norm is not None:
            expected = expected * length(seen.inputs[modules.query_norm][0], head)
            expected = expected * length(seen.inputs[modules.key_norm][1], head // group)
        if case.name.startswith("opt"):
            expected = expected * checkpoint.info.d_head**0.5
        torch.testing.assert_close(z[0] @ found.left[head] @ found.right[head] @ z[1], expected, **LOOSE)


def length(vectors: Tensor, head: int) -> Tensor:
    """The root mean square of one head's vector at position 4, of [5, heads, dh] or [heads, 5, dh]."""
    own = vectors[4, head] if vectors.shape[0] == 5 else vectors[head, 4]
    return (own.square().mean() + 1e-6).sqrt()


@pytest.mark.parametrize("preprocessing", ["raw", "folded"])
def test_mlp(opened: tuple[Case, Any, Checkpoint], preprocessing: str) -> None:
    case, model, checkpoint = opened
    modules = case.modules
    seen = watch(model, modules, 0, stream(checkpoint, 2, 3))
    z = divided(case, model, 0, modules.mlp_norm, seen.inputs[modules.mlp_norm], preprocessing)
    for circuit, module in (("mlp_in", modules.mlp_in), ("mlp_gate", modules.mlp_gate)):
        if module is None:
            with pytest.raises(BadSelection, match="no circuit 'mlp_gate'"):
                factors(checkpoint, circuit, 0)
            continue
        found = factors(checkpoint, circuit, 0, preprocessing=preprocessing)
        assert found.right is None and found.sides == ("read",) and list(found.heads) == [None]
        ours = z @ found.left[0]
        torch.testing.assert_close(ours, seen.outputs[module].reshape(ours.shape), **LOOSE)
    found = factors(checkpoint, "mlp_out", 0, preprocessing=preprocessing)
    assert found.right is None and found.sides == ("write",) and found.left.dtype == torch.float64
    post_norm = checkpoint.adapter.mlp_post_norm(checkpoint.tensor, 0)
    gain = None if post_norm is None else post_norm.gain
    hidden, out = seen.inputs[modules.mlp_out], seen.outputs[modules.mlp_out]
    torch.testing.assert_close(hidden @ found.left[0].mT, written(case, out, gain, preprocessing), **LOOSE)


@pytest.mark.parametrize("preprocessing", ["raw", "folded"])
def test_vocabulary(opened: tuple[Case, Any, Checkpoint], preprocessing: str) -> None:
    case, model, checkpoint = opened
    embedding = factors(checkpoint, "embed", None, preprocessing=preprocessing)
    unembedding = factors(checkpoint, "unembed", None, preprocessing=preprocessing)
    assert (embedding.sides, unembedding.sides) == (("write",), ("read",))
    assert embedding.left.shape == unembedding.left.shape == (1, checkpoint.info.d_model, 60)
    own = model.get_input_embeddings().weight.detach()
    torch.testing.assert_close(embedding.left[0].mT.double(), written(case, own, None, preprocessing), **LOOSE)
    final = model.get_submodule(f"{case.modules.base}.{case.modules.final_norm}")
    x = stream(checkpoint, 4, 1)[:, 0]
    with torch.no_grad():
        logits = model.get_output_embeddings()(final(x) if preprocessing == "folded" else x)
    if preprocessing == "folded":
        centred = x - x.mean(-1, keepdim=True) if case.centres else x
        x = x / (centred.square().mean(-1, keepdim=True) + epsilon_of(final)).sqrt()
    torch.testing.assert_close(x @ unembedding.left[0].double(), logits, **LOOSE)


def test_raw_and_folded_tables_do_not_disturb_each_other(opened: tuple[Case, Any, Checkpoint]) -> None:
    _, model, checkpoint = opened
    for _ in range(2):
        for preprocessing in ("folded", "raw"):
            checkpoint.embedding(preprocessing=preprocessing)
            checkpoint.unembedding(preprocessing=preprocessing)
    raw = model.get_output_embeddings().weight.detach().float()
    torch.testing.assert_close(checkpoint.unembedding(), raw, atol=0, rtol=0)
    torch.testing.assert_close(checkpoint.tensor(checkpoint.adapter.unembedding_name), raw, atol=0, rtol=0)
    assert checkpoint.unembedding() is checkpoint.unembedding()


def test_some_heads_are_the_same_as_among_all(opened: tuple[Case, Any, Checkpoint]) -> None:
    _, _, checkpoint = opened
    for circuit in ("ov", "qk"):
        whole, some = factors(checkpoint, circuit, 1), factors(checkpoint, circuit, 1, heads=[2, 1])
        assert list(some.heads) == [1, 2] and whole.right is not None and some.right is not None
        torch.testing.assert_close(some.left, whole.left[1:3], atol=0, rtol=0)
        torch.testing.assert_close(some.right, whole.right[1:3], atol=0, rtol=0)


def test_blocks_make_up_the_matrix(opened: tuple[Case, Any, Checkpoint]) -> None:
    _, _, checkpoint = opened
    for circuit, layer in (("unembed", None), ("mlp_in", 0)):
        found = factors(checkpoint, circuit, layer)
        blocks = list(found.blocks(columns=7))
        assert all(block.dtype == torch.float64 and block.shape[-1] <= 7 for block in blocks)
        torch.testing.assert_close(torch.cat(blocks, -1), found.left.double(), atol=0, rtol=0)


# What is asked for wrongly, and what is read.


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """In many shards, so that a tensor read in passing would show."""
    model = BY_NAME["llama-wide"].build(seed=7, tie_word_embeddings=False)
    folder = save_checkpoint(tmp_path_factory.mktemp("llama"), model, max_shard_size="4KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 10
    return open_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("circuit", "layer", "options"),
    [
        ("vo", 0, {}),
        ("ov", 2, {}),
        ("ov", -1, {}),
        ("ov", None, {}),
        ("qk", 0, {"heads": [4]}),
        ("qk", 0, {"heads": []}),
        ("mlp_in", 0, {"preprocessing": "centred"}),
        ("unembed", None, {"preprocessing": ""}),
    ],
)
def test_what_the_model_does_not_have_gets_a_sentence(
    llama: Checkpoint, circuit: str, layer: int | None, options: dict[str, Any]
) -> None:
    with pytest.raises(BadSelection, match=r"^[A-Z].*\.$"):
        factors(llama, circuit, layer, **options)


OWN = {
    "ov": {"input_layernorm.weight", *(f"self_attn.{p}_proj.{w}" for p in "vo" for w in ("weight", "bias"))},
    "qk": {"input_layernorm.weight", *(f"self_attn.{p}_proj.{w}" for p in "qk" for w in ("weight", "bias"))},
    "mlp_in": {"post_attention_layernorm.weight", "mlp.up_proj.weight", "mlp.up_proj.bias"},
    "mlp_gate": {"post_attention_layernorm.weight", "mlp.gate_proj.weight", "mlp.gate_proj.bias"},
    "mlp_out": {"post_attention_layernorm.weight", "mlp.down_proj.weight", "mlp.down_proj.bias"},
}


@pytest.mark.parametrize("preprocessing", ["raw", "folded"])
@pytest.mark.parametrize("circuit", OWN)
def test_a_circuit_reads_only_its_own_tensors_of_its_own_layer(
    llama: Checkpoint, monkeypatch: pytest.MonkeyPatch, circuit: str, preprocessing: str
) -> None:
    import safetensors

    read: list[str] = []

    class Spy:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._file = original(*arguments, **options)

        def __enter__(self) -> Spy:
            self._tensors = self._file.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self._file.__exit__(*error)

        def get_tensor(self, name: str) -> Tensor:
            read.append(name)
            return self._tensors.get_tensor(name)

    original = safetensors.safe_open
    monkeypatch.setattr(safetensors, "safe_open", Spy)
    factors(llama, circuit, 1, preprocessing=preprocessing)
    assert {re.sub(r"^model\.layers\.1\.", "", name) for name in read} <= OWN[circuit]
    assert len(read) == len(set(read))


def test_values_that_are_none_are_found(llama: Checkpoint, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(llama.folder, tmp_path / "broken")
    for file in folder.glob("model-*.safetensors"):
        tensors = load_file(file)
        if "model.layers.0.self_attn.q_proj.weight" in tensors:
            tensors["model.layers.0.self_attn.q_proj.weight"][0, 0] = torch.inf
            save_file(tensors, file, {"format": "pt"})
    checkpoint = open_checkpoint(str(folder))
    factors(checkpoint, "ov", 0)
    with pytest.raises(DamagedWeights, match="infinite"):
        factors(checkpoint, "qk", 0)
