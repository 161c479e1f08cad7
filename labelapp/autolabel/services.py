"""Writes on runs."""

from __future__ import annotations

import hashlib

from django.db import transaction

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import MatrixSelection, matrices_selected
from labelapp.autolabel.models import Run
from labelapp.autolabel.selectors import layers_to_judge
from labelapp.jobs.models import ACTIVE
from labelapp.jobs.services import JobError, job_create
from labelapp.judgements.models import Judge
from labelapp.judgements.services import judge_ensure
from workers.weights.baseline_settings import BaselineSettings

BASELINE_TASK = "workers.tasks.weights.baseline_layer"
# The judge is named as what it is, wherever it is named.
BASELINE_NAME = "offline baseline (no language model)"


def baseline_judge(settings: BaselineSettings) -> Judge:
    """The offline baseline with these settings; other settings make another judge."""
    return judge_ensure(type=Judge.Type.BASELINE, name=BASELINE_NAME, parameters=settings.parameters())


def baseline_run_start(
    *,
    model: Model,
    selection: MatrixSelection | None = None,
    settings: BaselineSettings | None = None,
    created_by: User | None = None,
) -> Run:
    """Enqueue the offline baseline over the stored directions of a selection that it has not judged.

    The selection is the model's own weights unless it names others.

    Where the same run is at work already, that one is returned. Raises JobError where there is nothing to judge.
    """
    if not model.has_weights:
        raise JobError(
            f"{model} holds imported readouts, which have no vectors, so the {BASELINE_NAME} cannot judge them."
        )
    settings = settings or BaselineSettings()
    judge = baseline_judge(settings)
    selection = selection or MatrixSelection()
    active = Run.objects.filter(judge=judge, model=model, selection=selection.as_json(), job__state__in=ACTIVE)
    if run := active.first():
        return run
    to_judge = layers_to_judge(model, judge, selection)
    if not to_judge:
        stored = matrices_selected(model, selection).exists()
        raise JobError(
            f"The {BASELINE_NAME} has judged every stored direction of {model} already ({selection.words})."
            if stored
            else f"{model} has no decomposed matrices yet of this selection ({selection.words}); decompose it first."
        )
    with transaction.atomic():
        parent = job_create(title=f"Offline baseline on {model}", created_by=created_by)
        run = Run.objects.create(
            judge=judge, model=model, selection=selection.as_json(), job=parent, created_by=created_by
        )
        for layer, n_directions in to_judge.items():
            job_create(
                title=f"{model.slug} {'without layer' if layer is None else f'layer {layer}'}",
                task=BASELINE_TASK,
                params={"run": run.pk, "layer": layer, "settings": settings.arguments()},
                parent=parent,
                total=n_directions,
            )
    return run


def direction_seed(direction: Direction) -> int:
    """The seed of a direction's vector, from its weights and place alone.

    So a verdict depends neither on its neighbours nor on the name that somebody gave the model; both ends of a
    vector have the same seed.
    """
    matrix = direction.matrix
    vector = f"{matrix.model.weights_hash}/{matrix.address}:{direction.side}/{direction.index}"
    return int.from_bytes(hashlib.sha256(vector.encode()).digest()[:8], "big")
