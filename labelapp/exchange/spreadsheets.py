"""Tables as CSV that a spreadsheet opens without running anything in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

# What a spreadsheet takes for a formula, or (a tab, a return) for the way to one.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
SIGNS = ("+", "-")  # alone they are text to every spreadsheet, and a column of signs stays one


def csv_chunks(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """A table in CSV, line by line."""
    for row in chain([header], ([spreadsheet_safe(cell) for cell in row] for row in rows)):
        text = io.StringIO()
        csv.writer(text).writerow(row)
        yield text.getvalue().encode("utf-8", "backslashreplace")


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A whole table in CSV."""
    return b"".join(csv_chunks(header, rows))


def spreadsheet_safe(cell: Any) -> Any:
    """Text that would be taken for a formula gets an apostrophe before it; numbers, and a sign alone, stay as is."""
    is_formula = isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) and cell not in SIGNS
    return f"'{cell}" if is_formula else cell
