"""Files beside the database: vectors, unembeddings and vocabularies, in Django's file storage.

A file's name says all that made its content, so a file that is there is never written again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage
from safetensors.numpy import load as safetensors_load


def file_write(name: str, content: bytes) -> str:
    """Store a file whole or not at all (a killed worker leaves no half file); return its name."""
    if default_storage.exists(name):
        return name
    if not isinstance(default_storage._wrapped, FileSystemStorage):  # type: ignore[attr-defined]
        return default_storage.save(name, ContentFile(content))
    target = Path(default_storage.path(name))
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=".draft-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(target)
        _folder_sync(target.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(draft).unlink()
        raise
    return name


def file_exists(name: str) -> bool:
    return default_storage.exists(name)


def _folder_sync(folder: Path) -> None:
    """A new name survives a power cut once its folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_read(name: str) -> bytes:
    """Raises FileNotFoundError."""
    with default_storage.open(name, "rb") as file:
        content: bytes = file.read()
    return content


@lru_cache(maxsize=8)
def arrays_read(name: str) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, without torch; a file never changes, so it is kept in memory for a while."""
    arrays: dict[str, np.ndarray] = safetensors_load(file_read(name))
    return arrays
