"""Where upper rooms add to the atlas's pages. They register in their AppConfig.ready; the atlas imports none of them.

Blindness is kept here too: who may still have to judge a direction blind is asked of every registered check.
Whatever shows verdicts asks `hidden_from` first, and whatever counts them `hidden_directions`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from labelapp.accounts.models import User
from labelapp.atlas.keys import Variant
from labelapp.atlas.models import Direction, Matrix, Model

T = TypeVar("T", Direction, Matrix, Model)


@dataclass(frozen=True)
class Panel(Generic[T]):
    """A section of a page; `context` returns what its template finds as `panel`, or None to leave it out."""

    order: int
    template: str
    context: Callable[[HttpRequest, T], Mapping[str, Any] | None]


@dataclass(frozen=True)
class ShownPanel:
    template: str
    context: Mapping[str, Any]


@dataclass(frozen=True)
class ColumnNote:
    """A few words under a column of the matrix table, such as "✓ baseline"."""

    text: str
    title: str = ""
    verdict: str = ""  # colours the words; they say it without the colour as well


@dataclass(frozen=True)
class CellValue:
    """What an overview's cell holds: `depth` 0 to 1 becomes its colour."""

    depth: float
    shown: str
    title: str


@dataclass(frozen=True)
class OverviewColour:
    """One thing by which a model's overview can be coloured; `values` maps a variant's matrix ids to cells."""

    slug: str
    name: str
    explanation: str
    values: Callable[[Model, Variant], Mapping[int, CellValue]]


DirectionPanel = Panel[Direction]
MatrixPanel = Panel[Matrix]
ModelPanel = Panel[Model]
MatrixNotes = Callable[[HttpRequest, Matrix, Sequence[Direction]], Mapping[int, Sequence[ColumnNote]]]
OverviewColours = Callable[[HttpRequest, Model], Sequence[OverviewColour]]
# Of some direction ids those that the person has yet to judge blind, with the project's name.
BlindCheck = Callable[[User, Collection[int]], Mapping[int, str]]
# All the directions that the person has yet to judge blind.
HiddenDirections = Callable[[User], QuerySet[Direction]]

_direction_panels: list[DirectionPanel] = []
_matrix_panels: list[MatrixPanel] = []
_model_panels: list[ModelPanel] = []
_matrix_notes: list[MatrixNotes] = []
_overview_colours: list[OverviewColours] = []
_blind_checks: list[BlindCheck] = []
_hidden_directions: list[HiddenDirections] = []


def register_direction_panel(panel: DirectionPanel) -> None:
    _direction_panels.append(panel)


def register_matrix_panel(panel: MatrixPanel) -> None:
    _matrix_panels.append(panel)


def register_model_panel(panel: ModelPanel) -> None:
    _model_panels.append(panel)


def register_matrix_notes(notes: MatrixNotes) -> None:
    _matrix_notes.append(notes)


def register_overview_colours(colours: OverviewColours) -> None:
    _overview_colours.append(colours)


def register_blind_check(check: BlindCheck) -> None:
    _blind_checks.append(check)


def register_hidden_directions(hidden: HiddenDirections) -> None:
    _hidden_directions.append(hidden)


def direction_panels(request: HttpRequest, direction: Direction) -> list[ShownPanel]:
    return _shown(_direction_panels, request, direction)


def matrix_panels(request: HttpRequest, matrix: Matrix) -> list[ShownPanel]:
    return _shown(_matrix_panels, request, matrix)


def model_panels(request: HttpRequest, model: Model) -> list[ShownPanel]:
    return _shown(_model_panels, request, model)


def matrix_notes(request: HttpRequest, matrix: Matrix, columns: Sequence[Direction]) -> dict[int, list[ColumnNote]]:
    """What all rooms have to say under the columns, by direction id."""
    collected: dict[int, list[ColumnNote]] = {}
    for notes in _matrix_notes:
        for direction_id, lines in notes(request, matrix, columns).items():
            collected.setdefault(direction_id, []).extend(lines)
    return collected


def overview_colours(request: HttpRequest, model: Model) -> list[OverviewColour]:
    return [colour for colours in _overview_colours for colour in colours(request, model)]


def hidden_from(user: User, direction_ids: Collection[int]) -> dict[int, str]:
    """Of these directions, those whose verdicts the person must not see yet, with the project that asks for it."""
    hidden: dict[int, str] = {}
    for check in _blind_checks:
        hidden |= check(user, direction_ids)
    return hidden


def controls_hidden_from(user: User, directions: Sequence[Direction]) -> Collection[int]:
    """Of these directions, all of one matrix, by id, the controls that the person is still to judge blind.

    Their readouts are not shown beside their keys, which would uncover them; the rows have their matrix at hand.
    Nor is what the same noise gives in another preprocessing or basis: those readouts are nearly the same.
    """
    controls = [it.pk for it in directions if it.matrix.control]
    if not controls:
        return ()
    here = directions[0].matrix
    same_noise = {
        f"matrix__{name}": getattr(here, name)
        for name in ("model_id", "circuit", "layer", "head", "control", "control_seed")
    }
    if hidden_directions(user).filter(**same_noise).exclude(matrix=here).exists():
        return controls
    return hidden_from(user, controls).keys()


def hidden_directions(user: User) -> QuerySet[Direction]:
    """All directions whose verdicts the person must not see yet: to be counted, as part of another query."""
    if len(_hidden_directions) == 1:  # one list of directions in another: PostgreSQL then looks at every direction
        return _hidden_directions[0](user)
    wanted = Q(pk__in=[])
    for hidden in _hidden_directions:
        wanted |= Q(pk__in=hidden(user).values("pk"))
    return Direction.objects.filter(wanted)


def _shown(panels: Sequence[Panel[T]], request: HttpRequest, subject: T) -> list[ShownPanel]:
    found = []
    for panel in sorted(panels, key=lambda it: it.order):
        context = panel.context(request, subject)
        if context is not None:
            found.append(ShownPanel(panel.template, context))
    return found
