"""Which directions a run asks about: a project's or a model's, narrowed down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from labelapp.accounts.models import User
from labelapp.atlas.keys import SIDES
from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import (
    ALL,
    NO_CONTROL,
    MatrixSelection,
    SelectionError,
    directions_selected,
    matrix_filter,
    selection_from_json,
    selection_parse,
)
from labelapp.exchange.subjects import subject_get
from labelapp.judgements.models import Judge, Judgement

SIDE_NAMES = tuple(dict.fromkeys(side for sides in SIDES.values() for side in sides))
# A project holds what was put into it, controls and all.
EVERYTHING = MatrixSelection(preprocessings=(), bases=(), controls=())


@dataclass(frozen=True)
class RunSelection:
    """Of a model's or (with `project`, its short name) a project's directions those in these matrices, with these
    indices and sides; of every list an empty one means all. `not_judged` leaves out what the judge has judged.
    `sampled`: of these only so many were drawn (0: all). `project` may also be a ground-truth set, as
    "truth:demo/animals@2".
    """

    model: Model | None = None
    project: str = ""
    matrices: MatrixSelection = field(default_factory=MatrixSelection)
    indices: tuple[int, ...] = ()
    sides: tuple[str, ...] = ()
    not_judged: bool = False
    sampled: int = 0

    def as_json(self) -> dict[str, Any]:
        """For `Run.selection`; `run_selection_words` reads it."""
        more = {
            "project": self.project,
            "indices": list(self.indices),
            "sides": list(self.sides),
            "sampled": self.sampled,
        }
        given = {name: value for name, value in more.items() if value}
        return self.matrices.as_json() | given | ({"not_judged": True} if self.not_judged else {})

    @property
    def words(self) -> str:
        return run_selection_words(self.as_json())


def run_selection_from_json(stored: Mapping[str, Any], model: Model | None) -> RunSelection:
    """What `as_json` made, and the model that is stored beside it."""
    return RunSelection(
        model,
        stored.get("project", ""),
        selection_from_json(stored),
        tuple(stored.get("indices", ())),
        tuple(stored.get("sides", ())),
        bool(stored.get("not_judged")),
    )


def run_selection_parse(model: Model | None, project: str, typed: Mapping[str, Any]) -> RunSelection:
    """From what somebody typed on a command line or a page: circuits, layers, preprocessing, basis, control, indices,
    sides and `not_judged`. What is empty of the first five is a model's own weights, and all that a project holds.

    `model` is the project's one model, or None where it has several. Raises SelectionError.
    """
    names = ("circuits", "layers", "preprocessing", "basis", "control")
    named = {name: typed[name] for name in names if (typed.get(name) or "").strip()}
    if model is not None:
        variants = ("preprocessing", "basis", "control")
        usual = (
            dict.fromkeys(variants, ALL) if project else dict(zip(variants, ("raw", "svd", NO_CONTROL), strict=True))
        )
        matrices = selection_parse(model, **{**usual, **named})
    elif named:
        whose = _subject_words(project)
        raise SelectionError(f"The {whose} is of several models; leave circuits, layers and the rest out.")
    else:
        matrices = EVERYTHING
    indices, sides = indices_parse(typed.get("indices") or ""), sides_parse(typed.get("sides") or "")
    return RunSelection(model, project, matrices, indices, sides, bool(typed.get("not_judged")))


def run_selection_words(stored: Mapping[str, Any]) -> str:
    """As a phrase: "project demo; ov in layers 0, 3; index 0 to 9"."""
    matrices = selection_from_json(stored)
    parts = [_subject_words(stored["project"])] if stored.get("project") else []
    if matrices != EVERYTHING or not parts:
        parts.append(matrices.words)
    if indices := stored.get("indices"):
        parts.append(f"index {_ranges(indices)}")
    if sides := stored.get("sides"):
        parts.append(f"side {', '.join(sides)}")
    if stored.get("not_judged"):
        parts.append("not yet judged")
    if sampled := stored.get("sampled"):
        parts.append(f"{sampled} drawn at random")
    return "; ".join(parts)


def directions_of(selection: RunSelection, judge: Judge | None, user: User | None = None) -> QuerySet[Direction]:
    """The stored directions that a run asks about; `judge` None is one that has judged nothing yet.

    Raises ExportError for a project that is not there or not the user's.
    """
    if selection.project:
        rows = subject_get(subject_address(selection.project), user).directions
        rows = rows.filter(matrix_filter(selection.matrices, prefix="matrix__"))
    else:
        assert selection.model is not None
        rows = directions_selected(selection.model, selection.matrices)
    if selection.indices:
        rows = rows.filter(index__in=selection.indices)
    if selection.sides:
        rows = rows.filter(side__in=selection.sides)
    if selection.not_judged and judge is not None:
        rows = rows.exclude(pk__in=Judgement.objects.filter(judge=judge, current=True).values("direction_id"))
    return rows


def subject_address(project: str) -> str:
    """What `subject_get` takes for the `project` of a selection."""
    return project if ":" in project else f"project:{project}"


def model_of_project(project: str, user: User | None = None) -> Model | None:
    """The one model of a project's directions; None where they are of several (or there are none)."""
    ids = subject_get(subject_address(project), user).directions.order_by().values_list("matrix__model", flat=True)
    found = list(ids.distinct()[:2])
    return Model.objects.get(pk=found[0]) if len(found) == 1 else None


def _subject_words(project: str) -> str:
    kind, _, name = subject_address(project).partition(":")
    return f"{'ground truth' if kind == 'truth' else kind} {name}"


def indices_parse(text: str) -> tuple[int, ...]:
    """`0,5,9-11` as (0, 5, 9, 10, 11); empty and `all` are all. Raises SelectionError."""
    if text.strip() in ("", ALL):
        return ()
    chosen: set[int] = set()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        ends = [first, last] if dash else [first, first]
        if not all(end.isascii() and end.isdigit() and len(end) < 6 for end in ends):
            raise SelectionError(f"{part.strip()!r} is not an index; write indices like 0,5,9-11.")
        low, high = int(ends[0]), int(ends[1])
        if high < low:
            raise SelectionError(f"The indices {part.strip()!r} run backwards; write {high}-{low}.")
        chosen.update(range(low, high + 1))
    return tuple(sorted(chosen))


def sides_parse(text: str) -> tuple[str, ...]:
    """`read,write` as a tuple; empty and `all` are all. Raises SelectionError."""
    sides = tuple(dict.fromkeys(side.strip() for side in text.split(",") if side.strip()))
    if sides == (ALL,):
        return ()
    for side in sides:
        if side not in SIDE_NAMES:
            raise SelectionError(f"There is no side {side!r}; choose among {', '.join(SIDE_NAMES)}.")
    return sides


def _ranges(numbers: list[int]) -> str:
    """[0, 1, 2, 7] as "0 to 2, 7"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts)
