"""What people said of a sample: one verdict a direction, with its inclusion probability and the machine's beside it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from labelapp.figures.census import Slice, direction_answers, vector_verdict
from labelapp.figures.query import BOTH, DECIDED, ENDS, FIRST, MAJORITY, Query
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Verdict
from labelapp.judgements.rules import Answers, Rule
from labelapp.labelling.models import Item, Project
from labelapp.labelling.projects.design import Design, design_from_json
from labelapp.review.models import Adjudication
from labelapp.review.tally import human_verdict

YES = Verdict.INTERPRETABLE
NOT_JUDGED = "not judged"
NO_PEOPLE = "No person's judgement stands on these directions yet."
NO_SAMPLE = (
    "All that people judged here lies in an exploration queue: it was picked because it is worth looking at, has no "
    "inclusion probability, and is no sample. No figure is made of it."
)
ENDS_DRAWN = (
    "The project drew ends, so nobody knows with which probability both ends of a vector came into it. Draw a project "
    "whose page shows both ends to state a figure on vectors."
)
NO_SELECTION = (
    "The project keeps no selection of what it was drawn from, so nobody can say which census its sample stands for."
)


@dataclass(frozen=True)
class Labelled:
    """One unit that people said yes or no to: an end, or a vector."""

    direction: int
    model: int
    circuit: str
    layer: int | None
    matrix: int
    side: str
    index: int
    sign: str
    control: str
    human: bool
    machine: str  # its verdict under the rule; `not judged` where it gave none
    pi: float

    @property
    def vector(self) -> tuple[int, str, int]:
        return (self.matrix, self.side, self.index)

    def place(self, by: Sequence[str]) -> tuple[Any, ...]:
        """The values of columns as `census` has them."""
        known = {
            "matrix__model_id": self.model, "matrix__circuit": self.circuit, "matrix__layer": self.layer,
            "matrix_id": self.matrix, "index": self.index, "sign": self.sign, "side": self.side,
        }  # fmt: skip
        return tuple(known[name] for name in by)


@dataclass(frozen=True)
class Sample:
    """The labels of one project within a slice; `refusal` says why no figure may be made of them."""

    rows: Sequence[Labelled] = ()
    controls: Sequence[Labelled] = ()  # noise that was mixed among them
    left_out: dict[str, int] = field(default_factory=dict)
    n_drawn: int = 0  # units of the project, judged or not
    n_judged: int = 0
    design: Design | None = None
    refusal: str = ""

    @property
    def knows_census(self) -> bool:
        """Whether it is stored what the project was drawn from."""
        return self.design is not None

    @cached_property
    def has_equal_pi(self) -> bool:
        return not self.rows or bool(np.ptp([it.pi for it in self.rows]) < 1e-12)

    @property
    def completion(self) -> float:
        """The share of the drawn units that are judged so far; the queue's order is random, so they are as drawn."""
        return min(1.0, len(self.rows) / self.n_drawn) if self.n_drawn else 1.0

    def where(self, by: Sequence[str]) -> dict[tuple[Any, ...], list[Labelled]]:
        found: dict[tuple[Any, ...], list[Labelled]] = defaultdict(list)
        for row in self.rows:
            found[row.place(by)].append(row)
        return found


def project_slice(query: Query, project: Project) -> Slice:
    """What a project's sample stands for within the query's selection: the design's population, controls aside."""
    design = design_from_json(project.design)
    if design is None:
        return Slice((query.selection,))
    own = replace(design.selection, matrices=replace(design.selection.matrices, controls=("none",)))
    return Slice((query.selection, own), project.opened_at)


def sample_of(query: Query, project: Project, judge: Judge | None, rule: Rule | None) -> Sample:
    """Five queries at most, whatever there is."""
    of = project_slice(query, project)
    both_drawn = project.ends == Project.Ends.BOTH
    if query.unit != ENDS and not both_drawn:
        return Sample(refusal=ENDS_DRAWN)
    human = _human_verdicts(project, query.truth)
    here = of.condition("direction__")
    anywhere = of.of_variant(controls=()).condition("direction__")
    columns = (
        "direction_id", "inclusion_probability", "exploration", "direction__matrix__model_id",
        "direction__matrix__circuit", "direction__matrix__layer", "direction__matrix_id", "direction__side",
        "direction__index", "direction__sign", "direction__matrix__control",
    )  # fmt: skip
    items = Item.objects.filter(anywhere, project=project)
    drawn = items.filter(here, exploration=False).count()
    judged = items.filter(direction__in=_judged(project)).values_list(*columns)
    machine = _machine_verdicts(of, project, judge, rule) if judge and rule else {}
    rows, left_out = _rows(list(judged), human, machine)
    own, controls = [it for it in rows if not it.control], [it for it in rows if it.control]
    if query.unit != ENDS:
        drawn //= 2
        own, controls = _vectors(own, query.unit, left_out), _vectors(controls, query.unit, left_out)
    refusal = "" if own else (NO_SAMPLE if left_out.get("of an exploration queue") and not controls else NO_PEOPLE)
    return Sample(own, controls, dict(left_out), drawn, len(human), design_from_json(project.design), refusal)


def _judged(project: Project) -> Any:
    rows = Judgement.objects.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    return rows.order_by().values("direction_id")


def _human_verdicts(project: Project, truth: str) -> dict[int, str]:
    """By direction: what people say together, by the way that `truth` names."""
    said: dict[int, list[tuple[str, bool]]] = defaultdict(list)
    rows = Judgement.objects.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    for direction, verdict, blind in rows.order_by("pk").values_list("direction_id", "verdict", "blind"):
        said[direction].append((verdict, blind))
    if truth == FIRST:
        firsts = {pk: [verdict for verdict, blind in rows if blind][:1] for pk, rows in said.items()}
        return {pk: found[0] for pk, found in firsts.items() if found}
    together = {pk: human_verdict(verdict for verdict, _ in rows) for pk, rows in said.items()}
    if truth == DECIDED:
        decided = Adjudication.objects.filter(item__project=project, current=True)
        together |= dict(decided.filter(item__direction__in=list(said)).values_list("item__direction_id", "verdict"))
    assert truth in (MAJORITY, DECIDED)
    return together


def _machine_verdicts(of: Slice, project: Project, judge: Judge, rule: Rule) -> dict[int, str]:
    """Of the directions that people judged in the project, its controls too."""
    rows = direction_answers(of.of_variant(controls=()), judge)
    rows = rows.filter(direction__in=_judged(project))
    said = {
        direction: Answers(verdict, label, answer, judge.has_verifier)
        for direction, verdict, label, answer in rows.values_list("direction_id", "verdict", "label", "answer")
    }
    return {direction: str(rule.verdict(it)) for direction, it in said.items() if rule.applies(it)}


def _rows(
    judged: Sequence[tuple[Any, ...]], human: dict[int, str], machine: dict[int, str]
) -> tuple[list[Labelled], Counter[str]]:
    """Those with a yes or no that were drawn, and why others are left out."""
    left_out = Counter[str]()
    rows = []
    for direction, pi, exploration, model, circuit, layer, matrix, side, index, sign, control in judged:
        verdict = human.get(direction, "")
        if exploration:
            left_out["of an exploration queue"] += 1
        elif verdict not in TWO_VALUED:
            left_out["tied" if verdict == "tie" else "unsure"] += 1
        else:
            said = machine.get(direction, NOT_JUDGED)
            place = (model, circuit, layer, matrix, side, index, sign, control)
            rows.append(Labelled(direction, *place, verdict == YES, said, pi))
    return sorted(rows, key=lambda it: it.direction), left_out


def _vectors(rows: Sequence[Labelled], unit: str, left_out: Counter[str]) -> list[Labelled]:
    """Vectors of which both ends have a verdict of people; the `+` end stands for them."""
    ends: dict[tuple[int, str, int], list[Labelled]] = defaultdict(list)
    for row in rows:
        ends[row.vector].append(row)
    found = []
    for pair in ends.values():
        if len(pair) < 2:
            left_out["vectors of which one end has no verdict"] += 1
            continue
        said = [it.human for it in pair]
        told = [it.machine for it in pair]
        machine = NOT_JUDGED if NOT_JUDGED in told else vector_verdict(told, unit)
        human = all(said) if unit == BOTH else any(said)
        found.append(replace(min(pair, key=lambda it: it.sign), human=human, machine=machine))
    return found
