"""What may I claim? Every estimate of the fraction interpretable of one slice, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labelapp.figures import plots
from labelapp.figures.estimates import MACHINE, Estimates, Line, Resolved, estimates_of
from labelapp.figures.kinds.base import Computed, Kind, Point, counted, estimated, inputs_of
from labelapp.figures.query import ESTIMANDS, TRUTHS, UNITS
from labelapp.figures.words import interval_words, percent

NOTHING = (
    "Nobody has judged anything here yet. Start the offline baseline on the runs page (it takes seconds and no "
    "language model), or judge a sample yourself: Label."
)


def compute(resolved: Resolved) -> Computed:
    found = estimates_of(resolved)
    inputs = inputs_of(resolved, ("model_id", "layer"), found.counts, found.sample)
    if not found.census.n and not found.sample.rows:
        return Computed(refusal=found.sample.refusal or NOTHING, inputs=inputs)
    points = [
        _point("recommended", found.recommended, found),
        *(_point(it.estimate.method, it, found) for it in found.lines),
        _point("control rate", found.control, found),
        _point("net of the control rate", found.net, found),
    ]
    extra = {"why": found.why, "correlation": found.correlation, "control": found.control.estimate.why}
    return Computed(points, sentence(found), notes(found), inputs=inputs, extra=extra)


def _point(name: str, line: Line, found: Estimates) -> Point:
    point = Point(line.source, name)
    if line.source == MACHINE and not name.startswith(("control", "net")):
        return counted(point, line.estimate, found.census)
    return estimated(point, line.estimate)


def sentence(found: Estimates) -> str:
    """The figure as it can be pasted, with all that it hangs on."""
    resolved, it = found.resolved, found.recommended.estimate
    query = resolved.query
    unit = UNITS[query.unit]
    if it.value is None:
        return ""
    by = {"machine": "the machine alone says", "person": "people say", "corrected": "people, with the machine, say"}
    machine = ""
    if resolved.rule and found.census.n:
        machine = f"; machine {resolved.judge}, rule {resolved.rule.identifier}"
    people = f"; {found.n_labels:,} labels ({TRUTHS[query.truth]})" if found.n_labels else "; no person took part"
    census = found.census
    n = census.n if found.recommended.source == MACHINE else census.total + census.not_judged
    size = f"{n:,} " if n else ""
    return (
        f"Of {size}{unit} ({query.words}) {percent(it.value)} are interpretable{interval_words(it)}, as "
        f"{by[found.recommended.source]}; estimand: {ESTIMANDS[query.estimand]}; "
        f"estimator: {it.method}{people}{machine}."
    )


def notes(found: Estimates) -> list[str]:
    """What belongs to the figure, and what to beware of."""
    sample, lines = found.sample, list(found.notes)
    if found.census.left_out:
        lines.append(
            f"{found.census.left_out:,} answers of the machine are unsure, unparsed or failed: strata of their own in "
            "the recommended estimate, left out of the machine's share."
        )
    if sample.left_out:
        left_out = ", ".join(f"{n} {why}" for why, n in sample.left_out.items())
        lines.append(f"Left out of people's verdicts: {left_out}.")
    if sample.rows and sample.completion < 1:
        lines.append(
            f"{len(sample.rows):,} of {sample.n_drawn:,} drawn are judged. Their order is random, "
            "so they are a sample too."
        )
    return lines


def spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    shown: Sequence[Point] = [it for it in computed.points if it.value is not None]
    return plots.rows_spec(shown, unit=UNITS[resolved.query.unit])


KIND = Kind(
    name="estimates",
    title="Estimates",
    question="What may I claim?",
    explanation="The fraction interpretable, by every estimator that fits how the items were drawn.",
    compute=compute,
    spec=spec,
    filters=(
        "model",
        "circuit",
        "layer",
        "index",
        "sign",
        "judge",
        "rule",
        "project",
        "truth",
        "unit",
        "estimand",
        "calibration",
    ),
    columns=("source", "name", "value", "interval", "n", "gain", "why"),
    template="figures/estimates.html",
)
