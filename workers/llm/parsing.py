"""From an answer to a verdict. Anything that is not clearly an answer is `unparsed`, with the reason.

Labelers are read by the post's rule: "no shared semantic meaning" (or "no semantic meaning") is
`not_interpretable`; otherwise "these words" in the answer is `interpretable`; anything else is `unparsed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workers.llm.prompts import Kind, Parser, Prompt
from workers.llm.requests import Answer

LabelerVerdict = Literal["interpretable", "not_interpretable", "unparsed"]
VerifierVerdict = Literal["yes", "no", "unparsed"]
NO_MEANING = "these words have no shared semantic meaning"


@dataclass(frozen=True)
class Parsed:
    """What an answer says.

    `verdict`: a labeler's `interpretable` or `not_interpretable`, a verifier's `yes` or `no`, a detector's `picked`,
    or `unparsed`. `label`: the words that name the direction ("animals"), empty without one. `statement`: the
    labeler's answer as one line, which is what a verifier is asked about. `picks`: a detector's items, counted from 0
    in the list as it was shown (`Rendered.order` leads back). `reason`: why it is unparsed.
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
    `items` is how many a detector was shown.
    """
    raise NotImplementedError


def parse_text(kind: Kind, parser: Parser, text: str, *, items: int = 0) -> Parsed:
    """Read one complete text, whatever its finish reason was."""
    raise NotImplementedError


def labeler_parse(text: str) -> Parsed:
    """The post's rule on a labeler's text (also for imported answers, which have no finish reason)."""
    raise NotImplementedError


def verifier_parse(text: str) -> Parsed:
    """yes, no, or unparsed, from a verifier's text."""
    raise NotImplementedError
