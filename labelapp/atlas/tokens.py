"""Token strings as they are shown and exported. A token can hold anything; here it is made harmless.

Inside the code a token is its bytes decoded as UTF-8 with `surrogateescape`, which loses nothing.
"""

from __future__ import annotations

import re
import unicodedata

LEADING_SPACE = "·"
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Characters that show nothing, or turn the writing direction of what follows.
_UNSEEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
_WORD = re.compile(r"(?: [^\W\d_]+(?:['’-][^\W\d_]+)*|(?P<capital>[^\W\d_]+))")


def token_display(token: str) -> str:
    """As on the pages: a leading space as `·`, trailing ones too, odd characters and bytes as escapes."""
    shown = token_escape(token)
    if shown.startswith(" "):
        shown = LEADING_SPACE + shown[1:]
    return shown.rstrip(" ") + LEADING_SPACE * (len(shown) - len(shown.rstrip(" ")))


def token_escape(token: str) -> str:
    """Valid, visible text; bytes that are no UTF-8 as `\\xNN`, unseen characters as `\\n`, `\\u200b` and so on."""
    if token.isprintable():  # by Python's definition: no character that _escape changes; most tokens, and fast
        return token
    return "".join(_escape(character) for character in token)


def token_title(token: str) -> str:
    """The exact value, for a tooltip: the escaped text in quotation marks and its bytes where they are odd."""
    exact = f'"{token_escape(token)}"'
    if all(_escape(character) == character for character in token):
        return exact
    return f"{exact} = bytes {token_bytes(token).hex(' ')}"


def token_bytes(token: str) -> bytes:
    """The token's own bytes."""
    return token.encode("utf-8", "surrogateescape")


def is_utf8(token: str) -> bool:
    """False for half of a UTF-8 sequence, which many readers of JSON refuse."""
    try:
        token.encode()
    except UnicodeEncodeError:  # a surrogate, which nothing else is
        return False
    return True


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape's image of the byte 0x80 to 0xFF
        return f"\\x{code - 0xDC00:02x}"
    if character in _ESCAPES:
        return _ESCAPES[character]
    if unicodedata.category(character) in _UNSEEN_CATEGORIES and character != " ":
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character


def is_whole_word(token: str) -> bool:
    """Whether a token begins where a word begins and has three letters or more: " dog", "Dog", " mother-in-law".

    The offline baseline's `whole_word` (workers/weights) has the same definition; a test holds them together.
    """
    match = _WORD.fullmatch(token)
    if match is None:
        return False
    capital = match["capital"]
    if capital is not None and not (capital[0].isupper() and capital[1:].islower()):
        return False
    return sum(character.isalpha() for character in token) >= 3
