"""Small random checkpoints, made with transformers' own classes, with gains and biases that are not 1 and 0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

DEMO = Path(__file__).resolve().parents[2] / "fixtures" / "demo_model"


def gpt2_config(**changes: Any) -> Any:
    from transformers import GPT2Config

    sizes = {"n_embd": 24, "n_head": 3, "n_layer": 2, "n_inner": 40, "vocab_size": 60, "n_positions": 16}
    return GPT2Config(**(sizes | {"bos_token_id": 0, "eos_token_id": 0} | changes))


def random_gpt2(config: Any, *, base: bool = False, seed: int = 0) -> Any:
    from transformers import GPT2LMHeadModel, GPT2Model

    torch.manual_seed(seed)
    model = (GPT2Model if base else GPT2LMHeadModel)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.3)
            if "ln_" in name and name.endswith("weight"):
                parameter.add_(1.0)
    return model


def byte_level_tokenizer(pieces: list[str], added: dict[int, str] | None = None) -> dict[str, Any]:
    """The content of a ``tokenizer.json`` whose pieces are written in GPT-2's byte alphabet."""
    tokens = [{"id": token, "content": content, "special": True} for token, content in (added or {}).items()]
    return {
        "version": "1.0",
        "added_tokens": tokens,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {piece: n for n, piece in enumerate(pieces)}, "merges": []},
    }


def save_checkpoint(folder: Path, model: Any, **options: Any) -> Path:
    model.save_pretrained(folder, **options)
    pieces = [*"!abcdefghij", "Ġdog", "Ġcat"]
    (folder / "tokenizer.json").write_text(json.dumps(byte_level_tokenizer(pieces)))
    return folder


@pytest.fixture(scope="session")
def gpt2() -> Any:
    return random_gpt2(gpt2_config())


@pytest.fixture(scope="session")
def gpt2_folder(gpt2: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it; ``copy_of_gpt2`` gives a copy to damage."""
    return save_checkpoint(tmp_path_factory.mktemp("models") / "Small GPT-2", gpt2)


@pytest.fixture
def copy_of_gpt2(gpt2_folder: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(gpt2_folder, tmp_path / "copy"))


@pytest.fixture
def change_config(copy_of_gpt2: Path) -> Callable[..., Path]:
    def change(**changes: Any) -> Path:
        file = copy_of_gpt2 / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        return copy_of_gpt2

    return change


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    if not (DEMO / "model.safetensors").exists():
        pytest.skip(f"the demo model is not in {DEMO}")
    return DEMO
