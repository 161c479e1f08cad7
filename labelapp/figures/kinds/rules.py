"""The multiverse of verdict rules: the same answers under every rule, and what changes in each conclusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from labelapp.atlas.models import Model
from labelapp.figures import plots
from labelapp.figures.census import CIRCUIT, LAYER, MODEL, Place, added, census, rules_of, with_rest
from labelapp.figures.estimates import (
    CORRECTED,
    MACHINE,
    Resolved,
    comparable,
    control_line,
    corrected_estimate,
    machine_estimate,
)
from labelapp.figures.kinds.base import Computed, Kind, Point, counted, estimated, inputs_of
from labelapp.figures.kinds.series import NOTHING, OVER_VECTORS
from labelapp.figures.people import Sample, sample_of
from labelapp.figures.query import UNITS
from labelapp.figures.words import percent
from labelapp.judgements.rules import Rule
from labelapp.judgements.tables import Tally
from labelapp.statistics.estimation import Estimate

Counts = Mapping[Place, Tally]
BY = (MODEL, CIRCUIT, LAYER)
FRACTION = "the fraction interpretable"
QUARTER = 4
N_DIFFERS = (
    "The rules have a yes or no of different numbers of units, as the table's n says: where the verifier was not "
    "asked, or could not be read, there is none under some. Shares of different units are compared."
)


def compute(resolved: Resolved) -> Computed:
    judge = resolved.judge
    if judge is None:
        return Computed(refusal=NOTHING)
    points: list[Point] = []
    inputs: dict[Place, Tally] = {}
    sample, layers = Sample(), _layers()
    rules = rules_of(judge)
    for number, rule in enumerate(rules):
        resolved.progress(100 * number // len(rules))
        counts = census(resolved.of, judge, rule, BY, resolved.query.unit)
        if resolved.project is not None:
            sample = sample_of(resolved.query, resolved.project, judge, rule)
            counts = with_rest(counts, resolved.of, BY, resolved.query.unit) if sample.rows else counts
        inputs |= {(rule.name, *place): it for place, it in counts.items()}
        points += _points(replace(resolved, rule=rule), counts, sample, layers)
    if not points:
        return Computed(
            refusal=NOTHING, inputs=inputs_of(resolved, ("rule", "model_id", "circuit", "layer"), inputs, sample)
        )
    changed = changes(points)
    notes = [
        OVER_VECTORS,
        "A conclusion holds where the whole interval lies on its side, and is open where it does not.",
    ]
    if why := control_line(replace(resolved, rule=rules[0]), Sample()).estimate.why:
        notes.append(f"Nothing is set against noise. {why}")
    if counts_differ(points):
        notes.append(N_DIFFERS)
    if len(rules) == 1:
        notes.append("This judge has one rule: without a verifier there is nothing to combine.")
    extra = {"conclusions": conclusions(points), "rules": [it.identifier for it in rules]}
    columns = ("rule", "model_id", "circuit", "layer")
    return Computed(
        points,
        sentence(points, changed, resolved.query.unit),
        notes,
        inputs=inputs_of(resolved, columns, inputs, sample),
        extra=extra,
    )


def counts_differ(points: Sequence[Point]) -> bool:
    """Whether the rules do not all have a yes or no of the same number of units."""
    return len({it.n for it in points if it.name == FRACTION and it.source == MACHINE}) > 1


def _layers() -> dict[int, int]:
    return dict(Model.objects.values_list("pk", "n_layers"))


def _points(resolved: Resolved, counts: Counts, sample: Sample, layers: Mapping[int, int]) -> list[Point]:
    """The fraction and every contrast under one rule."""
    rule, judge, query = resolved.rule, resolved.judge, resolved.query.change(estimand="census")
    assert rule is not None and judge is not None

    def share(chosen: Callable[[Place], bool]) -> Estimate:
        return machine_estimate(query, added([it for place, it in counts.items() if chosen(place)]))

    whole = added(list(counts.values()))
    if not whole.total:
        return []
    place = Point(MACHINE, rule=rule.identifier)
    found = [counted(replace(place, name=FRACTION), machine_estimate(query, whole), whole)]
    rows = comparable(sample.rows, whole)
    if rows and whole.n and sample.knows_census:
        corrected = corrected_estimate(rows, whole, sample).recommended
        found.append(estimated(replace(place, source=CORRECTED, name=FRACTION), corrected))
    noise = control_line(replace(resolved, query=query), Sample()).estimate
    first = share(lambda it: it[2] is not None and it[2] < layers[it[0]] // QUARTER)
    last = share(lambda it: it[2] is not None and it[2] >= layers[it[0]] - layers[it[0]] // QUARTER)
    contrasts = (
        ("above what noise passes", share(lambda _: True), noise),
        ("last quarter of layers above the first", last, first),
        ("MLP-in above MLP-out", share(lambda it: it[1] == "mlp_in"), share(lambda it: it[1] == "mlp_out")),
        ("OV above MLP-out", share(lambda it: it[1] == "ov"), share(lambda it: it[1] == "mlp_out")),
    )
    return found + [
        _contrast(place, name, one, other, rule) for name, one, other in contrasts if one.n and other.value is not None
    ]


def _contrast(place: Point, name: str, one: Estimate, other: Estimate, rule: Rule) -> Point:
    from labelapp.statistics.contrasts import slice_difference

    return estimated(replace(place, name=name), slice_difference(one, other))


def verdict_on(point: Point) -> str:
    """Of a contrast: holds, the opposite holds, or open."""
    if point.low is None or point.high is None:
        return "open"
    if point.low > 0:
        return "holds"
    return "the opposite holds" if point.high < 0 else "open"


def conclusions(points: Sequence[Point]) -> list[dict[str, Any]]:
    """By contrast what each rule says of it."""
    names = list(dict.fromkeys(it.name for it in points if it.name != FRACTION))
    return [
        {
            "name": name,
            "says": [[it.rule, verdict_on(it), it.value, it.low, it.high] for it in points if it.name == name],
        }
        for name in names
    ]


def changes(points: Sequence[Point]) -> list[str]:
    """The contrasts on which the rules do not say the same."""
    return [it["name"] for it in conclusions(points) if len({said for _, said, *_ in it["says"]}) > 1]


def sentence(points: Sequence[Point], changed: Sequence[str], unit: str) -> str:
    """The least and the most that a rule makes of the machine's answers, with n and interval, and what hangs on it."""
    shares = [it for it in points if it.name == FRACTION and it.source == MACHINE and it.value is not None]
    if not shares:
        return ""
    shares.sort(key=lambda it: it.value or 0.0)
    names = {it.name for it in points if it.name != FRACTION}
    spread = " to ".join(_share(it) for it in dict.fromkeys((shares[0], shares[-1])))
    hangs = f"on {' and '.join(changed)}, the rules differ" if changed else "none hangs on the rule"
    rest = f"; of {len(names)} conclusions, {hangs}" if names and len(shares) > 1 else ""
    return f"Of {UNITS[unit]}, by the rule, the machine calls {spread} interpretable{rest}."


def _share(it: Point) -> str:
    interval = "no interval" if it.low is None or it.high is None else f"{100 * it.low:.1f} to {100 * it.high:.1f}"
    return f"{percent(it.value)} ({it.rule}; n = {it.n:,}; 95 % interval {interval})"


def spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    title = "Fraction, or difference (%)"
    return plots.rows_spec(computed.points, unit=UNITS[resolved.query.unit], title=title, reference=0.0)


KIND = Kind(
    name="rules",
    title="Rules",
    question="How much hangs on the verdict rule?",
    explanation="The same answers under every verdict rule, and what changes in each conclusion.",
    compute=compute,
    spec=spec,
    filters=("model", "circuit", "layer", "index", "sign", "judge", "project", "truth", "unit"),
    columns=("name", "rule", "source", "value", "interval", "n", "why"),
    template="figures/rules.html",
)
