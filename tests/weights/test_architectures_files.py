"""The forms in which one architecture is stored: names, shards, precisions, ties, and forms that are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.weights.conftest import save_checkpoint
from tests.weights.small_models import BY_NAME
from workers.weights import checkpoint as checkpoint_module
from workers.weights.checkpoint import Checkpoint, open_checkpoint
from workers.weights.circuits import factors
from workers.weights.errors import DamagedWeights, UnsupportedArchitecture

Rewrite = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def saved(tmp_path: Path, name: str, **changes: Any) -> Path:
    return save_checkpoint(tmp_path / name, BY_NAME[name].build(seed=13, **changes))


def rewritten(folder: Path, rewrite: Rewrite, **config: Any) -> Path:
    """A copy of a checkpoint with other tensors and another configuration."""
    copy = Path(shutil.copytree(folder, folder.with_name("rewritten")))
    tensors = {name: tensor.contiguous() for name, tensor in rewrite(load_file(copy / "model.safetensors")).items()}
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return copy


def assert_same_matrices(one: Checkpoint, other: Checkpoint) -> None:
    assert one.info.circuits == other.info.circuits
    for circuit in one.info.circuits:
        layer = None if "embed" in circuit else 1
        ours, theirs = factors(one, circuit, layer), factors(other, circuit, layer)
        torch.testing.assert_close(ours.left, theirs.left, atol=0, rtol=0)
        if ours.right is not None:
            torch.testing.assert_close(ours.right, theirs.right, atol=0, rtol=0)


def without(prefix: str, replacement: str = "") -> Rewrite:
    def rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            replacement + name.removeprefix(prefix) if name.startswith(prefix) else name: tensor
            for name, tensor in tensors.items()
        }

    return rename


@pytest.mark.parametrize(
    ("name", "rewrite"),
    [
        ("gpt2", without("transformer.")),
        ("gpt_neo", without("transformer.")),
        ("gpt_neox-no-bias", without("gpt_neox.")),
        ("gpt_neox", without("embed_out", "lm_head")),
        ("opt", without("model.")),
        ("llama-wide", without("model.")),
        ("gemma3-multimodal", without("language_model.model.", "model.language_model.")),
    ],
)
def test_other_names_for_the_same_tensors(tmp_path: Path, name: str, rewrite: Rewrite) -> None:
    """Base models', and those of the state dict."""
    folder = saved(tmp_path, name)
    assert_same_matrices(open_checkpoint(str(rewritten(folder, rewrite))), open_checkpoint(str(folder)))


def test_a_multimodal_model_with_a_head_of_its_own(tmp_path: Path) -> None:
    folder = saved(tmp_path, "gemma3-multimodal")
    head = torch.randn(60, 24)
    for name in ("lm_head.weight", "language_model.lm_head.weight"):
        copy = rewritten(folder, lambda tensors, name=name: tensors | {name: head})
        checkpoint = open_checkpoint(str(copy))
        assert not checkpoint.info.tied
        torch.testing.assert_close(checkpoint.unembedding(), head, atol=0, rtol=0)
        shutil.rmtree(copy)


@pytest.mark.parametrize(("name", "head"), [("llama", "lm_head"), ("gpt_neox", "embed_out"), ("qwen2", "lm_head")])
@pytest.mark.parametrize("different", [True, False])
def test_a_head_in_the_file_wins_over_the_tie_flag(tmp_path: Path, name: str, head: str, different: bool) -> None:
    folder = saved(tmp_path, name)  # untied

    def equal(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        (embedding,) = (
            tensor for key, tensor in tensors.items() if key.endswith(("embed_tokens.weight", "embed_in.weight"))
        )
        return tensors if different else tensors | {f"{head}.weight": embedding.clone()}

    copy = rewritten(folder, equal, tie_word_embeddings=True)
    checkpoint = open_checkpoint(str(copy))
    assert checkpoint.info.tied is not different
    expected = load_file(copy / "model.safetensors")[f"{head}.weight"]
    torch.testing.assert_close(checkpoint.unembedding(), expected, atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["gemma2-wide", "gpt_neox"])
def test_half_precision(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    """The rounded weights, exactly: Gemma's 1 is added after the rounding, as the model does."""
    folder = saved(tmp_path, name)

    def rounded(target: torch.dtype) -> Rewrite:
        return lambda tensors: {key: tensor.to(dtype).to(target) for key, tensor in tensors.items()}

    half = open_checkpoint(str(rewritten(folder, rounded(dtype))))
    assert half.unembedding().dtype == torch.float32
    single = folder.with_name("rewritten").rename(tmp_path / "half")
    whole = open_checkpoint(str(rewritten(folder, rounded(torch.float32))))
    assert_same_matrices(open_checkpoint(str(single)), whole)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_large_tensors_are_read_in_blocks_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    folder = rewritten(
        saved(tmp_path, "llama"), lambda tensors: {key: tensor.to(dtype) for key, tensor in tensors.items()}
    )
    whole = open_checkpoint(str(folder)).unembedding()
    for size in (1, 100):
        monkeypatch.setattr(checkpoint_module, "_BLOCK", size)
        torch.testing.assert_close(open_checkpoint(str(folder)).unembedding(), whole, atol=0, rtol=0)
    assert_same_matrices(open_checkpoint(str(folder)), open_checkpoint(str(folder)))


@pytest.mark.parametrize("name", ["llama-wide", "gpt_neox", "gemma3"])
def test_shards(tmp_path: Path, name: str) -> None:
    model = BY_NAME[name].build(seed=13)
    folder = save_checkpoint(tmp_path / "sharded", model, max_shard_size="6KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert_same_matrices(open_checkpoint(str(folder)), open_checkpoint(str(saved(tmp_path, name))))


@pytest.mark.parametrize(
    "changes",
    [{"do_layer_norm_before": False}, {"word_embed_proj_dim": 8}, {"_remove_final_layer_norm": True}],
    ids=str,
)
def test_opt_350m_is_refused_by_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = rewritten(saved(tmp_path, "opt"), dict, **changes)
    with pytest.raises(UnsupportedArchitecture, match=r"'opt with.* choose .*gemma, .*qwen3\.$"):
        open_checkpoint(str(folder))


def test_an_encoder_made_of_gemma_is_refused_by_name(tmp_path: Path) -> None:
    folder = rewritten(saved(tmp_path, "gemma3"), dict, use_bidirectional_attention=True)
    with pytest.raises(UnsupportedArchitecture, match="'gemma3_text with bidirectional attention, an encoder'"):
        open_checkpoint(str(folder))


def test_an_untied_base_model_has_no_unembedding(tmp_path: Path) -> None:
    def base(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name != "lm_head.weight"}

    with pytest.raises(DamagedWeights, match=r"lm_head\.weight, the unembedding; use the whole language model"):
        open_checkpoint(str(rewritten(saved(tmp_path, "llama"), base)))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("llama", {"num_key_value_heads": 3}),
        ("llama", {"num_attention_heads": 0}),
        ("llama", {"num_attention_heads": 8, "head_dim": None}),
        ("gpt_neox", {"num_attention_heads": 3}),
        ("opt", {"num_attention_heads": 5}),
        ("qwen3", {"head_dim": 8}),
        ("gemma3-multimodal", {"text_config": {"hidden_size": 20}}),
    ],
)
def test_a_configuration_that_does_not_fit(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    folder = rewritten(saved(tmp_path, name), dict, **changes)
    with pytest.raises(DamagedWeights, match=r"^(The tensor|.*config\.json|.*lacks the tensor).*\.$"):
        open_checkpoint(str(folder))


def test_a_head_size_that_is_null(tmp_path: Path) -> None:
    folder = saved(tmp_path, "qwen2")
    copy = rewritten(folder, dict, head_dim=None)
    assert open_checkpoint(str(copy)).info.d_head == 4
    assert_same_matrices(open_checkpoint(str(copy)), open_checkpoint(str(folder)))


def test_what_is_said_of_a_rotary_model(tmp_path: Path) -> None:
    rotary = {
        name: open_checkpoint(str(saved(tmp_path, name))).info.rotary for name in ("gpt2", "opt", "gpt_neox", "gemma")
    }
    assert rotary == {"gpt2": False, "opt": False, "gpt_neox": True, "gemma": True}
