"""The fraction interpretable of a slice, by every estimator that fits its design: for pages, plots and reports.

`estimates(query)` is the way in. It trusts its caller to have checked who may see the project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from labelapp.figures.calibrated import Calibration, calibration_of
from labelapp.figures.census import (
    LAYER,
    MODEL,
    Place,
    Slice,
    added,
    census,
    machine_usual,
    rule_chosen,
    with_rest,
)
from labelapp.figures.people import NO_SELECTION, NOT_JUDGED, Labelled, Sample, project_slice, sample_of
from labelapp.figures.query import CENSUS, ENDS, NONE, Query
from labelapp.judgements.models import Judge, Verdict
from labelapp.judgements.rules import Rule
from labelapp.judgements.tables import Tally
from labelapp.labelling.models import Project
from labelapp.labelling.projects.design import design_from_json
from labelapp.statistics.estimation import MINIMUM, ROGAN_GLADEN, Estimate, human_only

if TYPE_CHECKING:
    from labelapp.statistics.fraction import FractionEstimate

PERSON, MACHINE, CORRECTED = "person", "machine", "corrected"
MACHINE_ONLY = "machine alone"
MOST_LEFT = 0.05
"""Of a census may be without the machine's answer, and it still corrects people's labels there."""
PARTLY = (
    "The machine has judged {judged:,} of the {size:,} of this census, perhaps what people agreed on: a correction "
    "needs about all of it, so people stand alone. Run the machine over the rest."
)
TOO_FEW = "{n} labels of people are too few for an interval that says anything: at least {least} are needed."
NO_MACHINE = "No machine has judged these directions: people alone."
NO_VERDICT = "The machine gave none of these directions a yes or no."
NO_CONTROLS_OF_PEOPLE = (
    "No control was mixed among the items, so nobody knows how often these people see meaning in noise. "
    "A project's selection may name controls."
)
NO_VECTOR_RATE = (
    "By construction the machine calls an end of noise interpretable at its level, and the two ends of a vector depend "
    "on each other, so nobody knows how often noise passes as a vector. Judge controls: ./tea manage decompose MODEL "
    "--control gaussian, then run this judge over them."
)
CALIBRATED = (
    "No label of people is of these directions; those of {project} say how often the machine errs (Rogan-Gladen)."
)
OF_THIS_CENSUS = "Rogan and Gladen's estimate is of this census: choose it as the estimand."
NO_CONTROLS_OF_MACHINE = (
    "The machine has judged no control of this selection, so nobody knows how often it sees meaning in noise. "
    "Decompose controls, and run the judge over them."
)


@dataclass(frozen=True)
class Resolved:
    """A query's names as rows; `of` is the census that is meant."""

    query: Query
    of: Slice
    judge: Judge | None
    rule: Rule | None
    project: Project | None
    progress: Callable[[int], object] = lambda percent: None  # told by what takes long


@dataclass(frozen=True)
class Line:
    """One estimate as a page shows it; `source` is whose word it is: person, machine, corrected."""

    source: str
    estimate: Estimate


@dataclass(frozen=True)
class Estimates:
    """Every estimate of one slice side by side. What cannot be said is None in it, with the sentence why."""

    resolved: Resolved
    counts: Mapping[Place, Tally]  # of the machine, by model and layer
    sample: Sample
    recommended: Line
    why: str
    lines: Sequence[Line]  # the recommended one is not among them
    control: Line  # the same judges on noise
    net: Line
    correlation: float | None = None
    notes: Sequence[str] = field(default_factory=list)
    calibration: Calibration | None = None  # labels of another project, where one is named

    @property
    def is_calibrated(self) -> bool:
        """Whether what is claimed is the machine's word, corrected by its errors elsewhere."""
        return self.recommended.source == CORRECTED and not self.sample.rows

    @property
    def is_of_the_judged_alone(self) -> bool:
        """Whether people stand alone, and nobody knows which census their sample stands for."""
        return self.recommended.source == PERSON and not self.sample.knows_census

    @property
    def is_of_a_census(self) -> bool:
        """Whether the figure is of all that its selection names: not where the machine speaks of a part, or beside a
        project that keeps no selection.
        """
        if self.recommended.source != MACHINE:
            return True
        project = self.resolved.project
        return not self.census.not_judged and (project is None or design_from_json(project.design) is not None)

    @property
    def census(self) -> Tally:
        return added(list(self.counts.values()))

    @property
    def n_labels(self) -> int:
        return len(self.sample.rows)


def resolve(query: Query) -> Resolved:
    """A project that is not there counts as none; a judge that is not there, as the usual one."""
    project = None
    if query.project and query.project != NONE:
        project = Project.objects.filter(slug=query.project).first()
    of = project_slice(query, project) if project else Slice((query.selection,))
    if query.judge:
        judge = Judge.objects.filter(pk=query.judge).exclude(type=Judge.Type.PERSON).first()
    else:
        judge = machine_usual(of)
    return Resolved(query, of, judge, rule_chosen(judge, query.rule) if judge else None, project)


def estimates(query: Query) -> Estimates:
    """All estimates of the fraction interpretable of what a query names. Raises SelectionError."""
    return estimates_of(resolve(query))


def estimates_of(resolved: Resolved) -> Estimates:
    """The same of a query whose names are resolved."""
    query, judge, rule = resolved.query, resolved.judge, resolved.rule
    counts: dict[Place, Tally] = {}
    if judge and rule:
        counts = census(resolved.of, judge, rule, (MODEL, LAYER), query.unit)
        counts = with_rest(counts, resolved.of, (MODEL, LAYER), query.unit)
    sample = sample_of(query, resolved.project, judge, rule) if resolved.project else Sample()
    whole = added(list(counts.values()))
    machine = Line(MACHINE, machine_estimate(query, whole, counts))
    calibration = calibration_of(query, judge, rule) if judge and rule else None
    if not sample.rows:
        return _without_people(resolved, sample, counts, machine, calibration)
    return _with_people(resolved, sample, counts, machine, calibration)


def _without_people(
    resolved: Resolved, sample: Sample, counts: Mapping[Place, Tally], machine: Line, calibration: Calibration | None
) -> Estimates:
    """The machine's word, corrected by its errors elsewhere if these are known."""
    whole = added(list(counts.values()))
    why = sample.refusal if resolved.project else "No project is chosen, so no person's verdict takes part."
    elsewhere = [calibrated_line(resolved.query, whole, calibration)] if calibration else []
    recommended, lines, noise = machine, elsewhere, sample
    if calibration and can_be_claimed(elsewhere[0].estimate):
        recommended, lines, noise = elsewhere[0], [machine], calibration.sample
        why = CALIBRATED.format(project=calibration.project.name)
    control = control_line(resolved, noise)
    net = Line(recommended.source, net_estimate(recommended.estimate, control.estimate))
    notes = partly_notes(whole)
    return Estimates(
        resolved, counts, sample, recommended, why, lines, control, net, notes=notes, calibration=calibration
    )


def _with_people(
    resolved: Resolved, sample: Sample, counts: Mapping[Place, Tally], machine: Line, calibration: Calibration | None
) -> Estimates:
    query, whole = resolved.query, added(list(counts.values()))
    control = control_line(resolved, sample)
    is_comparable = whole.n and sample.knows_census
    rows = comparable(sample.rows, whole) if is_comparable else []
    notes = partly_notes(whole)
    person = Line(PERSON, person_estimate(sample.rows, sample))
    others = [machine]
    correlation = None
    if not rows:
        why = NO_SELECTION if whole.n and not sample.knows_census else NO_MACHINE
        if is_comparable:
            why = partly_words(whole)
        recommended = person
    elif query.estimand != CENSUS:
        recommended, why = _over_layers(rows, counts, sample)
        others += [person]
    else:
        found = corrected_estimate(rows, whole, sample)
        recommended, why, correlation = (
            Line(_source(found.recommended), found.recommended),
            found.why,
            found.correlation,
        )
        others += [Line(_source(it), it) for it in found.others]
        if found.n < 10:
            others.append(person)
    if calibration and whole.n:
        others.append(calibrated_line(query, whole, calibration))
    net = Line(recommended.source, net_estimate(recommended.estimate, control.estimate))
    return Estimates(resolved, counts, sample, recommended, why, others, control, net, correlation, notes, calibration)


def comparable(rows: Sequence[Labelled], whole: Tally) -> list[Labelled]:
    """The labels that a correction takes: none where the machine has judged a part of the census, which may be any but
    a sample of it (it may have been run over the labelled alone); all where what it left out is counted, a stratum.
    """
    if is_partly_judged(whole):
        return []
    return [it for it in rows if whole.not_judged or it.machine != NOT_JUDGED]


def is_partly_judged(whole: Tally) -> bool:
    return whole.not_judged > MOST_LEFT * (whole.total + whole.not_judged)


def partly_words(whole: Tally) -> str:
    return PARTLY.format(judged=whole.total, size=whole.total + whole.not_judged)


def partly_notes(whole: Tally) -> list[str]:
    if not whole.not_judged:
        return []
    size = whole.total + whole.not_judged
    rest = "" if is_partly_judged(whole) else ", and in a corrected estimate the others are a stratum of their own"
    return [f"The machine has judged {whole.total:,} of {size:,}: its own share is of these alone{rest}."]


def corrected_estimate(rows: Sequence[Labelled], whole: Tally, sample: Sample) -> FractionEstimate:
    """`statistics.fraction` on these labels, in the census that a tally counts."""
    from labelapp.statistics.fraction import fraction_estimate

    probabilities = None if sample.has_equal_pi else [it.pi * sample.completion for it in rows]
    return fraction_estimate(
        [float(it.human) for it in rows],
        [code(it.machine) for it in rows],
        strata(whole),
        pi=probabilities,
        clusters=[it.vector for it in rows],
    )


def person_estimate(rows: Sequence[Labelled], sample: Sample) -> Estimate:
    """People alone: Wilson's interval, over vectors where both ends of some are there, Hájek's where π differs."""
    from labelapp.statistics.clusters import clustered_share
    from labelapp.statistics.fraction import HUMAN_OVER, over_vectors
    from labelapp.statistics.weighting import ipw_human

    name, n = "human only (Wilson)", len(rows)
    if n < MINIMUM:
        return Estimate(name, n, why=TOO_FEW.format(n=n, least=MINIMUM))
    verdicts = [float(it.human) for it in rows]
    if not sample.has_equal_pi:
        probability = np.array([it.pi * sample.completion for it in rows])
        found = ipw_human(verdicts, probability)
        residual = np.array(verdicts) - (found.value or 0.0)
        return over_vectors(found, residual, 1 / probability, [it.vector for it in rows])
    if len({it.vector for it in rows}) == n:
        return human_only(verdicts)
    share = clustered_share(verdicts, [it.vector for it in rows])
    return Estimate(HUMAN_OVER, n, share.value, share.low, share.high, share.effective_n, 0.0)


def machine_estimate(query: Query, whole: Tally, counts: Mapping[Place, Tally] | None = None) -> Estimate:
    """The machine's own share. Its interval is for what the census stands for, over vectors, both ends of which are
    one cluster.

    With the estimand of layers, a bootstrap over them. `counts` by model and layer.
    """
    n = whole.n
    if not n:
        return Estimate(MACHINE_ONLY, 0, why=NO_VERDICT)
    if query.estimand != CENSUS and counts is not None:
        from labelapp.statistics.resampling import over_layers

        layers = [it for it in counts.values() if it.n]
        return over_layers([it.interpretable for it in layers], [it.n for it in layers])
    share = whole.share
    return Estimate(MACHINE_ONLY, n, share.value, share.low, share.high)


def control_line(resolved: Resolved, sample: Sample) -> Line:
    """How often noise passes: people's rate where people take part, else the machine's, measured or by construction.

    By construction only ends pass at the level: of vectors it is as often as the two ends of noise go together.
    """
    judge, rule, query = resolved.judge, resolved.rule, resolved.query
    if sample.rows:
        if not sample.controls:
            return Line(PERSON, Estimate("controls, people", 0, why=NO_CONTROLS_OF_PEOPLE))
        return Line(PERSON, person_estimate(sample.controls, replace(sample, rows=sample.controls, n_drawn=0)))
    if judge is None or rule is None:
        return Line(MACHINE, Estimate("controls, machine", 0, why=NO_CONTROLS_OF_MACHINE))
    noise = control_tally(resolved.of, judge, rule, query.unit)
    if noise.n:
        return Line(MACHINE, machine_estimate(query.change(estimand=CENSUS), noise))
    alpha = judge.parameters.get("alpha") if judge.type == Judge.Type.BASELINE else None
    if isinstance(alpha, int | float) and query.unit != ENDS:
        return Line(MACHINE, Estimate("controls, machine", 0, why=NO_VECTOR_RATE))
    if isinstance(alpha, int | float):
        return Line(MACHINE, Estimate("controls, by construction", 0, float(alpha), float(alpha), float(alpha)))
    return Line(MACHINE, Estimate("controls, machine", 0, why=NO_CONTROLS_OF_MACHINE))


def control_tally(of: Slice, judge: Judge, rule: Rule, unit: str = ENDS) -> Tally:
    """The machine on noise of the same matrices, whenever it was made."""
    found = census(Slice(of.of_variant(controls=()).selections), judge, rule, ("matrix__control",), unit)
    return added([it for (control,), it in found.items() if control])


def net_estimate(fraction: Estimate, control: Estimate) -> Estimate:
    """(p − c)/(1 − c)."""
    from labelapp.statistics.contrasts import net_of_control

    return net_of_control(fraction, control)


def strata(whole: Tally) -> dict[Hashable, int]:
    """The census as `fraction_estimate` takes it: 1, 0, the machine's other answers, and what it has not judged."""
    counts: Counter[Hashable] = Counter()
    for verdict, n in zip(Verdict.values, whole.verdicts, strict=True):
        counts[code(verdict)] += n
    counts[NOT_JUDGED] += whole.not_judged
    return {kind: n for kind, n in counts.items() if n}


def code(verdict: str) -> Hashable:
    return {"interpretable": 1, "not_interpretable": 0}.get(verdict, verdict)


def _over_layers(rows: Sequence[Labelled], counts: Mapping[Place, Tally], sample: Sample) -> tuple[Line, str]:
    from labelapp.statistics.resampling import counted_over_layers

    name = "difference, bootstrap over layers"
    if not sample.has_equal_pi:
        why = (
            "Layers as a sample need items that were drawn with equal probability; choose this census as the estimand."
        )
        return Line(CORRECTED, Estimate(name, len(rows), why=why)), why
    found = counted_over_layers(
        [float(it.human) for it in rows],
        [float(code(it.machine) == 1) for it in rows],
        [(it.model, it.layer) for it in rows],
        {place: it.interpretable for place, it in counts.items()},
        {place: it.total + it.not_judged for place, it in counts.items() if it.total + it.not_judged},
    )
    why = "Layers were drawn again, whole, with their labels and their part of the census."
    return Line(CORRECTED, found), found.why or why


def calibrated_line(query: Query, whole: Tally, calibration: Calibration) -> Line:
    """Rogan and Gladen's estimate, where another project calibrates the machine."""
    from labelapp.statistics.weighting import rogan_gladen_over

    n, refusal = calibration.n, calibration.sample.refusal
    if not whole.n:
        refusal = NO_VERDICT
    elif query.estimand != CENSUS:
        refusal = OF_THIS_CENSUS
    elif is_partly_judged(whole):
        refusal = partly_words(whole)
    elif not refusal and n < MINIMUM:
        refusal = TOO_FEW.format(n=n, least=MINIMUM)
    if refusal:
        return Line(CORRECTED, Estimate(ROGAN_GLADEN, n, why=refusal))
    return Line(CORRECTED, rogan_gladen_over(whole.share, calibration.sensitivity, calibration.specificity))


def can_be_claimed(estimate: Estimate) -> bool:
    """Whether a Rogan-Gladen estimate is a share, with its interval."""
    return estimate.value is not None and 0 <= estimate.value <= 1 and estimate.low is not None


def _source(estimate: Estimate) -> str:
    alone = estimate.method.startswith(("human only", "IPW human only"))
    return PERSON if alone else CORRECTED
