"""Columns for readouts: compact, the same in Python on every database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class Float32ArrayField(models.BinaryField):  # type: ignore[type-arg]
    """A list of numbers as little-endian float32 bytes; None stays NULL."""

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> list[float] | None:
        return None if value is None else np.frombuffer(bytes(value), "<f4").tolist()

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, bytes | memoryview):
            return value
        return np.asarray(value, "<f4").tobytes()

    def to_python(self, value: Any) -> Any:
        return np.asarray(value, "<f4").tolist() if isinstance(value, Sequence | np.ndarray) else value


class TokenIdsField(models.Field):  # type: ignore[type-arg]
    """A list of token ids: `integer[]` on PostgreSQL (a GIN index finds a token), int32 bytes elsewhere."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "integer[]" if connection.vendor == "postgresql" else "BLOB"

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> list[int] | None:
        if value is None:
            return None
        return list(value) if isinstance(value, list) else np.frombuffer(bytes(value), "<i4").tolist()

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if value is None:
            return None
        ids = np.asarray(value, "<i4")
        return ids.tolist() if connection.vendor == "postgresql" else ids.tobytes()


class TokensField(models.TextField):  # type: ignore[type-arg]
    """A list of token strings as ASCII JSON.

    A token can hold anything: NUL, which PostgreSQL's text and jsonb refuse, or half of a UTF-8
    sequence, which is a lone surrogate here (`surrogateescape`). ASCII JSON carries both.
    """

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> list[str] | None:
        return None if value is None else json.loads(value)

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else json.dumps(list(value), separators=(",", ":"))

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value
