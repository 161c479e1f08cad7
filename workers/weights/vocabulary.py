"""Token strings, exactly as bytes. No torch; transformers only for tokenizers without a ``tokenizer.json``.

A token is a sequence of bytes, which need not be text. Strings here are those bytes decoded as UTF-8 with
``errors="surrogateescape"``: half of a UTF-8 sequence survives as lone surrogates, NUL is ``"\\x00"``, and
``text.encode("utf-8", "surrogateescape")`` gives the bytes back.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from workers.weights.errors import DamagedWeights, NoWeights, WeightsError
from workers.weights.source import TOKENIZER_FILES, is_full, read_json


def read_vocabulary(folder: Path, size: int) -> list[str]:
    """The strings of tokens 0 … size - 1.

    Ids that the tokenizer does not know (rows that pad the embedding) are called ``<unused N>``; tokens
    beyond ``size`` have no row and are left out. Raises NoWeights without a tokenizer, DamagedWeights for a
    broken one.
    """
    tokenizer = load_tokenizer(folder)
    try:
        pieces = dict(_pieces(tokenizer))
        literal = {int(token["id"]): str(token["content"]) for token in tokenizer.get("added_tokens") or []}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedWeights(f"The tokenizer in {folder} cannot be read; download or copy it again.") from error
    decode = _decoder(tokenizer)
    texts = {token: decode(piece) for token, piece in pieces.items()} | literal
    return [texts.get(token, unused_token(token)) for token in range(size)]


def unused_token(token: int) -> str:
    """What a row of the embedding is called that belongs to no token."""
    return f"<unused {token}>"


def load_tokenizer(folder: Path) -> dict[str, Any]:
    """The content of ``tokenizer.json``, made by transformers from older files where there is none."""
    if (folder / "tokenizer.json").exists():
        return read_json(folder / "tokenizer.json")
    return dict(json.loads(_converted(folder).to_str()))


def copy_tokenizer(folder: Path, target: Path) -> None:
    """Copy the tokenizer's files to the folder ``target``, which is made if missing.

    Makes a ``tokenizer.json`` where there is none. Raises NoWeights without a tokenizer, WeightsError where it
    cannot be written.
    """
    try:
        _copy_tokenizer(folder, target)
    except OSError as error:
        why = "the disk is full; free some space" if is_full(error) else f"{error.strerror}; check the folder"
        raise WeightsError(f"The tokenizer could not be stored in {target}: {why}.") from error


def _copy_tokenizer(folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (folder / name).exists():
            # Content alone: files in a model's folder are often readable by their owner only.
            shutil.copyfile(folder / name, target / name)
    if not (target / "tokenizer.json").exists():
        _converted(folder).save(str(target / "tokenizer.json"))


def _converted(folder: Path) -> Any:
    if not any((folder / name).exists() for name in ("vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")):
        raise NoWeights(f"{folder} holds no tokenizer (tokenizer.json); copy the model's tokenizer files there.")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    except Exception as error:  # its parsers raise whatever they meet, plain Exception included
        raise DamagedWeights(f"The tokenizer in {folder} cannot be read; download or copy it again.") from error


def _pieces(tokenizer: dict[str, Any]) -> Iterator[tuple[int, str]]:
    vocabulary = tokenizer["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return ((int(token), str(piece)) for piece, token in vocabulary.items())
    return ((token, str(piece)) for token, (piece, *_) in enumerate(vocabulary))


def _decoder(tokenizer: dict[str, Any]) -> Any:
    if "ByteLevel" in _kinds(tokenizer.get("decoder")) | _kinds(tokenizer.get("pre_tokenizer")):
        return decode_byte_level
    return decode_sentencepiece if _writes_spaces(tokenizer) else str


def _kinds(part: Any) -> set[str]:
    """The types named anywhere in a decoder or pre-tokenizer, sequences included."""
    if isinstance(part, list):
        return set().union(*(_kinds(member) for member in part))
    if isinstance(part, dict):
        nested = (_kinds(value) for value in part.values() if isinstance(value, (dict, list)))
        return {str(part.get("type", ""))}.union(*nested)
    return set()


def _writes_spaces(tokenizer: dict[str, Any]) -> bool:
    decoder = json.dumps([tokenizer.get("decoder"), tokenizer.get("normalizer")], ensure_ascii=False)
    return "Metaspace" in decoder or "ByteFallback" in decoder or "▁" in decoder


@cache
def _byte_of_character() -> dict[str, int]:
    """The inverse of GPT-2's ``bytes_to_unicode``: printable Latin-1 is itself, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = [chr(byte) for byte in printable] + [chr(0x100 + n) for n in range(len(others))]
    return dict(zip(characters, printable + others, strict=True))


def decode_byte_level(piece: str) -> str:
    """``"Ġdog"`` as ``" dog"``; a piece with characters outside the byte alphabet stands for itself."""
    table = _byte_of_character()
    if any(character not in table for character in piece):
        return piece
    return bytes(table[character] for character in piece).decode("utf-8", "surrogateescape")


def decode_sentencepiece(piece: str) -> str:
    """``"▁dog"`` as ``" dog"``, ``"<0x0A>"`` as the byte."""
    byte = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", piece)
    if byte is not None:
        return bytes([int(byte[1], 16)]).decode("utf-8", "surrogateescape")
    return piece.replace("▁", " ")
