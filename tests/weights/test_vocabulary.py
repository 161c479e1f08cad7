"""Token strings are the exact bytes of the tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.weights.conftest import byte_level_tokenizer
from workers.weights.errors import DamagedWeights, NoWeights, WeightsError
from workers.weights.vocabulary import (
    copy_tokenizer,
    decode_byte_level,
    decode_sentencepiece,
    read_vocabulary,
)


def in_byte_alphabet(raw: bytes) -> str:
    """GPT-2's own ``bytes_to_unicode`` (openai/gpt-2, src/encoder.py), the other way round from ours."""
    printable = (
        list(range(ord("!"), ord("~") + 1)) + list(range(ord("¡"), ord("¬") + 1)) + list(range(ord("®"), ord("ÿ") + 1))
    )
    table, n = {byte: chr(byte) for byte in printable}, 0
    for byte in range(2**8):
        if byte not in table:
            table[byte] = chr(2**8 + n)
            n += 1
    return "".join(table[byte] for byte in raw)


@given(st.binary(min_size=1, max_size=8))
def test_any_bytes_come_back(raw: bytes) -> None:
    text = decode_byte_level(in_byte_alphabet(raw))
    assert text.encode("utf-8", "surrogateescape") == raw


def write(folder: Path, tokenizer: dict[str, Any]) -> Path:
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def test_awkward_tokens(tmp_path: Path) -> None:
    raw = [b"\x00", b"\x1b", b" dog", b"\n", "é".encode(), "é".encode()[:1], "€".encode()[1:], b"\xff", b"<script>"]
    folder = write(tmp_path, byte_level_tokenizer([in_byte_alphabet(piece) for piece in raw]))
    assert read_vocabulary(folder, len(raw)) == [
        "\x00", "\x1b", " dog", "\n", "é", "\udcc3", "\udc82\udcac", "\udcff", "<script>",
    ]  # fmt: skip


def test_added_tokens_are_literal_and_padding_rows_have_a_name(tmp_path: Path) -> None:
    folder = write(tmp_path, byte_level_tokenizer(["a", "Ġb"], added={2: "<|Ġ|>", 5: "   "}))
    assert read_vocabulary(folder, 7) == ["a", " b", "<|Ġ|>", "<unused 3>", "<unused 4>", "   ", "<unused 6>"]


def test_tokens_without_a_row_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path, byte_level_tokenizer(["a", "b", "c"], added={3: "<pad>"}))
    assert read_vocabulary(folder, 2) == ["a", "b"]


def test_the_byte_alphabet_is_found_inside_sequences(tmp_path: Path) -> None:
    """Llama 3 splits by a regular expression first, so its ByteLevel stands in a sequence."""
    tokenizer = byte_level_tokenizer(["Ġdog"])
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]}
    tokenizer["decoder"] = None
    assert read_vocabulary(write(tmp_path, tokenizer), 1) == [" dog"]


def test_sentencepiece(tmp_path: Path) -> None:
    pieces = ["<unk>", "▁dog", "<0xC3>", "<0x00>", "s"]
    decoders = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}]
    tokenizer = {
        "model": {"type": "Unigram", "vocab": [[piece, -1.0] for piece in pieces]},
        "decoder": {"type": "Sequence", "decoders": decoders},
    }
    assert read_vocabulary(write(tmp_path, tokenizer), 5) == ["<unk>", " dog", "\udcc3", "\x00", "s"]
    assert decode_sentencepiece("<0x0>") == "<0x0>"


def test_a_tokenizer_without_byte_alphabet_or_spaces_is_taken_as_it_stands(tmp_path: Path) -> None:
    tokenizer = {"model": {"type": "WordPiece", "vocab": {"##ing": 0, "Ġ": 1}}, "decoder": {"type": "WordPiece"}}
    assert read_vocabulary(write(tmp_path, tokenizer), 2) == ["##ing", "Ġ"]


def test_old_files_are_converted(tmp_path: Path) -> None:
    """vocab.json and merges.txt, as early GPT-2 checkpoints have them, through transformers itself."""
    vocabulary = {"a": 0, "Ġ": 1, "Ġa": 2, "ÿ": 3, "<|endoftext|>": 4}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ a\n")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert read_vocabulary(tmp_path, 5) == ["a", " ", " a", "\udcff", "<|endoftext|>"]
    copy_tokenizer(tmp_path, tmp_path / "stored")
    assert read_vocabulary(tmp_path / "stored", 5) == ["a", " ", " a", "\udcff", "<|endoftext|>"]
    assert (tmp_path / "stored" / "tokenizer.json").exists()


def test_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(NoWeights, match="no tokenizer"):
        read_vocabulary(tmp_path, 3)
    with pytest.raises(NoWeights, match="no tokenizer"):
        copy_tokenizer(tmp_path, tmp_path / "target")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model": {"vocab": 3}}', '{"model": {"vocab": {"a": "b"}}}'])
def test_a_broken_tokenizer(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(DamagedWeights, match=r"tokenizer.*\.$"):
        read_vocabulary(tmp_path, 3)


def test_copies_can_be_read_by_others(tmp_path: Path) -> None:
    folder = write(tmp_path, byte_level_tokenizer(["a"]))
    (folder / "tokenizer.json").chmod(0o600)
    copy_tokenizer(folder, tmp_path / "stored")
    assert (tmp_path / "stored" / "tokenizer.json").stat().st_mode & 0o044


def test_the_demo_vocabulary(demo_folder: Path) -> None:
    words = read_vocabulary(demo_folder, 12288)
    assert len(words) == 12288 and words[0] == "<|endoftext|>"
    single = {word for word in words if len(word.encode("utf-8", "surrogateescape")) == 1}
    assert {bytes([byte]).decode("utf-8", "surrogateescape") for byte in range(256)} <= single
    assert " the" in words and "\x00" in words


def test_a_full_disk_gets_a_sentence(gpt2_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", refuse)
    with pytest.raises(WeightsError, match="disk is full"):
        copy_tokenizer(gpt2_folder, tmp_path / "target")
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="could not be stored"):
        copy_tokenizer(gpt2_folder, tmp_path / "file")
