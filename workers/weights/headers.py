"""The headers of safetensors files: which tensors there are, and whether the file is whole. No torch.

The format: eight bytes that give the header's length (little-endian), the header in JSON, then the tensors'
bytes at the offsets that the header names (https://github.com/huggingface/safetensors#format). So a file that
was cut short is found by its length, without reading the weights.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.weights.errors import DamagedWeights

WIDTHS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""Bytes per element of the types that can be decomposed."""


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies: its file, its type as safetensors writes it ("F16"), and its shape."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


def read_header(file: Path) -> dict[str, TensorEntry]:
    """The tensors of one safetensors file by name. Raises DamagedWeights where the file is no whole one."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if start.startswith(b"version ") and size < 1024:
            raise DamagedWeights(f"{file} is only a Git LFS pointer; fetch the weights with 'git lfs pull'.")
        if len(start) < 8 or 8 + length > size:
            raise DamagedWeights(f"{file} is damaged: its header is cut short or is no safetensors header. {_AGAIN}")
        entries = _parse_header(file, stream.read(length))
    end = max((offsets[1] for offsets in entries.values()), default=0)
    if 8 + length + end != size:
        raise DamagedWeights(
            f"{file} is damaged: it has {size} bytes where its header says {8 + length + end}. {_AGAIN}"
        )
    return {name: entry for name, (_, _, entry) in entries.items()}


_AGAIN = "Download or copy it again."


def _parse_header(file: Path, raw: bytes) -> dict[str, tuple[int, int, TensorEntry]]:
    try:
        header = json.loads(raw)
        fields = {name: value for name, value in header.items() if name != "__metadata__"}
        return {name: _parse_entry(file, value) for name, value in fields.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedWeights(f"{file} is damaged: its header cannot be read. {_AGAIN}") from error


def _parse_entry(file: Path, value: Any) -> tuple[int, int, TensorEntry]:
    begin, end = (int(offset) for offset in value["data_offsets"])
    entry = TensorEntry(file, str(value["dtype"]), tuple(int(size) for size in value["shape"]))
    width = WIDTHS.get(entry.dtype)
    if not 0 <= begin <= end or (width is not None and end - begin != width * math.prod(entry.shape)):
        raise ValueError("offsets do not fit the shape")
    return begin, end, entry
