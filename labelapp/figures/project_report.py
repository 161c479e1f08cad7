"""A project's report: what was judged, by whom, under which rubric, prompts and rules, and what it comes to.

Every number is that of the function behind a page: the comparison's, the lab's, the figures', the audits'. The report
holds what everybody said; who may have it is its caller's to check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Count
from django.utils import timezone

from labelapp.atlas.models import Direction
from labelapp.autolabel.audits import AuditError, findings, source_get
from labelapp.autolabel.models import PromptVersion
from labelapp.autolabel.prompts import prompt_of
from labelapp.exchange.models import Import
from labelapp.figures.estimates import Resolved, resolve
from labelapp.figures.kinds import KINDS
from labelapp.figures.kinds.base import Computed, Kind, design_words
from labelapp.figures.people import Sample, sample_of
from labelapp.figures.query import Query
from labelapp.figures.report import ReportError, report
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Verdict
from labelapp.judgements.rules import Rule
from labelapp.labelling.models import Guidelines, Item, Project
from labelapp.review.models import Adjudication, GroundTruth
from labelapp.review.selectors import Comparison, comparison
from labelapp.review.truth import truths_of
from labelapp.review.truth_rules import truth_rule_of
from labelapp.statistics.agreement import krippendorff_alpha
from labelapp.statistics.clusters import Share, clustered_share
from labelapp.statistics.estimation import wilson_interval
from workers.llm.prompts import prompt_to_yaml

if TYPE_CHECKING:  # it brings scipy, which the web process starts without
    from labelapp.statistics.agreement_card import AgreementCard

FIGURES = ("estimates", "layers", "rules", "judgements")
Progress = Callable[[str], object]


@dataclass(frozen=True)
class Person:
    """One of the people: a pseudonym, unless names were asked for."""

    name: str
    n: int  # judgements that stand
    verdicts: Mapping[str, int]
    n_second_looks: int


@dataclass(frozen=True)
class Rubric:
    guidelines: Guidelines
    n: int  # standing judgements made under it


@dataclass(frozen=True)
class Machine:
    """One machine on the project's items: its rule, its prompts as they ask, its table with the people."""

    judge: Judge
    rule: Rule
    n: int  # of the project's items that it judged
    prompts: Sequence[tuple[str, str]]  # name and version, and the whole of it as YAML
    card: AgreementCard
    on_controls: Share  # its yes on the project's controls


@dataclass(frozen=True)
class Audited:
    source: str
    judge: str
    n: int
    counts: Sequence[tuple[str, str, int]]  # title, what it says, how many


@dataclass(frozen=True)
class Gap:
    """Of imported labels: what the post's text counts, and what the released arrays hold."""

    judge: str
    n: int
    both: int
    verifier: int
    nulls: int  # the verifier's yes to "no shared meaning", which only the arrays count

    @property
    def shares(self) -> tuple[float, float]:
        return self.both / self.n, self.verifier / self.n


@dataclass(frozen=True)
class Drawn:
    """One figure; `svg` is its plot, empty where there is nothing to draw."""

    kind: Kind
    computed: Computed
    svg: str = ""


@dataclass(frozen=True)
class ProjectReport:
    project: Project
    made_at: datetime
    design: str
    n_items: int
    n_exploration: int
    n_controls: int
    n_judged: int
    n_decided: int
    people: Sequence[Person]
    people_alpha: float | None
    people_on_controls: Share
    rubrics: Sequence[Rubric]
    machines: Sequence[Machine]
    audits: Sequence[Audited]
    truths: Sequence[tuple[GroundTruth, str]]
    gaps: Sequence[Gap]
    figures: Sequence[Drawn] = field(default_factory=list)
    sample: Sample = field(default_factory=Sample)

    @property
    def n_judgements(self) -> int:
        return sum(it.n for it in self.people)


def project_report(
    project: Project, *, with_names: bool = False, draw: Callable[[Mapping[str, Any]], str], progress: Progress = print
) -> ProjectReport:
    """Gather it; `draw` makes an SVG of a plot's specification. `progress` is told what is being done."""
    progress("Counting what was judged")
    found = comparison(project)
    rows = Judgement.objects.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    items = Item.objects.filter(project=project)
    controls = _controls(project)
    vectors = _vectors([*found.people, *found.machines])
    resolved = resolve(Query(project=project.slug))
    sample = sample_of(resolved.query, project, resolved.judge, resolved.rule)
    progress("Comparing people and machines")
    machines = _machines(project, found, vectors, controls)
    progress("Auditing the machines' labels")
    audits = _audits(project, [it.judge for it in machines])
    people_yes = {pk: said == Verdict.INTERPRETABLE for pk, said in found.human.items() if said in TWO_VALUED}
    return ProjectReport(
        project, timezone.now(), design_words(resolved, sample), items.count(), items.filter(exploration=True).count(),
        items.filter(direction__in=controls).count(), rows.values("direction").distinct().count(),
        Adjudication.objects.filter(item__project=project, current=True).count(),
        _people(rows, with_names), people_alpha(found),
        _share_on({pk: said for pk, said in people_yes.items() if pk in controls}, vectors),
        _rubrics(project, rows), machines, audits,
        [(it, truth_rule_of(it.rule).says) for it in truths_of(project)],
        _gaps([it.judge for it in machines]), _figures(resolved, draw, progress), sample,
    )  # fmt: skip


def people_alpha(found: Comparison) -> float | None:
    """Krippendorff's alpha of people's yes and no, of those who judged what; None where no two judged the same."""
    judges = sorted({opinion.judge.pk for said in found.people.values() for opinion in said})
    said: dict[int, dict[int, str]] = {judge: {} for judge in judges}
    for direction, opinions in found.people.items():
        for opinion in opinions:
            if opinion.verdict in TWO_VALUED:
                said[opinion.judge.pk][direction] = opinion.verdict
    directions = sorted(found.people)
    return krippendorff_alpha([[said[judge].get(pk) for pk in directions] for judge in judges]) if judges else None


def _people(rows: Any, with_names: bool) -> list[Person]:
    counted = rows.order_by("judge_id").values("judge_id", "judge__name", "verdict", "blind").annotate(n=Count("pk"))
    people: dict[int, tuple[str, Counter[str], Counter[bool]]] = {}
    for row in counted:
        _, verdicts, blind = people.setdefault(row["judge_id"], (row["judge__name"], Counter(), Counter()))
        verdicts[row["verdict"]] += row["n"]
        blind[row["blind"]] += row["n"]
    return [
        Person(name if with_names else f"person {place}", verdicts.total(), dict(verdicts), blind[False])
        for place, (name, verdicts, blind) in enumerate(people.values(), start=1)
    ]


def _rubrics(project: Project, rows: Any) -> list[Rubric]:
    made = dict(rows.order_by().values_list("guidelines_version").annotate(n=Count("pk")))
    return [Rubric(it, made.get(it.version, 0)) for it in project.guidelines.order_by("version")]


def _controls(project: Project) -> set[int]:
    rows = Item.objects.filter(project=project).exclude(direction__matrix__control="")
    return set(rows.values_list("direction_id", flat=True))


def _vectors(direction_ids: Sequence[int]) -> dict[int, Hashable]:
    found: dict[int, Hashable] = {}
    ids = sorted(set(direction_ids))
    for start in range(0, len(ids), 10_000):
        rows = Direction.objects.filter(pk__in=ids[start : start + 10_000])
        for pk, *vector in rows.values_list("pk", "matrix_id", "side", "index"):
            found[pk] = tuple(vector)
    return found


def _machines(
    project: Project, found: Comparison, vectors: Mapping[int, Hashable], controls: set[int]
) -> list[Machine]:
    from labelapp.statistics.agreement_card import agreement_card

    said: dict[int, dict[int, bool]] = {}
    judges: dict[int, Judge] = {}
    for direction, opinions in found.machines.items():
        for opinion in opinions:
            judges[opinion.judge.pk] = opinion.judge
            if opinion.verdict in TWO_VALUED:
                said.setdefault(opinion.judge.pk, {})[direction] = opinion.verdict == Verdict.INTERPRETABLE
    people = {pk: said_ == Verdict.INTERPRETABLE for pk, said_ in found.human.items() if said_ in TWO_VALUED}
    machines = []
    for pk in sorted(judges):
        told = said.get(pk, {})
        directions = sorted(people.keys() | told.keys())
        card = agreement_card(
            [people.get(it) for it in directions],
            [told.get(it) for it in directions],
            [vectors[it] for it in directions],
        )
        n = Judgement.objects.filter(judge=pk, current=True, direction__items__project=project).count()
        on_controls = {it: yes for it, yes in told.items() if it in controls}
        machines.append(
            Machine(judges[pk], found.rules[pk], n, _prompts(judges[pk]), card, _share_on(on_controls, vectors))
        )
    return machines


def _share_on(said: Mapping[int, bool], vectors: Mapping[int, Hashable]) -> Share:
    return clustered_share(list(said.values()), [vectors[pk] for pk in said])


def _prompts(judge: Judge) -> list[tuple[str, str]]:
    digests = [judge.parameters.get(role) for role in ("labeler", "verifier")]
    versions = PromptVersion.objects.filter(digest__in=[it for it in digests if isinstance(it, str)])
    return [(str(it), prompt_to_yaml(prompt_of(it))) for it in versions.order_by("kind", "pk")]


def _audits(project: Project, judges: Sequence[Judge]) -> list[Audited]:
    """Of the runs and imports whose answers stand on the project's items: over all that came from them."""
    rows = Judgement.objects.filter(judge__in=list(judges), current=True, direction__items__project=project)
    found = []
    for address in sorted(set(rows.order_by().values_list("source", flat=True).distinct())):
        try:
            source = source_get(address)
        except AuditError:
            continue
        made = findings(source)
        counts = [(it.audit.title, it.audit.definition, it.count) for it in made.counts]
        found.append(Audited(source.title, source.judge.name, made.n, counts))
    return found


def _gaps(judges: Sequence[Judge]) -> list[Gap]:
    imported = set(Import.objects.filter(judge__in=list(judges)).values_list("judge_id", flat=True))
    gaps = []
    for judge in judges:
        if judge.pk not in imported:
            continue
        try:
            whole = report(judge)
        except ReportError:
            continue
        _, verifier, both, *_ = whole.whole.yes  # in the order of the rules
        if verifier is None or both is None:
            continue
        nulls = whole.cells[Verdict.NOT_INTERPRETABLE, "yes"]
        gaps.append(Gap(judge.name, whole.whole.n, both, verifier, nulls))
    return gaps


def _figures(resolved: Resolved, draw: Callable[[Mapping[str, Any]], str], progress: Progress) -> list[Drawn]:
    drawn = []
    for kind in (KINDS[name] for name in FIGURES if name in KINDS):
        progress(f"Figure: {kind.title.lower()}")
        computed = kind.compute(resolved)
        has_points = any(it.value is not None for it in computed.points)
        drawn.append(Drawn(kind, computed, draw(kind.spec(computed, resolved)) if has_points else ""))
    return drawn


def gap_sentence(gap: Gap) -> str:
    """What a reader of the released labels has to know."""
    both, verifier = gap.shares
    low, high = wilson_interval(gap.both, gap.n)
    return (
        f"{gap.judge}: by the rule that the post's text states (both), {gap.both:,} of {gap.n:,} directions are "
        f"interpretable, {100 * both:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %). The released arrays "
        f"hold the verifier's yes whatever the labeler said: {gap.verifier:,} of {gap.n:,}, {100 * verifier:.1f} %. "
        f"The gap of {100 * (verifier - both):.1f} points is the verifier's yes to {gap.nulls:,} answers that name no "
        "meaning."
    )
