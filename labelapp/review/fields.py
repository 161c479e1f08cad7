"""A column for a few ids, written in SQL and asked for one of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import FieldGetDbPrepValueMixin
from django.db.models.sql.compiler import SQLCompiler


class IdsField(models.Field):  # type: ignore[type-arg]
    """A set of ids: `bigint[]` on PostgreSQL (a GIN index finds one), text such as ",3,17," elsewhere."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "bigint[]" if connection.vendor == "postgresql" else "text"

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> list[int] | None:
        return None if value is None else ids_read(value)

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if value is None:
            return None
        return ids_written(connection.vendor, value)


class _Held(FieldGetDbPrepValueMixin, models.Lookup):
    """A comparison with some ids: PostgreSQL's `operator`, elsewhere a search for each, joined by `joined`."""

    operator: str
    joined: str
    of_none: str  # where no ids are asked for

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        left, left_values = self.process_lhs(compiler, connection)
        if connection.vendor == "postgresql":
            right, right_values = self.process_rhs(compiler, connection)
            return f"{left} {self.operator} {right}::bigint[]", (*left_values, *right_values)
        ids: Collection[int] = self.rhs
        parts = self.joined.join([f"instr({left}, %s) > 0"] * len(ids)) or self.of_none
        return f"({parts})", tuple(value for pk in ids for value in (*left_values, f",{int(pk)},"))


@IdsField.register_lookup
class Holds(_Held):
    """`judges__holds=[7]`: all of these ids are among them, in the form that PostgreSQL's index serves."""

    lookup_name, operator, joined, of_none = "holds", "@>", " AND ", "1 = 1"


@IdsField.register_lookup
class HoldsAny(_Held):
    """`labels__holds_any=[7, 9]`: at least one of these ids is among them."""

    lookup_name, operator, joined, of_none = "holds_any", "&&", " OR ", "1 = 0"


def ids_of_sql(vendor: str, expression: str) -> str:
    """An aggregate of a statement: the set of an expression's values that are not NULL, as the column has it."""
    if vendor == "postgresql":
        return f"COALESCE(array_agg(DISTINCT {expression}) FILTER (WHERE {expression} IS NOT NULL), '{{}}')"
    return f"COALESCE(',' || group_concat(DISTINCT {expression}) || ',', ',')"


def ids_read(value: Any) -> list[int]:
    """As a database gives it, in order."""
    return sorted(int(pk) for pk in value.split(",") if pk) if isinstance(value, str) else sorted(value)


def ids_written(vendor: str, value: Collection[int]) -> list[int] | str:
    """As a database takes it."""
    ids = sorted({int(pk) for pk in value})
    return ids if vendor == "postgresql" else "".join([",", *(f"{pk}," for pk in ids)])
