"""From a direction of a run to the calls that it takes: the same for the estimate and for the worker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from labelapp.autolabel.models import Run
from labelapp.autolabel.prompts import prompt_of
from labelapp.autolabel.providers import config_of, llm_identity
from workers.llm.parsing import Parsed
from workers.llm.prices import Price, Tokens, tokens_estimate, tokens_upper_bound
from workers.llm.prompts import Prompt
from workers.llm.providers import ProviderConfig
from workers.llm.rendering import Rendered, render, request_make
from workers.llm.requests import Request


@dataclass(frozen=True)
class RunOptions:
    """How a run asks.

    `verify_all`: the verifier is asked whatever the labeler said, as in the post; else only about labels.
    `order_seed`: each list in another order. `sample`: above 0, the same calls again, not answered by the earlier ones.
    `draw_seed`: what a measurement draws (wrong labels, lists of a detector) is drawn with it.
    `attempts` for each call. `chunk_items` directions make one job; `in_flight` calls at a time (0: the provider's).
    """

    verify_all: bool = True
    order_seed: int | None = None
    sample: int = 0
    draw_seed: int = 0
    attempts: int = 6
    chunk_items: int = 2000
    in_flight: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def options_from_json(stored: dict[str, Any]) -> RunOptions:
    """What `as_json` made; what is missing in it is the default."""
    known = {field.name for field in fields(RunOptions)}
    return RunOptions(**{name: value for name, value in stored.items() if name in known})


@dataclass(frozen=True)
class Subject:
    """What one item of a run asks about.

    `tokens` are the readout, or the list of `asked`. `asked` is what `RunItem.detail` holds of the question: a
    `statement` is given to the verifier or detector, and no labeler is asked; a `list` is shown as it is to a detector,
    an intruder (which gets no statement) or a matcher.
    """

    tokens: Sequence[str]
    asked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def statement(self) -> str:
        return str(self.asked.get("statement", ""))


def subject_of(readout: Sequence[str], asked: Mapping[str, Any]) -> Subject:
    return Subject(asked.get("list", readout), asked)


def readout_seed(tokens: Sequence[str], seed: int) -> int:
    """A seed (below 2^63) that depends on the readout and `seed` alone: the same in every database."""
    text = "\x00".join([str(seed), *tokens])
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Question:
    """One call to be made: what is asked, and how many tokens it takes."""

    request: Request
    expected: Tokens
    most: Tokens


@dataclass(frozen=True)
class Asker:
    """The prompts of a run on one language model."""

    labeler: Prompt | None
    verifier: Prompt | None
    config: ProviderConfig
    model: str
    options: RunOptions
    detector: Prompt | None = None

    @property
    def checker(self) -> Prompt:
        """Whom a statement is given to, where no labeler is asked."""
        prompt = self.detector or self.verifier
        assert prompt is not None
        return prompt

    def opening(self, subject: Subject) -> Question:
        """The first call of an item. Raises PromptError where there is nothing to show."""
        if not self.is_checked(subject):
            return self.label(subject.tokens)
        # A list is in its order already.
        order = None if self.detector else self._order(subject.tokens)
        rendered = render(self.checker, tokens=subject.tokens, label=subject.statement, order_seed=order)
        return self._question(self.checker, rendered)

    def is_checked(self, subject: Subject) -> bool:
        """Whether the item is put to the verifier or detector alone."""
        return bool(subject.statement) or self.labeler is None

    def label(self, tokens: Sequence[str]) -> Question:
        """What the labeler is asked about a readout. Raises PromptError where it holds nothing."""
        assert self.labeler is not None
        return self._question(self.labeler, render(self.labeler, tokens=tokens, order_seed=self._order(tokens)))

    def verify(self, tokens: Sequence[str], said: Parsed) -> Question | None:
        """What the verifier is asked about the labeler's answer; None where it is not asked."""
        if self.verifier is None or not said.is_parsed or not said.statement:
            return None
        if said.verdict != "interpretable" and not self.options.verify_all:
            return None
        rendered = render(self.verifier, tokens=tokens, label=said.statement, order_seed=self._order(tokens))
        return self._question(self.verifier, rendered)

    def _order(self, tokens: Sequence[str]) -> int | None:
        seed = self.options.order_seed
        return None if seed is None else readout_seed(tokens, seed)

    def _question(self, prompt: Prompt, rendered: Rendered) -> Question:
        request = request_make(
            prompt,
            rendered,
            identity=self.config.identity,
            model=self.model,
            is_openai=self.config.is_openai,
            logprobs=self.config.logprobs,
        )
        size = (rendered, prompt.max_tokens, prompt.sampling.n, request.schema)
        return Question(request, tokens_estimate(*size), tokens_upper_bound(*size))


def asker_of(run: Run) -> Asker:
    """Raises ProviderError where this process's environment does not name the run's provider."""
    config = config_of(run.provider, run.llm)
    return Asker(
        labeler=prompt_of(run.labeler) if run.labeler else None,
        verifier=prompt_of(run.verifier) if run.verifier else None,
        config=config,
        model=llm_identity(config, run.llm),
        options=options_from_json(run.options),
        detector=prompt_of(run.detector) if run.detector else None,
    )


def price_of_run(run: Run) -> Price | None:
    """What the run pays for a million tokens, as it was known when it started."""
    if run.price_input is None or run.price_output is None:
        return None
    return Price(run.price_input, run.price_output)
