"""What the atlas's pages show of judgements. Verdicts stay hidden from whoever still has to judge blind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, FloatField, Q, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.http import HttpRequest

from labelapp.atlas import panels
from labelapp.atlas.keys import Variant
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selection import variant_filter
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Summary, Verdict
from labelapp.judgements.rules import RULES, Rule, rule_for
from labelapp.judgements.selectors import judgements_standing
from labelapp.judgements.services import verdicts_by_rule
from labelapp.judgements.tables import rule_tables
from labelapp.judgements.visibility import HIDDEN_COUNT, judgements_visible

HIDDEN_CELL = panels.CellValue(0.0, "…", HIDDEN_COUNT)
SIGNS = {Verdict.INTERPRETABLE: "✓", Verdict.NOT_INTERPRETABLE: "–"}


@dataclass(frozen=True)
class Line:
    """One standing judgement under the rule that its judge is scored by."""

    judgement: Judgement
    rule: Rule
    verdict: Verdict
    by_rule: Sequence[tuple[str, Verdict]] = ()  # under every rule, where several apply

    @property
    def p_value(self) -> float | None:
        value = self.judgement.evidence.get("p_value")
        return float(value) if isinstance(value, int | float) else None


def register() -> None:
    panels.register_direction_panel(
        panels.DirectionPanel(order=10, template="judgements/direction_panel.html", context=direction_panel)
    )
    panels.register_model_panel(
        panels.ModelPanel(order=10, template="judgements/model_panel.html", context=model_panel)
    )
    panels.register_matrix_notes(matrix_notes)
    panels.register_overview_colours(overview_colours)


def direction_panel(request: HttpRequest, direction: Direction) -> Mapping[str, Any]:
    hidden = panels.hidden_from(request.user, [direction.pk])  # type: ignore[arg-type]
    if direction.pk in hidden:
        return {"hidden_in": hidden[direction.pk], "lines": []}
    standing = judgements_standing([direction.pk]).get(direction.pk, [])
    shown = judgements_visible(request.user, standing)  # type: ignore[arg-type]
    return {"hidden_in": "", "lines": [_line(judgement) for judgement in shown]}


def model_panel(request: HttpRequest, model: Model) -> Mapping[str, Any] | None:
    """Every machine's figures on the model, under every rule side by side."""
    tables = rule_tables(Q(matrix__model=model), request.user)  # type: ignore[arg-type]
    if not tables:
        return None
    return {"tables": tables, "longest": max(tables, key=lambda it: len(it.rules))}


def matrix_notes(
    request: HttpRequest, matrix: Matrix, columns: Sequence[Direction]
) -> Mapping[int, Sequence[panels.ColumnNote]]:
    ids = [direction.pk for direction in columns]
    hidden = panels.hidden_from(request.user, ids)  # type: ignore[arg-type]
    notes = {pk: [panels.ColumnNote("· hidden", f"Hidden until you have judged it in {project}.")]
             for pk, project in hidden.items()}  # fmt: skip
    standing = judgements_standing(set(ids) - set(hidden))
    rows = [row for judgements in standing.values() for row in judgements]
    lines: dict[int, list[Line]] = defaultdict(list)
    for row in judgements_visible(request.user, rows):  # type: ignore[arg-type]
        lines[row.direction_id].append(_line(row))
    return notes | {pk: [_note(said)] for pk, said in lines.items()}


def overview_colours(request: HttpRequest, model: Model) -> list[panels.OverviewColour]:
    """One for each machine and rule that has judged something of the model; people judge samples, not matrices."""
    rows = Summary.objects.filter(matrix__model=model).exclude(judge__type=Judge.Type.PERSON)
    pairs = rows.filter(rule__in=RULES).values_list("judge_id", "rule").distinct()
    found = sorted(pairs, key=lambda it: (it[0], list(RULES).index(it[1])))
    judges = Judge.objects.in_bulk({judge_id for judge_id, _ in found})
    baselines = [judge for judge in judges.values() if judge.type == Judge.Type.BASELINE]
    blind = panels.hidden_directions(request.user).filter(matrix__model=model)  # type: ignore[arg-type]
    hidden = set(blind.values_list("matrix_id", flat=True).distinct()) if found else set()
    return [
        *(_colour(judges[judge_id], rule, hidden) for judge_id, rule in found),
        *(_coherence_colour(judge, hidden) for judge in baselines),
    ]


def short_name(judge: Judge) -> str:
    """As it fits under a column."""
    return "baseline" if judge.type == Judge.Type.BASELINE else judge.name


def _line(judgement: Judgement) -> Line:
    rule = rule_for(has_verifier=bool(judgement.verifications.all()))
    verdicts = verdicts_by_rule(judgement)
    return Line(judgement, rule, verdicts[rule.name], list(verdicts.items()) if len(verdicts) > 1 else ())


def _note(lines: Sequence[Line]) -> panels.ColumnNote:
    title = "; ".join(f"{line.judgement.judge}: {line.verdict.label}" for line in lines)
    if len(lines) == 1:
        verdict = lines[0].verdict
        return panels.ColumnNote(f"{SIGNS.get(verdict, '?')} {short_name(lines[0].judgement.judge)}", title, verdict)
    counted = [line.verdict for line in lines if line.verdict in TWO_VALUED]
    yes = counted.count(Verdict.INTERPRETABLE)
    verdict = Verdict.UNSURE if 0 < yes < len(counted) or not counted else counted[0]
    sign = SIGNS.get(verdict, "±" if counted else "?")
    return panels.ColumnNote(f"{sign} {yes} of {len(counted)}", title, verdict)


def _colour(judge: Judge, rule: str, hidden: Collection[int]) -> panels.OverviewColour:
    explanation = f"Each cell shows the share of its ends that the {judge} calls interpretable, rule {rule}."
    return panels.OverviewColour(
        slug=f"{judge.pk}-{rule}",
        name=f"Interpretable: {short_name(judge)}, {rule}",
        explanation=_explained(explanation, hidden),
        values=lambda model, variant: _without(hidden, _fractions(model, variant, judge.pk, rule)),
    )


def _explained(explanation: str, hidden: Collection[int]) -> str:
    return (
        f"{explanation} “{HIDDEN_CELL.shown}” stands where you are still to judge one blind." if hidden else explanation
    )


def _without(hidden: Collection[int], values: Mapping[int, panels.CellValue]) -> dict[int, panels.CellValue]:
    """Cells over a matrix of which something is still to be judged blind show nothing, however many ends it has."""
    return {pk: HIDDEN_CELL if pk in hidden else value for pk, value in values.items()}


def _coherence_colour(judge: Judge, hidden: Collection[int]) -> panels.OverviewColour:
    explanation = (
        f"Each cell shows the mean of the {judge}'s statistic over its ends: how alike the tokens of a readout "
        "are, as a mean cosine once their direction is taken out. The colour is relative to the largest."
    )
    return panels.OverviewColour(
        slug=f"{judge.pk}-coherence",
        name=f"Coherence: {short_name(judge)}",
        explanation=_explained(explanation, hidden),
        values=lambda model, variant: _without(hidden, _coherences(model, variant, judge.pk, hidden)),
    )


def _coherences(model: Model, variant: Variant, judge_id: int, hidden: Collection[int]) -> dict[int, panels.CellValue]:
    """One aggregate: .5 s on SQLite for the 104,448 ends of gpt2-medium."""
    of_variant = variant_filter(variant, prefix="direction__matrix__")
    standing = Judgement.objects.filter(of_variant, current=True, judge_id=judge_id, direction__matrix__model=model)
    statistic = Avg(Cast(KT("evidence__statistic"), FloatField()))
    rows = standing.values_list("direction__matrix_id").annotate(mean=statistic, n=Count("pk")).order_by()
    means = {matrix_id: (mean, n) for matrix_id, mean, n in rows if mean is not None}
    largest = max((mean for pk, (mean, _) in means.items() if pk not in hidden), default=0.0)
    return {
        matrix_id: panels.CellValue(
            mean / largest if largest > 0 else 0.0,
            f"{mean:.3f}".replace("0.", "."),
            f"mean cosine {mean:.3g} over {n} ends",
        )
        for matrix_id, (mean, n) in means.items()
    }


def _fractions(model: Model, variant: Variant, judge_id: int, rule: str) -> dict[int, panels.CellValue]:
    of_variant = variant_filter(variant, prefix="matrix__")
    rows = Summary.objects.filter(of_variant, matrix__model=model, judge_id=judge_id, rule=rule)
    sums = rows.values_list("matrix_id").annotate(yes=Sum("interpretable"), no=Sum("not_interpretable"))
    return {
        matrix_id: panels.CellValue(
            yes / (yes + no), f"{100 * yes / (yes + no):.0f} %", f"{yes} of {yes + no} ends interpretable"
        )
        for matrix_id, yes, no in sums
        if yes + no
    }
