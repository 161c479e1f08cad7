"""From an answer to a verdict. Anything that is not clearly an answer is `unparsed`, with the reason.

Labelers are read by the post's rule: "no shared semantic meaning" (or "no semantic meaning") is
`not_interpretable`; otherwise "these words" in the answer is `interpretable`; anything else is `unparsed`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from workers.llm.prompts import CHOOSING, Kind, Parser, Prompt
from workers.llm.rendering import label_shown
from workers.llm.requests import Answer

LabelerVerdict = Literal["interpretable", "not_interpretable", "unparsed"]
VerifierVerdict = Literal["yes", "no", "unparsed"]
NO_MEANING = "these words have no shared semantic meaning"

_NO_MEANING = re.compile(r"no (?:shared )?semantic meaning")
_YES_NO = re.compile(r"[\W_]*(yes|no)\b(?!\W*(?:and|or|/)?\W*(?:yes|no)\b)", re.IGNORECASE)
# "Answer:", "**Answer:**", "Final answer -": what models like to put before it.
_PREFIX = re.compile(r"^[\s*_#>`-]*(?:final )?answer\s*[*_]*\s*[:\-]\s*[*_]*\s*", re.IGNORECASE)
# What stands between "these words" and the label itself.
_LINK = re.compile(
    r"^\W*(?:(?:all|mostly|mainly|likely|probably|can be|seem to be|appear to be|"
    r"(?:are|is|were|be|all)(?!\s+(?:not|unrelated)\b))\s+)*"
    r"(?:(?:closely |somehow |in some way )?"
    r"(?:related|relating|relate|associated|connected|pertaining|pertain)\s+(?:to|with)\s+"
    r"|(?:refer|referring) to\s+|(?:have|having) to do with\s+"
    r"|have in common\s+|(?:share|have) the concept of\s+)?",
    re.IGNORECASE,
)
# What some open models write before their answer.
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_NUMBERED = re.compile(r"[\s\d,;.#\[\]()&*-]*(?:and[\s\d,;.#\[\]()&*-]*)*")
# "4", "Number: 4.", "4. farm"; "3 or 4" is none.
_CHOSEN = re.compile(r"[\W_]*(?:(?:number|item|list|no)\b[\W_]*)?(\d{1,9})\b(?!\s*(?:,|/|&|-|and\b|or\b)\s*\d)", re.I)
_NOTHING_PICKED = ("none", "no items", "nothing")


@dataclass(frozen=True)
class Parsed:
    """What an answer says.

    `verdict`: a labeler's `interpretable` or `not_interpretable`, a verifier's `yes` or `no`, `picked` of those that
    pick from a list, or `unparsed`. `label`: the words that name the direction ("animals"), empty without one.
    `statement`: the labeler's answer as one line, which is what a verifier is asked about. `picks`: items, counted from
    0 in the list as it was shown (`Rendered.order` leads back). `reason`: why it is unparsed.
    """

    verdict: str
    label: str = ""
    statement: str = ""
    picks: tuple[int, ...] = ()
    reason: str = ""

    @property
    def is_parsed(self) -> bool:
        return self.verdict != "unparsed"


def parse(prompt: Prompt, answer: Answer, *, items: int = 0) -> Parsed:
    """Read an answer to `prompt`. Cut answers (finish reason `length`) and filtered ones are unparsed.

    Of several answers (best-of-n) the most frequent verdict counts, unparsed ones included; a tie is unparsed.
    `items` is how many stood in the list.
    """
    read = [
        _finished(finish_reason, prompt.max_tokens) or parse_text(prompt.kind, prompt.parser, text, items=items)
        for text, finish_reason in zip(answer.texts, answer.finish_reasons, strict=True)
    ]
    return read[0] if len(read) == 1 else _majority(read)


def parse_text(kind: Kind, parser: Parser, text: str, *, items: int = 0) -> Parsed:
    """Read one complete text, whatever its finish reason was."""
    if "<think>" in text:
        text = _THINKING.sub("", text)
    if parser == "structured":
        return _structured(kind, text, items)
    part = _answer_part(text, parser)
    if not part:
        return _unparsed("the answer is empty")
    if kind == "labeler":
        return labeler_parse(part)
    if kind == "verifier":
        return verifier_parse(part)
    return _choice_parse(part, items) if kind in CHOOSING else _detector_parse(part, items)


def labeler_parse(text: str) -> Parsed:
    """The post's rule on a labeler's text (also for imported answers, which have no finish reason)."""
    statement = label_shown(_PREFIX.sub("", text))
    lowered = statement.lower()
    if _NO_MEANING.search(lowered):
        return Parsed("not_interpretable", statement=statement)
    if "these words" not in lowered:
        return _unparsed('it says neither "these words ..." nor that they have no shared semantic meaning', statement)
    return Parsed("interpretable", label=label_of(statement), statement=statement)


def label_of(statement: str) -> str:
    """The words that name the direction: "most of these words relate to animals." to "animals".

    What follows "these words" without its verb; the whole statement where nothing would be left.
    """
    at = statement.lower().find("these words")
    rest = statement[at + len("these words") :] if at >= 0 else statement
    label = _LINK.sub("", rest, count=1).strip(" \t\"'“”‘’*_").removesuffix(".").strip(" \t\"'“”‘’*_")
    return label or statement


def verifier_parse(text: str) -> Parsed:
    """yes, no, or unparsed, from a verifier's text."""
    match = _YES_NO.match(_PREFIX.sub("", text))
    if match is None or _NO_MEANING.search(text.lower()):
        return _unparsed("it begins with neither yes nor no")
    return Parsed(match[1].lower())


def _detector_parse(text: str, items: int) -> Parsed:
    """Numbers of items, counted from 1, with nothing else beside them; "none" is a list of none."""
    stripped = _PREFIX.sub("", text).strip(" .\"'*\n")
    if stripped.lower() in _NOTHING_PICKED:
        return Parsed("picked")
    if not _NUMBERED.fullmatch(stripped):
        return _unparsed("it is not a list of numbers")
    return _picks([int(number) for number in re.findall(r"\d{1,9}", stripped)], items)


def _choice_parse(text: str, items: int) -> Parsed:
    """The number that the answer begins with, whatever the item itself is called; several numbers are no choice."""
    match = _CHOSEN.match(_PREFIX.sub("", text))
    if match is None:
        return _unparsed("it begins with no number, or with several")
    return _picks([int(match[1])], items)


def _picks(numbers: list[int], items: int) -> Parsed:
    picks = sorted({number - 1 for number in numbers})
    if not numbers:
        return _unparsed("it names no number")
    if picks[0] < 0 or picks[-1] >= items:
        return _unparsed(f"it names an item that is not among the {items} of the list")
    return Parsed("picked", picks=tuple(picks))


def _structured(kind: Kind, text: str, items: int) -> Parsed:
    from pydantic import ValidationError

    from workers.llm import schemas

    try:
        form = schemas.FORMS[f"{kind}-1"].model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        return _unparsed(f"it has not the form that was asked for ({place + ': ' if place else ''}{fault['msg']})")
    match form:
        case schemas.LabelerAnswer1(interpretable=False):
            return Parsed("not_interpretable", statement=NO_MEANING)
        case schemas.LabelerAnswer1(label=label):
            label = label_shown(label).strip(" .")
            if not label:
                return _unparsed("it is interpretable and has no label")
            return Parsed("interpretable", label=label, statement=f"most of these words are {label}")
        case schemas.VerifierAnswer1(fits=fits):
            return Parsed("yes" if fits else "no")
        case schemas.ChoiceAnswer1(number=number):
            return _picks([number], items)
        case schemas.DetectorAnswer1(numbers=numbers):
            return _picks(numbers, items) if numbers else Parsed("picked")
    raise AssertionError(f"no reading for {kind}")


def _answer_part(text: str, parser: Parser) -> str:
    if parser == "whole":
        return text.strip()
    lines = [line.strip() for line in text.splitlines() if line.strip(" \t*_#`")]
    if not lines:
        return ""
    return lines[0] if parser == "first_line" else lines[-1]


def _finished(finish_reason: str, max_tokens: int) -> Parsed | None:
    if finish_reason == "length":
        return _unparsed(f"it was cut at {max_tokens} tokens (max_tokens)")
    if finish_reason == "content_filter":
        return _unparsed("the provider's filter took it")
    return None


def _majority(read: list[Parsed]) -> Parsed:
    counts = Counter(each.verdict for each in read).most_common(2)
    if len(counts) == 2 and counts[0][1] == counts[1][1]:
        return _unparsed(f"{counts[0][0]} and {counts[1][0]} tie, {counts[0][1]} of {len(read)} each")
    winners = [each for each in read if each.verdict == counts[0][0]]
    # Among equal verdicts the most frequent label; of equally frequent ones the first.
    key: Callable[[Parsed], str] = lambda each: each.label.lower()  # noqa: E731
    label = Counter(map(key, winners)).most_common(1)[0][0]
    return next(each for each in winners if key(each) == label)


def _unparsed(reason: str, statement: str = "") -> Parsed:
    return Parsed("unparsed", statement=statement, reason=reason)
