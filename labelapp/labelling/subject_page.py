"""What of the labelling page depends on what is judged: its question, its card, its verdicts and their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from labelapp.judgements.models import Judgement, MatrixVerdict, PairVerdict, Subject
from labelapp.judgements.panels import direction_panel
from labelapp.labelling.cards import opposite_ends
from labelapp.labelling.checks.card import CheckCard
from labelapp.labelling.models import Item, Project
from labelapp.labelling.selectors import Seat
from labelapp.labelling.subjects import QUESTIONS, tokens_shown


@dataclass(frozen=True)
class Button:
    """A verdict on the page. Its key can be changed, and is kept under its name."""

    verdict: str
    name: str
    key: str


# Those of a direction stand in its card.
BUTTONS: dict[str, Sequence[Button]] = {
    Subject.VECTOR: (
        Button(PairVerdict.SAME_THEME, "Same theme", "y"),
        Button(PairVerdict.OPPOSITES, "Opposites", "p"),
        Button(PairVerdict.UNRELATED, "Unrelated", "n"),
        Button(PairVerdict.UNSURE, "Unsure", "u"),
    ),
    Subject.MATRIX: (
        Button(MatrixVerdict.CONCEPT, "Broad concept", "y"),
        Button(MatrixVerdict.NO_CONCEPT, "No concept", "n"),
        Button(MatrixVerdict.UNSURE, "Unsure", "u"),
    ),
}
CARDS = {
    Subject.DIRECTION: "labelling/card.html",
    Subject.VECTOR: "labelling/card_pair.html",
    Subject.MATRIX: "labelling/card_matrix.html",
}


@dataclass(frozen=True)
class Line:
    """One judgement as the list of others' shows it."""

    judgement: Judgement
    verdict: str


def subject_context(project: Project) -> dict[str, Any]:
    subject = Subject(project.subject)
    return {"question": QUESTIONS[subject], "card_template": CARDS[subject], "buttons": BUTTONS.get(subject, ())}


def others_context(request: HttpRequest, seat: Seat, item: Item | CheckCard) -> dict[str, Any]:
    """What stands on an item that the person has judged: of a pair or a matrix, what people of the project said."""
    source = item.source if isinstance(item, CheckCard) else seat.project.source
    project = seat.project
    n = tokens_shown(project)
    lines: Sequence[Any]
    if project.is_of_directions:
        lines = [
            line
            for line in direction_panel(request, item.direction)["lines"]
            if line.judgement.judge_id != seat.judge_id or line.judgement.source == source  # of a repeat this one alone
        ]
    else:
        standing = Judgement.every.filter(source=project.source, direction=item.direction_id, current=True)
        lines = [Line(row, row.verdict) for row in standing.select_related("judge").order_by("pk")]
    ends = [item.direction] if project.subject != Subject.MATRIX else []
    if project.subject == Subject.VECTOR:
        ends += opposite_ends([item]).values()
    return {
        "project": project,
        "readouts": [end.tokens[:n] for end in ends],
        "lines": lines,
        "n_others": sum(line.judgement.judge_id != seat.judge_id for line in lines),
    }
