"""The rows of an export: one for each direction, with its key, readout and all judgements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db.models import Q

from labelapp.atlas.models import Direction
from labelapp.atlas.selectors import directions_in_key_order, readout_record
from labelapp.exchange.subjects import Subject
from labelapp.judgements.models import Judge, Judgement
from labelapp.judgements.rules import RULES
from labelapp.judgements.services import verdicts_by_rule

CHUNK = 200


def export_rows(subject: Subject) -> Iterator[dict[str, Any]]:
    """Row by row in the order of the keys, with a constant number of queries for each chunk."""
    if subject.rows is not None:
        yield from subject.rows()
        return
    rows = directions_in_key_order(subject.directions)
    stream = rows.iterator(chunk_size=CHUNK)
    while chunk := list(islice(stream, CHUNK)):
        ids = [direction.pk for direction in chunk]
        extras = subject.extras(ids)
        judgements = _judgements(subject, ids)
        for direction in chunk:
            yield _row(direction, extras.get(direction.pk, {}), judgements[direction.pk])


def _row(direction: Direction, extras: dict[str, Any], judgements: Iterable[Judgement]) -> dict[str, Any]:
    return {**readout_record(direction), **extras, "judgements": [_judgement(row) for row in judgements]}


def _judgements(subject: Subject, ids: list[int]) -> dict[int, list[Judgement]]:
    """Every judgement, the superseded and withdrawn ones too, oldest first."""
    rows = (
        Judgement.objects.filter(direction_id__in=ids)
        .filter(Q(source__in=subject.sources) | ~Q(judge__type=Judge.Type.PERSON))
        .select_related("judge")
        .prefetch_related("verifications__judge")
        .order_by("pk")
    )
    found: dict[int, list[Judgement]] = defaultdict(list)
    for row in rows:
        found[row.direction_id].append(row)
    return found


def _judgement(row: Judgement) -> dict[str, Any]:
    return {
        "id": row.pk,
        "judge": row.judge.name,
        "judge_type": row.judge.type,
        "judge_digest": row.judge.digest,
        "source": row.source,
        "current": row.current,
        "withdraws": row.withdraws_id,
        "supersedes": row.supersedes_id,
        "blind": row.blind,
        "verdict": row.verdict or None,
        "label": row.label,
        "kind": row.kind or None,
        "reason": row.reason or None,
        "misfits": row.misfits,
        "tokens_shown": row.tokens_shown,
        "guidelines_version": row.guidelines_version,
        "seconds": row.seconds,
        "evidence": row.evidence,
        "verifications": [
            {"judge": verification.judge.name, "answer": verification.answer}
            for verification in row.verifications.all()
        ],
        "verdicts": {} if row.is_withdrawal or row.judge.is_person else _verdicts(row),
        "created_at": row.created_at.isoformat(),
    }


def _verdicts(row: Judgement) -> dict[str, str]:
    """A machine's verdict under each rule that applies, by the rule's versioned name."""
    return {RULES[rule].identifier: str(verdict) for rule, verdict in verdicts_by_rule(row).items()}
