"""Trends and contrasts corrected by people: against depth or index, MLP-in against MLP-out, model against model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from labelapp.atlas.models import Model
from labelapp.figures import plots
from labelapp.figures.census import CIRCUIT, INDEX, LAYER, MODEL, Place, added
from labelapp.figures.estimates import CORRECTED, MACHINE, PERSON, Resolved, comparable, is_partly_judged, partly_words
from labelapp.figures.kinds.base import Computed, Kind, Point, estimated, inputs_of
from labelapp.figures.kinds.series import NOTHING, gathered
from labelapp.figures.people import NO_SELECTION, Labelled
from labelapp.figures.query import UNITS
from labelapp.figures.words import points_words
from labelapp.judgements.tables import Tally
from labelapp.statistics.estimation import Estimate

SLOPE = "slope"
INDEX_STEP = 10
CONTRASTED = ("circuit", "model")  # two groups, and no axis along which anything changes
NO_INTERVAL = " (no interval)"
UNEQUAL = (
    "The items were drawn with unequal probability, and this regression takes them as equal: no trend is made of them. "
    "Draw a simple random sample to state one."
)
NO_PEOPLE = "No person took part: the machine's own trend stands alone, and may be its error's."
TWO_MODELS = "Choose two models below: the trend is the second one's fraction less the first one's."

# From a place's columns to the covariate; None leaves the place out.
Covariate = Callable[[Place], float | None]


@dataclass(frozen=True)
class Axis:
    """What a trend is against."""

    columns: tuple[str, ...]
    value: Covariate
    unit: str  # what the slope is per


def compute(resolved: Resolved) -> Computed:
    name = resolved.query.covariate
    axis = axis_of(resolved)
    if isinstance(axis, str):
        return Computed(refusal=axis)
    counts, sample = gathered(resolved, axis.columns)
    inputs = inputs_of(resolved, [it.rpartition("__")[2] for it in axis.columns], counts, sample)
    resolved.progress(40)
    placed = {place: tally for place, tally in counts.items() if axis.value(place) is not None}
    whole = added(list(placed.values()))
    if not whole.n:
        return Computed(refusal=NOTHING, inputs=inputs)
    points = [_machine_point({place: tally for place, tally in placed.items() if tally.n}, axis)]
    rows = [it for it in sample.rows if axis.value(it.place(axis.columns)) is not None]
    rows = rows if is_partly_judged(whole) else comparable(rows, whole)
    notes, warning = [], ""
    if not rows:
        notes.append(sample.refusal or NO_PEOPLE)
    elif not sample.knows_census:
        notes.append(NO_SELECTION)
    elif not sample.has_equal_pi:
        notes.append(UNEQUAL)
    else:
        found, warning = _corrected(rows, placed, axis)
        if is_partly_judged(whole):
            notes.append(partly_words(whole))
            found, warning = found[1:], ""
        points = [*found, *points]
    resolved.progress(90)
    if left_out := len(sample.rows) - len(rows):
        words = "1 label is" if left_out == 1 else f"{left_out:,} labels are"
        notes.append(f"{words} left out: of another place, or not judged by the machine.")
    notes.append("The slope is of the best straight line, also where the fraction does not follow one.")
    points = [it for it in points if it is not None]
    return Computed(
        points, sentence(resolved, points, axis), notes, inputs=inputs, extra={"warning": warning, "covariate": name}
    )


def axis_of(resolved: Resolved) -> Axis | str:
    """The covariate, or the sentence why there is none."""
    name = resolved.query.covariate
    if name == "depth":
        last = {pk: max(n - 1, 1) for pk, n in Model.objects.values_list("pk", "n_layers")}
        return Axis(
            (MODEL, LAYER),
            lambda it: None if it[1] is None else it[1] / last[it[0]],
            "from the first to the last layer",
        )
    if name == "index":
        return Axis((INDEX,), lambda it: it[0] / INDEX_STEP, f"for {INDEX_STEP} indices")
    if name == "circuit":
        return Axis((CIRCUIT,), lambda it: {"mlp_in": 1.0, "mlp_out": 0.0}.get(it[0]), "MLP-in less MLP-out")
    models = {model.slug: model.pk for model in Model.objects.order_by("name", "revision")}
    chosen = [it for it in (resolved.query.model or tuple(models)) if it in models]
    if len(chosen) != 2:
        return TWO_MODELS
    values = {models[chosen[0]]: 0.0, models[chosen[1]]: 1.0}
    return Axis((MODEL,), lambda it: values.get(it[0]), f"{chosen[1]} less {chosen[0]}")


def _machine_point(placed: Mapping[Place, Tally], axis: Axis) -> Point:
    """The machine's own line, by least squares over its census; nothing corrects it, and it has no interval."""
    x = np.array([axis.value(place) for place in placed], dtype=np.float64)
    n = np.array([it.n for it in placed.values()], dtype=np.float64)
    yes = np.array([it.interpretable for it in placed.values()], dtype=np.float64)
    middle = (n * x).sum() / n.sum()
    spread = (n * (x - middle) ** 2).sum()
    point = Point(MACHINE, f"{SLOPE}, {axis.unit}", n=int(n.sum()), method="least squares on the census, not corrected")
    if not spread:
        return Point(
            MACHINE, point.name, n=point.n, why="The directions do not differ in this: there is no trend to see."
        )
    slope = float(((x - middle) * yes).sum() / spread)
    return Point(MACHINE, point.name, value=slope, n=point.n, method=point.method)


def _corrected(rows: Sequence[Labelled], placed: Mapping[Place, Tally], axis: Axis) -> tuple[list[Point], str]:
    from labelapp.statistics.trends import trend

    human = [float(it.human) for it in rows]
    machine = [float(it.machine == "interpretable") for it in rows]
    x = [axis.value(it.place(axis.columns)) for it in rows]
    told, elsewhere = _others(rows, placed, axis)
    vectors = [it.vector for it in rows]
    both = trend(human, machine, x, told, elsewhere, clusters=vectors)  # type: ignore[arg-type]
    alone = trend(human, machine, x, told, elsewhere, tuning=0.0, clusters=vectors)  # type: ignore[arg-type]
    name = f"{SLOPE}, {axis.unit}"
    people = Estimate(
        "least squares, people alone",
        alone.n,
        alone.slope.value,
        alone.slope.low,
        alone.slope.high,
        why=alone.slope.why,
    )
    points = [estimated(Point(CORRECTED, name), both.slope), estimated(Point(PERSON, name), people)]
    return points, both.warning


def _others(rows: Sequence[Labelled], placed: Mapping[Place, Tally], axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """The machine's verdicts and the covariate of all directions that people did not label, [N_u] each. What is no yes
    counts as no, whether unsure or not judged: any prediction makes a valid correction."""
    labelled = Counter((it.place(axis.columns), it.machine == "interpretable") for it in rows)
    verdicts, values, sizes = [], [], []
    for place, tally in placed.items():
        rest = tally.total + tally.not_judged - tally.interpretable
        for is_yes, n in ((True, tally.interpretable), (False, rest)):
            verdicts.append(float(is_yes))
            values.append(axis.value(place))
            sizes.append(max(n - labelled[place, is_yes], 0))
    return np.repeat(verdicts, sizes), np.repeat(np.array(values, dtype=np.float64), sizes)


def sentence(resolved: Resolved, points: Sequence[Point], axis: Axis) -> str:
    best = next((it for it in points if it.value is not None), None)
    if best is None:
        return ""
    who_says = {
        CORRECTED: "people say, corrected by the machine",
        PERSON: "people say",
        MACHINE: "the machine alone says, uncorrected",
    }
    interval = ""
    if best.low is not None and best.high is not None:
        interval = f" (95 % interval {100 * best.low:+.1f} to {100 * best.high:+.1f})"
    rule = resolved.rule.identifier if resolved.rule else ""
    said = f"as {who_says[best.source]}; rule {rule}"
    unit = UNITS[resolved.query.unit]
    moves = "differs" if resolved.query.covariate in CONTRASTED else "changes"
    n = f"{best.n:,} {unit if best.source == MACHINE else 'labels'}"
    by = f"{points_words(best.value)}{interval or NO_INTERVAL}"
    return f"The fraction of {unit} interpretable {moves} by {by} {axis.unit}, {said}; {n}."


def spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    shown = [_named_by_source(it) for it in computed.points]
    return plots.rows_spec(shown, unit="", title="Slope (points of the fraction, %)", is_difference=True, reference=0.0)


def _named_by_source(point: Point) -> Point:
    return replace(point, name=plots.SOURCE_NAMES[point.source])


KIND = Kind(
    name="trends",
    title="Trends",
    question="Does the fraction rise or fall?",
    explanation="Against depth or index, MLP-in against MLP-out, model against model: corrected by people's labels.",
    compute=compute,
    spec=spec,
    filters=("covariate", "model", "circuit", "layer", "index", "sign", "judge", "rule", "project", "truth"),
    columns=("source", "name", "difference", "interval", "n", "method", "why"),
    looks_into_matrices=True,
    template="figures/trends.html",
)
