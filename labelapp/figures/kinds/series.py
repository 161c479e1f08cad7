"""The fraction interpretable by layer, by direction index and by model: person, machine and corrected estimate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labelapp.atlas.models import Model
from labelapp.atlas.presentation import CIRCUIT_NAMES
from labelapp.figures import plots
from labelapp.figures.census import CIRCUIT, INDEX, LAYER, MODEL, Place, added, census, with_rest
from labelapp.figures.estimates import (
    CORRECTED,
    MACHINE,
    PERSON,
    Resolved,
    comparable,
    corrected_estimate,
    is_partly_judged,
    machine_estimate,
    partly_words,
    person_estimate,
)
from labelapp.figures.kinds.base import Computed, Kind, Point, counted, estimated, inputs_of
from labelapp.figures.people import NO_SELECTION, Labelled, Sample, sample_of
from labelapp.figures.query import TRUTHS, UNITS
from labelapp.figures.words import interval_words, percent
from labelapp.judgements.tables import Tally
from labelapp.statistics.estimation import Estimate

NOTHING = (
    "Nothing of this selection is judged yet. Start the offline baseline on the runs page (it takes seconds and no "
    "language model), or judge a sample yourself: Label."
)
OVER_VECTORS = "A machine's interval is for what its census stands for, and keeps the two ends of a vector together."
FEW_LABELS = "Where fewer than 10 labels of people fall, no estimate of theirs is drawn; the table says so."
COMMON_FILTERS = ("model", "circuit", "sign", "judge", "rule", "project", "truth", "unit")


def place_points(
    resolved: Resolved, place: Point, rows: Sequence[Labelled], tally: Tally, sample: Sample
) -> list[Point]:
    """What the machine, people and both together say of one place; only what has something to say."""
    query, found = resolved.query, []
    if tally.total:
        machine = machine_estimate(query.change(estimand="census"), tally)
        found.append(counted(_of(place, MACHINE), machine, tally))
    if not sample.rows:
        return found
    person = estimated(_of(place, PERSON), person_estimate(rows, sample))
    found.append(_with_yes(person, rows))
    if tally.total and sample.knows_census and not is_partly_judged(tally):
        taken = comparable(rows, tally)
        corrected = corrected_estimate(taken, tally, sample).recommended
        found.append(_with_yes(estimated(_of(place, CORRECTED), corrected), taken))
    return found


def _of(place: Point, source: str) -> Point:
    return replace(place, source=source)


def _with_yes(point: Point, rows: Sequence[Labelled]) -> Point:
    return replace(point, yes=sum(it.human for it in rows), n=len(rows))


def gathered(resolved: Resolved, by: Sequence[str]) -> tuple[dict[Place, Tally], Sample]:
    """The census by place, with what is not judged where people take part; and the labels."""
    judge, rule = resolved.judge, resolved.rule
    counts: dict[Place, Tally] = {}
    if judge and rule:
        counts = census(resolved.of, judge, rule, by, resolved.query.unit)
    sample = sample_of(resolved.query, resolved.project, judge, rule) if resolved.project else Sample()
    if counts and sample.rows:
        counts = with_rest(counts, resolved.of, by, resolved.query.unit)
    return counts, sample


def series_notes(resolved: Resolved, sample: Sample, counts: Mapping[Place, Tally], *more: str) -> list[str]:
    found, whole = [OVER_VECTORS, *more], added(list(counts.values()))
    if sample.rows and whole.total and is_partly_judged(whole):
        found.append(partly_words(whole))
    if sample.rows and not sample.knows_census:
        found.append(NO_SELECTION)
    if sample.rows:
        found.append(FEW_LABELS)
    elif resolved.project is not None and sample.refusal:
        found.append(sample.refusal)
    return found


# By layer


def compute_layers(resolved: Resolved) -> Computed:
    by = (MODEL, LAYER)
    counts, sample = gathered(resolved, by)
    inputs = inputs_of(resolved, ("model_id", "layer"), counts, sample)
    labels = sample.where(by)
    places = sorted({*counts, *labels}, key=lambda it: (it[0], it[1] is not None, it[1] or 0))
    models = Model.objects.in_bulk([model for model, _ in places])
    points = []
    for model, layer in places:
        if layer is None:
            continue
        depth = layer / max(models[model].n_layers - 1, 1)
        place = Point("", model=str(models[model]), layer=layer, depth=depth, cell=(model, layer))
        points += place_points(
            resolved, place, labels.get((model, layer), []), counts.get((model, layer), Tally()), sample
        )
    if not points:
        return Computed(refusal=NOTHING, inputs=inputs)
    return Computed(
        points, layers_sentence(resolved, points, sample), series_notes(resolved, sample, counts), inputs=inputs
    )


def layers_sentence(resolved: Resolved, points: Sequence[Point], sample: Sample) -> str:
    """Lowest and highest layer of each model, by the best source that there is."""
    source = best_source(points)
    by_model: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        if point.source == source and point.value is not None:
            by_model[point.model].append(point)
    parts = []
    for model, own in by_model.items():
        low, high = min(own, key=_value), max(own, key=_value)
        parts.append(
            f"{model}: from {percent(low.value)} in layer {low.layer} ({_interval(low)}) to {percent(high.value)} in "
            f"layer {high.layer} ({_interval(high)})"
        )
    return stated(resolved, "by layer", source, sample, parts)


def best_source(points: Sequence[Point]) -> str:
    """Whose word counts most, of those that have something to say."""
    known = {it.source for it in points if it.value is not None}
    return next((it for it in (CORRECTED, PERSON, MACHINE) if it in known), "")


def stated(resolved: Resolved, by: str, source: str, sample: Sample, parts: Sequence[str]) -> str:
    unit = UNITS[resolved.query.unit].capitalize()
    said = f"{said_by(resolved, source, sample)}; 95 % intervals"
    return f"{unit} interpretable {by} ({said}): {'; '.join(parts)}." if parts else ""


def said_by(resolved: Resolved, source: str, sample: Sample) -> str:
    """Whose word it is, with rule and n."""
    rule = f"{resolved.judge}, rule {resolved.rule.identifier}" if resolved.rule else "no machine"
    people = f"{len(sample.rows):,} labels, {TRUTHS[resolved.query.truth]}"
    alone = "people's labels are too few" if sample.rows else "no person took part"
    return {
        MACHINE: f"{rule}; {alone}",
        PERSON: people,
        CORRECTED: f"{people}, corrected by {rule}",
    }.get(source, "nobody")


def _value(point: Point) -> float:
    return point.value or 0.0


def _interval(point: Point) -> str:
    if point.low is None or point.high is None:
        return "no interval"
    return f"{100 * point.low:.1f} to {100 * point.high:.1f}"


def layers_spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    x = resolved.query.x
    title = "Layer" if x == "layer" else "Fraction of depth (0 is the first layer, 1 the last)"
    return plots.series_spec(computed.points, x=x, x_title=title, unit=UNITS[resolved.query.unit])


# By index


def index_bin(index: int) -> tuple[int, int]:
    """Bins that double: 0, 1, 2 to 3, 4 to 7, … A label is rare, so people need wide ones."""
    if index < 2:
        return index, index
    low = 1 << (index.bit_length() - 1)
    return low, 2 * low - 1


def compute_indices(resolved: Resolved) -> Computed:
    counts, sample = gathered(resolved, (MODEL, INDEX))
    inputs = inputs_of(resolved, ("model_id", "index"), counts, sample)
    models = Model.objects.in_bulk({*(it[0] for it in counts), *(it.model for it in sample.rows)})
    points = []
    for (model, index), tally in sorted(counts.items()):
        place = Point("", model=str(models[model]), index=index, cell=(model, index))
        points += place_points(resolved, place, [], tally, Sample())
    bins: dict[tuple[int, tuple[int, int]], tuple[list[Tally], list[Labelled]]] = defaultdict(lambda: ([], []))
    for (model, index), tally in counts.items():
        bins[model, index_bin(index)][0].append(tally)
    for row in sample.rows:
        bins[row.model, index_bin(row.index)][1].append(row)
    for (model, (low, high)), (tallies, rows) in sorted(bins.items()) if sample.rows else []:
        name = str(low) if low == high else f"{low} to {high}"
        middle = (low + high) / 2
        place = Point("", name=f"index {name}", model=str(models[model]), index=middle, cell=(model, (low, high)))
        points += [it for it in place_points(resolved, place, rows, added(tallies), sample) if it.source != MACHINE]
    if not points:
        return Computed(refusal=NOTHING, inputs=inputs)
    more = "People's labels are pooled over bins of indices that double, and drawn at each bin's middle."
    noted = series_notes(resolved, sample, counts, *([more] if sample.rows else []))
    contrasts = [it for model in models for it in first_and_rest(resolved, model, points, counts, sample)]
    return Computed(points, indices_sentence(resolved, contrasts, sample), noted, inputs=inputs)


def first_and_rest(
    resolved: Resolved, model: int, points: Sequence[Point], counts: Mapping[Place, Tally], sample: Sample
) -> list[tuple[Point, Point]]:
    """Of each source the first index or bin of a model that it has something to say of, and all behind it together."""
    found = []
    for source in (CORRECTED, PERSON, MACHINE):
        first = next(
            (it for it in points if it.source == source and it.cell[0] == model and it.value is not None), None
        )
        if first is None:
            continue
        last = first.cell[1] if source == MACHINE else first.cell[1][1]
        behind = {index: it for (pk, index), it in counts.items() if pk == model and index > last}
        rows = [it for it in sample.rows if it.model == model and it.index > last]
        place = Point("", name=f"the {len({*behind, *(it.index for it in rows)}):,} indices after it")
        rest = place_points(resolved, place, rows, added(list(behind.values())), sample)
        found += [(first, it) for it in rest if it.source == source and it.value is not None]
    return found


def indices_sentence(resolved: Resolved, contrasts: Sequence[tuple[Point, Point]], sample: Sample) -> str:
    """The first index against those behind it, by the best source that there is."""
    source = best_source([first for first, _ in contrasts])
    parts = [
        f"{first.model}: {percent(first.value)} at {first.name or f'index {first.index:g}'} ({_interval(first)}), "
        f"{percent(rest.value)} over {rest.name} ({_interval(rest)})"
        for first, rest in contrasts
        if first.source == source
    ]
    return stated(resolved, "by direction index, over all layers", source, sample, parts)


def indices_spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    title = "Direction index (0: largest singular value)"
    return plots.series_spec(computed.points, x="index", x_title=title, unit=UNITS[resolved.query.unit])


# By model


def compute_models(resolved: Resolved) -> Computed:
    by = (MODEL, CIRCUIT)
    counts, sample = gathered(resolved, by)
    inputs = inputs_of(resolved, ("model_id", "circuit"), counts, sample)
    labels = sample.where(by)
    models = Model.objects.in_bulk({it[0] for it in (*counts, *labels)})
    points = []
    for model in sorted(models):
        own = {place: tally for place, tally in counts.items() if place[0] == model}
        rows = [it for it in sample.rows if it.model == model]
        whole = Point("", name=str(models[model]), model=str(models[model]), cell=(model, None))
        points += place_points(resolved, whole, rows, added(list(own.values())), sample)
        circuits = sorted({place[1] for place in (*own, *labels) if place[0] == model})
        for circuit in circuits if len(circuits) > 1 else []:
            place = (model, circuit)
            point = Point("", f"{models[model]} {CIRCUIT_NAMES[circuit]}", str(models[model]), circuit, cell=place)
            points += place_points(resolved, point, labels.get(place, []), counts.get(place, Tally()), sample)
    if not points:
        return Computed(refusal=NOTHING, inputs=inputs)
    return Computed(
        points, models_sentence(resolved, points, sample), series_notes(resolved, sample, counts), inputs=inputs
    )


def models_sentence(resolved: Resolved, points: Sequence[Point], sample: Sample) -> str:
    source = best_source(points)
    own = [it for it in points if it.source == source and it.value is not None and not it.circuit]
    parts = [
        f"{it.model} {percent(it.value)}{interval_words(Estimate('', it.n, it.value, it.low, it.high))}" for it in own
    ]
    return stated(resolved, "by model", source, sample, parts)


def models_spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    return plots.places_spec(computed.points, unit=UNITS[resolved.query.unit])


BY_LAYER = Kind(
    name="layers",
    title="By layer",
    question="Where in the model do directions mean something?",
    explanation="The fraction interpretable by layer, of several models at once: people, machine, and both together.",
    compute=compute_layers,
    spec=layers_spec,
    filters=(*COMMON_FILTERS, "index", "x"),
    columns=("model", "layer", "source", "value", "interval", "yes", "n", "left_out", "why"),
    by=(MODEL, LAYER),
)
BY_INDEX = Kind(
    name="indices",
    title="By index",
    question="Do the first directions mean more?",
    explanation="The fraction interpretable by direction index, over all layers; 0 has the largest singular value.",
    compute=compute_indices,
    spec=indices_spec,
    filters=(*COMMON_FILTERS, "layer", "index"),
    columns=("model", "index", "source", "value", "interval", "yes", "n", "left_out", "why"),
    by=(MODEL, INDEX),
    looks_into_matrices=True,
)
BY_MODEL = Kind(
    name="models",
    title="By model",
    question="Which model, and which of its matrices, means most?",
    explanation="The fraction interpretable by model and circuit.",
    compute=compute_models,
    spec=models_spec,
    filters=(*COMMON_FILTERS, "layer", "index"),
    columns=("name", "source", "value", "interval", "yes", "n", "left_out", "why"),
    by=(MODEL, CIRCUIT),
)
