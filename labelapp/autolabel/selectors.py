"""Reads on runs."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import MatrixSelection, directions_selected
from labelapp.autolabel.models import Run
from labelapp.judgements.models import Judge, Judgement


def runs_recent() -> QuerySet[Run]:
    """Newest first, with what a list shows of them."""
    return Run.objects.select_related("judge", "model", "job", "created_by").order_by("-pk")


def directions_to_judge(model: Model, judge: Judge, selection: MatrixSelection) -> QuerySet[Direction]:
    """The stored directions of a selection that the judge has no standing judgement on."""
    rows = directions_selected(model, selection)
    judged = Judgement.objects.filter(judge=judge, current=True).values("direction_id")
    return rows.exclude(pk__in=judged)


def layers_to_judge(model: Model, judge: Judge, selection: MatrixSelection) -> dict[int | None, int]:
    """For each layer with directions to judge, how many; None stands for what belongs to no layer."""
    rows = directions_to_judge(model, judge, selection).order_by("matrix__layer")
    return dict(rows.values_list("matrix__layer").annotate(n=Count("pk")))
