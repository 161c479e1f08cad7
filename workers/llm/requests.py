"""One call as data: what is asked, its hash, and what came back. Nothing here knows a client."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

Endpoint = Literal["chat", "completion"]
# One position of an answer: (token, log-probability) of the token taken, then of the alternatives.
Position = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Request:
    """Everything that makes a call; two requests with one `hash` are the same call.

    `identity` is the provider's base address, never its key. `messages` are for the chat endpoint, `text` for plain
    completions. `parameters` are those of the OpenAI protocol (`temperature`, `max_tokens`, `n`, ...), JSON values.
    `schema` names the answer's form of structured output (`workers.llm.schemas`), empty for text.
    """

    identity: str
    endpoint: Endpoint
    model: str
    messages: tuple[Message, ...] = ()
    text: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schema: str = ""

    @cached_property
    def hash(self) -> str:
        """sha256 (64 hex digits) of everything that the call consists of."""
        return hashlib.sha256(json.dumps(self.to_mapping(), sort_keys=True).encode()).hexdigest()

    @property
    def prompt_text(self) -> str:
        """The rendered prompt as one text, for people and for the store."""
        if self.endpoint == "completion":
            return self.text
        return "\n\n".join(f"[{message.role}]\n{message.content}" for message in self.messages)

    @property
    def samples(self) -> int:
        """How many answers one call asks for."""
        return int(self.parameters.get("n", 1))

    @property
    def max_tokens(self) -> int:
        """The most tokens of one of its answers."""
        return int(self.parameters.get("max_completion_tokens") or self.parameters["max_tokens"])

    def to_mapping(self) -> dict[str, Any]:
        """JSON values; `request_from_mapping` is the way back."""
        return {
            "identity": self.identity,
            "endpoint": self.endpoint,
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in self.messages],
            "text": self.text,
            "parameters": dict(self.parameters),
            "schema": self.schema,
        }


def request_from_mapping(mapping: Mapping[str, Any]) -> Request:
    """A request that was stored with `to_mapping`."""
    return Request(**{**mapping, "messages": tuple(Message(**message) for message in mapping["messages"])})


@dataclass(frozen=True)
class Answer:
    """What a provider said; `text` and `finish_reason` are those of the first of `texts`.

    `finish_reason` is the protocol's: `stop`, `length` (cut at max_tokens), `content_filter`. Token counts are None
    where the server does not count. `latency` in seconds. `provider_model` is the model's id as the server gives
    it. `top_logprobs`: the first answer's positions, where log-probabilities were asked for and offered.
    NUL and halves of surrogate pairs, which no database takes, are U+FFFD here.
    """

    texts: tuple[str, ...]
    finish_reasons: tuple[str, ...]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency: float = 0.0
    provider_model: str = ""
    top_logprobs: tuple[Position, ...] = ()

    @property
    def text(self) -> str:
        return self.texts[0]

    @property
    def finish_reason(self) -> str:
        return self.finish_reasons[0]

    def to_mapping(self) -> dict[str, Any]:
        """JSON values; `answer_from_mapping` is the way back."""
        return asdict(self)


def answer_from_mapping(mapping: Mapping[str, Any]) -> Answer:
    """An answer that was stored with `to_mapping`, also after a round through JSON."""
    positions = tuple(
        tuple((str(token), float(value)) for token, value in position) for position in mapping.get("top_logprobs", ())
    )
    lists = {name: tuple(mapping[name]) for name in ("texts", "finish_reasons")}
    return Answer(**{**mapping, **lists, "top_logprobs": positions})


def yes_no_confidence(answer: Answer) -> float | None:
    """P(yes) / (P(yes) + P(no)) at the position where the answer says one of them; None without log-probabilities.

    Spellings are added up ("yes", " Yes", "YES"). The position is the last whose token is yes or no, so that
    reasoning before the answer does not count.
    """
    for position in reversed(answer.top_logprobs):
        if not position or _yes_no(position[0][0]) is None:
            continue
        # The token taken may stand among the alternatives as well.
        mass = {"yes": 0.0, "no": 0.0}
        for token, value in dict(position).items():
            word = _yes_no(token)
            if word is not None:
                mass[word] += math.exp(value)
        total = mass["yes"] + mass["no"]
        return mass["yes"] / total if total > 0 else None
    return None


def _yes_no(token: str) -> str | None:
    word = token.strip(" \t\n\r\"'‘’“”.*▁Ġ").lower()
    return word if word in ("yes", "no") else None
