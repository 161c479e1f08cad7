"""Writes on tests: how one is started and ended, and how a person's answer is taken."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.judgements.models import Judge
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.labelling.selectors import JUDGING_ROLES, Seat, seat_of
from labelapp.labelling.subjects import of_directions_check
from labelapp.labelling.trials.drawing import (
    NO_LABEL,
    Drawn,
    Named,
    ends_drawn,
    intrusion_trials,
    labels_of_machine,
    labels_of_people,
    left_out_lines,
    matching_trials,
)
from labelapp.labelling.trials.models import ChoiceTest, Trial, TrialAnswer
from labelapp.statistics.intrusion import READOUTS, SHOWN

ENDS = 100
ENDS_MOST = 2000
TRIALS = 3
TRIALS_MOST = 20
PEOPLE = "people"
BATCH = 500
LONGEST_SECONDS = 24 * 3600.0
N_SHOWN = {ChoiceTest.Kind.INTRUSION: SHOWN, ChoiceTest.Kind.MATCHING: READOUTS}


def choice_test_start(
    *,
    project: Project,
    user: User | None,
    kind: str,
    ends: int = ENDS,
    trials: int = TRIALS,
    seed: int = 0,
    labels: str = PEOPLE,
) -> ChoiceTest:
    """Draw the trials of a test over the project's sample, and store them all or none.

    labels: of label matching, `people` of the project or a machine judge's id. Each end gets so many trials; a person
    meets an end once. Raises LabellingError where the project is not open, not of directions, or no trial can be
    drawn.
    """
    of_directions_check(project)
    _sizes_check(kind, ends, trials, seed)
    with transaction.atomic():
        # Of two clicks the second waits here, and finds the first one's test.
        project = Project.objects.select_for_update().get(pk=project.pk)
        if project.state == Project.State.DRAFT:
            raise LabellingError(f"{project.name} is a draft and has no items to test; open it first.")
        design: dict[str, Any] = {"seed": seed, "ends": ends, "trials": trials}
        if kind == ChoiceTest.Kind.MATCHING:
            design["labels"] = labels
        if standing := project.tests.filter(kind=kind, design=design, ended_at=None).first():
            return standing
        drawn = _drawn(project, kind, ends, trials, seed, labels)
        if not drawn.trials:
            why = " ".join(left_out_lines(drawn.left_out)) or "It has no items."
            raise LabellingError(f"No trial can be drawn from {project.name}. {why}")
        test = ChoiceTest.objects.create(
            project=project,
            kind=kind,
            design=design,
            left_out={control: dict(reasons) for control, reasons in drawn.left_out.items()},
            created_by=user,
        )
        Trial.objects.bulk_create(
            (Trial(test=test, position=position, **vars(it)) for position, it in enumerate(drawn.trials)),
            batch_size=BATCH,
        )
    return test


def choice_test_end(test: ChoiceTest) -> bool:
    """From now on it takes no answers of people; False where it had ended before."""
    return bool(ChoiceTest.objects.filter(pk=test.pk, ended_at=None).update(ended_at=timezone.now()))


def choice_test_reopen(test: ChoiceTest) -> bool:
    return bool(ChoiceTest.objects.filter(pk=test.pk, ended_at__isnull=False).update(ended_at=None))


def trial_answer(
    *, trial: Trial, user: User, choice: int, seconds: float | None = None, seat: Seat | None = None
) -> TrialAnswer:
    """Take a person's answer to a trial, once and for all.

    The same answer that came twice (a double click, a request repeated after a lost connection) is taken once. Raises
    LabellingError, and stores nothing, where the answer cannot be taken.
    """
    test = trial.test
    _seat_required(test, user, seat)
    n = N_SHOWN[ChoiceTest.Kind(test.kind)]
    if not 0 <= choice < n:
        raise LabellingError(f"There are {n} to choose from, and number {choice + 1} is none of them.")
    if trial.author_id == user.pk:
        raise LabellingError("This label is your own, so it is for somebody else to match.")
    if seconds is not None and not 0 <= seconds <= LONGEST_SECONDS:
        seconds = None
    try:
        with transaction.atomic():
            if Trial.objects.filter(pk=trial.pk, is_answered=False).update(is_answered=True):
                return TrialAnswer.objects.create(
                    trial=trial, test=test, direction_id=trial.direction_id, user=user, choice=choice, seconds=seconds
                )
    except IntegrityError:
        raise LabellingError("You have answered about this one before; each person is asked once.") from None
    standing = TrialAnswer.objects.get(trial=trial)
    if standing.user_id != user.pk:
        raise LabellingError("Somebody else answered this one while it lay here; reload the page to go on.")
    if standing.choice != choice:
        raise LabellingError(
            f"You answered this one in another tab: number {standing.choice + 1}. That stands; reload to go on."
        )
    return standing


def _sizes_check(kind: str, ends: int, trials: int, seed: int) -> None:
    if kind not in ChoiceTest.Kind.values:
        raise LabellingError(f"There is no test {kind[:20]!r}; there is {' and '.join(ChoiceTest.Kind.values)}.")
    for name, value, most in (("ends", ends, ENDS_MOST), ("trials of an end", trials, TRIALS_MOST)):
        if not 1 <= value <= most:
            raise LabellingError(f"A test has 1 to {most:,} {name}, not {value:,}.")
    if not 0 <= seed < 2**31:
        raise LabellingError("The seed is a whole number from 0 to 2,147,483,647.")


def _drawn(project: Project, kind: str, ends: int, trials: int, seed: int, labels: str) -> Drawn:
    if kind == ChoiceTest.Kind.INTRUSION:
        return intrusion_trials(ends_drawn(project, ends, seed), per_end=trials, seed=seed)
    named = _named(project, labels)
    if not named:
        raise LabellingError(
            f"Nothing in {project.name} has a label yet that could be matched; labels come by judging or by a run."
        )
    chosen = ends_drawn(project, ends, seed, set(named))
    drawn = matching_trials(chosen, named, per_end=trials, seed=seed)
    n_unnamed = project.items.filter(exploration=False).exclude(direction__in=named).count()
    if n_unnamed:
        drawn.left_out[""][NO_LABEL] += n_unnamed
    return drawn


def _named(project: Project, labels: str) -> dict[int, list[Named]]:
    if labels == PEOPLE:
        return labels_of_people(project)
    judge = Judge.objects.filter(pk=int(labels)).first() if labels.isascii() and labels.isdigit() else None
    if judge is None or judge.is_person:
        raise LabellingError(f"There is no machine judge {labels[:20]!r} whose labels could be matched.")
    return labels_of_machine(project, judge)


def _seat_required(test: ChoiceTest, user: User, seat: Seat | None) -> Seat:
    """The person's seat, read now unless the caller just did. Raises LabellingError where nothing can be answered."""
    seat = seat or seat_of(test.project, user)
    if seat is None or seat.role not in JUDGING_ROLES:
        raise LabellingError(f"You are not one of those who judge in {test.project.name}; its owner can add you.")
    if seat.project.state != Project.State.OPEN:
        raise LabellingError(f"{test.project.name} is paused and takes no answers; its owner can open it again.")
    if test.ended_at is not None:
        raise LabellingError("This test has ended and takes no more answers; those given before are kept.")
    return seat
