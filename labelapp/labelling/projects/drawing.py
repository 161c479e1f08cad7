"""From a design to the items that it draws, the same ones each time, with the probability of each."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot, sqrt
from typing import Any

import numpy as np
from django.db.models import Max, Min, QuerySet

from labelapp.accounts.models import User
from labelapp.atlas.keys import CIRCUITS
from labelapp.atlas.models import Direction, Matrix
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Subject, Verdict, Verification
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.machine import CELLS, NOT_JUDGED, Said, answers_of, uncertainty
from labelapp.labelling.models import SOURCE_PREFIX, Membership, Project
from labelapp.labelling.projects.design import ALL_OF_THEM, CIRCUIT, MACHINE, NEYMAN, SIMPLE_RANDOM, STRATIFIED, Design
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.labelling.subjects import representatives
from labelapp.statistics import sampling

NOTHING = "The selection holds no directions; decompose the model first, or widen the selection."


@dataclass(frozen=True)
class Population:
    """The units that are drawn from, in an order that depends on nothing but their keys.

    A unit is one end, or the ends of one vector, `+` first, or the direction that stands for a vector or a matrix.
    `digest` tells whether two populations are the same.
    """

    units: Sequence[tuple[int, ...]]  # of each the ids of its directions
    matrices: Mapping[int, Matrix]
    matrix_of: Sequence[int]  # of each unit the id of its matrix
    digest: str
    tokens: int  # in the shortest readout

    def __len__(self) -> int:
        return len(self.units)


@dataclass(frozen=True)
class Until:
    """The latest rows when a design was drawn: with them the draw sees what was there then, and nothing later."""

    direction: int
    judgement: int
    verification: int


@dataclass(frozen=True)
class Cell:
    """A stratum: how many units it has and gives, and the deviation that Neyman's allocation supposed in it."""

    name: str
    population: int
    n: int = 0
    deviation: float | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that a draw needs but the seed."""

    design: Design
    population: Population
    until: Until
    cells: Sequence[Cell] = ()
    strata: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # of each unit its cell
    weights: np.ndarray = field(default_factory=lambda: np.empty(0))  # of each unit

    @property
    def n(self) -> int:
        return len(self.population) if self.design.kind == ALL_OF_THEM else self.design.n or 0

    def draw(self) -> sampling.Sample:
        """Pure: the same plan and seed draw the same."""
        if self.design.kind == STRATIFIED:
            return sampling.stratified(self.strata, [cell.n for cell in self.cells], self.design.seed)
        if self.design.kind in (ALL_OF_THEM, SIMPLE_RANDOM):
            return sampling.simple_random(len(self.population), self.n, self.design.seed)
        return sampling.proportional_to_weight(self.weights, self.n, self.design.seed)

    def as_json(self) -> dict[str, Any]:
        """What is frozen with the items: the design, what it was drawn from, and what it found there."""
        frozen: dict[str, Any] = {
            "population": len(self.population),
            "population_digest": self.population.digest,
            "n": self.n,
            "until": vars(self.until),
        }
        if self.cells:
            frozen["cells"] = [{k: v for k, v in vars(cell).items() if v is not None} for cell in self.cells]
        return self.design.as_json() | frozen


def plan_make(
    design: Design,
    *,
    ends: str,
    owner: User | None,
    subject: str = Subject.DIRECTION,
    until: Until | None = None,
    cells: Sequence[Cell] = (),
) -> Plan:
    """Look at what there is to draw from. `owner` is whose projects' judgements Neyman's allocation may look at.

    With `until` and `cells` of a frozen design it is as it was then. Raises LabellingError where it cannot be drawn.
    """
    until = until or until_now()
    directions = design.selection.directions().filter(pk__lte=until.direction)
    population = population_of(directions, both_ends=ends == Project.Ends.BOTH, subject=subject)
    n = len(population) if design.kind == ALL_OF_THEM else design.n or 0
    if n > len(population):
        units = Project(subject=subject, ends=ends).units
        raise LabellingError(f"The selection holds {len(population):,} {units}, so {n:,} cannot be drawn.")
    said = _said(design, directions, until)
    if design.kind == STRATIFIED:
        names = strata_names(design.strata, population, said)
        order = {name: place for place, name in enumerate(sorted(set(names), key=_rank))}
        strata = np.fromiter((order[name] for name in names), dtype=np.int64, count=len(names))
        cells = cells or _cells(design, population, list(order), strata, said, directions, owner)
        return Plan(design, population, until, cells, strata)
    weights = np.empty(0)
    if design.needs_machine:
        weights = np.array([hypot(*(uncertainty(said.get(pk)) for pk in unit)) for unit in population.units])
    return Plan(design, population, until, weights=weights)


def population_of(
    directions: QuerySet[Direction], *, both_ends: bool = False, subject: str = Subject.DIRECTION
) -> Population:
    """The units of these directions; two queries. Raises LabellingError where there are none."""
    rows = list(directions.order_by().values_list("pk", "matrix_id", "side", "index", "sign"))
    if not rows:
        raise LabellingError(NOTHING)
    matrices = Matrix.objects.select_related("model").defer("singular_values", "neurons", "vectors")
    found = matrices.in_bulk(sorted({row[1] for row in rows}))
    keys = {pk: str(matrix.key) for pk, matrix in found.items()}
    rank = {pk: place for place, pk in enumerate(sorted(keys, key=keys.__getitem__))}
    rows.sort(key=lambda row: (rank[row[1]], *row[2:]))
    digest = hashlib.sha256()
    units: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for pk, matrix_id, side, index, sign in rows:
        digest.update(f"{keys[matrix_id]}\t{side}\t{index}\t{sign}\n".encode())
        units[(matrix_id, side, index) if both_ends else (matrix_id, side, index, sign)].append(pk)
    drawn_from = [tuple(pks) for pks in units.values()]
    if subject != Subject.DIRECTION:
        drawn_from = representatives(rows, subject, found)
    matrix_of = {row[0]: row[1] for row in rows}
    shortest = directions.order_by().aggregate(top=Min("matrix__top"))["top"]
    return Population(drawn_from, found, [matrix_of[unit[0]] for unit in drawn_from], digest.hexdigest(), shortest)


def until_now() -> Until:
    def last(rows: QuerySet[Any]) -> int:
        return rows.aggregate(last=Max("pk"))["last"] or 0

    return Until(last(Direction.objects.all()), last(Judgement.every.all()), last(Verification.objects.all()))


def strata_names(by: str, population: Population, said: Mapping[int, Said]) -> list[str]:
    """Of each unit the name of its stratum. A vector's machine cell is that of both its ends."""
    if by == MACHINE:
        cells = {pk: answer.cell for pk, answer in said.items()}
        return [" / ".join(cells.get(pk, NOT_JUDGED) for pk in unit) for unit in population.units]
    names = {
        pk: (matrix.circuit if by == CIRCUIT else _layer_name(matrix.layer))
        for pk, matrix in population.matrices.items()
    }
    return [names[pk] for pk in population.matrix_of]


def _cells(
    design: Design,
    population: Population,
    names: Sequence[str],
    strata: np.ndarray,
    said: Mapping[int, Said],
    directions: QuerySet[Direction],
    owner: User | None,
) -> list[Cell]:
    """The strata with what each gives. Raises LabellingError where n is too small for them."""
    sizes = np.bincount(strata, minlength=len(names)).tolist()
    deviations = None
    if design.allocation == NEYMAN:
        by_people = design.strata == MACHINE
        verdicts = people_said(directions, owner) if by_people else {pk: it.under_rule for pk, it in said.items()}
        deviations = _deviations(population, strata, len(names), verdicts)
    n = design.n or 0
    least = sum(min(sampling.LEAST_OF_A_STRATUM, size) for size in sizes)
    if n < least:
        raise LabellingError(
            f"There are {len(names)} strata, and two are drawn from each at least: draw {least:,} or more, not {n:,}."
        )
    given = sampling.allocate(sizes, n, deviations)
    return [
        Cell(name, size, taken, None if deviations is None else deviations[place])
        for place, (name, size, taken) in enumerate(zip(names, sizes, given, strict=True))
    ]


def _deviations(
    population: Population, strata: np.ndarray, n_strata: int, verdicts: Mapping[int, str]
) -> list[float]:  # fmt: skip
    """√(p(1 − p)) in each stratum, p being the share of yes, (k + 1)/(m + 2) of k in m: ½ where nothing was said."""
    yes, n = Counter[int](), Counter[int]()
    for place, unit in enumerate(population.units):
        for pk in unit:
            if (verdict := verdicts.get(pk)) in TWO_VALUED:
                n[int(strata[place])] += 1
                yes[int(strata[place])] += verdict == Verdict.INTERPRETABLE
    shares = [(yes[stratum] + 1) / (n[stratum] + 2) for stratum in range(n_strata)]
    return [sqrt(share * (1 - share)) for share in shares]


def people_said(directions: QuerySet[Direction], owner: User | None) -> dict[int, str]:
    """The majority of people's standing verdicts on each direction, in projects that the person owns or reviews.

    A direction on which they are divided evenly, or only unsure, is left out.
    """
    roles = Membership.objects.filter(user=owner, role__in=REVIEWING_ROLES) if owner else Membership.objects.none()
    sources = [f"{SOURCE_PREFIX}{pk}" for pk in roles.values_list("project_id", flat=True)]
    rows = Judgement.objects.filter(
        source__in=sources, current=True, judge__type=Judge.Type.PERSON, verdict__in=TWO_VALUED
    ).filter(direction__in=directions.values("pk"))
    balance = Counter[int]()
    for pk, verdict in rows.values_list("direction_id", "verdict"):
        balance[pk] += 1 if verdict == Verdict.INTERPRETABLE else -1
    return {
        pk: Verdict.INTERPRETABLE if sum_ > 0 else Verdict.NOT_INTERPRETABLE for pk, sum_ in balance.items() if sum_
    }


def _said(design: Design, directions: QuerySet[Direction], until: Until) -> dict[int, Said]:
    if not design.needs_machine:
        return {}
    judge = Judge.objects.filter(digest=design.machine).exclude(type=Judge.Type.PERSON).first()
    said = (
        answers_of(judge, directions, judgements_until=until.judgement, verifications_until=until.verification)
        if judge
        else {}
    )
    if not said:
        raise LabellingError("The machine judge has judged nothing of the selection; run it first, or choose another.")
    return said


def _layer_name(layer: int | None) -> str:
    return "without layer" if layer is None else f"layer {layer}"


def _rank(name: str) -> tuple[Any, ...]:
    """Layers by number, circuits and cells in their order."""
    word, _, number = name.rpartition(" ")
    if word == "layer" and number.isdigit():
        return 0, (int(number),)
    known = (*CIRCUITS, *CELLS)
    return 1, tuple(known.index(part) if part in known else len(known) for part in name.split(" / "))
