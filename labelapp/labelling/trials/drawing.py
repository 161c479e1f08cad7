"""From a project's items to the trials of a test. Nothing is written here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from labelapp.atlas.models import Direction
from labelapp.atlas.selectors import vocabulary_read
from labelapp.autolabel.drawing import vectors_sample
from labelapp.judgements.models import Judge, Judgement, Verdict
from labelapp.labelling.models import Project
from labelapp.labelling.trials.sources import ends_ready, neighbours_of, place_of
from labelapp.statistics.intrusion import (
    NO_READOUTS,
    TOP,
    IntrusionTrial,
    intrusion_draw,
    matching_draw,
    shuffled,
)
from labelapp.statistics.labels import label_key

READOUT_TOKENS = 10  # of each readout of a matching trial
NO_LABEL = "have no label"


@dataclass(frozen=True)
class DrawnTrial:
    """A trial before it is stored; the fields are those of `Trial`."""

    direction_id: int
    number: int
    shown: list[Any]
    answer: int
    drawn: dict[str, Any]
    label: str = ""
    author_id: int | None = None


@dataclass
class Drawn:
    """The trials of a test in the order in which they are asked, and the ends without, as `ChoiceTest.left_out`."""

    trials: list[DrawnTrial] = field(default_factory=list)
    left_out: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def leave_out(self, direction: Direction, why: str) -> None:
        self.left_out[direction.matrix.control][why] += 1


@dataclass(frozen=True)
class Named:
    """A label and whose it is."""

    label: str
    user_id: int | None


def ends_drawn(project: Project, n: int, seed: int, among: set[int] | None = None) -> list[Direction]:
    """At most n ends of the project's sample, drawn at random by vectors; exploration is no sample.

    `among` are the ids of those that may be drawn.
    """
    items = project.items.filter(exploration=False).order_by("position")
    rows = items.values_list("direction_id", "direction__matrix_id", "direction__side", "direction__index")
    found = [row for row in rows if among is None or row[0] in among]
    chosen = [pk for pk, *_ in vectors_sample(found, [row[1:] for row in found], n, seed)]
    ends = Direction.objects.select_related("matrix__model").in_bulk(chosen)
    return [ends[pk] for pk in chosen]


def intrusion_trials(ends: Sequence[Direction], *, per_end: int, seed: int) -> Drawn:
    """Trials of an intrusion test, each drawn anew."""
    drawn = Drawn()
    for end, ready, donors in ends_ready(ends, seed):
        if isinstance(ready, str):
            drawn.leave_out(end, ready)
            continue
        assert donors is not None
        words = vocabulary_read(end.matrix.model.folder)
        for number in range(per_end):
            trial = intrusion_draw(ready, donors, _rng(seed, end, number))
            drawn.trials.append(_intrusion(end, number, trial, words))
    return _in_order(drawn, seed)


def matching_trials(
    ends: Sequence[Direction], named: Mapping[int, Sequence[Named]], *, per_end: int, seed: int
) -> Drawn:
    """Trials of label matching: a label, its own readout, and three of other ends nearby with other labels.

    Of several labels on an end each has its turn. Ends that a trial can be drawn for have three others within two
    layers whose readouts have not more than two tokens in common with its own and with one another.
    """
    drawn = Drawn()
    nearby = _Nearby(seed, named)
    for end in ends:
        labels = shuffled(named.get(end.pk, ()), _rng(seed, end, -1))
        if not labels:
            drawn.leave_out(end, NO_LABEL)
            continue
        trials = [nearby.trial(end, number, labels[number % len(labels)]) for number in range(per_end)]
        if any(trial is None for trial in trials):
            drawn.leave_out(end, NO_READOUTS)
        else:
            drawn.trials += [trial for trial in trials if trial is not None]
    return _in_order(drawn, seed)


def labels_of_people(project: Project) -> dict[int, list[Named]]:
    """By direction what people of the project call it: the labels of a standing yes, each once."""
    rows = Judgement.objects.filter(source=project.source, judge__type=Judge.Type.PERSON)
    return _named(rows.values_list("direction_id", "label", "judge__user_id"))


def labels_of_machine(project: Project, judge: Judge) -> dict[int, list[Named]]:
    """By direction what a machine calls it: its newest standing label on the project's items."""
    rows = Judgement.objects.filter(judge=judge, direction__items__project=project)
    found = _named(rows.values_list("direction_id", "label", "judge__user_id"))
    return {pk: labels[-1:] for pk, labels in found.items()}


def _named(rows: Any) -> dict[int, list[Named]]:
    said = rows.filter(current=True, verdict=Verdict.INTERPRETABLE).exclude(label="").order_by("pk")
    found: dict[int, list[Named]] = defaultdict(list)
    for direction_id, label, user_id in said:
        if label_key(label) not in {label_key(it.label) for it in found[direction_id]}:
            found[direction_id].append(Named(label, user_id))
    return dict(found)


class _Nearby:
    """Readouts of the ends around each place, read once for each."""

    def __init__(self, seed: int, named: Mapping[int, Sequence[Named]]) -> None:
        self.seed = seed
        self.keys = {pk: {label_key(it.label) for it in labels} for pk, labels in named.items()}
        self._read: dict[Any, tuple[list[int], list[Any], list[list[str]]]] = {}

    def trial(self, end: Direction, number: int, named: Named) -> DrawnTrial | None:
        ids, vectors, readouts = self._around(end)
        key = label_key(named.label)
        may = [
            place
            for place, (pk, vector) in enumerate(zip(ids, vectors, strict=True))
            if vector != (end.matrix_id, end.index)
            and len(readouts[place]) >= READOUT_TOKENS
            and key not in self.keys.get(pk, ())
        ]
        found = matching_draw(
            end.tokens[:READOUT_TOKENS], [readouts[place] for place in may], _rng(self.seed, end, number)
        )
        if found is None:
            return None
        order, answer = found
        shown = [end.pk if place < 0 else ids[may[place]] for place in order]
        return DrawnTrial(end.pk, number, shown, answer, {}, named.label, named.user_id)

    def _around(self, end: Direction) -> tuple[list[int], list[Any], list[list[str]]]:
        place = place_of(end)
        if place not in self._read:
            near = neighbours_of(place, self.seed, with_ids=False)
            tokens = dict(Direction.objects.filter(pk__in=near.ids).values_list("pk", "tokens"))
            self._read[place] = (
                list(near.ids),
                list(near.vectors),
                [list(tokens[pk][:READOUT_TOKENS]) for pk in near.ids],
            )
        return self._read[place]


def _intrusion(end: Direction, number: int, trial: IntrusionTrial, words: Sequence[str]) -> DrawnTrial:
    detail = {
        "token_ids": list(trial.tokens),
        "ranks": list(trial.ranks),
        "intruder_of": trial.intruder_of,
        "of_first": TOP,
    }
    return DrawnTrial(end.pk, number, [words[token] for token in trial.tokens], trial.answer, detail)


def _in_order(drawn: Drawn, seed: int) -> Drawn:
    """One trial of each end before the second of any, in random order."""
    by_number: dict[int, list[DrawnTrial]] = defaultdict(list)
    for trial in sorted(drawn.trials, key=lambda it: (it.number, it.direction_id)):
        by_number[trial.number].append(trial)
    drawn.trials = [
        trial for number, some in by_number.items() for trial in shuffled(some, Random(f"{seed}:order:{number}"))
    ]
    return drawn


def _rng(seed: int, end: Direction, number: int) -> Random:
    """By content, so that another database draws the same."""
    return Random(f"{seed}:{end.key}:{number}")


def left_out_lines(left_out: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """As sentences: "3 directions have no label."."""
    for control, reasons in left_out.items():
        for why, n in reasons.items():
            yield f"{n:,} {f'{control} control' if control else 'direction'}{'' if n == 1 else 's'} {why}."
