"""What a worker writes of a run: answered calls, finished items, judgements and money, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from labelapp.autolabel.calls import NewCall, calls_write
from labelapp.autolabel.models import Run, RunItem
from labelapp.autolabel.money import Settlement, settle
from labelapp.jobs.models import Job
from labelapp.jobs.services import job_writing
from labelapp.judgements.models import LABEL_LENGTH
from labelapp.judgements.services import Draft, judgements_record_new


@dataclass(frozen=True)
class AskedCall:
    """A call that belongs to an item: its hash, and its id where it was stored before this batch."""

    hash: str
    id: int | None


@dataclass(frozen=True)
class ItemResult:
    """What came of one item: `done` with a verdict (`unparsed` too), or `failed` with its reason."""

    item_id: int
    direction_id: int
    state: str
    labeler: AskedCall | None = None
    verifier: AskedCall | None = None
    detector: AskedCall | None = None
    verdict: str = ""
    label: str = ""
    verification: str = ""
    tokens_shown: int = 0
    evidence: dict[str, Any] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    error_kind: str = ""
    error: str = ""


def results_write(
    run: Run,
    job: Job,
    *,
    calls: Sequence[NewCall],
    items: Sequence[ItemResult],
    money: Settlement,
    done: int,
    judges: bool = True,
) -> dict[str, int]:
    """Write a batch under the job's lease; return the ids of its calls by hash.

    `judges` False writes no judgements (of runs that measure a judge). Raises LeaseLostError, and writes nothing,
    where the job is no longer this process's.
    """
    with job_writing(job, done=done):
        ids = calls_write(calls)
        _items_update(items, ids)
        if judges:
            _judgements_write(run, [item for item in items if item.state == RunItem.State.DONE], ids)
        settle(run.pk, job, money)  # last: the run's row is everybody's
    return ids


def label_clean(label: str) -> str:
    """As a judgement takes it: one printable line, not too long; the whole answer stays with the call."""
    line = "".join(character if character.isprintable() else " " for character in label)
    return " ".join(line.split())[:LABEL_LENGTH].strip()


def _items_update(items: Sequence[ItemResult], ids: dict[str, int]) -> None:
    quote = connection.ops.quote_name
    columns = ("state", "error_kind", "error", "labeler_call_id", "verifier_call_id", "detector_call_id",
               "verdict", "label", "verification", "detail")  # fmt: skip
    statement = (
        f"UPDATE {quote(RunItem._meta.db_table)} SET {', '.join(f'{quote(name)} = %s' for name in columns)} "
        f"WHERE id = %s AND state = '{RunItem.State.PENDING}'"
    )
    rows = [
        (
            item.state, item.error_kind, item.error, _id(item.labeler, ids), _id(item.verifier, ids),
            _id(item.detector, ids), item.verdict, item.label, item.verification, json.dumps(item.detail),
            item.item_id,
        )
        for item in items
    ]  # fmt: skip
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)


def _judgements_write(run: Run, items: Sequence[ItemResult], ids: dict[str, int]) -> None:
    if not items:
        return
    drafts = [
        Draft(
            direction_id=item.direction_id,
            verdict=item.verdict,
            label=item.label,
            tokens_shown=item.tokens_shown,
            evidence={**item.evidence, "call": _id(item.labeler, ids)},
        )
        for item in items
    ]
    judgements_record_new(
        judge=run.judge,
        source=run.source,
        drafts=drafts,
        verifier=run.verifier_judge,
        verifications={item.direction_id: item.verification for item in items if item.verification},
    )


def _id(call: AskedCall | None, ids: dict[str, int]) -> int | None:
    if call is None:
        return None
    return call.id if call.id is not None else ids[call.hash]


def items_pending(run: Run, job: Job) -> list[Any]:
    """The items of a job's chunk that are still to be asked, in order: (id, direction, tokens, detail)."""
    rows = RunItem.objects.filter(run=run, chunk=job.params["chunk"], state=RunItem.State.PENDING)
    return list(rows.order_by("position").values_list("pk", "direction_id", "direction__tokens", "detail"))
