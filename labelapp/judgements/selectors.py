"""Reads on judgements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import QuerySet

from labelapp.judgements.models import Judgement


def judgements_standing(direction_ids: Iterable[int]) -> dict[int, list[Judgement]]:
    """For each direction what stands on it, oldest first: two queries, however many directions."""
    rows = (
        Judgement.objects.filter(direction_id__in=list(direction_ids), current=True)
        .select_related("judge")
        .prefetch_related("verifications__judge")
        .order_by("pk")
    )
    standing: dict[int, list[Judgement]] = defaultdict(list)
    for row in rows:
        standing[row.direction_id].append(row)
    return standing


def judgements_of_source(source: str) -> QuerySet[Judgement]:
    """What stands of one project's or run's judgements, whatever they are of."""
    return Judgement.every.filter(source=source, current=True)


def judgement_last(*, source: str, judge_id: int) -> Judgement | None:
    """A judge's latest judgement in a project that still stands: the one that undo withdraws."""
    return judgements_of_source(source).filter(judge_id=judge_id).order_by("-pk").first()
