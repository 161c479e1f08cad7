"""Readouts from a CSV or JSON Lines file: one direction a row, with its key and tokens. No database.

`key` and `tokens` are needed; `scores`, `token_bytes` and `singular_value` may be given, as exports have them; whatever
else stands in a row is left alone, so an export can be imported. In CSV, lists and objects are written as JSON.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from labelapp.atlas.imported import Readout
from labelapp.atlas.keys import DirectionKey, KeyFormError, direction_key_parse
from labelapp.atlas.tokens import is_utf8

MOST_TOKENS = 1000
MOST_PLACES = 1000  # layers and heads: an overview has a line for each
LARGEST_INDEX = 2**31 - 1  # what the databases' integers hold
LARGEST_NUMBER = 3e38  # as float32 holds it
LONGEST_FIELD = 16 * 2**20
FORMS = ".csv, .jsonl or .ndjson"


class ReadoutsError(ValueError):
    """A file that cannot be imported; the message names the line and says what is wrong with it."""


def readouts_read(path: Path, *, form: str = "") -> Iterator[Readout]:
    """The rows of a file, in order. `form` is the name that tells its form, if it is not the path's own.

    Raises ReadoutsError.
    """
    rows = _ROWS[form_of(form or path.name)]
    n = 0
    try:
        for line, row in rows(path):
            yield _readout(line, row)
            n += 1
    except OSError as error:
        raise ReadoutsError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not n:
        raise ReadoutsError(f"{form or path.name} holds no readouts.")


def form_of(name: str) -> str:
    """The ending of a file's name. Raises ReadoutsError where no form belongs to it."""
    suffix = Path(name).suffix.lower()
    if suffix not in _ROWS:
        raise ReadoutsError(f"{name!r} is read by its ending, and that must be {FORMS}.")
    return suffix


def _jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            text = _decoded(line, raw)
            if not text.strip():
                continue
            row = _json(line, text, "the line")
            if not isinstance(row, dict):
                raise _error(line, "the line is no JSON object")
            yield line, row


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(LONGEST_FIELD)
    with path.open("rb") as file:
        reader = csv.DictReader((_decoded(line, raw) for line, raw in enumerate(file, start=1)), strict=True)
        try:
            missing = [name for name in ("key", "tokens") if name not in (reader.fieldnames or [])]
            if missing:
                raise _error(1, f"the heading has no column {' and no column '.join(missing)}")
            for row in reader:
                if None in row or None in row.values():
                    raise _error(
                        reader.line_num, f"the row has not the {len(reader.fieldnames or [])} columns of the heading"
                    )
                yield reader.line_num, _csv_values(reader.line_num, row)
        except csv.Error as error:
            raise _error(reader.line_num, f"the row is no CSV ({error})") from None


def _csv_values(line: int, row: dict[str, str]) -> dict[str, Any]:
    """An empty field is a missing value."""
    found: dict[str, Any] = {"key": row["key"].strip()}
    for name in ("tokens", "scores", "token_bytes", "singular_value"):
        if row.get(name, "").strip():
            found[name] = _json(line, row[name], name)
    return found


_ROWS: dict[str, Callable[[Path], Iterator[tuple[int, dict[str, Any]]]]] = {
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
    ".ndjson": _jsonl_rows,
}


def _readout(line: int, row: dict[str, Any]) -> Readout:
    tokens = _tokens(line, row)
    return Readout(
        _key(line, row.get("key")),
        tokens,
        _scores(line, row.get("scores"), len(tokens)),
        _number(line, "singular_value", row.get("singular_value")),
        where=f"line {line}",
    )


def _key(line: int, text: Any) -> DirectionKey:
    if not isinstance(text, str) or not text:
        raise _error(line, "there is no key; one looks like gpt2-medium/mlp_out.3/17+;neuron")
    try:
        key = direction_key_parse(text)
    except KeyFormError as error:
        raise _error(line, str(error).rstrip(".")) from None
    matrix = key.matrix
    if max(matrix.layer or 0, matrix.head or 0) >= MOST_PLACES:
        raise _error(line, f"{text} has a layer or head beyond {MOST_PLACES - 1}")
    if max(key.index, matrix.basis_seed, matrix.control_seed) > LARGEST_INDEX:
        raise _error(line, f"{text} has a number beyond {LARGEST_INDEX}")
    if len(matrix.model) > 200 or len(matrix.revision) > 64 or len(matrix.address) > 120:
        raise _error(line, "the key is too long")
    return key


def _tokens(line: int, row: dict[str, Any]) -> list[str]:
    tokens = row.get("tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise _error(line, 'tokens must be a list of texts, like [" dog", "cat"], best first')
    if len(tokens) > MOST_TOKENS:
        raise _error(line, f"a readout may have {MOST_TOKENS} tokens, this one has {len(tokens)}")
    given = row.get("token_bytes") or {}
    if not isinstance(given, dict):
        raise _error(line, 'token_bytes must be an object from places to hexadecimal bytes, like {"3": "e2 80"}')
    found = list(tokens)
    for place, digits in given.items():
        if not (place.isascii() and place.isdigit() and int(place) < len(found)):
            raise _error(
                line, f"token_bytes names the place {place!r}, and the tokens have the places 0 to {len(found) - 1}"
            )
        try:
            found[int(place)] = bytes.fromhex(digits).decode("utf-8", "surrogateescape")
        except (TypeError, ValueError):
            raise _error(line, f"the bytes of token {place} are not hexadecimal") from None
    if is_utf8("".join(tokens)):
        return found
    for place, token in enumerate(tokens):
        if not is_utf8(token) and str(place) not in given:
            raise _error(line, f"token {place} holds half of a character; write its bytes into token_bytes")
    return found


def _scores(line: int, scores: Any, n: int) -> list[float] | None:
    if scores is None:
        return None
    if not isinstance(scores, list) or len(scores) != n:
        raise _error(line, f"scores must be a list of {n} numbers, one for each token")
    return [_finite(line, "a score", score) for score in scores]


def _number(line: int, name: str, value: Any) -> float | None:
    return None if value is None else _finite(line, name, value)


def _finite(line: int, name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= LARGEST_NUMBER:  # so neither NaN nor infinite
        raise _error(line, f"{name} must be a number, not {json.dumps(value)[:40]}")
    return float(value)


def _json(line: int, text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a ValueError of json's, or a number of thousands of digits
        raise _error(line, f"{what} is no JSON ({getattr(error, 'msg', 'it is beyond all measure')})") from None


def _decoded(line: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError:
        raise _error(line, "the line is not UTF-8") from None


def _error(line: int, what: str) -> ReadoutsError:
    return ReadoutsError(f"Line {line}: {what}; nothing was imported.")
