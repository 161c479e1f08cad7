"""What the page of a test shows of a trial: its words and nothing else. No key, no rank, no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.labelling.models import Project
from labelapp.labelling.trials.drawing import READOUT_TOKENS
from labelapp.labelling.trials.models import ChoiceTest, Trial
from labelapp.labelling.trials.queue import ChoiceProgress, choice_progress, trials_take


@dataclass(frozen=True)
class Option:
    """One of those that are to be chosen from: a token, or a readout."""

    place: int  # from 0, as it is stored
    tokens: Sequence[str]

    @property
    def number(self) -> int:
        """As it is shown and typed."""
        return self.place + 1


@dataclass(frozen=True)
class TrialCard:
    trial: Trial
    options: Sequence[Option]


@dataclass(frozen=True)
class TrialState:
    """The page: the trial that is shown, the one that comes after it, and how far the person is."""

    card: TrialCard | None
    following: TrialCard | None
    progress: ChoiceProgress


def trial_state(test: ChoiceTest, user: User) -> TrialState:
    """Both trials are claimed for the person; there are none while the test takes no answers."""
    progress = choice_progress(test, user)
    if test.project.state != Project.State.OPEN or test.ended_at is not None:
        return TrialState(None, None, progress)
    trials = trials_take(test, user)
    readouts = _readouts(trials) if test.kind == ChoiceTest.Kind.MATCHING else {}
    cards = [
        TrialCard(it, [Option(place, readouts.get(shown, [shown])) for place, shown in enumerate(it.shown)])
        for it in trials
    ]
    card, following, *_ = [*cards, None, None]
    return TrialState(card, following, progress)


def _readouts(trials: Sequence[Trial]) -> dict[int, list[str]]:
    ids = {pk for trial in trials for pk in trial.shown}
    rows = Direction.objects.filter(pk__in=ids).values_list("pk", "tokens")
    return {pk: list(tokens[:READOUT_TOKENS]) for pk, tokens in rows}
