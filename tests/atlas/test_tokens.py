"""Tokens on pages: visible, harmless, exact."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.atlas.tokens import (
    is_utf8,
    is_whole_word,
    token_bytes,
    token_display,
    token_escape,
    token_title,
)
from workers.weights.trained_tokens import whole_word

PIECES = st.binary(max_size=12)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" dog", "·dog"),
        ("dog", "dog"),
        ("  dog", "· dog"),
        (" ", "·"),
        ("   ", "···"),
        ("dog  ", "dog··"),
        ("\x00", "\\x00"),
        ("\n", "\\n"),
        ("\t\r", "\\t\\r"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\udce2\udc80", "\\xe2\\x80"),
        ("\u202e", "\\u202e"),
        ("\u200b", "\\u200b"),
        ("\u00a0", "\\xa0"),
        ("\U000e0001", "\\U000e0001"),
        ("é", "é"),
        ("<script>", "<script>"),
    ],
)
def test_display(token, shown):
    assert token_display(token) == shown


def test_the_title_holds_the_bytes_where_they_are_odd():
    assert token_title(" dog") == '" dog"'
    assert token_title("\udce2\udc80") == '"\\xe2\\x80" = bytes e2 80'
    assert token_title("\x00") == '"\\x00" = bytes 00'


@given(PIECES)
def test_nothing_unseen_is_ever_shown(piece):
    token = piece.decode("utf-8", "surrogateescape")
    for text in (token_display(token), token_escape(token), token_title(token)):
        text.encode("utf-8")
        assert all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in text)
    assert token_bytes(token) == piece
    assert is_utf8(token) == (piece.decode("utf-8", "replace").encode() == piece)


WORDS = {
    " dog": True, " Dog": True, "Dog": True, " mother-in-law": True, " don't": True, " naïve": True, " ДОМ": True,
    "dog": False, " it": False, "DOG": False, " dog1": False, " -dog": False, "  dog": False, " dog ": False,
    "": False, " ": False, "\udce2dog": False, " <script>": False,
}  # fmt: skip


@pytest.mark.parametrize(("token", "expected"), WORDS.items())
def test_whole_words(token, expected):
    assert is_whole_word(token) is expected


@given(st.text(alphabet=" abcXYZé'-’1_Ж\n", max_size=8))
def test_the_offline_baseline_means_the_same_by_a_whole_word(token):
    assert is_whole_word(token) == (whole_word(token) is not None)
