"""The report on what one machine judge says: its figures under every rule, by slice, and the audits of its labels.

Slices are models and circuits. All counts are over n, the directions judged, whatever the verdict: an unparsed answer
is no yes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from labelapp.atlas.models import Model
from labelapp.autolabel.answers import Answered, answers_standing
from labelapp.exchange.models import Import
from labelapp.judgements.models import Judge, Judgement, Verdict
from labelapp.judgements.rules import RULES
from labelapp.statistics.audits import AUDITS
from labelapp.statistics.repeats import Repeats, repeated_lists, repeats

QUARTER = 4
REPORTED_AUDITS = [audit for audit in AUDITS.values() if audit.in_report]


class ReportError(LookupError):
    """There is nothing to report on; the message says so in one sentence."""


@dataclass(frozen=True)
class Share:
    """How many of n are interpretable under each rule, in the order of RULES; None where a rule never applies."""

    n: int
    yes: Sequence[int | None]

    def fraction(self, rule: str) -> float | None:
        yes = self.yes[list(RULES).index(rule)]
        return None if yes is None or not self.n else yes / self.n


@dataclass(frozen=True)
class Line:
    """One direction with what the report needs of it."""

    answered: Answered
    verdicts: dict[str, Verdict]

    def says(self, rule: str) -> bool:
        return self.verdicts.get(rule) == Verdict.INTERPRETABLE


@dataclass(frozen=True)
class Slice:
    """One model and circuit."""

    model: Model
    name: str  # of the model, with its revision where two have the name
    circuit: str
    lines: Sequence[Line]

    @property
    def share(self) -> Share:
        return share(self.lines)

    def quarter(self, *, last: bool) -> Share:
        """The first or last quarter of the model's layers, as far as they were judged."""
        width = self.model.n_layers // QUARTER
        layers = range(self.model.n_layers - width, self.model.n_layers) if last else range(width)
        return share([line for line in self.lines if line.answered.layer in layers])

    @cached_property
    def audits(self) -> dict[str, int]:
        """How many each audit with a known count finds. None of these looks beyond one record."""
        records = [line.answered.record for line in self.lines]
        return {audit.name: len(audit.find(records, ())) for audit in REPORTED_AUDITS}


@dataclass(frozen=True)
class Report:
    judge: Judge
    slices: Sequence[Slice]

    @cached_property
    def lines(self) -> list[Line]:
        return [line for part in self.slices for line in part.lines]

    @property
    def whole(self) -> Share:
        return share(self.lines)

    def where(self, wanted: Callable[[Answered], bool]) -> Share:
        return share([line for line in self.lines if wanted(line.answered)])

    @property
    def cells(self) -> Counter[tuple[str, str]]:
        """Labeler × verifier: how often each pair of answers occurs."""
        return Counter((it.answered.record.verdict, it.answered.record.verification) for it in self.lines)

    @cached_property
    def repeated(self) -> dict[str, Repeats]:
        """The same token set on several directions, by rule."""
        groups = repeated_lists([line.answered.record.tokens for line in self.lines])
        return {rule: repeats(groups, [line.says(rule) for line in self.lines]) for rule in RULES}

    def as_json(self) -> dict[str, Any]:
        """Counts by slice, without totals."""
        return {
            "slices": [
                {
                    "model": it.name,
                    "circuit": it.circuit,
                    "n": it.share.n,
                    **dict(zip(RULES, it.share.yes, strict=True)),
                }
                for it in self.slices
            ],
            "audits": [
                {"audit": audit.name, "model": it.name, "circuit": it.circuit, "count": it.audits[audit.name]}
                for audit in REPORTED_AUDITS
                for it in self.slices
            ],
        }


def share(lines: Sequence[Line]) -> Share:
    applying = {rule for line in lines for rule in line.verdicts}
    return Share(len(lines), [sum(line.says(rule) for line in lines) if rule in applying else None for rule in RULES])


def judge_reported(name: str = "") -> Judge:
    """A machine judge by its name or number; without one that of the last imported labels, else the last to judge.

    Raises ReportError.
    """
    machines = Judge.objects.exclude(type=Judge.Type.PERSON)
    if name:
        found = machines.filter(pk=int(name)) if name.isdecimal() and len(name) < 18 else machines.filter(name=name)
        if judge := found.order_by("-pk").first():
            return judge
        known = "; ".join(f"{it.pk}: {it}" for it in machines.order_by("pk")[:20]) or "none yet"
        raise ReportError(f"There is no machine judge {name!r} (there is: {known}).")
    imported = Import.objects.exclude(judge=None).select_related("judge").order_by("-pk").first()
    if imported is not None and imported.judge is not None:
        return imported.judge
    last = Judgement.objects.filter(current=True, judge__in=machines).select_related("judge").order_by("-pk").first()
    if last is None:
        raise ReportError("No machine has judged anything yet; `manage.py import_labels` or a run brings its answers.")
    return last.judge


def report(judge: Judge, *, source: str = "") -> Report:
    """The report on all that stands of a judge, or on what came from one source ("run:3"). Raises ReportError."""
    judgements = Judgement.objects.filter(judge=judge)
    if source:
        judgements = judgements.filter(source=source)
    grouped: dict[tuple[int, str], list[Line]] = {}
    for answered in answers_standing(judgements):
        line = Line(answered, answered.verdicts())
        grouped.setdefault((answered.model_id, answered.circuit), []).append(line)
    if not grouped:
        raise ReportError(f"Nothing stands of {judge}{f' from {source}' if source else ''}.")
    models = Model.objects.in_bulk({model_id for model_id, _ in grouped})
    counts = Counter(model.name for model in models.values())
    return Report(
        judge,
        [
            Slice(models[pk], models[pk].name if counts[models[pk].name] == 1 else models[pk].slug, circuit, lines)
            for (pk, circuit), lines in grouped.items()
        ],
    )
