"""Pairs and matrices: what a project of them draws, and what its page shows of one.

One direction stands for each (`judgements.models.Subject`): of a vector its + end, of a matrix the first direction
of the selection on the side that keys leave out, else on the other. That side is the one that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labelapp.atlas.keys import SIDES
from labelapp.atlas.models import Matrix
from labelapp.judgements.models import Subject
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.labelling.projects.design import Design

# Of a matrix so many vectors are laid before a person, so many more on demand, and so many tokens of each end:
# what can be read at a glance.
VECTORS_SHOWN = 10
VECTORS_MORE = 20
MATRIX_TOKENS = 8

NAMES = {Subject.DIRECTION: "directions", Subject.VECTOR: "pairs", Subject.MATRIX: "matrices"}
CHOICES = [
    (Subject.DIRECTION, "directions"),
    (Subject.VECTOR, "pairs: the two ends of a vector"),
    (Subject.MATRIX, "whole matrices"),
]
QUESTIONS = {
    Subject.DIRECTION: "What do most of these have in common?",
    Subject.VECTOR: "How do the two ends go together?",
    Subject.MATRIX: "Does one broad concept run through these?",
}
PAIR_GUIDELINES = """\
Read both ends of the vector, and say how they go together. Which end stands first means nothing.

- **Same theme**: both ends are about one thing that you can name ("sports", "weather"), or about two sides of it that
  are no opposites ("cats" and "dogs").
- **Opposites**: each end has a meaning, and they are contraries: fire and ice, past and future, praise and blame.
- **Unrelated**: each end may mean something, but the two have nothing to do with one another; or an end means nothing.
- **Unsure**: you cannot decide. It is left out of the shares, and counted.

One label is enough where it names both ends; otherwise give each end its own.
"""
MATRIX_GUIDELINES = """\
Read the vectors, each with both its ends, and say whether one broad concept runs through them.

- **A broad concept**: most of the vectors are aspects of one thing that you can name ("law": lawsuits, prisons,
  insurance; "places": countries, cities, rivers). A few that are mere common words or noise do no harm.
- **No broad concept**: each vector may mean something, but there is nothing that most of them share.
- **Unsure**: you cannot decide. It is left out of the shares, and counted.
"""
GUIDELINES = {Subject.VECTOR: PAIR_GUIDELINES, Subject.MATRIX: MATRIX_GUIDELINES}
# A direction of the selection: its id, its matrix's id, side, index and sign, in the order of the keys.
Row = tuple[Any, ...]
NO_PAIRS = "The selection holds no vector with both its ends; widen it."


def subject_design_check(subject: str, design: Design) -> Design:
    """The design, if it can draw such subjects. Raises LabellingError."""
    if subject == Subject.DIRECTION:
        return design
    name = NAMES[Subject(subject)]
    if design.needs_machine:
        raise LabellingError(
            f"Machines judge directions, so they cannot say which {name} to draw: choose a simple random sample, "
            "strata of layer or circuit with proportional allocation, or all of them."
        )
    if design.selection.signs and subject == Subject.VECTOR:
        raise LabellingError("A pair has both signs; choose both.")
    return design


def of_directions_check(project: Project) -> None:
    """Raises LabellingError where the project is of pairs or matrices: checks, tests and plans are of directions."""
    if not project.is_of_directions:
        raise LabellingError(
            f"{project.name} is of {NAMES[Subject(project.subject)]}: checks, tests, quality and plan are for projects "
            "of directions. How people agree on these stands on its page of results."
        )


def tokens_shown(project: Project) -> int:
    """Of each end on the project's page."""
    return min(project.tokens_shown, MATRIX_TOKENS) if project.subject == Subject.MATRIX else project.tokens_shown


def guidelines_for(subject: str, text: str, usual: str) -> str:
    """The text that somebody wrote; the usual one is about directions, and for pairs and matrices there are others."""
    return GUIDELINES.get(Subject(subject), text) if text.split() == usual.split() else text


def representatives(rows: Sequence[Row], subject: str, matrices: Mapping[int, Matrix]) -> list[tuple[int, ...]]:
    """Of each vector that has both ends, or of each matrix, the direction that stands for it.

    Raises LabellingError where there is none.
    """
    found = _plus_ends(rows) if subject == Subject.VECTOR else _first_directions(rows, matrices)
    if not found:
        raise LabellingError(NO_PAIRS)
    return [(pk,) for pk in found]


def _plus_ends(rows: Sequence[Row]) -> list[int]:
    minus = {(matrix, side, index) for _, matrix, side, index, sign in rows if sign == "-"}
    return [pk for pk, matrix, side, index, sign in rows if sign == "+" and (matrix, side, index) in minus]


def _first_directions(rows: Sequence[Row], matrices: Mapping[int, Matrix]) -> list[int]:
    first: dict[int, tuple[tuple[int, int, str], int]] = {}
    for pk, matrix, side, index, sign in rows:
        rank = (SIDES[matrices[matrix].circuit].index(side), index, sign)
        if matrix not in first or rank < first[matrix][0]:
            first[matrix] = rank, pk
    return [pk for _, pk in first.values()]
