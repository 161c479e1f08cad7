"""The panel "Can this judge be trusted?" on a run's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg

from labelapp.accounts.models import User
from labelapp.autolabel.measured import place_of
from labelapp.autolabel.measuring import CONTRASTS, SAMPLE, measurable_check, missing_contrasts, missing_controls
from labelapp.autolabel.models import PromptVersion, Run, RunItem
from labelapp.autolabel.runs import RunError
from labelapp.autolabel.trust import Row, Section, trust
from labelapp.jobs.models import OPEN
from labelapp.jobs.pages import may_control
from workers.llm.prices import dollars

Purpose = Run.Purpose
# What a section asks, what is done for it, and the words on its button.
WORDS = {
    Purpose.ORDER: (
        "Does the order of the list matter?",
        "The same tokens in another order, each list in its own.",
        "Ask in another order",
    ),
    Purpose.REPEAT: (
        "Does it say the same twice?",
        "The very same calls once more, not answered from the store.",
        "Ask the same again",
    ),
    Purpose.WRONG_LABEL: (
        "Does the verifier accept any label?",
        "It is handed the label of another direction, drawn at random. A few of those fit by chance.",
        "Hand it wrong labels",
    ),
    Purpose.CONTROLS: (
        "Does it find meaning in noise?",
        "Noise in the same circuits and layers, passed through blind: what it calls interpretable is a false positive.",
        "Ask about the controls",
    ),
    Purpose.CONTRASTS: (
        "Are singular directions more than neurons?",
        "The same matrices in the rotated and the neuron basis, beside this run's own directions.",
        "Ask about the contrasts",
    ),
    Purpose.DETECTION: (
        "Do the labels pick out what they name?",
        "A detector sees a label and a shuffled list: the direction's next tokens, which the labeler never saw, among "
        "as many of other directions. Balanced accuracy; who guesses has .5.",
        "Detect by the labels",
    ),
}


@dataclass(frozen=True)
class ShownRow:
    name: str
    value: str
    interval: str
    n: str
    note: str


@dataclass(frozen=True)
class ShownSection:
    """`run` is where the figures come from, `under_way` one of the kind that is not over. `missing` is not decomposed
    yet; `may_ask`: something is.
    """

    purpose: str
    title: str
    explanation: str
    rows: Sequence[ShownRow]
    note: str
    run: Run | None
    under_way: Run | None
    button: str
    missing: Sequence[str]
    may_ask: bool


def trust_panel(run: Run, viewer: User) -> dict[str, Any] | None:
    """None for a run whose judge is no language model. A run that measures another one shows what it found itself."""
    if run.kind == Run.Kind.CHOICE or (run.labeler_id is None and run.detector_id is None):
        return None
    if run.measured_run is not None:
        sections = trust(run.measured_run, viewer, [Purpose(run.purpose)], run)
        return {"measures": run.measured_run, "sections": [_shown(it, run) for it in sections], "may_measure": False}
    try:
        measurable_check(run)
        refusal = ""
    except RunError as error:
        refusal = str(error)
    sections = trust(run, viewer)
    open_ones = {it.purpose: it for it in run.measurements.filter(job__state__in=OPEN).select_related("job")}
    return {
        "measures": None,
        "sections": [_shown(it, run, open_ones.get(it.purpose)) for it in sections],
        "is_empty": not any(it.rows for it in sections),
        "may_measure": not refusal and may_control(viewer, run.job),
        "refusal": refusal,
        "sample": SAMPLE,
        "cost": cost_words(run),
        "detectors": PromptVersion.objects.filter(kind=PromptVersion.Kind.DETECTOR).order_by("name", "-version"),
    }


def cost_words(run: Run) -> str:
    """What SAMPLE directions cost about, from what this run's calls have cost; nothing is rendered for it."""
    items = RunItem.objects.filter(run=run, state=RunItem.State.DONE)
    means = items.aggregate(labeler=Avg("labeler_call__cost"), verifier=Avg("verifier_call__cost"))
    if not run.has_price or means["labeler"] is None:
        return "at an unknown price"
    return f"for about {dollars(int(SAMPLE * (means['labeler'] + (means['verifier'] or 0))))}"


def _shown(section: Section, run: Run, under_way: Run | None = None) -> ShownSection:
    title, explanation, button = WORDS[section.purpose]
    missing, kinds = _missing(section.purpose, run)
    return ShownSection(
        purpose=section.purpose.value,
        title=title,
        explanation=explanation,
        rows=[_row(row) for row in section.rows],
        note=section.note,
        run=section.run,
        under_way=under_way,
        button=button,
        missing=missing,
        may_ask=len(missing) < kinds and (section.purpose != Purpose.WRONG_LABEL or run.verifier_id is not None),
    )


def _missing(purpose: Run.Purpose, run: Run) -> tuple[Sequence[str], int]:
    """What lacks of the kinds that a measurement wants, and how many kinds there are."""
    if run.measured_run_id is not None or purpose not in (Purpose.CONTROLS, Purpose.CONTRASTS):
        return (), 1
    place = place_of(run)
    if purpose == Purpose.CONTRASTS:
        return missing_contrasts(place), len(CONTRASTS)
    return missing_controls(place), 4


def _row(row: Row) -> ShownRow:
    if row.value is None:
        return ShownRow(row.name, "–", "", f"{row.n:,}", row.note)
    interval = "" if row.low is None or row.high is None else f"{_number(row, row.low)} to {_number(row, row.high)}"
    unit = " %" if row.unit == "share" else ""
    return ShownRow(row.name, f"{_number(row, row.value)}{unit}", interval, f"{row.n:,} {row.of}", row.note)


def _number(row: Row, value: float) -> str:
    return f"{100 * value:.1f}" if row.unit == "share" else f"{value:.2f}"
