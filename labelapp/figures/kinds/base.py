"""What a kind of figure is: a question, how its points are computed, how they are drawn, what may filter it.

Points do not depend on who looks: `computed.hide` takes away what a person must not see yet. All is plain data, so
that a computed figure can be stored and shown again as it was (`figures.services`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from labelapp.figures.estimates import Resolved
from labelapp.figures.people import Labelled, Sample
from labelapp.judgements.tables import Tally
from labelapp.statistics.estimation import Estimate

VERSION = 3  # of how figures are computed; part of the data's hash
LABEL_COLUMNS = (
    "direction",
    "vector",
    "model",
    "circuit",
    "layer",
    "index",
    "sign",
    "control",
    "human",
    "machine",
    "pi",
)


@dataclass(frozen=True)
class Point:
    """One number of a figure. `source` is whose word it is: person, machine, corrected."""

    source: str
    name: str = ""  # what the point is of, where it is not the place alone
    model: str = ""
    circuit: str = ""
    layer: int | None = None
    depth: float | None = None
    index: float | None = None
    rule: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    yes: int | None = None
    left_out: int = 0  # unsure, unparsed, failed
    effective_n: float | None = None
    gain: float | None = None
    p: float | None = None
    method: str = ""
    why: str = ""
    cell: tuple[Any, ...] = ()  # the place by the kind's columns, by which points are hidden

    @property
    def percent(self) -> float | None:
        return None if self.value is None else 100 * self.value

    @property
    def percent_low(self) -> float | None:
        return None if self.low is None else 100 * self.low

    @property
    def percent_high(self) -> float | None:
        return None if self.high is None else 100 * self.high


_STORED = tuple(it.name for it in fields(Point))
POINT_COLUMNS = tuple(name for name in _STORED if name != "cell")


@dataclass(frozen=True)
class Inputs:
    """What a figure was computed from: the machine's census by place, and the labels of people one by one."""

    census_columns: tuple[str, ...] = ()
    census: Sequence[Sequence[Any]] = ()
    labels: Sequence[Sequence[Any]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)  # judge, rule, project, design: in words
    stored_hash: str = ""  # of inputs that are stored and not at hand

    @cached_property
    def data_hash(self) -> str:
        """sha256 over the canonical JSON of all of it, twelve digits of it: the data's version."""
        if self.stored_hash:
            return self.stored_hash
        content = {"version": VERSION, **asdict(self)}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Computed:
    """A figure: its points, the sentence that states it, and what to beware of."""

    points: Sequence[Point] = ()
    sentence: str = ""
    notes: Sequence[str] = ()
    refusal: str = ""  # why there is nothing, and what brings it
    inputs: Inputs = field(default_factory=Inputs)
    extra: Mapping[str, Any] = field(default_factory=dict)
    n_hidden: int = 0

    def as_json(self) -> dict[str, Any]:
        """Without what it was computed from, which is stored beside it."""
        return {
            "version": VERSION,
            "points": [[getattr(it, name) for name in _STORED] for it in self.points],
            "sentence": self.sentence,
            "notes": list(self.notes),
            "refusal": self.refusal,
            "facts": dict(self.inputs.facts),
            "extra": dict(self.extra),
        }

    def hide(self, is_shown: Callable[[Point], bool], rest_is_shown: bool) -> Computed:
        """Without the points that may not be shown; the sentence goes where it would tell what these are."""
        shown = [it for it in self.points if is_shown(it)]
        n_hidden = len(self.points) - len(shown)
        if not n_hidden:
            return self
        return replace(self, points=shown, n_hidden=n_hidden, sentence=self.sentence if rest_is_shown else "")


def computed_from_json(stored: Mapping[str, Any], inputs: Inputs) -> Computed:
    """What `as_json` made; a cell's ranges come back as lists, which mean the same."""
    points = [Point(**dict(zip(_STORED, it, strict=True))) for it in stored["points"]]
    return Computed(points, stored["sentence"], stored["notes"], stored["refusal"], inputs, stored["extra"])


@dataclass(frozen=True)
class Kind:
    """One page. `by` are the columns by which its points are hidden; `filters` the fields that its form offers."""

    name: str  # in addresses
    title: str  # in the bar of figures
    question: str
    explanation: str
    compute: Callable[[Resolved], Computed]
    spec: Callable[[Computed, Any], dict[str, Any]]
    filters: tuple[str, ...]
    columns: tuple[str, ...]  # of the table on the page, fields of Point
    by: tuple[str, ...] = ()
    needs_job: bool = False
    looks_into_matrices: bool = False  # so that a large census is work for a job
    tells_verdicts: bool = True  # else nothing of it need be hidden
    template: str = "figures/points.html"


def estimated(point: Point, estimate: Estimate) -> Point:
    """The point with an estimate's numbers."""
    return replace(
        point,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        effective_n=estimate.effective_n,
        gain=estimate.gain if point.source == "corrected" else None,
        method=estimate.method,
        why=estimate.why,
    )


def counted(point: Point, estimate: Estimate, tally: Tally) -> Point:
    return replace(estimated(point, estimate), yes=tally.interpretable, left_out=tally.left_out)


def inputs_of(
    resolved: Resolved, columns: Sequence[str], census: Mapping[tuple[Any, ...], Tally], sample: Sample
) -> Inputs:
    """`columns` name the places of the census."""
    rows = [[*place, *tally] for place, tally in census.items()]
    return Inputs(
        (*columns, *Tally._fields),
        sorted(rows, key=lambda row: [str(it).zfill(12) for it in row]),
        labels_of([*sample.rows, *sample.controls]),
        facts_of(resolved, census, sample),
    )


def labels_of(rows: Sequence[Labelled]) -> list[list[Any]]:
    """As LABEL_COLUMNS; the direction and its vector by their keys."""
    from labelapp.atlas.models import Matrix

    few = Matrix.objects.select_related("model").defer("singular_values", "neurons", "vectors")
    matrices = few.in_bulk(sorted({it.matrix for it in rows}))
    from labelapp.atlas.keys import DirectionKey

    found = []
    for it in rows:
        matrix = matrices[it.matrix]
        key = DirectionKey(matrix.key, it.side, it.index, it.sign)  # type: ignore[arg-type]
        plus = replace(key, sign="+")
        place = (matrix.model.slug, it.circuit, it.layer, it.index, it.sign, it.control)
        found.append([str(key), str(plus)[:-1], *place, int(it.human), it.machine, it.pi])
    return sorted(found)


def facts_of(resolved: Resolved, census: Mapping[tuple[Any, ...], Tally], sample: Sample) -> dict[str, Any]:
    """What is compared where the data have changed."""
    tallies = list(census.values())
    facts: dict[str, Any] = {"selection": resolved.query.words, "unit": resolved.query.unit}
    if resolved.judge is not None and resolved.rule is not None:
        facts |= {
            "machine": resolved.judge.name,
            "machine_digest": resolved.judge.digest,
            "rule": resolved.rule.identifier,
            "directions the machine judged": sum(it.total for it in tallies),
            "not judged by the machine": sum(it.not_judged for it in tallies),
            "called interpretable by the machine": sum(it.interpretable for it in tallies),
            "unsure, unparsed or failed": sum(it.left_out for it in tallies),
        }
    if resolved.project is not None:
        facts |= {
            "project": resolved.project.slug,
            "design": design_words(resolved, sample),
            "human verdict": resolved.query.truth,
            "labels of people": len(sample.rows),
            "called interpretable by people": sum(it.human for it in sample.rows),
            "items drawn": sample.n_drawn,
            "labels on controls": len(sample.controls),
            "completion": sample.completion,
        }
    return facts


def design_words(resolved: Resolved, sample: Sample) -> str:
    if resolved.project is None:
        return "no sample of people"
    if sample.design is not None:
        return sample.design.words
    stored = resolved.project.design
    return f"{stored.get('kind', 'unknown').replace('_', ' ')}; seed {stored.get('seed')}"
