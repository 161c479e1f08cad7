"""What a test found: model precision of people and machines, on directions and on controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelapp.atlas.keys import CONTROLS
from labelapp.atlas.models import Direction
from labelapp.atlas.selectors import directions_in_key_order
from labelapp.atlas.tokens import token_display
from labelapp.autolabel.models import Run, RunItem
from labelapp.judgements.models import Verdict
from labelapp.labelling.trials.machines import trial_of_variant
from labelapp.labelling.trials.models import AskedRun, ChoiceTest, Trial, TrialAnswer
from labelapp.statistics.intrusion import INTRUSION_CHANCE, MATCHING_CHANCE
from labelapp.statistics.precision import Precision, precision

CHANCE = {ChoiceTest.Kind.INTRUSION: INTRUSION_CHANCE, ChoiceTest.Kind.MATCHING: MATCHING_CHANCE}
CHANCE_WORDS = {ChoiceTest.Kind.INTRUSION: "1/6", ChoiceTest.Kind.MATCHING: "1/4"}
PEOPLE = "people"
DIRECTIONS = ""  # the group of what is no control


@dataclass(frozen=True)
class Answered:
    """One answer to one trial."""

    trial: Trial
    choice: int
    who: str  # a person's name, or the run's
    seconds: float | None = None

    @property
    def is_right(self) -> bool:
        return self.choice == self.trial.answer


@dataclass(frozen=True)
class Result:
    """One row: who answered about what, and what came of it. `unparsed` and `failed` are no answers."""

    name: str
    is_person: bool
    group: str  # a control kind, or "" for directions
    found: Precision
    run: Run | None = None
    unparsed: int = 0
    failed: int = 0

    @property
    def group_words(self) -> str:
        return f"{self.group} controls" if self.group else "directions"


def results_of(test: ChoiceTest) -> list[Result]:
    """People first, then each run; directions first, then each kind of control. Rows without trials are left out."""
    trials = trials_of(test)
    chance = CHANCE[ChoiceTest.Kind(test.kind)]
    groups = [group for group in (DIRECTIONS, *CONTROLS) if any(_control(it) == group for it in trials.values())]
    people = list(answers_of_people(test, trials))
    results = [Result(PEOPLE, True, group, _precision(people, group, chance)) for group in groups]
    for asked in runs_of(test):
        answers = list(answers_of_run(asked.run, trials))
        lost = _without_answer(asked.run, trials)
        name = f"{asked.run.provider}:{asked.run.llm}"
        results += [
            Result(
                name,
                False,
                group,
                _precision(answers, group, chance),
                asked.run,
                unparsed=lost["unparsed", group],
                failed=lost["failed", group],
            )
            for group in groups
        ]
    return results


def trials_of(test: ChoiceTest) -> dict[int, Trial]:
    """With their directions, matrices and models: one query."""
    rows = Trial.objects.filter(test=test).select_related("direction__matrix__model").order_by("position")
    return {trial.pk: trial for trial in rows.defer("direction__tokens", "direction__token_ids", "direction__scores")}


def runs_of(test: ChoiceTest) -> list[AskedRun]:
    return list(test.asked_runs.select_related("run__job", "run__detector").order_by("pk"))


def answers_of_people(test: ChoiceTest, trials: Mapping[int, Trial]) -> Iterator[Answered]:
    for row in TrialAnswer.objects.filter(test=test).select_related("user").order_by("pk"):
        yield Answered(trials[row.trial_id], row.choice, row.user.username, row.seconds)


def answers_of_run(run: Run, trials: Mapping[int, Trial]) -> Iterator[Answered]:
    """What could be read of its answers; a failed call or an answer without one number is none."""
    items = RunItem.objects.filter(run=run, state=RunItem.State.DONE).order_by("position")
    for variant, detail in items.values_list("variant", "detail"):
        if "pick" in detail:
            yield Answered(trials[trial_of_variant(variant)], detail["pick"], f"run {run.pk}")


def figures_table(test: ChoiceTest, results: Sequence[Result]) -> tuple[list[str], Iterator[list[Any]]]:
    """The figures as a table: header and rows; what is not known is empty."""
    header = [
        "test", "kind", "answered_by", "type", "run", "group", "chance", "trials", "right", "ends", "vectors",
        "precision", "low", "high", "unparsed", "failed", "meaningful_share", "meaningful_low", "meaningful_high",
        "overdispersion", "p_alike", "note",
    ]  # fmt: skip
    return header, (_figures_row(test, it) for it in results)


def answers_table(test: ChoiceTest) -> tuple[list[str], Iterator[list[Any]]]:
    """Every answer as a row, with what was shown: header and rows."""
    trials = trials_of(test)
    header = ["test", "kind", "trial", "key", "control", "number", "label", "shown", "answer", "choice", "right",
              "answered_by", "type", "seconds"]  # fmt: skip
    people = ((it, "person") for it in answers_of_people(test, trials))
    machines = ((it, "machine") for asked in runs_of(test) for it in answers_of_run(asked.run, trials))
    words = shown_words(test, trials.values())
    return header, (_answer_row(test, it, type_, words) for it, type_ in (*people, *machines))


def shown_words(test: ChoiceTest, trials: Iterable[Trial]) -> dict[int, list[str]]:
    """By trial what was shown, as pages show it: tokens, or the keys of readouts."""
    some = list(trials)
    if test.kind == ChoiceTest.Kind.INTRUSION:
        return {it.pk: [token_display(token) for token in it.shown] for it in some}
    ids = {pk for it in some for pk in it.shown}
    keys = {row.pk: str(row.key) for row in directions_in_key_order(Direction.objects.filter(pk__in=ids))}
    return {it.pk: [keys[pk] for pk in it.shown] for it in some}


def _precision(answers: Iterable[Answered], group: str, chance: float) -> Precision:
    some = [it for it in answers if _control(it.trial) == group]
    ends = [it.trial.direction_id for it in some]
    vectors = [_vector(it.trial) for it in some]
    return precision([it.is_right for it in some], ends, vectors, chance)


def _without_answer(run: Run, trials: Mapping[int, Trial]) -> Counter[tuple[str, str]]:
    rows = RunItem.objects.filter(run=run).exclude(state=RunItem.State.PENDING)
    counts: Counter[tuple[str, str]] = Counter()
    for variant, state, verdict in rows.values_list("variant", "state", "verdict"):
        group = _control(trials[trial_of_variant(variant)])
        if state == RunItem.State.FAILED:
            counts["failed", group] += 1
        elif verdict == Verdict.UNPARSED:
            counts["unparsed", group] += 1
    return counts


def _figures_row(test: ChoiceTest, it: Result) -> list[Any]:
    found, meaning = it.found, it.found.meaning
    low, high = meaning.share_interval if meaning and meaning.share_interval else (None, None)
    return [
        test.pk, test.kind, it.name, "person" if it.is_person else "machine", it.run.pk if it.run else None,
        it.group or "directions", CHANCE[ChoiceTest.Kind(test.kind)], found.trials, found.right, found.ends,
        found.vectors, found.value, found.low, found.high, it.unparsed, it.failed,
        meaning.share if meaning else None, low, high, meaning.overdispersion if meaning else None,
        meaning.p_alike if meaning else None, " ".join(filter(None, (found.why, meaning.why if meaning else ""))),
    ]  # fmt: skip


def _answer_row(test: ChoiceTest, it: Answered, type_: str, words: Mapping[int, list[str]]) -> list[Any]:
    trial = it.trial
    return [
        test.pk, test.kind, trial.opaque_id, str(trial.direction.key), _control(trial), trial.number, trial.label,
        " | ".join(words[trial.pk]), trial.answer + 1, it.choice + 1, int(it.is_right), it.who, type_, it.seconds,
    ]  # fmt: skip


def _control(trial: Trial) -> str:
    return trial.direction.matrix.control


def _vector(trial: Trial) -> tuple[int, str, int]:
    return trial.direction.matrix_id, trial.direction.side, trial.direction.index
