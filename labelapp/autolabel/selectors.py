"""Reads on runs."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet

from labelapp.atlas.models import Direction, Model
from labelapp.autolabel.models import Run
from labelapp.judgements.models import Judge, Judgement


def runs_recent() -> QuerySet[Run]:
    """Newest first, with what a list shows of them."""
    return Run.objects.select_related("judge", "model", "job", "created_by").order_by("-pk")


def directions_to_judge(model: Model, judge: Judge, selection: dict[str, Any]) -> QuerySet[Direction]:
    """The stored directions of a selection that the judge has no standing judgement on."""
    rows = Direction.objects.filter(matrix__model=model)
    if selection.get("circuits"):
        rows = rows.filter(matrix__circuit__in=selection["circuits"])
    if selection.get("layers"):
        rows = rows.filter(matrix__layer__in=selection["layers"])
    judged = Judgement.objects.filter(judge=judge, current=True).values("direction_id")
    return rows.exclude(pk__in=judged)


def layers_to_judge(model: Model, judge: Judge, selection: dict[str, Any]) -> dict[int, int]:
    """For each layer with directions to judge, how many (matrices without a layer are in none)."""
    rows = directions_to_judge(model, judge, selection).exclude(matrix__layer=None).order_by("matrix__layer")
    return dict(rows.values_list("matrix__layer").annotate(n=Count("pk")))
