"""What may I claim? Every estimate of the fraction interpretable of one slice, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from labelapp.figures import plots
from labelapp.figures.calibrated import Calibration
from labelapp.figures.estimates import MACHINE, Estimates, Line, Resolved, estimates_of
from labelapp.figures.kinds.base import Computed, Kind, Point, counted, estimated, inputs_of
from labelapp.figures.query import COUNTED, ESTIMANDS, TRUTHS, UNITS
from labelapp.figures.words import interval_words, percent

NOTHING = (
    "Nobody has judged anything here yet. Start the offline baseline on the runs page (it takes seconds and no "
    "language model), or judge a sample yourself: Label."
)


def compute(resolved: Resolved) -> Computed:
    found = estimates_of(resolved)
    inputs = inputs_of(resolved, ("model_id", "layer"), found.counts, found.sample)
    if found.calibration:
        inputs = replace(inputs, facts={**inputs.facts, **_facts(found.calibration)})
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
    it, query = found.recommended.estimate, found.resolved.query
    if it.value is None:
        return ""
    unit, are = COUNTED[query.unit]
    says = f"{percent(it.value)} {are}{interval_words(it)}"
    if found.is_of_the_judged_alone:
        return (
            f"Of the {found.n_labels:,} {unit} that people judged in {found.resolved.project} ({query.words}) {says}, "
            f"as people say ({TRUTHS[query.truth]}); estimand: what this project drew, of which nobody can say what it "
            f"stands for; estimator: {it.method}."
        )
    return f"Of {_counted(found, unit)} {says}, as {_who_says(found)}; {_hangs_on(found)}."


def _counted(found: Estimates, unit: str) -> str:
    """How many of what; a machine that left something out, or whose census nobody knows, speaks of what it judged."""
    census, words = found.census, found.resolved.query.words
    if found.recommended.source == MACHINE and not found.is_of_a_census:
        return f"the {census.n:,} {unit} that the machine judged ({words})"
    n = census.n if found.recommended.source == MACHINE else census.total + census.not_judged
    return f"{n:,} {unit} ({words})" if n else f"{unit} ({words})"


def _who_says(found: Estimates) -> str:
    if found.is_calibrated and found.calibration:
        return f"the machine says, corrected by its errors in {found.calibration.project}"
    return {"machine": "the machine alone says", "person": "people say", "corrected": "people, with the machine, say"}[
        found.recommended.source
    ]


def _hangs_on(found: Estimates) -> str:
    """Estimand, estimator, labels and machine."""
    resolved, query = found.resolved, found.resolved.query
    truth = TRUTHS[query.truth]
    of = ESTIMANDS[query.estimand] if found.is_of_a_census else "what the machine judged, whatever it stands for"
    parts = [f"estimand: {of}", f"estimator: {found.recommended.estimate.method}"]
    if found.is_calibrated and found.calibration:
        parts.append(f"{found.calibration.n:,} labels there ({truth}), and none here")
    else:
        parts.append(f"{found.n_labels:,} labels ({truth})" if found.n_labels else "no person took part")
    if resolved.rule and found.census.n:
        parts.append(f"machine {resolved.judge}, rule {resolved.rule.identifier}")
    return "; ".join(parts)


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


def _facts(it: Calibration) -> dict[str, Any]:
    """The error rates that came from elsewhere, from which Rogan and Gladen's estimate can be computed again."""
    return {
        "calibrated by": it.project.slug,
        "labels there": it.n,
        "sensitivity there": it.sensitivity.value,
        "sensitivity as exact as": it.sensitivity.effective_n,
        "specificity there": it.specificity.value,
        "specificity as exact as": it.specificity.effective_n,
    }


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
