"""Opening: what is found out about a model before any weights are read, and every way in which it can be wrong."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.weights.conftest import gpt2_config, random_gpt2, save_checkpoint
from workers.weights.checkpoint import open_checkpoint
from workers.weights.errors import (
    DamagedWeights,
    NoWeights,
    UnknownModel,
    UnsupportedArchitecture,
    WeightsError,
)
from workers.weights.info import model_slug

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"


def test_info(gpt2_folder: Path) -> None:
    info = open_checkpoint(str(gpt2_folder)).info
    sizes = (info.n_layers, info.n_heads, info.n_kv_heads, info.d_model, info.d_head, info.d_mlp, info.vocab_size)
    assert sizes == (2, 3, 3, 24, 8, 40, 60)
    assert (info.name, info.source, info.architecture) == ("small-gpt-2", str(gpt2_folder), "gpt2")
    assert info.tied and info.circuits == ("ov", "qk", "mlp_in", "mlp_out", "embed", "unembed")
    assert info.revision == info.weights_hash[:7] and len(info.weights_hash) == 64


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("meta-llama/Llama-3.2-1B", "meta-llama--llama-3.2-1b"),
        ("gpt2-medium", "gpt2-medium"),
        ("Mein Modell;@:/ü", "mein-modell---"),
        ("../..", "model"),
    ],
)
def test_slugs_hold_nothing_that_a_key_uses(name: str, slug: str) -> None:
    assert model_slug(name).strip("-") == slug.strip("-")
    assert not set(model_slug(name)) & set("/@:;+ ")


def test_the_hash_is_of_the_content_and_of_how_it_is_cut(
    gpt2_folder: Path, copy_of_gpt2: Path, change_config: Callable[..., Path]
) -> None:
    first = open_checkpoint(str(gpt2_folder)).info.weights_hash
    assert open_checkpoint(str(copy_of_gpt2)).info.weights_hash == first
    change_config(n_head=6)
    other_heads = open_checkpoint(str(copy_of_gpt2)).info.weights_hash
    change_config(n_head=3)
    tensors = load_file(copy_of_gpt2 / "model.safetensors")
    tensors["transformer.h.0.ln_1.weight"][0] += 1
    save_file(tensors, copy_of_gpt2 / "model.safetensors", {"format": "pt"})
    assert len({first, other_heads, open_checkpoint(str(copy_of_gpt2)).info.weights_hash}) == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(copy_of_gpt2: Path, dtype: torch.dtype) -> None:
    file = copy_of_gpt2 / "model.safetensors"
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(file).items()}
    save_file(tensors, file, {"format": "pt"})
    checkpoint = open_checkpoint(str(copy_of_gpt2))
    name = "transformer.h.1.mlp.c_fc.weight"
    assert checkpoint.tensor(name).dtype == torch.float32
    torch.testing.assert_close(checkpoint.tensor(name), tensors[name].float(), atol=0, rtol=0)


def test_shards_are_read_as_one(gpt2: Any, gpt2_folder: Path, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "sharded", gpt2, max_shard_size="10KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    whole, sharded = open_checkpoint(str(gpt2_folder)), open_checkpoint(str(folder))
    for name in whole.adapter.expected_shapes():
        torch.testing.assert_close(sharded.tensor(name), whole.tensor(name), atol=0, rtol=0)
    next(folder.glob("model-*.safetensors")).unlink()
    with pytest.raises(NoWeights, match="lacks model-"):
        open_checkpoint(str(folder))


def test_the_base_models_names(tmp_path: Path) -> None:
    model = random_gpt2(gpt2_config(), base=True)
    checkpoint = open_checkpoint(str(save_checkpoint(tmp_path / "base", model)))
    torch.testing.assert_close(checkpoint.unembedding(), model.wte.weight.detach(), atol=0, rtol=0)
    weights = checkpoint.adapter.mlp(checkpoint.tensor, 1)
    torch.testing.assert_close(weights.w_in, model.h[1].mlp.c_fc.weight.detach(), atol=0, rtol=0)


def test_an_untied_head_is_the_unembedding(tmp_path: Path) -> None:
    model = random_gpt2(gpt2_config(tie_word_embeddings=False))
    checkpoint = open_checkpoint(str(save_checkpoint(tmp_path / "untied", model)))
    assert not checkpoint.info.tied
    torch.testing.assert_close(checkpoint.unembedding(), model.lm_head.weight.detach(), atol=0, rtol=0)


@pytest.mark.parametrize("different", [True, False])
def test_a_head_in_the_file_wins_over_the_tie_flag(copy_of_gpt2: Path, different: bool) -> None:
    file = copy_of_gpt2 / "model.safetensors"
    tensors = load_file(file)
    head = tensors["transformer.wte.weight"].clone() + float(different)
    save_file(tensors | {"lm_head.weight": head}, file, {"format": "pt"})
    checkpoint = open_checkpoint(str(copy_of_gpt2))
    assert checkpoint.info.tied is not different
    torch.testing.assert_close(checkpoint.unembedding(), head, atol=0, rtol=0)


def test_opening_reads_no_weights(copy_of_gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a tensor was read")

    monkeypatch.setattr(safetensors, "safe_open", refuse)
    checkpoint = open_checkpoint(str(copy_of_gpt2))
    with pytest.raises(AssertionError, match="a tensor was read"):
        checkpoint.unembedding()


def test_vocabulary_has_a_string_for_each_row(gpt2_folder: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(gpt2_folder))
    words = checkpoint.vocabulary()
    assert len(words) == len(checkpoint.unembedding()) == 60
    assert words[11:14] == [" dog", " cat", "<unused 13>"]
    checkpoint.save_tokenizer(tmp_path / "tokenizer")
    assert (tmp_path / "tokenizer" / "tokenizer.json").read_text() == (gpt2_folder / "tokenizer.json").read_text()


# What can be wrong. Every message is a sentence that names the culprit.


def refusal(source: Path | str, error: type[WeightsError], **options: Any) -> str:
    with pytest.raises(error) as caught:
        open_checkpoint(str(source), **options)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 400
    return text


def test_no_such_folder(tmp_path: Path) -> None:
    assert "There is no folder" in refusal(tmp_path / "nowhere", UnknownModel)
    assert "There is no folder" in refusal("./nowhere", UnknownModel)


def test_a_folder_has_no_revision(gpt2_folder: Path) -> None:
    assert "revision 'v1'" in refusal(gpt2_folder, UnknownModel, revision="v1")


def test_a_folder_without_configuration_or_weights(copy_of_gpt2: Path) -> None:
    (copy_of_gpt2 / "model.safetensors").rename(copy_of_gpt2 / "pytorch_model.bin")
    assert "only pytorch_model.bin" in refusal(copy_of_gpt2, NoWeights)
    (copy_of_gpt2 / "pytorch_model.bin").unlink()
    assert "holds no model.safetensors" in refusal(copy_of_gpt2, NoWeights)
    (copy_of_gpt2 / "config.json").unlink()
    assert "holds no config.json" in refusal(copy_of_gpt2, NoWeights)


def test_no_tokenizer(copy_of_gpt2: Path) -> None:
    (copy_of_gpt2 / "tokenizer.json").unlink()
    (copy_of_gpt2 / "tokenizer_config.json").unlink(missing_ok=True)
    with pytest.raises(NoWeights, match="tokenizer"):
        open_checkpoint(str(copy_of_gpt2)).vocabulary()


@pytest.mark.parametrize("model_type", ["t5", "bert", "gpt_bigcode", "no_such_thing"])
def test_an_unsupported_architecture_is_named(change_config: Callable[..., Path], model_type: str) -> None:
    folder = change_config(model_type=model_type)
    text = refusal(folder, UnsupportedArchitecture)
    assert f"'{model_type}'" in text and "gpt2, gpt_neo" in text


def test_a_configuration_without_model_type_is_named_by_its_class(change_config: Callable[..., Path]) -> None:
    assert "MyModel" in refusal(change_config(model_type=None, architectures=["MyModel"]), UnsupportedArchitecture)
    assert "architecture" in refusal(change_config(model_type=None, architectures=None), DamagedWeights)


@pytest.mark.parametrize("text", ["{", "3", "", '{"model_type": 3}'])
def test_a_configuration_that_is_none(copy_of_gpt2: Path, text: str) -> None:
    (copy_of_gpt2 / "config.json").write_text(text)
    assert "config.json" in refusal(copy_of_gpt2, DamagedWeights)


@pytest.mark.parametrize(
    "changes", [{"n_head": 5}, {"n_head": 0}, {"n_layer": 0}, {"n_embd": "wide"}, {"n_embd": None}], ids=str
)
def test_a_configuration_that_makes_no_sense(change_config: Callable[..., Path], changes: dict[str, Any]) -> None:
    assert "config.json" in refusal(change_config(**changes), DamagedWeights)


@pytest.mark.parametrize("changes", [{"n_embd": 48}, {"n_inner": None}, {"vocab_size": 61}], ids=str)
def test_shapes_that_do_not_fit(change_config: Callable[..., Path], changes: dict[str, Any]) -> None:
    text = refusal(change_config(**changes), DamagedWeights)
    assert "has the shape [" in text and "transformer." in text


def test_a_missing_tensor_is_named(change_config: Callable[..., Path]) -> None:
    assert "lacks the tensor transformer.h.2." in refusal(change_config(n_layer=3), DamagedWeights)
    assert "lacks the tensor lm_head.weight" in refusal(
        change_config(n_layer=2, tie_word_embeddings=False), DamagedWeights
    )


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_found_at_opening(copy_of_gpt2: Path, kept: int) -> None:
    file = copy_of_gpt2 / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert "is damaged" in refusal(copy_of_gpt2, DamagedWeights)


def test_a_truncated_shard_is_found_at_opening(gpt2: Any, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "sharded", gpt2, max_shard_size="10KB")
    shard = sorted(folder.glob("model-*.safetensors"))[-1]
    shard.write_bytes(shard.read_bytes()[:-4])
    assert shard.name in refusal(folder, DamagedWeights)


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        "[]",
        '{"a": 3}',
        '{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
    ],
)
def test_a_header_that_makes_no_sense(copy_of_gpt2: Path, header: str) -> None:
    raw = header.encode()
    (copy_of_gpt2 / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(4))
    assert "header cannot be read" in refusal(copy_of_gpt2, DamagedWeights)


def test_a_git_lfs_pointer_is_called_what_it_is(copy_of_gpt2: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    (copy_of_gpt2 / "model.safetensors").write_text(pointer)
    assert "git lfs pull" in refusal(copy_of_gpt2, DamagedWeights)


@pytest.mark.parametrize("names", [["../model.safetensors"], [], None], ids=str)
def test_an_index_that_points_elsewhere(copy_of_gpt2: Path, names: list[str] | None) -> None:
    (copy_of_gpt2 / "model.safetensors").unlink()
    shards = None if names is None else {f"t{n}": name for n, name in enumerate(names)}
    (copy_of_gpt2 / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert "index.json" in refusal(copy_of_gpt2, DamagedWeights)


def test_quantised_weights_are_refused(copy_of_gpt2: Path) -> None:
    file = copy_of_gpt2 / "model.safetensors"
    tensors = load_file(file)
    name = "transformer.h.0.mlp.c_fc.weight"
    save_file(tensors | {name: tensors[name].to(torch.int8)}, file, {"format": "pt"})
    assert "stored as I8" in refusal(copy_of_gpt2, DamagedWeights)


def test_values_that_are_none_are_found_when_read(copy_of_gpt2: Path) -> None:
    file = copy_of_gpt2 / "model.safetensors"
    tensors = load_file(file)
    tensors["transformer.wte.weight"][3, 3] = np.nan
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(DamagedWeights, match=r"transformer\.wte\.weight .* infinite or undefined"):
        open_checkpoint(str(copy_of_gpt2)).unembedding()


def test_a_tensor_that_is_not_there_and_a_file_that_went_away(copy_of_gpt2: Path) -> None:
    checkpoint = open_checkpoint(str(copy_of_gpt2))
    with pytest.raises(DamagedWeights, match="no_such_tensor"):
        checkpoint.tensor("no_such_tensor")
    (copy_of_gpt2 / "model.safetensors").unlink()
    with pytest.raises(DamagedWeights, match="cannot be read any more"):
        checkpoint.unembedding()


def test_a_file_that_may_not_be_read(copy_of_gpt2: Path) -> None:
    (copy_of_gpt2 / "config.json").unlink()
    (copy_of_gpt2 / "config.json").mkdir()
    assert "config.json cannot be read" in refusal(copy_of_gpt2, NoWeights)


# Hugging Face names, without a network.


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a network that has gone."""
    from huggingface_hub import constants

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path / "hub"


def put_in_cache(cache: Path, source: Path, name: str) -> Path:
    """Lay a folder out as the hub's client does: blobs by hash, a snapshot of links, a ref."""
    import hashlib

    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for file in source.iterdir():
        blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blob)
        (snapshot / file.name).symlink_to(blob)
    return snapshot


def test_a_cached_model_opens_offline(hub_cache: Path, gpt2_folder: Path) -> None:
    put_in_cache(hub_cache, gpt2_folder, "Some-Org/Tiny.GPT-2")
    local = open_checkpoint(str(gpt2_folder))
    for revision in (None, COMMIT):
        checkpoint = open_checkpoint("Some-Org/Tiny.GPT-2", revision=revision)
        assert (checkpoint.info.name, checkpoint.info.revision) == ("some-org--tiny.gpt-2", "607a30d")
        assert checkpoint.info.weights_hash == local.info.weights_hash
        torch.testing.assert_close(checkpoint.unembedding(), local.unembedding(), atol=0, rtol=0)
    assert "v9" in refusal("Some-Org/Tiny.GPT-2", UnknownModel, revision="v9")


def test_an_unknown_name_offline(hub_cache: Path) -> None:
    assert "'no-org/no-model'" in refusal("no-org/no-model", UnknownModel)
    assert "cannot be reached" in refusal("gpt2", UnknownModel)


@pytest.mark.parametrize(
    "name", ["a/b/c", "", "a b", "--", "a..b", "~no-such-user/x", "x" * 5000, "https://huggingface.co/gpt2", "ü"]
)
def test_what_is_neither_a_folder_nor_a_name(hub_cache: Path, name: str) -> None:
    refusal(name, UnknownModel)


def hub_error(kind: str) -> Exception:
    from huggingface_hub import errors

    # The client's HTTP library has changed its name more than once.
    httpx = sys.modules[errors.HfHubHTTPError.__mro__[1].__module__]
    if kind == "OSError":
        return OSError(28, "No space left on device")
    if kind == "PermissionError":
        return PermissionError(13, "Permission denied", "/cache/blobs/x")
    if kind == "OfflineModeIsEnabled":
        return errors.OfflineModeIsEnabled("HF_HUB_OFFLINE=1")
    if kind == "LocalEntryNotFoundError":
        return errors.LocalEntryNotFoundError("An error happened while trying to locate the files on the Hub")
    if kind.startswith("RuntimeError"):  # of hf_xet
        return RuntimeError(f"Data processing error: {kind.partition(': ')[2]}")
    if kind == "ConnectError":
        return httpx.ConnectError("no route")
    response = httpx.Response(403, request=httpx.Request("GET", "https://example.org"))
    error: Exception = getattr(errors, kind)("refused.\n\nRequest 7", response=response)
    return error


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("GatedRepoError", "restricted"),
        ("RepositoryNotFoundError", "no model"),
        ("RevisionNotFoundError", "no model"),
        ("HfHubHTTPError", "could not be fetched"),
        ("ConnectError", "cannot be reached"),
        ("OSError", "disk is full"),
        ("RuntimeError: File I/O error: No space left on device (os error 28)", "disk is full"),
        ("RuntimeError: CAS service error", "could not be fetched"),
        ("PermissionError", "/cache/blobs/x may not be written"),
        ("OfflineModeIsEnabled", "cannot be reached"),
        ("LocalEntryNotFoundError", "cannot be reached"),
    ],
)
def test_what_the_hub_answers_becomes_a_sentence(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: str
) -> None:
    import huggingface_hub

    real = huggingface_hub.snapshot_download

    def answer(*arguments: Any, local_files_only: bool, **options: Any) -> str:
        if local_files_only:
            return str(real(*arguments, local_files_only=True, **options))
        raise hub_error(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)
    assert words in refusal("some/model", WeightsError)
