"""The prompt lab: machine judges side by side against a reference, on items that none of their prompts shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KT

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.atlas.panels import hidden_from
from labelapp.autolabel.models import Run, RunItem
from labelapp.judgements.models import Judge, Judgement, Summary
from labelapp.judgements.rules import RULES, Rule, rule_for
from labelapp.judgements.visibility import MOST_HIDDEN, count_is_shown
from labelapp.labelling.blindness import Blindness, hidden_among
from labelapp.labelling.models import Item, Project
from labelapp.review.lab_exemplars import exemplars_among
from labelapp.review.lab_query import MISSING, NO, OPEN, YES, Words, project_words, set_words
from labelapp.review.models import GroundTruth
from labelapp.statistics.labels import is_generic
from labelapp.statistics.operating import OperatingPoint, sensitivity_at

if TYPE_CHECKING:  # it brings scipy, which the web process starts without
    from labelapp.statistics.scoring import PairedScores, Scores

MOST_JUDGES = 6
JUDGES_AT_FIRST = 3
RATE = 0.05  # of controls that pass, at the operating point
EXEMPLARS_PERCENT = 70  # of the work of a long comparison that is looking for exemplars
ROWS_A_PAGE = 50
TOKENS_SHOWN = 8
NO_VERIFIER = "no verifier"
OWN_VERIFIER_MISSES = "This judge has no verifier, and the rule {rule} needs one."
OTHER_VERIFIER_MISSES = "The judge compared with has no verifier, and the rule {rule} needs one."
LEFT_OUT = {OPEN: "unsure, unparsed or failed", MISSING: "not judged"}
# (reference, judge) as letters, in the order of `scoring`'s columns.
_CELLS = ((YES, YES), (YES, NO), (NO, YES), (NO, NO))


@dataclass(frozen=True)
class Reference:
    """What judges are scored against: one part of a set ("" for both), or what a project has settled so far."""

    project: Project
    truth: GroundTruth | None = None
    part: str = ""

    def words(self, judges: Mapping[int, str], without: Sequence[int] = (), generic: Sequence[str] = ()) -> Words:
        if self.truth is None:
            return project_words(self.project.source, self.project.pk, judges, without, generic)
        return set_words(self.truth.pk, self.part, judges, without, generic)

    def rows(self) -> QuerySet[Any]:
        """What has its directions: a set's entries, or all items of a project, of which those that nobody settled are
        in no score."""
        if self.truth is None:
            return Item.objects.filter(project=self.project)
        return self.truth.entries.filter(part=self.part) if self.part else self.truth.entries.all()

    def directions(self) -> QuerySet[Direction]:
        if self.truth is None:
            return Direction.objects.filter(items__project=self.project)
        return Direction.objects.filter(pk__in=self.rows().values("direction"))

    def as_json(self) -> dict[str, Any]:
        """For a job's parameters; `reference_from_json` reads it."""
        return {"project": self.project.pk, "truth": self.truth.pk if self.truth else 0, "part": self.part}

    @property
    def state(self) -> tuple[Any, ...]:
        """What changes when its directions do: a set never changes, of a project items are only added."""
        if self.truth is not None:
            return ("truth", self.truth.pk, self.part)
        return ("project", self.project.pk, self.rows().count())


def reference_from_json(stored: Mapping[str, Any]) -> Reference:
    """What `as_json` made."""
    truth = GroundTruth.objects.get(pk=stored["truth"]) if stored["truth"] else None
    return Reference(Project.objects.get(pk=stored["project"]), truth, stored["part"])


@dataclass(frozen=True)
class Spent:
    """What asking cost, over the reference's directions that a run of the judge answered; money in nano-dollars."""

    n: int
    cost: int | None  # of a direction; None where a price is unknown
    seconds: float | None  # that a direction took

    @property
    def dollars(self) -> float | None:
        return None if self.cost is None else self.cost / 1e9


@dataclass(frozen=True)
class Scored:
    """One judge against the reference; `paired` is against the first of those compared, None of itself."""

    judge: Judge
    rule: Rule
    scores: Scores
    left_out: Sequence[tuple[str, int]]
    paired: PairedScores | None
    spent: Spent | None
    operating: OperatingPoint
    prompts: Sequence[str] = ()


class DifferingWords(Protocol):
    """Where the directions are read on which two of the judges say yes and no."""

    def differing(self, *, after: int, limit: int) -> list[tuple[int, str]]:
        """The first ones behind a direction, by id, each with its word (`lab_query`)."""


@dataclass(frozen=True)
class Lab:
    """The comparison; `n` are the reference's ends that are scored, `n_exemplars` those that a prompt shows."""

    reference: Reference
    n: int
    n_yes: int
    n_exemplars: int
    judges: Sequence[Scored] = ()
    words: DifferingWords | None = None


@dataclass(frozen=True)
class Differing:
    """A direction on which judges differ, with what each said; `item` opens it side by side."""

    item: Item
    direction: Direction
    tokens: Sequence[str]
    truth: bool
    said: Sequence[tuple[Judge, str, str]]  # judge, letter, label


def judges_of_reference(reference: Reference) -> list[Judge]:
    """The machines that judged any of its directions, newest first.

    Of each machine the first such judgement is looked for: whether there is any, PostgreSQL asks of all judgements at
    once. The least and the largest direction keep out what a machine said of another model.
    """
    rows = reference.rows().order_by()
    ends = rows.aggregate(least=Min("direction"), largest=Max("direction"))
    if ends["least"] is None:
        return []
    said = Judgement.objects.filter(
        judge=OuterRef("pk"),
        current=True,
        direction__in=rows.values("direction"),
        direction__gte=ends["least"],
        direction__lte=ends["largest"],
    )
    first = Subquery(said.order_by().values("pk")[:1])
    machines = Judge.objects.exclude(type=Judge.Type.PERSON).alias(said=first).filter(said__isnull=False)
    return list(machines.order_by("-pk"))


def is_shown(reference: Reference, viewer: User) -> bool:
    """Whether counts over the reference give away nothing that the viewer is still to judge blind.

    Most often a viewer's own project waits for him or her as a whole or hardly at all: that is seen first, and no
    further than it decides.
    """
    rows = reference.rows()
    n = rows.count() if reference.truth is None or reference.part else reference.truth.n
    blind = Blindness.of(viewer)
    if reference.project.pk in blind.judging:
        waiting = Item.objects.filter(project=reference.project, is_open=True).exclude(
            blind.judged([reference.project])
        )
        if reference.truth is not None:
            waiting = waiting.filter(direction__in=rows.values("direction"))
        most = int(MOST_HIDDEN * n)
        if waiting.order_by().values("pk")[: most + 1].count() > most:
            return False
    hidden = hidden_among(viewer, rows.order_by().values("direction")).count()
    return count_is_shown(n, hidden)


def lab(
    reference: Reference,
    judges: Sequence[Judge],
    rule: str = "",
    progress: Callable[[int], object] = lambda percent: None,
) -> Lab:
    """Score these judges on the same items; the first is the one that the others are compared with. Without a rule
    each by its default: `both` where it has a verifier, else `labeler`.

    An end that any of their prompts shows as an exemplar is scored for none of them. `progress` is told percent.
    """
    shown: set[int] = set()
    for place, judge in enumerate(judges):
        shown |= exemplars_among(reference, judge, _part_of(progress, place, len(judges), EXEMPLARS_PERCENT))
    verified = {it.pk: _has_verifier(it) for it in judges}
    rules = {it.pk: RULES[rule] if rule else rule_for(has_verifier=verified[it.pk]) for it in judges}
    unruled = [rules[it.pk].needs_verifier and not verified[it.pk] for it in judges]
    names, without = {pk: it.name for pk, it in rules.items()}, sorted(shown)
    words = reference.words(names, without, _generic(reference, names))
    yes = reference.words({}, without).yes()
    kinds = words.kinds()
    every = [(word, n) for ends, n in kinds for word in ends]
    n_yes = sum(n for word, n in every if word[0] == YES)
    scored = []
    for place, it in enumerate(judges):
        progress(EXEMPLARS_PERCENT + (100 - EXEMPLARS_PERCENT) * (place + 1) // (len(judges) + 1))
        found = _scored(reference, it, rules[it.pk], place, kinds, every, yes)
        if unruled[place] or unruled[0]:
            found = _unruled(found, of_itself=unruled[place])
        scored.append(found)
    return Lab(reference, sum(n for _, n in every), n_yes, len(shown), scored, words)


def _part_of(progress: Callable[[int], object], place: int, of: int, percent: int) -> Callable[[float], object]:
    """For one of several like parts of the work, which together are so many percent; it is told shares of itself."""
    return lambda share: progress(int(percent * (place + share) / of))


def differing(
    found: Lab, project: Project, viewer: User, *, after: int = 0, show_hidden: bool = False
) -> tuple[list[Differing], int | None]:
    """A page of the items on which two of the judges say yes and no, and where the next page begins (None: nowhere).

    Without those that the viewer is still to judge blind, unless `show_hidden`.
    """
    if found.words is None or len(found.judges) < 2:
        return [], None
    rows = found.words.differing(after=after, limit=ROWS_A_PAGE + 1)
    more = rows[ROWS_A_PAGE - 1][0] if len(rows) > ROWS_A_PAGE else None
    words = dict(rows[:ROWS_A_PAGE])
    hidden = () if show_hidden else hidden_from(viewer, list(words))
    items = Item.objects.filter(project=project, direction__in=list(words)).select_related("direction__matrix__model")
    judges = [it.judge for it in found.judges]
    said = Judgement.objects.filter(judge__in=judges, current=True, direction__in=list(words)).order_by("pk")
    labels = {(pk, judge): label for pk, judge, label in said.values_list("direction_id", "judge_id", "label")}
    return [
        Differing(
            item, item.direction, item.direction.tokens[:TOKENS_SHOWN], words[item.direction_id][0] == YES,
            [(judge, words[item.direction_id][place + 1], labels.get((item.direction_id, judge.pk), ""))
             for place, judge in enumerate(judges)],
        )
        for item in items.order_by("direction_id") if item.direction_id not in hidden
    ], more  # fmt: skip


def _scored(
    reference: Reference,
    judge: Judge,
    rule: Rule,
    place: int,
    kinds: Sequence[tuple[Sequence[str], int]],
    every: Sequence[tuple[str, int]],
    yes: RawSQL,
) -> Scored:
    from labelapp.statistics.scoring import judge_scores

    left_out: Counter[str] = Counter()
    for word, n in every:
        if word[place + 1] in LEFT_OUT:
            left_out[LEFT_OUT[word[place + 1]]] += n
    cells = [[sum((word[0], word[place + 1]) == cell for word in ends) for cell in _CELLS] for ends, _ in kinds]
    return Scored(
        judge,
        rule,
        judge_scores(cells, [n for _, n in kinds]),
        sorted(left_out.items()),
        _paired(kinds, place) if place else None,
        _spent(reference, judge),
        _operating(judge, yes),
        _prompts(judge),
    )


def _unruled(found: Scored, *, of_itself: bool) -> Scored:
    """What is left where a rule needs a verifier, and the judge (or the one it is compared with) has none."""
    from labelapp.statistics.scoring import PairedScores, judge_scores

    why = (OWN_VERIFIER_MISSES if of_itself else OTHER_VERIFIER_MISSES).format(rule=found.rule.name)
    if found.paired is not None:
        found = replace(found, paired=PairedScores(0, 0, 0, 0, None, why=why))
    if not of_itself:
        return found
    n = found.scores.n + sum(n for _, n in found.left_out)
    none = judge_scores([], [])
    names = ("accuracy", "precision", "recall", "kappa")
    scores = replace(none, **{name: replace(getattr(none, name), why=why) for name in names})
    return replace(found, scores=scores, left_out=[(NO_VERIFIER, n)])


def _paired(kinds: Sequence[tuple[Sequence[str], int]], place: int) -> PairedScores:
    """The judge at a place against the first one: first - second is its gain."""
    from labelapp.statistics.scoring import paired_scores

    outcomes = []
    for ends, _ in kinds:
        right = [
            (word[place + 1] == word[0], word[1] == word[0])
            for word in ends
            if word[1] in (YES, NO) and word[place + 1] in (YES, NO)
        ]
        outcomes.append([right.count(it) for it in ((True, True), (True, False), (False, True), (False, False))])
    return paired_scores(outcomes, [n for _, n in kinds])


def _has_verifier(judge: Judge) -> bool:
    """By its summaries: of a judge without one every judgement would have to be looked at."""
    rows = Summary.objects.filter(judge=judge, rule="verifier")
    return rows.exclude(interpretable=0, not_interpretable=0, unsure=0, unparsed=0, failed=0).exists()


def _prompts(judge: Judge) -> list[str]:
    run = Run.objects.filter(judge=judge, measured_run=None).select_related("labeler", "verifier").first()
    return [str(it) for it in run.prompts] if run else []


def _spent(reference: Reference, judge: Judge) -> Spent | None:
    """Over the last answer to each direction, whichever run asked; None where the judge is asked nothing."""
    items = RunItem.objects.filter(
        run__judge=judge, run__measured_run=None, run__kind=Run.Kind.LABELS, state=RunItem.State.DONE, variant="",
        direction__in=reference.directions().values("pk"),
    )  # fmt: skip
    unknown_check = Q(verifier_call__isnull=False, verifier_call__cost=None)
    later = items.filter(direction=OuterRef("direction"), pk__gt=OuterRef("pk"))
    found = items.filter(~Exists(later)).aggregate(
        n=Count("pk"),
        labeler=Sum("labeler_call__cost"),
        verifier=Sum("verifier_call__cost"),
        unknown=Count("pk", filter=Q(labeler_call__cost=None) | unknown_check),
        labeler_seconds=Sum("labeler_call__latency"),
        verifier_seconds=Sum("verifier_call__latency"),
    )
    n = found["n"]
    if not n:
        return None
    cost = None if found["unknown"] else ((found["labeler"] or 0) + (found["verifier"] or 0)) / n
    seconds = ((found["labeler_seconds"] or 0.0) + (found["verifier_seconds"] or 0.0)) / n
    return Spent(n, None if cost is None else round(cost), seconds)


def _generic(reference: Reference, rules: Mapping[int, str]) -> list[str]:
    """Of what judges under the rule `both_specific` say there, the labels that are merely a part of speech."""
    judges = [pk for pk, rule in rules.items() if rule == "both_specific"]
    if not judges:
        return []
    said = Judgement.objects.filter(judge__in=judges, current=True, verdict="interpretable")
    said = said.filter(direction__in=reference.directions().values("pk"))
    labels = said.order_by().values_list("label", flat=True).distinct()
    return sorted(it for it in labels.iterator() if is_generic(it))


def _operating(judge: Judge, yes: RawSQL) -> OperatingPoint:
    """The share of the reference's yes that passes where 5 % of the controls do, by the judge's own confidences."""
    scores, vectors = _scores_of(judge, Q(direction__in=yes))
    noise, noise_vectors = _scores_of(judge, ~Q(direction__matrix__control=""))
    if not scores and not noise:
        why = "It gives no confidence, so no threshold can be moved: it has the one point that is in the table."
        return OperatingPoint(RATE, 0, 0, why=why)
    if not noise:
        return OperatingPoint(RATE, len(scores), 0, why="It has judged no control with a confidence yet.")
    return sensitivity_at(scores, noise, RATE, clusters=vectors, control_clusters=noise_vectors)


def _scores_of(judge: Judge, which: Q) -> tuple[list[float], list[tuple[int, str, int]]]:
    """A judge's confidences that a direction is interpretable, its verifier's P(yes) or 1 - p of the baseline; and of
    which vector each is."""
    rows = Judgement.objects.filter(which, judge=judge, current=True)
    numbers = rows.annotate(confidence=KT("evidence__confidence"), p_value=KT("evidence__p_value"))
    columns = ("direction__matrix_id", "direction__side", "direction__index", "verdict", "confidence", "p_value")
    scores, vectors = [], []
    for matrix, side, index, verdict, confidence, p in numbers.order_by("pk").values_list(*columns).iterator():
        if (score := _score(verdict, confidence, p)) is not None:
            scores.append(score)
            vectors.append((matrix, side, index))
    return scores, vectors


def _score(verdict: str, confidence: Any, p_value: Any) -> float | None:
    """A labeler that finds no meaning is sure of it, whatever a verifier says of its words."""
    if confidence is not None:
        return float(confidence) if verdict == "interpretable" else 0.0
    return 1 - float(p_value) if p_value is not None else None
