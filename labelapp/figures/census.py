"""A machine's verdicts on a census of directions, counted in SQL: from summary rows where whole matrices are meant.

Where a selection or a unit looks into matrices (indices, ends, vectors), standing judgements are counted instead; on a
large atlas a job does that (`kinds.Kind.is_heavy`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from labelapp.atlas.keys import SIDES
from labelapp.atlas.models import Direction, Matrix
from labelapp.atlas.selection import matrix_filter
from labelapp.figures.query import BOTH, ENDS
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Subject, Summary, Verdict, Verification
from labelapp.judgements.rules import DEFAULT_RULE, RULES, Answers, Rule
from labelapp.judgements.summaries import pair_column
from labelapp.judgements.tables import SUMS, Tally
from labelapp.labelling.projects.selection import ItemSelection

MATRIX = "matrix__"
YES = Verdict.INTERPRETABLE
# Where a direction lies, as columns seen from it.
MODEL, CIRCUIT, LAYER, MATRIX_ID = "matrix__model_id", "matrix__circuit", "matrix__layer", "matrix_id"
INDEX, SIGN, SIDE = "index", "sign", "side"
VECTOR = (MATRIX_ID, SIDE, INDEX)
ABOUT_AS_MUCH = 0.95
EVERY_JUDGES = "labeler"  # the rule under which every answer is counted, with a verifier or without
Place = tuple[Any, ...]


@dataclass(frozen=True)
class Slice:
    """The directions that fulfil every one of some selections, and were stored by some moment."""

    selections: tuple[ItemSelection, ...]
    until: datetime | None = None

    @property
    def is_whole_matrices(self) -> bool:
        return not any(it.indices or it.sides or it.signs for it in self.selections)

    def condition(self, prefix: str = "") -> Q:
        """On directions; with `prefix` "direction__" on rows that point at one. Of whole matrices also on summaries."""
        found = Q(**{f"{prefix}matrix__created_at__lte": self.until}) if self.until else Q()
        for it in self.selections:
            found &= matrix_filter(it.matrices, prefix=f"{prefix}matrix__")
            if it.models:
                found &= models_condition(it.models, f"{prefix}matrix__model__")
            for name, values in (("index", it.indices), ("side", it.sides), ("sign", it.signs)):
                if values:
                    found &= Q(**{f"{prefix}{name}__in": list(values)})
        return found

    def matrices(self) -> Q:
        """On matrices, of a slice of whole ones."""
        found = Q(created_at__lte=self.until) if self.until else Q()
        for it in self.selections:
            found &= matrix_filter(it.matrices)
            if it.models:
                found &= models_condition(it.models, "model__")
        return found

    def of_variant(self, **variant: tuple[str, ...]) -> Slice:
        """The same place in other bases, controls or preprocessings: `controls=("gaussian",)`."""
        changed = tuple(replace(it, matrices=replace(it.matrices, **variant)) for it in self.selections)  # type: ignore[arg-type]
        return Slice(changed, self.until)


def models_condition(slugs: Sequence[str], prefix: str) -> Q:
    """On models by their part of a key."""
    found = Q()
    for slug in slugs:
        name, _, revision = slug.partition("@")
        which = {"revision": revision} if revision else {"is_default": True}
        found |= Q(**{f"{prefix}{field}": value for field, value in {"name": name, **which}.items()})
    return found


def machines(of: Slice) -> list[Judge]:
    """The machine judges that have judged something of it: language models before baselines, the latest first."""
    whole = replace(of, selections=tuple(replace(it, indices=(), sides=(), signs=()) for it in of.selections))
    ids = Summary.objects.filter(whole.condition(), rule=EVERY_JUDGES).order_by().values("judge_id").distinct()
    found = Judge.objects.filter(pk__in=ids).exclude(type=Judge.Type.PERSON)
    return sorted(found, key=lambda it: (it.type == Judge.Type.BASELINE, -it.pk))


def machine_usual(of: Slice) -> Judge | None:
    """The first of `machines` among those that have judged about as much of it as any: not one that was run over a
    few of its directions, which may be any but a sample.
    """
    whole = replace(of, selections=tuple(replace(it, indices=(), sides=(), signs=()) for it in of.selections))
    rows = Summary.objects.filter(whole.condition(), rule=EVERY_JUDGES).exclude(judge__type=Judge.Type.PERSON)
    judged = {judge: Tally(*sums).total for judge, *sums in _grouped(rows.order_by(), ["judge_id"], SUMS)}
    enough = ABOUT_AS_MUCH * max(judged.values(), default=0)
    return next((it for it in machines(of) if judged.get(it.pk, 0) >= enough), None)


def rules_of(judge: Judge) -> list[Rule]:
    """Those under which the judge's answers are counted."""
    names = set(Summary.objects.filter(judge=judge).order_by().values_list("rule", flat=True).distinct())
    return [rule for rule in RULES.values() if rule.name in names]


def rule_chosen(judge: Judge, name: str) -> Rule:
    """The rule of this name where the judge has it, else the judge's default."""
    names = [rule.name for rule in rules_of(judge)]
    usual = DEFAULT_RULE if DEFAULT_RULE in names else "labeler"
    return RULES[name if name in names else usual]


def census(of: Slice, judge: Judge, rule: Rule, by: Sequence[str] = (), unit: str = ENDS) -> dict[Place, Tally]:
    """How many units have each verdict, by place: columns such as MODEL or INDEX. One query."""
    if unit != ENDS:
        return _vectors_counted(of, judge, rule, by, unit)
    if of.is_whole_matrices and all(name.startswith("matrix") for name in by):
        rows = Summary.objects.filter(of.condition(), judge=judge, rule=rule.name).order_by()
        return {tuple(row[: len(by)]): Tally(*row[len(by) :]) for row in _grouped(rows, by, SUMS)}
    counts: dict[Place, Counter[str]] = defaultdict(Counter)
    for place, verdict, n in _answers(of, judge, rule, by):
        counts[place][verdict] += n
    for place, verdicts, n in _pairs(of, judge, rule, by):
        if column := pair_column(verdicts):
            counts[place][column] += n
    return {place: tally(found) for place, found in counts.items()}


def with_rest(counts: Mapping[Place, Tally], of: Slice, by: Sequence[str] = (), unit: str = ENDS) -> dict[Place, Tally]:
    """The same with how many units of each place the machine has not judged, and the places where it judged none."""
    held = stored(of, by, unit)
    return {
        place: (it := counts.get(place, Tally()))._replace(not_judged=max(0, held.get(place, 0) - it.total))
        for place in {**counts, **held}
    }


def stored(of: Slice, by: Sequence[str] = (), unit: str = ENDS) -> dict[Place, int]:
    """How many units there are, by place: from the rows of matrices where whole ones are meant. One or two queries."""
    directions = Direction.objects.filter(of.condition()).order_by()
    counts: Counter[Place] = Counter()
    if of.is_whole_matrices and all(name.startswith(MATRIX) for name in by):
        rows = Matrix.objects.filter(of.matrices()).exclude(model__weights_hash="").order_by()
        columns = (*(name.removeprefix(MATRIX) for name in by), "circuit")
        for *place, circuit, n in rows.values_list(*columns).annotate(n=Sum("n_vectors")):
            counts[tuple(place[: len(by)])] += n * len(SIDES[circuit]) * (2 if unit == ENDS else 1)
        directions = directions.filter(
            matrix__model__weights_hash=""
        )  # of imported vectors not every end need be there
    if unit != ENDS:
        directions = directions.filter(sign="+")
    for *place, n in directions.values_list(*by).annotate(n=Count("pk")) if by else [[directions.count()]]:
        counts[tuple(place)] += n
    return {place: n for place, n in counts.items() if n}


def tally(counts: Counter[str]) -> Tally:
    return Tally(*(counts[column] for column in Tally._fields))


def added(tallies: Sequence[Tally]) -> Tally:
    return Tally(*(sum(column) for column in zip(*tallies, strict=True))) if tallies else Tally()


def judged_total(of: Slice, judge: Judge) -> int:
    """About how many directions of it the judge has judged, from summary rows: to tell what is much work."""
    whole = replace(of, selections=tuple(replace(it, indices=(), sides=(), signs=()) for it in of.selections))
    sums = Summary.objects.filter(whole.condition(), judge=judge, rule=EVERY_JUDGES).aggregate(**SUMS)
    return Tally(**sums).total


def vector_verdict(verdicts: Sequence[str], unit: str) -> str:
    """Of a vector from those of its two ends: `either` or `both` of them interpretable; `unsure` where that is open."""
    yes, open_ones = verdicts.count(YES), sum(it not in TWO_VALUED for it in verdicts)
    needed = 2 if unit == BOTH else 1
    if yes >= needed:
        return YES
    return Verdict.UNSURE if yes + open_ones >= needed else Verdict.NOT_INTERPRETABLE


def direction_answers(of: Slice, judge: Judge) -> Any:
    """Standing judgements with the last answer of a verifier to each, as rows."""
    later = Verification.objects.filter(judgement=OuterRef("pk"), pk__gt=OuterRef("verification"))
    rows = Judgement.objects.annotate(verification=F("verifications__pk"), answer=F("verifications__answer"))
    return rows.filter(of.condition("direction__"), ~Exists(later), judge=judge, current=True).order_by()


def _answers(of: Slice, judge: Judge, rule: Rule, by: Sequence[str]) -> list[tuple[Place, str, int]]:
    """Place, verdict under the rule, and how many. Labels are looked at only where the rule does."""
    columns = [f"direction__{name}" for name in by]
    said = ["verdict", "answer", *(["label"] if rule.name == "both_specific" else [])]
    rows = direction_answers(of, judge).annotate(answer=Coalesce("answer", Value("")))
    found = []
    for row in rows.values_list(*columns, *said).annotate(n=Count("pk")):
        verdict, answer, *label = row[len(by) : -1]
        answers = Answers(verdict, label[0] if label else "", answer or None, judge.has_verifier)
        if rule.applies(answers):
            found.append((tuple(row[: len(by)]), str(rule.verdict(answers)), row[-1]))
    return found


def _pairs(of: Slice, judge: Judge, rule: Rule, by: Sequence[str]) -> list[tuple[Place, tuple[str, str], int]]:
    """Place of a vector, the verdicts on its two ends under the rule, and how many; those of which both were judged."""
    if any(len(set(it.signs)) == 1 for it in of.selections):
        return []
    other = "direction__matrix__directions"
    same: dict[str, Any] = {f"{other}__{name}": F(f"direction__{name}") for name in ("side", "index")}
    its = {"judge": judge, "current": True, "subject": Subject.DIRECTION}
    same |= {f"{other}__sign": "-"} | {f"{other}__judgements__{name}": value for name, value in its.items()}
    rows = direction_answers(of, judge).filter(direction__sign="+").filter(**same)
    last = Verification.objects.filter(judgement=OuterRef("other")).order_by("-pk").values("answer")[:1]
    rows = rows.annotate(
        answer=Coalesce("answer", Value("")),
        other=F(f"{other}__judgements__pk"),
        other_verdict=F(f"{other}__judgements__verdict"),
        other_answer=Coalesce(Subquery(last), Value("")) if rule.needs_verifier else Value(""),
        other_label=F(f"{other}__judgements__label"),
    )
    said = ["verdict", "answer", "other_verdict", "other_answer"]
    said += ["label", "other_label"] if rule.name == "both_specific" else []
    found = []
    for row in rows.values_list(*(f"direction__{name}" for name in by), *said).annotate(n=Count("pk")):
        verdict, answer, other_verdict, other_answer, *labels = row[len(by) : -1]
        label, other_label = labels or ("", "")
        ends = (
            Answers(verdict, label, answer or None, judge.has_verifier),
            Answers(other_verdict, other_label, other_answer or None, judge.has_verifier),
        )
        if all(map(rule.applies, ends)):
            first, second = (str(rule.verdict(it)) for it in ends)
            found.append((tuple(row[: len(by)]), (first, second), row[-1]))
    return found


def _vectors_counted(of: Slice, judge: Judge, rule: Rule, by: Sequence[str], unit: str) -> dict[Place, Tally]:
    """Vectors of which both ends were judged."""
    counts: dict[Place, Counter[str]] = defaultdict(Counter)
    for place, verdicts, n in _pairs(of, judge, rule, by):
        counts[place][vector_verdict(verdicts, unit)] += n
    return {place: tally(found) for place, found in counts.items()}


def _grouped(rows: Any, by: Sequence[str], sums: dict[str, Any]) -> list[tuple[Any, ...]]:
    if not by:
        found = rows.aggregate(**sums)
        return [tuple(found[name] for name in sums)] if any(found.values()) else []
    return list(rows.values_list(*by).annotate(**sums))
