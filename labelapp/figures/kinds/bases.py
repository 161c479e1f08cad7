"""Singular directions against neurons and rotations: the machine's fractions, paired by matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labelapp.figures import plots
from labelapp.figures.census import Place, Slice, added, census
from labelapp.figures.estimates import MACHINE, Resolved, machine_estimate
from labelapp.figures.kinds.base import Computed, Kind, Point, counted, inputs_of
from labelapp.figures.people import Sample
from labelapp.figures.query import UNITS
from labelapp.figures.words import p_words, percent, points_words
from labelapp.judgements.tables import Tally

FEWEST_DRAWS, MOST_DRAWS, WORK = 999, 9999, 3_000_000  # flips of sign; matrices times draws while a page waits
PLACE = ("matrix__model_id", "matrix__circuit", "matrix__layer", "matrix__head")
NOTHING = (
    "No matrix of this selection is judged both in the SVD's basis and in this one. Decompose the other basis "
    "(./tea manage decompose demo --basis {basis}), then run the same judge over it."
)


def compute(resolved: Resolved) -> Computed:
    from labelapp.statistics.contrasts import paired_by_matrix

    query, judge, rule = resolved.query, resolved.judge, resolved.rule
    nothing = NOTHING.format(basis=query.basis)
    if judge is None or rule is None:
        return Computed(refusal=nothing)
    own = census(Slice(resolved.of.selections), judge, rule, PLACE, query.unit)
    other = census(Slice(resolved.of.of_variant(bases=(query.basis,)).selections), judge, rule, PLACE, query.unit)
    both = sorted((it for it in own if own[it].n and it in other and other[it].n), key=str)
    counts: dict[Place, Tally] = {("svd", *it): own[it] for it in both}
    counts |= {(query.basis, *it): other[it] for it in both}
    inputs = inputs_of(resolved, ("basis", "model_id", "circuit", "layer", "head"), counts, Sample())
    if not both:
        return Computed(refusal=nothing, inputs=inputs)
    draws = max(FEWEST_DRAWS, min(MOST_DRAWS, WORK // len(both)))
    found = paired_by_matrix([_share(own[it]) for it in both], [_share(other[it]) for it in both], draws=draws)
    whole = {"singular directions": added([own[it] for it in both]), query.basis: added([other[it] for it in both])}
    census_query = query.change(estimand="census")
    points = [counted(Point(MACHINE, name), machine_estimate(census_query, it), it) for name, it in whole.items()]
    points.append(
        Point(
            MACHINE,
            "difference, matrix by matrix",
            value=found.difference,
            low=found.low,
            high=found.high,
            n=found.matrices,
            p=found.p,
            method="paired by matrix: t interval, p by flipping signs",
            why=found.why,
        )
    )
    notes = [
        "Paired by matrix: the difference is taken within each matrix, and matrices are the unit of its interval. The "
        "mean over matrices weighs each alike, so it need not be the difference of the two fractions above.",
        "The rotated basis is a contrast, not a control: it spans the same space, and a rotation of meaning can mean "
        "something.",
    ]
    return Computed(
        points, sentence(resolved, whole, points[-1], draws), notes, inputs=inputs, extra={"matrices": len(both)}
    )


def sentence(resolved: Resolved, whole: Mapping[str, Tally], difference: Point, draws: int) -> str:
    from labelapp.statistics.contrasts import EXACT_FLIPS

    shares = " against ".join(f"{percent(_share(it))} of {name}" for name, it in whole.items())
    least = 1 / (1 + draws) if difference.n > EXACT_FLIPS else 0.0
    unit = UNITS[resolved.query.unit]
    interval = ", without an interval"
    if difference.low is not None and difference.high is not None:
        ends = f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
        interval = f", 95 % interval {ends}, {p_words(difference.p, least)}"
    rule = resolved.rule.identifier if resolved.rule else ""
    return (
        f"{resolved.judge}, rule {rule}, calls {shares} interpretable ({unit}); paired over {difference.n:,} "
        f"matrices the difference is {points_words(difference.value)}{interval}."
    )


def _share(it: Tally) -> float:
    return it.interpretable / it.n


def spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    title = f"{UNITS[resolved.query.unit].capitalize()} interpretable, and their difference (%)"
    return plots.rows_spec(computed.points, unit=UNITS[resolved.query.unit], title=title, reference=0.0)


KIND = Kind(
    name="bases",
    title="Bases",
    question="Are singular directions better than neurons?",
    explanation="Singular directions against neurons or rotations of the same matrices, paired by matrix.",
    compute=compute,
    spec=spec,
    filters=("model", "circuit", "layer", "index", "sign", "judge", "rule", "unit", "basis"),
    columns=("name", "value", "interval", "yes", "n", "p", "why"),
)
