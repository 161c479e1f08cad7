"""Everything that is known of one item, side by side: for those who decide who is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from labelapp.accounts.models import User
from labelapp.atlas.presentation import Range, Readout, Token, readout
from labelapp.autolabel.models import Call, RunItem
from labelapp.judgements.models import Judge, Judgement, Verdict
from labelapp.judgements.rules import Rule, rule_for
from labelapp.judgements.services import verdicts_by_rule
from labelapp.judgements.visibility import judgements_visible
from labelapp.labelling.models import Item
from labelapp.review.models import Adjudication

RUN_PREFIX = "run:"
SHOWN_APART = frozenset(("answer", "verifier_answer", "call"))


@dataclass(frozen=True)
class Said:
    """One judgement of a judge: what stands, or what stood before it."""

    judgement: Judgement
    rule: Rule | None  # None for people
    verdict: str  # under the rule
    by_rule: Sequence[tuple[str, Verdict]]
    withdrawal: Judgement | None
    is_superseded: bool
    answers: Sequence[RawAnswer] = ()

    @property
    def state(self) -> str:
        if self.judgement.current:
            return "stands"
        if self.withdrawal is not None:
            return "withdrawn"
        return "superseded" if self.is_superseded else "no longer stands"

    @property
    def evidence(self) -> list[tuple[str, str]]:
        """What a machine based it on, besides its words: "p value" 0.012."""
        found = ((name, value) for name, value in self.judgement.evidence.items() if name not in SHOWN_APART)
        return [(name.replace("_", " "), _shown(value)) for name, value in found if not isinstance(value, dict | list)]


@dataclass(frozen=True)
class RawAnswer:
    """What a language model answered, and what it had been asked; of imported answers the prompt is not known."""

    role: str  # "Labeler", "Verifier"
    text: str
    prompt: str = ""
    call: Call | None = None


@dataclass(frozen=True)
class Voice:
    """One judge with all that it said on the item, what stands first."""

    judge: Judge
    said: Sequence[Said]


@dataclass(frozen=True)
class Sides:
    """One item with what people and machines said of it, and what was decided."""

    item: Item
    readout: Readout
    people: Sequence[Voice] = ()
    machines: Sequence[Voice] = ()
    trail: Sequence[Adjudication] = field(default_factory=list)  # newest first, withdrawals among them

    @property
    def standing(self) -> Adjudication | None:
        return next((it for it in self.trail if it.current), None)

    @property
    def shown(self) -> Sequence[Token]:
        """The tokens that people were shown."""
        return self.readout.tokens[: self.item.project.tokens_shown]

    @property
    def not_shown(self) -> Sequence[Token]:
        return self.readout.tokens[self.item.project.tokens_shown :]

    @property
    def is_control(self) -> bool:
        return bool(self.item.direction.matrix.control)

    @property
    def suggested_label(self) -> str:
        """The words to start from: what was decided, else the first label of a yes that stands."""
        if self.standing is not None:
            return self.standing.label
        labels = (
            said.judgement.label
            for voice in (*self.people, *self.machines)
            for said in voice.said
            if said.judgement.current and said.verdict == Verdict.INTERPRETABLE and said.judgement.label
        )
        return next(labels, "")


def sides(item: Item, viewer: User) -> Sides:
    """A fixed number of queries; the item has its direction, matrix and model at hand."""
    rows = list(
        Judgement.objects.filter(direction=item.direction_id)
        .select_related("judge")
        .prefetch_related("verifications__judge")
        .order_by("pk")
    )
    kept = [row for row in rows if not row.judge.is_person or row.source == item.project.source]
    shown = judgements_visible(viewer, kept)
    raw = _raw_answers(item, shown)
    trail = Adjudication.objects.filter(item=item).select_related("by", "withdraws__by").order_by("-pk")
    return Sides(
        item,
        readout(item.direction, Range.of([item.direction])),
        _voices((row for row in shown if row.judge.is_person), rows, raw),
        _voices((row for row in shown if not row.judge.is_person), rows, raw),
        list(trail),
    )


def item_readout(item: Item) -> Sides:
    """The readout alone, for whoever is still to judge the item blind."""
    return Sides(item, readout(item.direction, Range.of([item.direction])))


def _voices(
    rows: Iterable[Judgement], all_rows: Sequence[Judgement], raw: Mapping[int, Sequence[RawAnswer]]
) -> list[Voice]:
    withdrawn = {row.withdraws_id: row for row in all_rows if row.is_withdrawal}
    superseded = {row.supersedes_id for row in all_rows}
    voices: dict[int, list[Said]] = {}
    judges: dict[int, Judge] = {}
    for row in rows:
        if row.is_withdrawal:
            continue
        judges[row.judge_id] = row.judge
        said = _said(row, withdrawn.get(row.pk), row.pk in superseded, raw.get(row.pk, ()))
        voices.setdefault(row.judge_id, []).append(said)
    return [
        Voice(judges[pk], sorted(said, key=lambda it: (not it.judgement.current, -it.judgement.pk)))
        for pk, said in voices.items()
    ]


def _said(row: Judgement, withdrawal: Judgement | None, superseded: bool, raw: Sequence[RawAnswer]) -> Said:
    if row.judge.is_person:
        return Said(row, None, row.verdict, (), withdrawal, superseded)
    verdicts = verdicts_by_rule(row)
    rule = rule_for(has_verifier=len(verdicts) > 1)
    by_rule = list(verdicts.items()) if len(verdicts) > 1 else []
    return Said(row, rule, verdicts[rule.name], by_rule, withdrawal, superseded, raw)


def _raw_answers(item: Item, rows: Sequence[Judgement]) -> dict[int, list[RawAnswer]]:
    """By judgement, from the calls of its run, else from what an import kept: one query."""
    machines = [row for row in rows if not row.judge.is_person and not row.is_withdrawal]
    numbers = (row.source.removeprefix(RUN_PREFIX) for row in machines if row.source.startswith(RUN_PREFIX))
    run_ids = {int(number) for number in numbers if number.isdecimal()}
    asked = RunItem.objects.filter(run__in=run_ids, direction=item.direction_id).order_by("variant")
    found = {f"{RUN_PREFIX}{it.run_id}": it for it in reversed(asked.select_related("labeler_call", "verifier_call"))}
    return {row.pk: _answers_of(row, found.get(row.source)) for row in machines}


def _answers_of(row: Judgement, asked: RunItem | None) -> list[RawAnswer]:
    answers = []
    for role, name, call in (
        ("Labeler", "answer", asked.labeler_call if asked else None),
        ("Verifier", "verifier_answer", asked.verifier_call if asked else None),
    ):
        text = row.evidence.get(name, "")
        if call is not None:
            answers.append(RawAnswer(role, "\n\n".join(map(str, call.texts)), call.prompt, call))
        elif isinstance(text, str) and text:
            answers.append(RawAnswer(role, text))
    return answers


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
