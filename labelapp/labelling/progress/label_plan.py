"""How many labels a wanted interval needs, given how people and a machine agree so far.

Only items of the sample count, and only judgements that stand. The human verdict of an item is people's majority of yes
and no; one on which they are divided evenly has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from django.db.models import Count, Q

from labelapp.atlas.models import Direction
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Verdict
from labelapp.labelling.machine import answers_of
from labelapp.labelling.models import Item, Project
from labelapp.labelling.subjects import of_directions_check
from labelapp.statistics.estimation import labels_needed
from labelapp.statistics.planning import (
    Correlation,
    labels_needed_wilson,
    labels_of_census,
    verdict_correlation,
    weighting_effect,
)

FEWEST_LABELS = 20  # from which the share so far is what is expected
TYPICAL = (0.3, 0.5, 0.7, 0.85)  # correlations to compare with
MOST_CORRELATION = 0.99
LOOKED_AT = 1000
CORRELATED = 5000  # labels at most, drawn at random: with so many the correlation is known to two hundredths
ANY_SHARE = 0.5  # asks for most


@dataclass(frozen=True)
class Line:
    """With this correlation so many labels."""

    name: str
    correlation: float
    labels: int
    census: int  # if the figure is about these directions alone
    is_known: bool = False  # estimated from the project, not assumed

    @property
    def remaining(self) -> float:
        """What the machine leaves of the variance."""
        return 1 - self.correlation**2


@dataclass(frozen=True)
class LabelPlan:
    half_width: float
    confidence: float
    share: float
    is_share_known: bool
    population: int  # ends that the sample stands for
    items: int  # of the sample
    done: int  # of them with a human verdict
    machine: Judge | None
    correlation: Correlation | None
    alone: Line
    with_machine: Line | None
    lines: Sequence[Line]  # alone, at both ends of the correlation's interval, and typical ones
    wilson: int  # people alone, by Wilson's interval
    weighting: float  # so many times as many, since π is unequal
    is_census: bool  # whether `census` or `labels` is wanted

    def wanted(self, line: Line) -> int:
        return line.census if self.is_census else line.labels

    @property
    def best(self) -> Line:
        """What the page counts against: the machine where it is known to help, else people alone."""
        return self.with_machine or self.alone

    @property
    def left(self) -> int:
        return max(0, self.wanted(self.best) - self.done)

    @property
    def beyond_sample(self) -> int:
        """Labels that the sample does not have."""
        return max(0, self.wanted(self.best) - self.items)


@dataclass(frozen=True)
class _Label:
    verdict: bool
    weight: float  # 1/π
    vector: Any


def machines_of(project: Project) -> list[Judge]:
    """The machines that judged what people judged in the project, the one with most of it first.

    Looked for on the first LOOKED_AT items that were judged: they come in random order.
    """
    judged = project.items.filter(n_judged__gt=0).order_by("position").values_list("direction_id", flat=True)
    rows = Judgement.objects.filter(direction__in=list(judged[:LOOKED_AT]), current=True)
    rows = rows.exclude(judge__type=Judge.Type.PERSON).order_by()
    counts = dict(rows.values_list("judge").annotate(n=Count("direction", distinct=True)))
    return sorted(Judge.objects.filter(pk__in=counts), key=lambda it: (-counts[it.pk], it.pk))


def label_plan(
    project: Project,
    *,
    half_width: float,
    confidence: float = 0.95,
    share: float | None = None,
    machine: Judge | None = None,
    is_census: bool = True,
) -> LabelPlan:
    """The plan for ± half_width; `share` is what one expects, by default what people say so far.

    Five queries. Raises ValueError for a half width, confidence or share that cannot be, LabellingError for a project
    of pairs or matrices.
    """
    of_directions_check(project)
    labels = _labels(project)
    weights = [it.weight for it in labels.values()]
    is_share_known = share is None and len(labels) >= FEWEST_LABELS
    if share is None:
        share = _share(labels) if is_share_known else ANY_SHARE
    population = _population(project)
    correlation = _correlation(labels, machine, confidence) if machine else None

    def line(name: str, rho: float, *, is_known: bool = False) -> Line:
        rho = max(-MOST_CORRELATION, min(MOST_CORRELATION, rho))
        needed = labels_needed(half_width, share, rho, confidence)
        return Line(name, rho, needed, labels_of_census(needed, population) if population else needed, is_known)

    alone = line("people alone", 0.0)
    with_machine, lines = None, [alone]
    if correlation is not None and correlation.value is not None:
        with_machine = line("with the machine, as it agrees so far", correlation.value, is_known=True)
        lines.append(with_machine)
        if correlation.low is not None and correlation.high is not None:
            weak, strong = sorted((_weakest(correlation), max(abs(correlation.low), abs(correlation.high))))
            lines += [line("if it agrees as little as is likely", weak), line("as much as is likely", strong)]
    else:
        lines += [line(f"with a machine, if ρ were {rho:g}", rho) for rho in TYPICAL]
    return LabelPlan(
        half_width=half_width,
        confidence=confidence,
        share=share,
        is_share_known=is_share_known,
        population=population,
        items=project.items.filter(exploration=False).count(),
        done=len(labels),
        machine=machine,
        correlation=correlation,
        alone=alone,
        with_machine=with_machine,
        lines=lines,
        wilson=labels_needed_wilson(half_width, share, confidence),
        weighting=weighting_effect(weights) if weights else 1.0,
        is_census=is_census,
    )


def _weakest(correlation: Correlation) -> float:
    """The value in the interval that is nearest to 0: where it crosses 0, the machine may not help at all."""
    assert correlation.low is not None and correlation.high is not None
    if correlation.low <= 0 <= correlation.high:
        return 0.0
    return min(abs(correlation.low), abs(correlation.high))


def _share(labels: dict[int, _Label]) -> float:
    weights = sum(it.weight for it in labels.values())
    return sum(it.weight for it in labels.values() if it.verdict) / weights


def _labels(project: Project) -> dict[int, _Label]:
    """The human verdict on each item of the sample that has one, by direction."""
    rows = Judgement.objects.filter(
        source=project.source, current=True, judge__type=Judge.Type.PERSON, verdict__in=TWO_VALUED
    ).order_by()
    counts = rows.values_list("direction_id").annotate(
        yes=Count("pk", filter=Q(verdict=Verdict.INTERPRETABLE)),
        no=Count("pk", filter=Q(verdict=Verdict.NOT_INTERPRETABLE)),
    )
    balance = {pk: yes - no for pk, yes, no in counts}
    drawn = Item.objects.filter(project=project, exploration=False, n_judged__gt=0)
    columns = ("direction_id", "inclusion_probability", "direction__matrix_id", "direction__side", "direction__index")
    return {
        pk: _Label(balance[pk] > 0, 1 / pi, vector)
        for pk, pi, *vector_ in drawn.values_list(*columns)
        if balance.get(pk) and pi and (vector := tuple(vector_))
    }


def _correlation(labels: dict[int, _Label], machine: Judge, confidence: float) -> Correlation:
    ids = sorted(labels)
    if len(ids) > CORRELATED:
        ids = sorted(Random(len(ids)).sample(ids, CORRELATED))
    said = {
        pk: answer.under_rule == Verdict.INTERPRETABLE
        for pk, answer in answers_of(machine, Direction.objects.filter(pk__in=ids)).items()
        if answer.under_rule in TWO_VALUED
    }
    both = [pk for pk in ids if pk in said]
    return verdict_correlation(
        [labels[pk].verdict for pk in both],
        [said[pk] for pk in both],
        weights=[labels[pk].weight for pk in both],
        clusters=[labels[pk].vector for pk in both],
        confidence=confidence,
    )


def _population(project: Project) -> int:
    """Ends: what the sample was drawn from, by its design; else what its probabilities add up to."""
    n = project.design.get("population", 0)
    return int(n) * (2 if project.ends == Project.Ends.BOTH else 1)
