"""Calibration: how often people say yes where the machine gives yes so much probability."""

from __future__ import annotations

from typing import Any

from django.db.models.fields.json import KT

from labelapp.figures import plots
from labelapp.figures.census import direction_answers
from labelapp.figures.estimates import PERSON, Resolved
from labelapp.figures.kinds.base import Computed, Kind, Point, inputs_of
from labelapp.figures.people import sample_of
from labelapp.figures.query import ENDS, TRUTHS
from labelapp.labelling.machine import Said
from labelapp.labelling.models import Item

NO_PROJECT = (
    "Calibration sets a machine's confidence beside people's verdicts, so it needs a project that people have judged: "
    "choose one below, or judge a sample: Label."
)
NO_NUMBERS = (
    "This machine gave no confidence on any direction that people judged. A verifier whose server returns "
    "log-probabilities gives one, and so does the offline baseline (by its p-value)."
)
FEWEST = 10


def compute(resolved: Resolved) -> Computed:
    from labelapp.statistics.operating import reliability_curve

    if resolved.project is None or resolved.judge is None or resolved.rule is None:
        return Computed(refusal=NO_PROJECT)
    query = resolved.query.change(unit=ENDS)  # a confidence is of an end
    sample = sample_of(query, resolved.project, resolved.judge, resolved.rule)
    inputs = inputs_of(resolved, (), {}, sample)
    if not sample.rows:
        return Computed(refusal=sample.refusal, inputs=inputs)
    given = confidences(resolved)
    rows = [it for it in sample.rows if it.direction in given]
    pairs = [(given[it.direction], float(it.human)) for it in rows]
    if not pairs:
        return Computed(refusal=NO_NUMBERS, inputs=inputs)
    vectors = [it.vector for it in rows]
    found = reliability_curve([p for p, _ in pairs], [h for _, h in pairs], clusters=vectors)
    points = [
        Point(
            PERSON,
            f"{100 * it.start:.0f} to {100 * it.stop:.0f} %",
            index=it.confidence,
            value=it.share,
            low=it.low,
            high=it.high,
            n=it.n,
            yes=round((it.share or 0) * it.n),
            why=f"Fewer than {FEWEST} labels: no interval." if 0 < it.n < FEWEST else "",
        )
        for it in found.bins
        if it.n
    ]
    notes = [
        "Bins of equal width. The dashed line is where people would say yes as often as the machine thinks.",
        "Labels count alike here, whatever their probability to be drawn: where a design oversamples, this is the "
        "curve of the labelled, not of the census."
        if not sample.has_equal_pi
        else "",
        "Of the offline baseline the probability is that of a repetition that passes its level again (by its p-value).",
    ]
    left_out = len(sample.rows) - len(pairs)
    if left_out:
        notes.append(f"{left_out:,} labels are left out: the machine gave no number there.")
    brier, error = found.brier, found.expected_error
    sentence = (
        f"Over {found.n:,} ends ({TRUTHS[resolved.query.truth]}) the confidence of {resolved.judge} is off by "
        f"{100 * (error or 0):.1f} points on average (expected calibration error), with a Brier score of {brier:.3f}; "
        "neither has an interval here, those of the curve's bins are in the table."
    )
    extra = {"brier": brier, "expected_error": error}
    return Computed(points, sentence, [it for it in notes if it], inputs=inputs, extra=extra)


def confidences(resolved: Resolved) -> dict[int, float]:
    """By direction the probability of interpretable, where the machine gave a number: one query."""
    judge = resolved.judge
    assert judge is not None and resolved.project is not None
    alpha = float(judge.parameters.get("alpha", Said.alpha))
    items = Item.objects.filter(project=resolved.project).values("direction_id")
    rows = direction_answers(resolved.of, judge).filter(direction__in=items)
    rows = rows.annotate(confidence=KT("evidence__confidence"), p_value=KT("evidence__p_value"))
    columns = ("direction_id", "verdict", "label", "answer", "confidence", "p_value")
    found = {}
    for direction, verdict, label, answer, confidence, p_value in rows.values_list(*columns):
        said = Said(verdict, answer, _number(confidence), _number(p_value), alpha, label)
        if said.confidence is not None or said.p_value is not None:
            found[direction] = said.probability
    return found


def _number(text: str | float | None) -> float | None:
    return None if text is None else float(text)


def spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    return plots.reliability_spec(computed.points)


KIND = Kind(
    name="calibration",
    title="Calibration",
    question="Is the machine as sure as it may be?",
    explanation="The reliability curve: what people say where the machine gives yes so much probability.",
    compute=compute,
    spec=spec,
    filters=("model", "circuit", "layer", "index", "sign", "judge", "project", "truth"),
    columns=("name", "value", "interval", "yes", "n", "why"),
)
