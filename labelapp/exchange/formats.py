"""The forms in which rows are written. A format is a function from rows to chunks of bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Format:
    name: str
    suffix: str
    content_type: str
    encode: Callable[[Iterable[dict[str, Any]]], Iterator[bytes]]


def _jsonl(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """One JSON object a line, in ASCII: no reader has to guess an encoding."""
    for row in rows:
        yield json.dumps(row, allow_nan=False).encode("ascii") + b"\n"


FORMATS = {entry.name: entry for entry in (Format("jsonl", ".jsonl", "application/x-ndjson", _jsonl),)}
