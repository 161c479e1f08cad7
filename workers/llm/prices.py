"""Money: integers of nano-dollars, so that no sum drifts; and bounds on tokens before they are spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from workers.llm.rendering import Rendered

NANO = 1_000_000_000
MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """Nano-dollars for a million tokens. `source` says where the price is from, `date` as of when (ISO)."""

    input: int
    output: int
    source: str = ""
    date: str = ""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Nano-dollars, rounded up."""
        raise NotImplementedError


@dataclass(frozen=True)
class Tokens:
    """Tokens of a call: those of the prompt, and those of all its answers."""

    prompt: int
    completion: int

    @property
    def total(self) -> int:
        return self.prompt + self.completion


def price_of(
    provider: str, model: str, given: Mapping[tuple[str, str], Price] | None = None, path: Path | str | None = None
) -> Price | None:
    """The price of `PROVIDER:MODEL`; what the user gave comes first. None where it is unknown, never 0."""
    raise NotImplementedError


def price_make(input_dollars: str | Decimal, output_dollars: str | Decimal, *, source: str = "") -> Price:
    """A price from dollars for a million tokens, as people write it ("0.15"). Raises LlmError."""
    raise NotImplementedError


def tokens_upper_bound(rendered: Rendered, max_tokens: int, n: int = 1, schema: str = "") -> Tokens:
    """No fewer tokens than the call can use: for the budget.

    A byte-level tokenizer never makes more tokens than there are UTF-8 bytes; the chat's own markers come on top.
    """
    raise NotImplementedError


def tokens_estimate(rendered: Rendered, max_tokens: int, n: int = 1, schema: str = "") -> Tokens:
    """About as many tokens as the call will use: for the dry estimate and the pace."""
    raise NotImplementedError


def dollars(nano: int) -> str:
    """`1234567890` as `$1.23`, small amounts with more digits, for people."""
    raise NotImplementedError
