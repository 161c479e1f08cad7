"""What a run will take, before it starts: nothing is asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from labelapp.autolabel.asking import Asker, Question, Subject
from labelapp.autolabel.calls import StoredCall, calls_find
from workers.llm.errors import PromptError
from workers.llm.parsing import Parsed, parse
from workers.llm.prices import Price

BLOCK = 1000
# What a verifier is asked about where the labeler has not answered yet: as long as such answers are.
TYPICAL = Parsed("interpretable", "animals and their young", "These words are all animals and their young.")


@dataclass(frozen=True)
class Estimate:
    """Of a run: its directions, the calls to be made and those that the store answers, tokens and money.

    `cost` is about what it will cost and `most` what it cannot pass, in nano-dollars; None where the price is unknown.
    """

    directions: int
    calls: int
    stored: int
    prompt_tokens: int
    completion_tokens: int
    cost: int | None
    most: int | None


class _Count:
    def __init__(self, price: Price | None) -> None:
        self.price = price
        self.seen: set[str] = set()
        self.calls = self.stored = self.prompt = self.completion = self.most = 0

    def call(self, question: Question) -> None:
        self.calls += 1
        self.prompt += question.expected.prompt
        self.completion += question.expected.completion
        if self.price is not None:
            self.most += self.price.cost(question.most.prompt, question.most.completion)


def estimate_make(
    asker: Asker,
    price: Price | None,
    subjects: Iterable[Subject],
    on_readout: Callable[[int], object] = lambda _: None,
) -> Estimate:
    """Render every item's first call, and look up which were asked before; `on_readout` hears of each block.

    A verifier's call is known where its labeler's answer is stored; elsewhere it is counted as one call of typical
    length. Equal readouts are asked about once.
    """
    count = _Count(price)
    n = 0
    subjects = iter(subjects)
    while block := list(islice(subjects, BLOCK)):
        n += len(block)
        _block(asker, block, count)
        on_readout(len(block))
    return Estimate(
        directions=n,
        calls=count.calls,
        stored=count.stored,
        prompt_tokens=count.prompt,
        completion_tokens=count.completion,
        cost=price.cost(count.prompt, count.completion) if price else None,
        most=count.most if price else None,
    )


def _block(asker: Asker, block: Sequence[Subject], count: _Count) -> None:
    openings: dict[str, tuple[Question, Subject]] = {}
    for subject in block:
        try:
            question = asker.opening(subject)
        except PromptError:
            continue  # the item will fail, and cost nothing
        if question.request.hash not in count.seen:
            openings[question.request.hash] = (question, subject)
    count.seen.update(openings)
    found = calls_find(openings, asker.options.sample)
    for request_hash, (question, _) in openings.items():
        if request_hash in found:
            count.stored += 1
        else:
            count.call(question)
    _verifies(asker, openings, found, count)


def _verifies(
    asker: Asker,
    openings: Mapping[str, tuple[Question, Subject]],
    found: Mapping[str, StoredCall],
    count: _Count,
) -> None:
    verifies: dict[str, Question] = {}
    for request_hash, (_, subject) in openings.items():
        if subject.statement or asker.labeler is None:
            continue  # one call is all that these take
        stored = found.get(request_hash)
        said = TYPICAL if stored is None else parse(asker.labeler, stored.answer)
        following = asker.verify(subject.tokens, said)
        if following is None:
            continue
        if stored is None:
            count.call(following)
        elif following.request.hash not in count.seen:
            verifies[following.request.hash] = following
    count.seen.update(verifies)
    answered = calls_find(verifies, asker.options.sample)
    count.stored += len(answered)
    for request_hash, question in verifies.items():
        if request_hash not in answered:
            count.call(question)
