"""Counts of what stands, for each matrix, judge and rule: kept with every write, and counted again by `verify`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F, Field, Model, OuterRef, QuerySet, Subquery

from labelapp.atlas.models import Direction
from labelapp.judgements.models import (
    TWO_VALUED,
    Judge,
    Judgement,
    Summary,
    Verdict,
    Verification,
    verifier_named,
)
from labelapp.judgements.rules import Answers, verdicts_of

PAIRS = ("ends_none", "ends_one", "ends_both")  # columns, by how many of a vector's two ends are interpretable
COLUMNS = (*(str(it) for it in Verdict.values), *PAIRS)
Cell = tuple[int, str, str]  # matrix, rule, column


class Standing(NamedTuple):
    """What stands of a judge on one end; `said` is the last answer of a verifier to it."""

    judge: int
    judge_type: str
    matrix: int
    side: str
    place: int  # the vector's index
    sign: str
    verdict: str
    label: str
    said: str | None
    parameters: Mapping[str, Any]  # of the judge

    @property
    def by_rule(self) -> dict[str, Verdict]:
        return verdicts_of(Answers(self.verdict, self.label, self.said, verifier_named(self.parameters)))


def standing(rows: QuerySet[Judgement], verifications: type[Model] = Verification) -> Iterator[Standing]:
    """Rows of judgements with the last verification of each, oldest first: one query."""
    last = verifications._default_manager.filter(judgement=OuterRef("pk")).order_by("-pk").values("answer")[:1]
    place = ("direction__matrix_id", "direction__side", "direction__index", "direction__sign")
    columns = ("judge_id", "judge__type", *place, "verdict", "label", "said", "judge__parameters")
    found = rows.order_by("pk").annotate(said=Subquery(last)).values_list(*columns)
    return (Standing(*row) for row in found.iterator(chunk_size=2000))


def pair_column(verdicts: Collection[str]) -> str | None:
    """Where a vector with these verdicts on its ends is counted: nowhere, unless both are yes or no."""
    if len(verdicts) != 2 or not set(verdicts) <= set(TWO_VALUED):
        return None
    return PAIRS[list(verdicts).count(Verdict.INTERPRETABLE)]


def pairs_of(rows: Iterable[Standing]) -> Counter[Cell]:
    """How many vectors of one machine are in each column of PAIRS."""
    ends: dict[tuple[int, str, int], dict[str, Standing]] = defaultdict(dict)
    for row in rows:
        ends[row.matrix, row.side, row.place][row.sign] = row
    counts: Counter[Cell] = Counter()
    for (matrix, *_), said in ends.items():
        by_rule = [it.by_rule for it in said.values()]
        for rule in by_rule[0]:
            if column := pair_column([it[rule] for it in by_rule if rule in it]):
                counts[matrix, rule, column] += 1
    return counts


@contextmanager
def pairs_kept(judge: Judge, direction_ids: Collection[int]) -> Iterator[None]:
    """Around a machine's write: what it changes of vectors is added to the summaries.

    `direction_ids` are both ends of each vector, locked (`ends_lock`), so that of two writes, one on each end, the
    later sees the earlier. Of people nothing is counted: several may judge an end, and in several projects.
    """
    if judge.is_person:
        yield
        return
    rows = Judgement.objects.filter(judge=judge, current=True, direction__in=list(direction_ids))
    before = pairs_of(standing(rows))
    yield
    changed = pairs_of(standing(rows))
    changed.subtract(before)
    summaries_add(judge.pk, {cell: n for cell, n in changed.items() if n})


def directions_lock(direction_ids: Collection[int]) -> dict[int, int]:
    """Lock these directions, in the order of their ids; the matrix of each."""
    rows = Direction.objects.select_for_update().filter(pk__in=direction_ids).order_by("pk")
    return dict(rows.values_list("pk", "matrix_id"))


def ends_lock(direction_ids: Collection[int]) -> dict[int, int]:
    """Lock these directions and the other ends of their vectors; the matrix of each.

    Whoever locks one end of a vector before a machine's write locks both, so that no two writers wait for each other.
    """
    same = {"matrix__directions__side": F("side"), "matrix__directions__index": F("index")}
    found = Direction.objects.filter(matrix__directions__in=direction_ids, **same)
    return directions_lock(set(found.values_list("pk", flat=True)))


def summaries_add(judge_id: int, counts: Mapping[Cell, int]) -> None:
    """Add to many summaries at once; `counts` by matrix, rule and column.

    One statement, where the ORM has no `set to itself plus`: a run of thousands of directions ends in it each second.
    """
    quote = connection.ops.quote_name
    table = quote(Summary._meta.db_table)
    columns = [quote(column_of(Summary, it)) for it in COLUMNS]
    statement = (
        f"INSERT INTO {table} (matrix_id, judge_id, rule, {', '.join(columns)}) "
        f"VALUES (%s, %s, %s, {', '.join(['%s'] * len(columns))}) ON CONFLICT (matrix_id, judge_id, rule) "
        f"DO UPDATE SET {', '.join(f'{it} = {table}.{it} + EXCLUDED.{it}' for it in columns)}"
    )
    cells = sorted({(matrix_id, rule) for matrix_id, rule, _ in counts})  # one order for all writers
    rows: list[tuple[Any, ...]] = [
        (matrix_id, judge_id, rule, *(counts.get((matrix_id, rule, it), 0) for it in COLUMNS))
        for matrix_id, rule in cells
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)


def column_of(model: type[Model], field: str) -> str:
    """A field's column, for statements that the ORM has no words for."""
    column = model._meta.get_field(field)
    assert isinstance(column, Field)
    return str(column.column)


def summaries_verify(*, repair: bool = False) -> list[str]:
    """Recompute every summary from the judgements; return a line for each that differs (and mend it if asked).

    Matrix by matrix, under the lock that every writer of a judgement takes, so people may go on judging.
    """
    matrices = set(Judgement.objects.filter(current=True).values_list("direction__matrix_id", flat=True).distinct())
    matrices |= set(Summary.objects.values_list("matrix_id", flat=True).distinct())
    return [line for matrix_id in sorted(matrices) for line in _matrix_verify(matrix_id, repair=repair)]


def _matrix_verify(matrix_id: int, *, repair: bool) -> list[str]:
    lines = []
    with transaction.atomic():
        list(Direction.objects.select_for_update().filter(matrix=matrix_id).order_by("pk").values_list("pk"))
        expected = _counted(matrix_id)
        stored = {
            (row.judge_id, row.rule, column): getattr(row, column)
            for row in Summary.objects.filter(matrix=matrix_id)
            for column in COLUMNS
        }
        for cell in sorted(stored.keys() | expected.keys()):
            if (difference := expected[cell] - stored.get(cell, 0)) == 0:
                continue
            judge_id, rule, column = cell
            lines.append(
                f"matrix {matrix_id}, judge {judge_id}, rule {rule}: {column} is {stored.get(cell, 0)}, "
                f"should be {expected[cell]}"
            )
            if repair:
                summaries_add(judge_id, {(matrix_id, rule, column): difference})
    return lines


def _counted(matrix_id: int) -> Counter[tuple[int, str, str]]:
    """How many current judgements, and vectors, of each judge, rule and column there are on a matrix."""
    counts: Counter[tuple[int, str, str]] = Counter()
    of_machines: dict[int, list[Standing]] = defaultdict(list)
    for row in standing(Judgement.objects.filter(direction__matrix=matrix_id, current=True)):
        for rule, verdict in row.by_rule.items():
            counts[row.judge, rule, str(verdict)] += 1
        if row.judge_type != Judge.Type.PERSON:
            of_machines[row.judge].append(row)
    for judge_id, rows in of_machines.items():
        counts.update({(judge_id, rule, column): n for (_, rule, column), n in pairs_of(rows).items()})
    return counts
