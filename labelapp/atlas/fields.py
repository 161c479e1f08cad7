"""Columns for readouts: compact, the same in Python on every database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from django.db import NotSupportedError, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import FieldGetDbPrepValueMixin
from django.db.models.sql.compiler import SQLCompiler


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


@TokenIdsField.register_lookup
class HoldsAny(FieldGetDbPrepValueMixin, models.Lookup):
    """`token_ids__holds_any=[7, 9]`, in the form that PostgreSQL's GIN index serves; other databases have to scan."""

    lookup_name = "holds_any"

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        if connection.vendor != "postgresql":
            raise NotSupportedError("Only PostgreSQL holds token ids as an array; see atlas/search.py.")
        left, left_values = self.process_lhs(compiler, connection)
        right, right_values = self.process_rhs(compiler, connection)
        return f"{left} && {right}::integer[]", (*left_values, *right_values)


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
