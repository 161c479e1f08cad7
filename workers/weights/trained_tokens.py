"""Which tokens the baseline reads (those that the model was trained on), and which of them are words.

Rows of tokens that never occurred in training are not random: the loss pushed them all the same way, so they
lie close together, and a readout full of them looks coherent while it means nothing (Land & Bartolo 2024,
"Fishing for Magikarp", whose indicator this is: the cosine of a token's row in the unembedding to the mean
row of tokens that are known to be unused).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from workers.weights.baseline_settings import UNTRAINED_COSINE
from workers.weights.results import Float32
from workers.weights.vocabulary import unused_token

_IMPOSSIBLE_BYTES = (0xC0, 0xC1, *range(0xF5, 0x100))
"""Bytes that no UTF-8 text holds (RFC 3629), so a byte-level tokenizer's tokens for them are never seen."""


def trained_tokens(unembedding: Float32, vocabulary: Sequence[str]) -> npt.NDArray[np.bool_]:
    """A mask [V] of the tokens to read, for ``unembedding`` [V, D].

    It depends on nothing else, so readouts of real directions and of null draws leave out the same tokens.
    Known to be unused are rows that belong to no token and single bytes that no text holds. They are left
    out, and every token whose centred row has a cosine of UNTRAINED_COSINE or more to their mean. A
    vocabulary without any such token is read whole.
    """
    unused = np.array([_is_known_unused(token, text) for token, text in enumerate(vocabulary)], dtype=np.bool_)
    if not unused.any():
        return np.ones(len(vocabulary), dtype=np.bool_)
    centred = unembedding - unembedding.mean(0, dtype=np.float64).astype(np.float32)
    reference = centred[unused].mean(0, dtype=np.float64).astype(np.float32)
    lengths = np.linalg.norm(centred, axis=1) * np.linalg.norm(reference)
    cosines = centred @ reference / np.where(lengths > 0, lengths, 1.0)
    mask: npt.NDArray[np.bool_] = ~unused & (cosines < UNTRAINED_COSINE)
    return mask


def _is_known_unused(token: int, text: str) -> bool:
    impossible = len(text) == 1 and ord(text) - 0xDC00 in _IMPOSSIBLE_BYTES
    return impossible or text == unused_token(token)


def whole_word(text: str) -> str | None:
    """The word that a token is, without its space; None where it is none.

    A whole word begins where a word begins (after a space, or with a capital that small letters follow) and
    has three or more letters, with single hyphens or apostrophes between them. Whether more letters would
    follow in a text cannot be seen from a token, so " repet" passes.
    """
    match = re.fullmatch(r"(?: (?P<spaced>[^\W\d_]+(?:['’-][^\W\d_]+)*)|(?P<capital>[^\W\d_]+))", text)
    if match is None:
        return None
    capital = match["capital"]
    if capital is not None and not (capital[0].isupper() and capital[1:].islower()):
        return None
    word = match["spaced"] or capital
    return word if sum(character.isalpha() for character in word) >= 3 else None


def label_of(texts: Sequence[str], words: int = 3) -> str:
    """A label from a readout's tokens, most central first: its first ``words`` whole words.

    Words that differ in case only count once. A readout without any whole word is named by its fragments,
    with control characters and stray bytes escaped.
    """
    found = [word for word in map(whole_word, texts) if word is not None]
    names = found or [_visible(text) for text in texts]
    distinct: dict[str, str] = {}
    for name in names:
        distinct.setdefault(name.casefold(), name)
    return ", ".join(list(distinct.values())[:words])


def _visible(text: str) -> str:
    return "".join(
        character if character.isprintable() else _escaped(character) for character in text.strip(" ") or text
    )


def _escaped(character: str) -> str:
    byte = character.encode("utf-8", "surrogateescape")
    return character.encode("unicode_escape").decode("ascii") if len(byte) > 1 else f"\\x{byte[0]:02x}"
