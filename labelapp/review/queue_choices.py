"""What the disagreement queue's filters offer: who judged in its projects, and where judges disagree."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from labelapp.atlas.models import Matrix
from labelapp.judgements.models import Judge, Judgement, Summary
from labelapp.labelling.models import Project
from labelapp.review.models import Disagreement


def judges_of(projects: Collection[Project]) -> list[Judge]:
    """Whose answers the queue compares: people of these projects, and machines that judged in their matrices."""
    people = Judgement.objects.filter(judge=OuterRef("pk"), source__in=[it.source for it in projects])
    machines = Summary.objects.filter(judge=OuterRef("pk"), matrix__in=_matrices(projects).values("pk"))
    is_person = Q(type=Judge.Type.PERSON)
    judges = Judge.objects.filter(is_person & Q(Exists(people)) | ~is_person & Q(Exists(machines)))
    return list(judges.order_by("type", "name", "pk"))


def places_of(projects: Collection[Project]) -> dict[str, list[Any]]:
    """The models, circuits and layers where the projects' judges disagree, for the filters: one query."""
    found = list(_matrices(projects).order_by().values_list("model_id", "circuit", "layer").distinct())
    return {
        "models": sorted({model for model, _, _ in found}),
        "circuits": sorted({circuit for _, circuit, _ in found}),
        "layers": sorted({layer for _, _, layer in found if layer is not None}),
    }


def _matrices(projects: Collection[Project]) -> QuerySet[Matrix]:
    here = Disagreement.objects.filter(of_projects(projects), matrix=OuterRef("pk"), score__gt=0)
    return Matrix.objects.filter(Exists(here))


def of_projects(projects: Collection[Project]) -> Q:
    """One project is said as one: then its index gives the order."""
    ids = [it.pk for it in projects]
    return Q(project=ids[0]) if len(ids) == 1 else Q(project__in=ids)
