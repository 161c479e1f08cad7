"""Do the directions of one matrix resemble one another more than those of others: a head's broad concept.

A direction stands for the mean of its readout's tokens in the centred unembedding. No verdict takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selection import SelectionError
from labelapp.atlas.selectors import unembedding_read
from labelapp.figures import plots
from labelapp.figures.estimates import Resolved
from labelapp.figures.kinds.base import Computed, Inputs, Kind, Point
from labelapp.figures.words import p_words

MOST_VECTORS = 5_000
SEED = 0
BATCH = 1_000
NO_WEIGHTS = (
    "The readouts of this model were imported without its weights, so there is no unembedding to compare them in."
)
NO_TOKENS = "No direction of this selection has a readout whose tokens are known."
TOP_MATRICES = 15


def compute(resolved: Resolved) -> Computed:
    """For one model: the first that is chosen, else the first by name. Raises SelectionError where there is none."""
    from labelapp.statistics.similarity import within_matrix

    model = _model(resolved)
    if not model.has_weights:
        return Computed(refusal=NO_WEIGHTS)
    rows = _rows(resolved, model)
    if not rows:
        return Computed(refusal=NO_TOKENS)
    resolved.progress(10)
    vectors, kept = _means(model, rows)
    resolved.progress(20)
    matrices = [rows[place][1] for place in kept]
    names = Matrix.objects.in_bulk(sorted(set(matrices)))
    strata = [(names[it].circuit, names[it].layer) for it in matrices]
    if len(set(strata)) == len(set(matrices)):
        strata = []  # one matrix in each layer and circuit: nothing to deal out within them
    found = within_matrix(
        vectors,
        matrices,
        strata or None,
        seed=SEED,
        on_draw=lambda done, all_: resolved.progress(20 + 75 * done // all_),
    )
    inputs = Inputs(
        ("matrix", "vectors"), _counts(matrices, names), facts={"selection": resolved.query.words, "model": str(model)}
    )
    if found.within is None or found.across is None:
        return Computed(refusal=found.why, inputs=inputs)
    how = "mean cosine of the mean tokens of readouts, + ends"
    points = [
        Point("", "within matrices", str(model), value=found.within, n=found.directions, method=how),
        Point("", "across matrices", str(model), value=found.across, n=found.directions, method=how),
        Point(
            "",
            "difference",
            str(model),
            value=found.difference,
            n=found.directions,
            p=found.p,
            method="p by permutation",
        ),
    ]
    order = list(dict.fromkeys(matrices))
    own = [(value, pk) for value, pk in zip(found.by_matrix, order, strict=True) if value is not None]
    points += [
        Point("", names[pk].address, str(model), names[pk].circuit, names[pk].layer, value=value, n=matrices.count(pk))
        for value, pk in sorted(own, key=lambda it: -it[0])
    ]
    return Computed(
        points, sentence(model, found, bool(strata)), notes(resolved, len(rows), bool(strata)), inputs=inputs
    )


def _model(resolved: Resolved) -> Model:
    models = {model.slug: model for model in Model.objects.order_by("name", "revision")}
    chosen = [models[slug] for slug in resolved.query.model if slug in models] or list(models.values())
    if not chosen:
        raise SelectionError("There is no model yet; `manage.py decompose` loads one.")
    return chosen[0]


def _rows(resolved: Resolved, model: Model) -> list[tuple[int, int]]:
    """Direction and matrix of the + ends, a random sample of them where they are many."""
    rows = Direction.objects.filter(resolved.of.condition(), matrix__model=model, sign="+", token_ids__isnull=False)
    found = list(rows.order_by("pk").values_list("pk", "matrix_id"))
    if len(found) <= MOST_VECTORS:
        return found
    drawn = np.random.default_rng(SEED).choice(len(found), MOST_VECTORS, replace=False)
    return [found[place] for place in sorted(drawn.tolist())]


def _means(model: Model, rows: Sequence[tuple[int, int]]) -> tuple[np.ndarray, list[int]]:
    """Of each direction the mean of its tokens' centred rows, [n, d_model], and which of the rows have one."""
    unembedding = unembedding_read(model.folder)
    centre = unembedding.mean(0, dtype=np.float64)
    found, kept = [], []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        tokens = dict(Direction.objects.filter(pk__in=[pk for pk, _ in part]).values_list("pk", "token_ids"))
        for place, (pk, _) in enumerate(part, start):
            mean = unembedding[np.asarray(tokens[pk], dtype=np.int64)].mean(0, dtype=np.float64) - centre
            if np.linalg.norm(mean) > 0:
                found.append(mean)
                kept.append(place)
    return np.array(found), kept


def _counts(matrices: Sequence[int], names: dict[int, Matrix]) -> list[list[Any]]:
    return [[names[pk].address, matrices.count(pk)] for pk in sorted(set(matrices))]


def sentence(model: Model, found: Any, by_layer: bool) -> str:
    from labelapp.statistics.similarity import DRAWS

    more = "more" if found.difference > 0 else "no more"
    dealt = "dealt out anew within circuit and layer" if by_layer else "dealt out anew"
    return (
        f"In {model}, directions of one matrix resemble one another {more} than those of others: mean cosine "
        f"{found.within:.3f} within {found.matrices:,} matrices against {found.across:.3f} across them "
        f"({p_words(found.p, 1 / (1 + DRAWS))}, one-sided, {DRAWS:,} draws, matrices {dealt}; "
        f"{found.directions:,} vectors; no interval: the test is by permutation)."
    )


def notes(resolved: Resolved, n: int, by_layer: bool) -> list[str]:
    found = [
        "A direction stands for the mean of its readout's tokens in the centred unembedding; no verdict takes part."
    ]
    if n == MOST_VECTORS:
        found.append(f"A random sample of {MOST_VECTORS:,} vectors, seed {SEED}.")
    if not by_layer:
        found.append(
            "There is one matrix for each circuit and layer, so depth is not held fixed: choose OV to compare heads."
        )
    if len(resolved.query.model) != 1:
        found.append("One model at a time: the first of those chosen.")
    return found


def spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    points = [it for it in computed.points if it.name != "difference"][: 2 + TOP_MATRICES]
    return plots.rows_spec(points, unit="", title="Mean cosine within (no unit)", is_number=True)


KIND = Kind(
    name="resemblance",
    title="Resemblance",
    question="Does a head have one broad concept?",
    explanation="Whether the directions of one matrix resemble one another more than those of others do.",
    compute=compute,
    spec=spec,
    filters=("model", "circuit", "layer", "index"),
    columns=("name", "number", "p", "n", "method"),
    needs_job=True,
    tells_verdicts=False,
)
