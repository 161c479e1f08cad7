"""How the judgements are distributed: shares of every verdict, open ones too, of the machine and of people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from labelapp.atlas.models import Model
from labelapp.atlas.presentation import CIRCUIT_NAMES
from labelapp.figures import plots
from labelapp.figures.census import CIRCUIT, MODEL, Place, added, tally
from labelapp.figures.estimates import MACHINE, PERSON, Resolved
from labelapp.figures.kinds.base import Computed, Kind, Point, inputs_of
from labelapp.figures.kinds.series import NOTHING, gathered
from labelapp.figures.people import NO_SAMPLE, project_slice
from labelapp.figures.words import percent
from labelapp.judgements.models import Judge, Judgement, Verdict
from labelapp.judgements.models import Kind as YesKind
from labelapp.judgements.tables import Tally
from labelapp.labelling.models import Item, Project

VERDICTS = [str(Verdict(value).label) for value in Verdict.values]


def compute(resolved: Resolved) -> Computed:
    by = (MODEL, CIRCUIT)
    counts, sample = gathered(resolved, by)
    people = _people_counted(resolved)
    inputs = inputs_of(resolved, ("model_id", "circuit"), counts, sample)
    models = Model.objects.in_bulk({it[0] for it in (*counts, *people)})
    points = []
    for source, found in ((MACHINE, counts), (PERSON, people)):
        for (model, circuit), counted in sorted(found.items()):
            if counted.total:
                points += _bar(source, models[model], circuit, counted)
    if not points:
        return Computed(refusal=NO_SAMPLE if _on_exploration(resolved) else NOTHING, inputs=inputs)
    notes = ["Unsure, unparsed and failed answers are states of their own, and never counted as a no."]
    if kinds := _kinds(resolved):
        notes.append("What sort of yes people gave: " + ", ".join(kinds) + ".")
    if people:
        notes.append(
            "People's bars count every judgement, several on one direction too, and each alike, whatever its item's "
            "probability to be drawn."
        )
    if apart := _on_exploration(resolved):
        notes.append(
            f"Left out: {apart:,} judgements of people on exploration items, which were picked and not drawn, so that "
            "they are no sample of anything."
        )
    return Computed(points, sentence(counts.values(), people.values()), notes, inputs=inputs)


def _bar(source: str, model: Model, circuit: str, counted: Tally) -> list[Point]:
    total = counted.total
    name = f"{model} {CIRCUIT_NAMES[circuit]}, {'people' if source == PERSON else 'machine'}"
    return [
        Point(source, verdict, str(model), name, value=n / total, n=total, yes=n, cell=(model.pk, circuit))
        for verdict, n in zip(VERDICTS, counted.verdicts, strict=True)
        if n
    ]


def _people_counted(resolved: Resolved) -> dict[Place, Tally]:
    """What stands of the project's people on drawn items, by model and circuit; controls aside. One query."""
    found: dict[Place, Counter[str]] = {}
    for model, circuit, verdict, n in _standing(resolved, "direction__matrix__model_id", "direction__matrix__circuit"):
        found.setdefault((model, circuit), Counter())[verdict] += n
    return {place: tally(counter) for place, counter in found.items()}


def _standing(resolved: Resolved, *columns: str) -> Iterable[tuple[Any, ...]]:
    from django.db.models import Count

    if resolved.project is None:
        return []
    rows = _of_people(resolved, resolved.project).exclude(direction__in=_explored(resolved.project))
    counted: Iterable[tuple[Any, ...]] = rows.order_by().values_list(*columns, "verdict").annotate(n=Count("pk"))
    return counted


def _of_people(resolved: Resolved, project: Project) -> QuerySet[Judgement]:
    rows = Judgement.objects.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    return rows.filter(project_slice(resolved.query, project).condition("direction__"))


def _explored(project: Project) -> QuerySet[Item, Any]:
    """The directions that were picked because they are worth looking at: without π, in no figure."""
    return Item.objects.filter(project=project, exploration=True).order_by().values("direction")


def _on_exploration(resolved: Resolved) -> int:
    if resolved.project is None:
        return 0
    return _of_people(resolved, resolved.project).filter(direction__in=_explored(resolved.project)).count()


def _kinds(resolved: Resolved) -> list[str]:
    counts = Counter(
        {kind: n for kind, verdict, n in _standing(resolved, "kind") if kind and verdict == "interpretable"}
    )
    return [f"{YesKind(kind).label.lower()} {n:,}" for kind, n in counts.most_common()]


def sentence(machine: Iterable[Tally], people: Iterable[Tally]) -> str:
    parts = []
    for name, tallies in (("The machine", list(machine)), ("People", list(people))):
        total = added(tallies)
        if n := total.total:
            shares = [
                f"{percent(count / n)} {verdict}"
                for verdict, count in zip(VERDICTS, total.verdicts, strict=True)
                if count
            ]
            parts.append(f"{name}: {', '.join(shares)} of {n:,} judgements")
    return ". ".join(parts) + "." if parts else ""


def spec(computed: Computed, resolved: Resolved) -> dict[str, Any]:
    return plots.stacked_spec(computed.points, verdicts=VERDICTS)


KIND = Kind(
    name="judgements",
    title="Judgements",
    question="What was said, and how often?",
    explanation="The distribution of judgements: every verdict, and the answers that are none.",
    compute=compute,
    spec=spec,
    filters=("model", "circuit", "layer", "index", "sign", "judge", "rule", "project"),
    columns=("circuit", "source", "name", "value", "yes", "n"),
    by=(MODEL, CIRCUIT),
)
