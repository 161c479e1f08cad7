"""Can a run's judge be trusted? What its measurements found, as rows of one form for pages, the command and JSON.

Figures come from labelapp.statistics. What is not defined is None with a sentence, never 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, Q

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.atlas.keys import CONTROLS
from labelapp.autolabel.drawing import flags
from labelapp.autolabel.measured import VECTOR, Place, Said, Vector, own_items, place_of, run_said
from labelapp.autolabel.measuring import CONTRASTS
from labelapp.autolabel.models import Run, RunItem
from labelapp.judgements.models import TWO_VALUED, Judgement, Verdict, Verification
from labelapp.judgements.rules import RULES, Answers, rule_for, verdicts_of
from labelapp.judgements.visibility import HIDDEN_COUNT, count_is_shown
from labelapp.statistics.clusters import Share, clustered_share
from labelapp.statistics.detection import Detection, detection
from labelapp.statistics.reliability import label_agreement

if TYPE_CHECKING:
    from labelapp.statistics.agreement_card import Coefficient

Purpose = Run.Purpose
NOTHING = "Nothing is comparable, so there is no figure."


@dataclass(frozen=True)
class Row:
    """One figure with its 95 % interval; `note` says why there is none, or what was left out.

    `unit`: `share` (0 to 1), `kappa` (-1 to 1) or `score` (0 to 1, chance .5). `n` counts what `of` says.
    """

    name: str
    unit: str
    n: int
    of: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Section:
    """What one kind of measurement found; without rows `note` says why."""

    purpose: Run.Purpose
    rows: Sequence[Row] = ()
    note: str = ""
    run: Run | None = None  # the last one of this kind

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.purpose.value,
            "run": self.run.pk if self.run else None,
            "note": self.note,
            "rows": [asdict(row) for row in self.rows],
        }


@dataclass(frozen=True)
class Answer:
    """A direction under one rule: None where the answer is no yes or no."""

    vector: Vector
    verdicts: Mapping[str, Verdict]

    def says(self, rule: str) -> bool | None:
        verdict = self.verdicts.get(rule)
        return verdict == Verdict.INTERPRETABLE if verdict in TWO_VALUED else None


@dataclass
class _Seen:
    """What a viewer may see: rows over directions that they are still to judge blind give nothing away."""

    hidden: set[int] = field(default_factory=set)

    def allows(self, direction_ids: Collection[int]) -> bool:
        return count_is_shown(len(direction_ids), len(self.hidden.intersection(direction_ids)) if self.hidden else 0)


def trust(
    run: Run,
    viewer: User | None = None,
    purposes: Iterable[Run.Purpose] = Purpose,
    measurement: Run | None = None,
) -> list[Section]:
    """The sections of a run's judge, in the order of `purposes`; `viewer` None sees all.

    Of several measurements of a kind the last that has answers counts, or `measurement`.
    """
    seen = _Seen()
    if viewer is not None:
        blind = panels.hidden_directions(viewer)
        seen.hidden = set((blind.filter(matrix__model=run.model_id) if run.model_id else blind).values_list(
            "pk", flat=True
        ))  # fmt: skip
    answered = Exists(RunItem.objects.filter(run=OuterRef("pk"), state=RunItem.State.DONE))
    made = run.measurements.annotate(answered=answered).order_by("answered", "pk")  # later ones take the place
    latest: dict[str, Run] = {it.purpose: it for it in made}
    if measurement is not None:
        latest[measurement.purpose] = measurement
    return [_SECTIONS[purpose](run, purpose, latest.get(purpose), seen) for purpose in purposes]


# Asked again


def _again(run: Run, purpose: Run.Purpose, again: Run | None, seen: _Seen) -> Section:
    if again is None:
        return Section(purpose, note="Not asked yet.")
    second = {it.direction_id: it for it in run_said(again)}
    pairs = [(it, second[it.direction_id]) for it in run_said(run) if it.direction_id in second]
    if not seen.allows([first.direction_id for first, _ in pairs]):
        return Section(purpose, note=HIDDEN_COUNT.capitalize() + ".", run=again)
    rules = ["both", "labeler"] if run.verifier_id else ["labeler"]
    rows = [row for rule in rules for row in _verdict_rows(pairs, rule)]
    return Section(purpose, [*rows, *_label_rows(pairs)], _failed_words(again), again)


def _verdict_rows(pairs: Sequence[tuple[Said, Said]], rule: str) -> list[Row]:
    from labelapp.statistics.agreement_card import agreement_card  # with scipy, which the web starts without

    checked = RULES[rule].needs_verifier
    both = [(_answer(first, checked), _answer(second, checked)) for first, second in pairs]
    said = [
        (a, b, first.vector)
        for first, second in both
        if (a := first.says(rule)) is not None and (b := second.says(rule)) is not None
    ]
    vectors = [vector for *_, vector in said]
    card = agreement_card([a for a, _, _ in said], [b for _, b, _ in said], vectors)
    same = clustered_share([a == b for a, b, _ in said], vectors)
    left_out = len(pairs) - len(said)
    note = f"{left_out} unparsed in one of the two, left out" if left_out else ""
    name = f"{RULES[rule].identifier}"
    return [
        _share_row(f"Same verdict, rule {name}", same, "directions", note),
        _coefficient_row(f"Cohen's kappa, rule {name}", card.n, card.kappa),
        _coefficient_row(f"Gwet's AC1, rule {name}", card.n, card.ac1),
        Row(f"Prevalence of yes over both times, rule {name}", "share", card.n, "directions", card.prevalence,
            note="" if card.n else NOTHING),
    ]  # fmt: skip


def _coefficient_row(name: str, n: int, found: Coefficient) -> Row:
    why = found.why if n else NOTHING
    if n and found.value is None:
        why = "Not defined: both times the same one thing was said throughout."
    return Row(name, "kappa", n, "directions", found.value, found.low, found.high, why)


def _label_rows(pairs: Sequence[tuple[Said, Said]]) -> list[Row]:
    named = [(first, second) for first, second in pairs if first.is_labelled and second.is_labelled]
    found = label_agreement(
        [first.label for first, _ in named],
        [second.label for _, second in named],
        [first.vector for first, _ in named],
    )
    note = "Of the directions that were labelled both times."
    return [
        _share_row("The very same label", found.exact, "directions", note),
        _share_row("The same label, case and final period apart", found.normalised, "directions", note),
    ]


# Wrong labels


def _wrong_label(run: Run, purpose: Run.Purpose, asked: Run | None, seen: _Seen) -> Section:
    if asked is None:
        missing = "" if run.verifier_id else " This run has no verifier that could be handed one."
        return Section(purpose, note=f"Not asked yet.{missing}")
    answers = {it.direction_id: it for it in run_said(asked)}
    right = [it for it in run_said(run) if it.direction_id in answers]
    if not seen.allows(answers):
        return Section(purpose, note=HIDDEN_COUNT.capitalize() + ".", run=asked)
    rows = [
        _acceptance("Accepts another direction's label", answers.values()),
        _acceptance("Accepts the direction's own label", right),
    ]
    return Section(purpose, rows, _failed_words(asked), asked)


def _acceptance(name: str, answers: Collection[Said]) -> Row:
    asked = [it for it in answers if it.verification in (Verification.Answer.YES, Verification.Answer.NO)]
    unparsed = len(answers) - len(asked)
    note = f"{unparsed} unparsed or not asked, left out" if unparsed else ""
    says = [it.verification == Verification.Answer.YES for it in asked]
    return _share_row(name, clustered_share(says, [it.vector for it in asked]), "directions", note)


# Other directions


def _controls(run: Run, purpose: Run.Purpose, asked: Run | None, seen: _Seen) -> Section:
    place = place_of(run)
    if place is None:
        return Section(purpose, note=_no_place(run), run=asked)
    noise = Q(direction__matrix__control__in=CONTROLS, direction__matrix__basis="svd")
    kinds = _judged(run, place, noise, "control", seen)
    if kinds is None:
        return Section(purpose, note=HIDDEN_COUNT.capitalize() + ".", run=asked)
    if not kinds:
        return Section(purpose, note="This judge has not judged any control at the run's circuits and layers yet.",
                       run=asked)  # fmt: skip
    rule = rule_for(has_verifier=bool(run.verifier_id)).name
    rows = [_rate(kind, kinds.get(kind, ()), rule) for kind in CONTROLS]
    rows.append(_rate("all controls", [answer for kind in CONTROLS for answer in kinds.get(kind, ())], rule))
    return Section(purpose, rows, _failed_words(asked), asked)


def _contrasts(run: Run, purpose: Run.Purpose, asked: Run | None, seen: _Seen) -> Section:
    place = place_of(run)
    if place is None:
        return Section(purpose, note=_no_place(run), run=asked)
    elsewhere = Q(direction__matrix__control="", direction__matrix__basis__in=CONTRASTS)
    kinds = _judged(run, place, elsewhere, "basis", seen)
    own = list(own_items(run).filter(state=RunItem.State.DONE).values_list(
        "direction_id", *VECTOR, "verdict", "label", "verification"
    ))  # fmt: skip
    if kinds is None or not seen.allows([pk for pk, *_ in own]):
        return Section(purpose, note=HIDDEN_COUNT.capitalize() + ".", run=asked)
    if not kinds:
        return Section(purpose, note="This judge has judged neither contrast at the run's circuits and layers yet.",
                       run=asked)  # fmt: skip
    rule = rule_for(has_verifier=bool(run.verifier_id)).name
    directions = [
        Answer((matrix, side, index), verdicts_of(Answers(verdict, label, verification or None, bool(run.verifier_id))))
        for _, matrix, side, index, verdict, label, verification in own
    ]
    rows = [_rate("svd", directions, rule), *(_rate(kind, kinds.get(kind, ()), rule) for kind in CONTRASTS)]
    return Section(purpose, rows, _failed_words(asked), asked)


def _judged(run: Run, place: Place, which: Q, kind: str, seen: _Seen) -> dict[str, list[Answer]] | None:
    """What stands of the run's judge at its place, by kind, whichever run asked; None where it may not be seen."""
    rows = Judgement.objects.filter(place.condition("direction__"), which, judge=run.judge_id, current=True)
    columns = ("direction_id", *VECTOR, f"direction__matrix__{kind}", "verdict", "label", "verifications__answer")
    # By direction: a judgement with two verifications comes twice, and the later one counts.
    found = {
        pk: (name, Answer((matrix, side, index), verdicts_of(Answers(verdict, label, answer, bool(run.verifier_id)))))
        for pk, matrix, side, index, name, verdict, label, answer in rows.order_by(
            "pk", "verifications__pk"
        ).values_list(*columns)
    }
    if not seen.allows(found):
        return None
    kinds: dict[str, list[Answer]] = {}
    for name, answer in found.values():
        kinds.setdefault(name, []).append(answer)
    return kinds


def _rate(name: str, answers: Sequence[Answer], rule: str) -> Row:
    said = [(says, it.vector) for it in answers if (says := it.says(rule)) is not None]
    found = clustered_share([says for says, _ in said], [vector for _, vector in said])
    left_out = len(answers) - len(said)
    return _share_row(name, found, "directions", f"{left_out} unparsed, left out" if left_out else "")


# Detection


def _detection(run: Run, purpose: Run.Purpose, asked: Run | None, seen: _Seen) -> Section:
    if asked is None:
        return Section(purpose, note="Not asked yet.")
    items = RunItem.objects.filter(run=asked, state=RunItem.State.DONE).order_by("position")
    answered = list(items.values_list("direction_id", *VECTOR, "verdict", "detail"))
    if not seen.allows([pk for pk, *_ in answered]):
        return Section(purpose, note=HIDDEN_COUNT.capitalize() + ".", run=asked)
    lists = [((matrix, side, index), detail) for _, matrix, side, index, verdict, detail in answered
             if verdict != Verdict.UNPARSED]  # fmt: skip
    tokens = [(vector, *token) for vector, detail in lists for token in flags(detail)]
    unparsed = len(answered) - len(lists)
    note = f"unparsed answers left out: {unparsed}" if unparsed else ""
    rows = [
        _detection_row("All tokens", tokens, note),
        _detection_row("Whole words", [token for token in tokens if token[3]]),
        _detection_row("Fragments and signs", [token for token in tokens if not token[3]]),
    ]
    return Section(purpose, rows, _failed_words(asked), asked)


def _detection_row(name: str, tokens: Sequence[tuple[Vector, bool, bool, bool]], note: str = "") -> Row:
    found: Detection = detection(
        [own for _, own, _, _ in tokens], [picked for _, _, picked, _ in tokens], [vector for vector, *_ in tokens]
    )
    counts = f"{found.hits} of {found.own} found, {found.false_alarms} of {found.others} others picked"
    if found.score is None:
        return Row(name, "score", len(tokens), "tokens", note=NOTHING)
    words = "; ".join(filter(None, [counts, note]))
    of = f"tokens, {found.clusters} vectors"
    return Row(name, "score", len(tokens), of, found.score, found.low, found.high, words)


# Words


def _answer(said: Said, has_verifier: bool) -> Answer:
    answers = Answers(said.verdict, said.label, said.verification or None, has_verifier)
    return Answer(said.vector, verdicts_of(answers))


def _share_row(name: str, found: Share, of: str, note: str = "") -> Row:
    if found.value is None:
        return Row(name, "share", 0, of, note=f"{NOTHING} {note}".strip())
    return Row(name, "share", found.n, of, found.value, found.low, found.high, note)


def _failed_words(asked: Run | None) -> str:
    """What the last measurement left out, and why."""
    if asked is None:
        return ""
    parts = [f"{n} {reason}" for reason, n in asked.options.get("left_out", {}).items()]
    if failed := RunItem.objects.filter(run=asked, state=RunItem.State.FAILED).count():
        parts.append(f"{failed} failed")
    return f"Not counted: {'; '.join(parts)}." if parts else ""


def _no_place(run: Run) -> str:
    return "This run is not over one model's own directions, so there is nothing to compare with at its place."


_SECTIONS = {
    Purpose.ORDER: _again,
    Purpose.REPEAT: _again,
    Purpose.WRONG_LABEL: _wrong_label,
    Purpose.CONTROLS: _controls,
    Purpose.CONTRASTS: _contrasts,
    Purpose.DETECTION: _detection,
}
