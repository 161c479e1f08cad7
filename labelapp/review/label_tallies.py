"""How many directions each label stands on in a run or an import, counted in the transaction that judges.

Labels are told apart as `statistics.labels.label_key` has it. A label that many directions share says little, and one
audit finds it; no direction alone shows that.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from labelapp.judgements.models import Judge, Judgement
from labelapp.judgements.services import rows_insert
from labelapp.review.models import LabelTally
from labelapp.statistics.audits import MEANING
from labelapp.statistics.labels import label_key

BATCH = 5000  # ids of one statement
Labels = Counter[tuple[str, str]]  # source and hash → directions


@contextmanager
def tallies_kept(judge: Judge, direction_ids: Collection[int]) -> Iterator[None]:
    """Around a machine's judgements, under the directions' locks: what is gone and what has come is counted."""
    if judge.is_person:
        yield
        return
    ids = sorted(direction_ids)
    before = _labels_on(judge, ids)
    yield
    changes = _labels_on(judge, ids)
    changes.subtract(before)
    _add(changes)


def label_hash(label: str) -> str:
    """Equal for equal labels; empty where there are no words."""
    return _hash(label_key(label))


def tallies_verify(*, repair: bool = False) -> list[str]:
    """Count all labels again; return a line for each source whose tallies are not what stands (and mend them)."""
    with transaction.atomic():
        if connection.vendor == "postgresql":  # who writes waits until this is counted; SQLite has one writer anyway
            with connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {LabelTally._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")
        changes = _counted(_said(Judgement.objects.all()).iterator())
        kept = LabelTally.objects.values_list("source", "hash", "n")
        changes.subtract({(source, name): n for source, name, n in kept})
        wrong = {key: n for key, n in changes.items() if n}
        if repair:
            _add(Counter(wrong))
    sources = Counter(source for source, _ in wrong)
    return [f"{source}: {n} labels are not counted as they stand" for source, n in sorted(sources.items())]


def _labels_on(judge: Judge, ids: Sequence[int]) -> Labels:
    found: Labels = Counter()
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        found += _counted(_said(Judgement.objects.filter(judge=judge, direction__in=some)))
    return found


def _said(rows: QuerySet[Judgement]) -> QuerySet[Judgement, tuple[str, str]]:
    made = Q(source__startswith="run:") | Q(source__startswith="import:")
    rows = rows.filter(made, current=True, verdict=MEANING).exclude(judge__type=Judge.Type.PERSON).exclude(label="")
    return rows.order_by().values_list("source", "label")


def _counted(rows: Iterable[tuple[str, str]]) -> Labels:
    return Counter((source, name) for source, label in rows if (name := label_hash(label)))


def _add(changes: Labels) -> None:
    table = LabelTally._meta.db_table
    rows = [(source, name, n) for (source, name), n in sorted(changes.items()) if n]  # one order for all writers
    conflict = f"ON CONFLICT (source, hash) DO UPDATE SET n = {table}.n + EXCLUDED.n"
    rows_insert(LabelTally, ("source", "hash", "n"), rows, conflict=conflict)


@lru_cache(maxsize=10_000)
def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest() if key else ""
