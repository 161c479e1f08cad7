"""What one job asks: items, the calls that they wait for, and what becomes of an item once they are answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from labelapp.autolabel.asking import Asker, Question, Subject
from labelapp.autolabel.calls import confidence_of
from labelapp.autolabel.drawing import picks_counted
from labelapp.autolabel.models import RunItem
from labelapp.autolabel.money import Settlement
from labelapp.autolabel.results import AskedCall, ItemResult, label_clean
from labelapp.judgements.models import Verdict
from workers.llm.errors import CallError
from workers.llm.execution import Work
from workers.llm.parsing import Parsed, parse
from workers.llm.prompts import CHOOSING, Prompt
from workers.llm.requests import Answer


@dataclass(slots=True, eq=False)
class Item:
    id: int
    direction_id: int
    subject: Subject
    labeler: Ask | None = None
    verifier: Ask | None = None
    checker: Ask | None = None  # the verifier or detector that a statement was given to, in a labeler's place
    said: Parsed | None = None


@dataclass(slots=True, eq=False)
class Ask:
    """One distinct call and the items that wait for its answer."""

    question: Question
    prompt_version_id: int
    take_up: Callable[[Item], None]  # what an item does with the answer
    bound: int  # nano-dollars
    is_opening: bool  # its item's first call; what follows goes before it
    items: list[Item] = field(default_factory=list)
    answer: Answer | None = None
    error: CallError | None = None
    call_id: int | None = None
    confidence: float | None = None
    takes: list[int] = field(default_factory=list)  # out of the purse, one for each attempt that may be billed
    is_unpaid: bool = False

    @property
    def hash(self) -> str:
        return self.question.request.hash

    @property
    def asked(self) -> AskedCall:
        return AskedCall(self.hash, self.call_id)


@dataclass(slots=True)
class Batch:
    """What waits to be written."""

    calls: list[tuple[Ask, int | None]] = field(default_factory=list)  # with the cost
    items: list[Callable[[], ItemResult]] = field(default_factory=list)
    spent: int = 0
    lost: int = 0
    released: int = 0
    regained: int = 0

    @property
    def money(self) -> Settlement:
        return Settlement(self.spent, self.lost, self.released, self.regained)


def item_result(asker: Asker, item: Item) -> ItemResult:
    """A finished item, with what its judgement rests on."""
    if item.checker is not None:
        return _checked_result(asker, item, item.checker)
    labeler, verifier, said = item.labeler, item.verifier, item.said
    assert labeler is not None and labeler.answer is not None and said is not None and asker.labeler is not None
    evidence: dict[str, Any] = {"answer": labeler.answer.text, "finish_reason": labeler.answer.finish_reason}
    detail: dict[str, Any] = dict(item.subject.asked) | ({"reason": said.reason} if said.reason else {})
    verification = ""
    if verifier is not None and verifier.answer is not None and asker.verifier is not None:
        answer = verifier.answer
        read = parse(asker.verifier, answer)
        verification = read.verdict
        evidence |= {"verifier_answer": answer.text, "verifier_finish_reason": answer.finish_reason}
        confidence = verifier.confidence if verifier.call_id is not None else confidence_of(answer)
        if confidence is not None:
            evidence["confidence"] = detail["confidence"] = confidence
        if read.reason:
            detail["verifier_reason"] = read.reason
    return ItemResult(
        item.id,
        item.direction_id,
        RunItem.State.DONE,
        labeler=labeler.asked,
        verifier=verifier.asked if verifier else None,
        verdict=said.verdict,
        label=label_clean(said.label),
        verification=verification,
        tokens_shown=min(asker.labeler.tokens_shown, len(item.subject.tokens)),
        evidence=evidence,
        detail=detail,
    )


def _checked_result(asker: Asker, item: Item, checker: Ask) -> ItemResult:
    """What a verifier answered about a statement, or a detector, an intruder, a matcher about a list."""
    assert checker.answer is not None
    tokens, asked = item.subject.tokens, dict(item.subject.asked)
    read = parse(asker.checker, checker.answer, items=len(tokens))
    reason = {"reason": read.reason} if read.reason else {}
    if asker.detector is None:
        return ItemResult(
            item.id,
            item.direction_id,
            RunItem.State.DONE,
            verifier=checker.asked,
            verification=read.verdict,
            detail=asked | reason,
        )
    return ItemResult(
        item.id,
        item.direction_id,
        RunItem.State.DONE,
        detector=checker.asked,
        verdict="" if read.is_parsed else Verdict.UNPARSED,
        detail=asked | reason | (_picked(asker.detector, asked, read) if read.is_parsed else {}),
    )


def _picked(prompt: Prompt, asked: dict[str, Any], read: Parsed) -> dict[str, Any]:
    return {"pick": read.picks[0]} if prompt.kind in CHOOSING else picks_counted(asked["own"], read.picks)


def item_failed(item: Item, kind: str, message: str) -> ItemResult:
    """An item without an answer; what its labeler said before the verifier failed stays in the store."""
    labeler = item.labeler.asked if item.labeler is not None and item.labeler.answer is not None else None
    return ItemResult(
        item.id,
        item.direction_id,
        RunItem.State.FAILED,
        labeler=labeler,
        detail=dict(item.subject.asked),
        error_kind=kind[:20],
        error=message,
    )


def ask_of(work: Work) -> Ask:
    """What a call that is under way was made for."""
    assert isinstance(work.id, Ask)
    return work.id
