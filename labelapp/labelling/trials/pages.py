"""What the pages of tests show: the list, and each result with its place on a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, Min

from labelapp.accounts.models import User
from labelapp.labelling.models import Project
from labelapp.labelling.selectors import JUDGING_ROLES
from labelapp.labelling.trials.models import ChoiceTest
from labelapp.labelling.trials.queue import choice_progress
from labelapp.labelling.trials.results import CHANCE, CHANCE_WORDS, Result

SCALE = 200  # units from 0 to 1 in the drawing
MARK = 4.5
UNEQUAL = (
    "The sample's items were drawn with different probabilities, and here every trial counts alike: this is the "
    "precision of what was tested, not of all that the sample stands for."
)


@dataclass(frozen=True)
class ListedTest:
    test: ChoiceTest
    n_trials: int
    n_people: int  # answers
    left: int  # ends that the viewer may still answer about; 0 for who does not judge
    done: int


@dataclass(frozen=True)
class ShownResult:
    """A result as a row: numbers as text, and where they lie in a drawing that is SCALE wide."""

    result: Result
    at: float | None
    low: float | None
    high: float | None

    @property
    def square(self) -> float:
        """Where a machine's mark begins."""
        return (self.at or 0) - MARK + 0.5


def listed(project: Project, user: User, role: str) -> list[ListedTest]:
    """The project's tests, newest first."""
    found = []
    for test in project.tests.order_by("-pk"):
        test.project = project
        progress = choice_progress(test, user)
        is_open = role in JUDGING_ROLES and test.ended_at is None and project.state == Project.State.OPEN
        found.append(
            ListedTest(test, test.trials.count(), test.answers.count(), progress.left if is_open else 0, progress.done)
        )
    return found


def shown_results(test: ChoiceTest, results: Sequence[Result]) -> dict[str, Any]:
    """The rows of the results page and what is said above them."""
    kind = ChoiceTest.Kind(test.kind)
    return {
        "rows": [ShownResult(it, *(_at(value) for value in (it.found.value, it.found.low, it.found.high)))
                 for it in results],
        "has_answers": any(it.found.trials for it in results),
        "has_controls": any(it.group for it in results),
        "chance": CHANCE[kind],
        "chance_words": CHANCE_WORDS[kind],
        "chance_at": _at(CHANCE[kind]),
        "bar": (1 + CHANCE[kind]) / 2,
        "scale": SCALE,
        "is_intrusion": kind == ChoiceTest.Kind.INTRUSION,
    }  # fmt: skip


def unequal_weights(project: Project) -> str:
    """A sentence where the items of the sample have different inclusion probabilities, else nothing."""
    ends = project.items.filter(exploration=False).aggregate(
        least=Min("inclusion_probability"), most=Max("inclusion_probability")
    )
    return "" if ends["least"] is None or ends["most"] - ends["least"] < 1e-9 else UNEQUAL


def _at(value: float | None) -> float | None:
    return None if value is None else round(SCALE * value, 1)
