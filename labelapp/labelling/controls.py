"""The controls of what a project is about: noise that went through the same pipeline as its items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db.models import Count, QuerySet

from labelapp.atlas.keys import CONTROLS, seeded
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selection import MatrixSelection, matrix_filter
from labelapp.labelling.models import Project
from labelapp.labelling.projects.design import design_from_json
from labelapp.labelling.projects.selection import ItemSelection


@dataclass(frozen=True)
class StoredControl:
    """A kind of noise of the project's models, and how many of its matrices are stored."""

    name: str  # as in keys: "gaussian", "covariance.2"
    matrices: int


def controls_of(project: Project, controls: Sequence[str]) -> QuerySet[Direction]:
    """The stored directions of these kinds of noise, in the places that the project's items are drawn from."""
    if not controls:
        return Direction.objects.none()
    return _noise(project, tuple(controls)).directions()


def controls_stored(project: Project) -> list[StoredControl]:
    """What kinds there are for the project, in the order of `CONTROLS`; two queries."""
    selection = _noise(project, ())
    rows = Matrix.objects.filter(matrix_filter(selection.matrices), model__in=_models(selection)).exclude(control="")
    found = rows.order_by().values_list("control", "control_seed").annotate(n=Count("pk"))
    ranked = sorted(found, key=lambda it: (CONTROLS.index(it[0]), it[1]))
    return [StoredControl(seeded(name, seed), n) for name, seed, n in ranked]


def controls_command(project: Project) -> str:
    """The command that makes noise for the first of the project's models; empty where none has weights."""
    selection = _noise(project, ())
    model = Model.objects.filter(pk__in=_models(selection)).exclude(weights_hash="").order_by("pk").first()
    if model is None:
        return ""
    matrices = selection.matrices
    circuits = f" --circuits {','.join(matrices.circuits)}" if matrices.circuits else ""
    layers = f" --layers {','.join(map(str, matrices.layers))}" if matrices.layers else ""
    # Named: without the name the same weights would become another model.
    return f"./tea manage decompose {model.source} --name {model.name}{circuits}{layers} --control gaussian"


def _noise(project: Project, controls: tuple[str, ...]) -> ItemSelection:
    """The project's selection with noise in the place of the weights.

    Of a project that was not drawn from a selection, whatever its models have in the items' circuits.
    """
    design = design_from_json(project.design)
    if design is not None:
        return replace(design.selection, matrices=replace(design.selection.matrices, controls=controls))
    places = project.items.order_by().values_list("direction__matrix__model_id", "direction__matrix__circuit")
    found = set(places.distinct())
    models = Model.objects.filter(pk__in={model for model, _ in found}).order_by("pk")
    circuits = tuple(sorted({circuit for _, circuit in found}))
    return ItemSelection(tuple(it.slug for it in models), MatrixSelection(circuits=circuits, controls=controls))


def _models(selection: ItemSelection) -> list[int]:
    slugs = set(selection.models)
    return [it.pk for it in Model.objects.all() if it.slug in slugs]
