"""The store of calls: what was answered once is never asked, nor paid for, again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

from labelapp.autolabel.models import Call
from labelapp.judgements.services import rows_insert
from workers.llm.requests import Answer, Request, answer_from_mapping, yes_no_confidence

LOOKED_UP_AT_ONCE = 500
FIELDS = (
    "request_hash", "sample", "provider", "llm", "prompt_version", "prompt", "parameters", "texts", "finish_reasons",
    "prompt_tokens", "completion_tokens", "cost", "latency", "provider_model", "top_logprobs", "confidence",
    "created_at",
)  # fmt: skip
ANSWER_FIELDS = ("texts", "finish_reasons", "prompt_tokens", "completion_tokens", "latency", "provider_model")


@dataclass(frozen=True)
class StoredCall:
    id: int
    answer: Answer
    confidence: float | None


@dataclass(frozen=True)
class NewCall:
    """An answered call that is to be stored; `cost` in nano-dollars, None where the price is unknown."""

    request: Request
    sample: int
    provider: str
    llm: str
    prompt_version_id: int
    answer: Answer
    cost: int | None


def calls_find(hashes: Iterable[str], sample: int = 0) -> dict[str, StoredCall]:
    """Those of some calls that were answered already, by their hash."""
    wanted = list(hashes)
    found: dict[str, StoredCall] = {}
    for start in range(0, len(wanted), LOOKED_UP_AT_ONCE):
        rows = Call.objects.filter(request_hash__in=wanted[start : start + LOOKED_UP_AT_ONCE], sample=sample)
        for row in rows.values("id", "request_hash", "confidence", *ANSWER_FIELDS):
            answer = answer_from_mapping({name: row[name] for name in ANSWER_FIELDS})
            found[row["request_hash"]] = StoredCall(row["id"], answer, row["confidence"])
    return found


def calls_write(calls: Sequence[NewCall]) -> dict[str, int]:
    """Store answered calls in the caller's transaction; return their ids by hash.

    A call that somebody else has stored meanwhile keeps that first answer. Plain SQL: `bulk_create` takes five times
    as long, and this stands between the answers of a whole run.
    """
    if not calls:
        return {}
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    # In one order for all writers, so that no two of them wait for one another.
    ordered = sorted(calls, key=lambda call: (call.request.hash, call.sample))
    rows_insert(
        Call, FIELDS, [_row(call, now) for call in ordered], conflict="ON CONFLICT (request_hash, sample) DO NOTHING"
    )
    rows = Call.objects.filter(request_hash__in={call.request.hash for call in calls}, sample=calls[0].sample)
    return dict(rows.values_list("request_hash", "pk"))


def confidence_of(answer: Answer) -> float | None:
    return yes_no_confidence(answer) if answer.top_logprobs else None


def _row(call: NewCall, now: Any) -> tuple[Any, ...]:
    answer, request = call.answer, call.request
    return (
        request.hash, call.sample, call.provider, call.llm, call.prompt_version_id, request.prompt_text,
        json.dumps(dict(request.parameters)), json.dumps(answer.texts), json.dumps(answer.finish_reasons),
        answer.prompt_tokens, answer.completion_tokens, call.cost, answer.latency, answer.provider_model[:300],
        json.dumps(answer.top_logprobs), confidence_of(answer), now,
    )  # fmt: skip
