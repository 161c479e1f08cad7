"""A project's report: what was judged, by whom, under which rubric, prompts and rules, and what it comes to.

Every number is that of the function behind a page: the comparison's, the lab's, the figures', the audits'. The report
holds what everybody said; who may have it is its caller's to check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Count
from django.utils import timezone

from labelapp.atlas.models import Direction, Model
from labelapp.autolabel.audits import AuditError, findings, source_get
from labelapp.autolabel.models import PromptVersion
from labelapp.autolabel.prompts import prompt_of
from labelapp.exchange.models import Import
from labelapp.figures.census import Slice, rule_chosen
from labelapp.figures.estimates import Resolved, control_tally, resolve
from labelapp.figures.kinds import KINDS
from labelapp.figures.kinds.base import Computed, Kind
from labelapp.figures.people import Sample, project_slice, sample_of
from labelapp.figures.query import Query
from labelapp.figures.report import ReportError, report
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Verdict
from labelapp.judgements.rules import Rule
from labelapp.labelling.models import Guidelines, Item, Project
from labelapp.labelling.projects.design import (
    ALL_OF_THEM,
    ALLOCATIONS,
    SIMPLE_RANDOM,
    STRATA,
    STRATIFIED,
    UNCERTAINTY,
    design_from_json,
)
from labelapp.review.models import Adjudication, GroundTruth
from labelapp.review.selectors import Comparison, comparison
from labelapp.review.truth import truths_of
from labelapp.review.truth_rules import truth_rule_of
from labelapp.statistics.clusters import Share, clustered_share
from labelapp.statistics.estimation import wilson_interval
from workers.llm.prompts import prompt_to_yaml

if TYPE_CHECKING:  # it brings scipy, which the web process starts without
    from labelapp.statistics.agreement_card import AgreementCard
    from labelapp.statistics.crowd_card import CrowdCard

FIGURES = ("estimates", "layers", "rules", "judgements")
KIND_WORDS = {SIMPLE_RANDOM: "simple random sample", UNCERTAINTY: "sample weighted by the machine's uncertainty"}
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
    on_controls: Share  # its yes on noise of the project's models, wherever it was judged
    alpha: float | None = None  # of the offline baseline: the level that noise passes by construction


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
    """One figure; `svg` is its plot, empty where there is nothing to draw. `of` is the machine, where there are
    several figures of the kind, and `name` that of its file.
    """

    kind: Kind
    computed: Computed
    svg: str = ""
    of: str = ""
    name: str = ""


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
    people_card: CrowdCard
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
    project: Project,
    *,
    judge: Judge | None = None,
    with_names: bool = False,
    draw: Callable[[Mapping[str, Any]], str],
    progress: Progress = print,
) -> ProjectReport:
    """Gather it; `draw` makes an SVG of a plot's specification. `progress` is told what is being done.

    judge: the machine of the figures; without one the usual one, and the rules of each machine with a verifier.
    """
    progress("Counting what was judged")
    found = comparison(project)
    rows = Judgement.objects.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    items = Item.objects.filter(project=project)
    controls = _controls(project)
    vectors = _vectors([*found.people, *found.machines])
    apart = set(items.filter(exploration=True).values_list("direction_id", flat=True))  # in no estimate
    resolved = resolve(Query(project=project.slug, judge=judge.pk if judge else 0))
    sample = sample_of(resolved.query, project, resolved.judge, resolved.rule)
    progress("Comparing people and machines")
    machines = _machines(project, found, vectors, apart)
    progress("Auditing the machines' labels")
    audits = _audits(project, [it.judge for it in machines])
    people_yes = {pk: said == Verdict.INTERPRETABLE for pk, said in found.human.items() if said in TWO_VALUED}
    return ProjectReport(
        project, timezone.now(), design_phrase(project), items.count(), items.filter(exploration=True).count(),
        items.filter(direction__in=controls).count(), rows.values("direction").distinct().count(),
        Adjudication.objects.filter(item__project=project, current=True).count(),
        _people(rows, with_names), people_card(found, vectors, apart),
        _share_on({pk: said for pk, said in people_yes.items() if pk in controls}, vectors),
        _rubrics(project, rows), machines, audits,
        [(it, truth_rule_of(it.rule).says) for it in truths_of(project)],
        _gaps([it.judge for it in machines]), _figures(resolved, [] if judge else machines, draw, progress), sample,
    )  # fmt: skip


def people_card(found: Comparison, vectors: Mapping[int, Hashable], apart: Container[int] = ()) -> CrowdCard:
    """How people's blind yes and no agree on the directions that two of them judged; those `apart` are left out."""
    from labelapp.statistics.crowd_card import crowd_card

    said = {
        pk: [it.verdict for it in opinions if it.blind and it.verdict in TWO_VALUED]
        for pk, opinions in found.people.items()
        if pk not in apart
    }
    yes = [verdicts.count(Verdict.INTERPRETABLE) for verdicts in said.values()]
    return crowd_card(yes, [len(it) for it in said.values()], [vectors[pk] for pk in said])


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
    project: Project, found: Comparison, vectors: Mapping[int, Hashable], apart: Container[int]
) -> list[Machine]:
    from labelapp.statistics.agreement_card import agreement_card

    said: dict[int, dict[int, bool]] = {}
    judges: dict[int, Judge] = {}
    for direction, opinions in found.machines.items():
        for opinion in opinions:
            judges[opinion.judge.pk] = opinion.judge
            if opinion.verdict in TWO_VALUED and direction not in apart:
                said.setdefault(opinion.judge.pk, {})[direction] = opinion.verdict == Verdict.INTERPRETABLE
    people = {
        pk: verdict == Verdict.INTERPRETABLE
        for pk, verdict in found.human.items()
        if verdict in TWO_VALUED and pk not in apart
    }
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
        judge, rule = judges[pk], found.rules[pk]
        noise = control_tally(_models_of(project), judge, rule).share
        machines.append(Machine(judge, rule, n, _prompts(judge), card, noise, control_level(judge)))
    return machines


def _models_of(project: Project) -> Slice:
    """What the project was drawn from; where that is not kept, all of the models that its items are of."""
    of = project_slice(Query(), project)
    if design_from_json(project.design) is not None:
        return of
    models = Model.objects.filter(pk__in=project.items.order_by().values("direction__matrix__model"))
    slugs = tuple(sorted(it.slug for it in models))
    return Slice(tuple(replace(it, models=slugs) for it in of.selections))


def control_level(judge: Judge) -> float | None:
    """The share of noise that passes by construction: the level α of the offline baseline."""
    alpha = judge.parameters.get("alpha") if judge.type == Judge.Type.BASELINE else None
    return float(alpha) if isinstance(alpha, int | float) else None


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


def _figures(
    resolved: Resolved, machines: Sequence[Machine], draw: Callable[[Mapping[str, Any]], str], progress: Progress
) -> list[Drawn]:
    """One of each kind; of the rules one for each machine with a verifier, which alone has more than one."""
    drawn = []
    for kind in (KINDS[name] for name in FIGURES if name in KINDS):
        progress(f"Figure: {kind.title.lower()}")
        verified = [it.judge for it in machines if it.rule.needs_verifier] if kind.name == "rules" else []
        chosen: Sequence[Judge | None] = verified or [resolved.judge]
        for judge in chosen:
            own = resolved if judge is None else replace(resolved, judge=judge, rule=rule_chosen(judge, ""))
            several = judge is not None and len(verified) > 1
            computed = kind.compute(own)
            has_points = any(it.value is not None for it in computed.points)
            drawn.append(
                Drawn(
                    kind,
                    computed,
                    draw(kind.spec(computed, own)) if has_points else "",
                    judge.name if judge is not None and verified else "",
                    f"{kind.name}-{judge.pk}" if judge is not None and several else kind.name,
                )
            )
    return drawn


def design_phrase(project: Project) -> str:
    """How the items were drawn: "a simple random sample of 120 directions, seed 1"."""
    design = design_from_json(project.design)
    kind, n, seed = (project.design.get(it) for it in ("kind", "n", "seed"))
    unit = "vectors" if project.ends == Project.Ends.BOTH else "directions"
    if kind == ALL_OF_THEM:
        return f"all {unit} of the selection, in an order drawn with seed {seed}"
    if design is None or n is None:
        return f"{str(kind or 'unknown').replace('_', ' ')}, seed {seed}"
    size = f"{n:,} {unit}, seed {seed}"
    if kind == STRATIFIED:
        how = ALLOCATIONS[design.allocation]
        return f"a random sample stratified by {STRATA[design.strata]} with {how} allocation, of {size}"
    return f"a {KIND_WORDS.get(design.kind, design.kind)} of {size}"


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
