"""A decomposed matrix's directions as rows, written by a statement of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import connection, models

from labelapp.atlas.models import Direction, Matrix

if TYPE_CHECKING:  # numbers come as plain dataclasses; the engine itself is never imported here
    from workers.weights.results import MatrixResult

ADDRESS_FIELDS = ["matrix", "side", "index", "sign"]
READOUT_FIELDS = [
    "singular_value", "gap_above", "gap_below", "block",
    "token_ids", "tokens", "scores", "score_mean", "score_deviation",
]  # fmt: skip


def directions_write(matrix: Matrix, result: MatrixResult, vocabulary: Sequence[str]) -> None:
    """Insert a matrix's directions, or renew the readouts of those that are there.

    `bulk_create` does the same, and spends five times as long on it: an atlas has a hundred thousand directions.
    """
    quote = connection.ops.quote_name
    named = {field.name: quote(str(field.column)) for field in Direction._meta.concrete_fields}
    address, readout = ([named[name] for name in names] for names in (ADDRESS_FIELDS, READOUT_FIELDS))
    columns = [*address, *readout]
    renewed = ", ".join(f"{column} = EXCLUDED.{column}" for column in readout)
    statement = (
        f"INSERT INTO {quote(Direction._meta.db_table)} ({', '.join(columns)}) "
        f"VALUES ({', '.join(['%s'] * len(columns))}) ON CONFLICT ({', '.join(address)}) DO UPDATE SET {renewed}"
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, list(_direction_rows(matrix, result, _tokens_encoded(tuple(vocabulary)))))


def _direction_rows(matrix: Matrix, result: MatrixResult, encoded: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The values of ADDRESS_FIELDS and READOUT_FIELDS, as the database takes them."""
    values, above, below = (
        [_number(value) for value in numbers.tolist()]
        for numbers in (np.asarray(result.singular_values, float), result.gap_above, result.gap_below)
    )
    blocks = [None if block < 0 else block for block in result.block.tolist()]
    ids_as_array = connection.vendor == "postgresql"
    for side in result.sides:
        token_ids, means, deviations = side.token_ids.tolist(), side.score_mean.tolist(), side.score_std.tolist()
        id_bytes, scores = side.token_ids.astype("<i4", copy=False), side.scores.astype("<f4", copy=False)
        for index, ends in enumerate(token_ids):
            facts = (values[index], above[index], below[index], blocks[index])
            for end, ids in enumerate(ends):
                yield (
                    matrix.pk, side.side, index, "+-"[end], *facts,
                    ids if ids_as_array else id_bytes[index, end].tobytes(),
                    f"[{','.join([encoded[token] for token in ids])}]",
                    scores[index, end].tobytes(),
                    -means[index] if end else means[index],
                    deviations[index],
                )  # fmt: skip


@lru_cache(maxsize=2)
def _tokens_encoded(vocabulary: tuple[str, ...]) -> list[str]:
    """Each token as `TokensField` writes it: a vocabulary is encoded once, not once for every readout."""
    return [json.dumps(token) for token in vocabulary]


def _number(value: float) -> float | None:
    return None if value != value else float(value)  # NaN: there is no neighbour


def tables_analyse(*written: type[models.Model]) -> None:
    """Tell PostgreSQL's planner what a bulk of new rows has made of these tables, in the writer's own transaction.

    It finds out by itself, within a minute or more. Until then it plans for tables as small as they were, and a report
    on what was just imported runs through the directions once for every judgement. SQLite needs no telling.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {', '.join(connection.ops.quote_name(it._meta.db_table) for it in written)}")
