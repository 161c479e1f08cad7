"""How often a machine errs, by another project's labels: what Rogan and Gladen's estimate needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labelapp.figures.people import Labelled, Sample, sample_of
from labelapp.figures.query import NONE, Query
from labelapp.judgements.models import TWO_VALUED, Judge, Verdict
from labelapp.judgements.rules import Rule
from labelapp.labelling.models import Project
from labelapp.statistics.clusters import Share, clustered_share


@dataclass(frozen=True)
class Calibration:
    """The labels of another project, and how often the machine is right on them, in the unit of the figure.

    Where the items were drawn with unequal π each counts as 1/π: the rates are those of what was drawn from.
    """

    project: Project
    sample: Sample
    sensitivity: Share  # of those that people call interpretable, how many the machine does too
    specificity: Share  # of the others, how many it does not

    @property
    def n(self) -> int:
        """Labels on which the machine said yes or no."""
        return self.sensitivity.n + self.specificity.n


def calibration_of(query: Query, judge: Judge, rule: Rule) -> Calibration | None:
    """That which a query names; None where it names none, or its own project."""
    if not query.calibration or query.calibration in (NONE, query.project):
        return None
    project = Project.objects.filter(slug=query.calibration).first()
    if project is None:
        return None
    sample = sample_of(Query(truth=query.truth, unit=query.unit), project, judge, rule)
    told = [it for it in sample.rows if it.machine in TWO_VALUED]
    yes, no = ([it for it in told if it.human is human] for human in (True, False))
    equal = sample.has_equal_pi
    return Calibration(
        project, sample, _rate(yes, Verdict.INTERPRETABLE, equal), _rate(no, Verdict.NOT_INTERPRETABLE, equal)
    )


def _rate(rows: Sequence[Labelled], right: str, equal: bool) -> Share:
    weights = None if equal else [1 / it.pi for it in rows]
    return clustered_share([it.machine == right for it in rows], [it.vector for it in rows], weights)
