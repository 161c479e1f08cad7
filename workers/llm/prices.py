"""Money: integers of nano-dollars, so that no sum drifts; and bounds on tokens before they are spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path

from workers.llm.errors import LlmError
from workers.llm.rendering import Rendered

NANO = 1_000_000_000
MILLION = 1_000_000
PRICES = Path(__file__).resolve().parents[2] / "fixtures" / "prices.yaml"

# What a server may put around the text: a chat template's markers for each message, and what some templates
# add of their own (a default system message, the date). Measured templates stay below half of it.
_AROUND_MESSAGE = 16
_AROUND_PROMPT = 96
# A structured form is sent along as a JSON schema.
_SCHEMA = 512
# English text in byte-level tokenizers: about four bytes a token; lists of fragments take more tokens.
_BYTES_A_TOKEN = 3


@dataclass(frozen=True)
class Price:
    """Nano-dollars for a million tokens. `source` says where the price is from, `date` as of when (ISO)."""

    input: int
    output: int
    source: str = ""
    date: str = ""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Nano-dollars, rounded up."""
        return -(-(prompt_tokens * self.input + completion_tokens * self.output) // MILLION)


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
    if given and (provider, model) in given:
        return given[provider, model]
    return _prices(str(path or PRICES)).get((provider, model))


def prices_listed(path: Path | str | None = None) -> list[tuple[str, str]]:
    """The provider and name of every language model in the list of prices."""
    return sorted(_prices(str(path or PRICES)))


def price_make(
    input_dollars: str | Decimal, output_dollars: str | Decimal, *, source: str = "", date: str = ""
) -> Price:
    """A price from dollars for a million tokens, as people write it ("0.15"). Raises LlmError.

    0 is a price that can be given (a server of one's own); an unknown price is None everywhere.
    """
    return Price(
        money_parse(input_dollars, zero=True), money_parse(output_dollars, zero=True), source=source, date=date
    )


def money_parse(text: str | Decimal, *, zero: bool = False) -> int:
    """Dollars as nano-dollars. Raises LlmError for what is no amount above 0 (`zero`: or 0), or is too fine."""
    try:
        amount = Decimal(str(text).strip().removeprefix("$")) * NANO
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < 10**18 or amount != int(amount) or (not amount and not zero):
        least = "" if zero else " above 0"
        raise LlmError(f"{str(text)!r} is no amount of money{least}; write dollars, such as 0.15.")
    return int(amount)


def tokens_upper_bound(rendered: Rendered, max_tokens: int, n: int = 1, schema: str = "") -> Tokens:
    """No fewer tokens than the call can use: for the budget.

    A byte-level tokenizer never makes more tokens than there are UTF-8 bytes; the chat's own markers come on top.
    """
    return Tokens(_bytes(rendered) + _around(rendered, schema), max_tokens * n)


def tokens_estimate(rendered: Rendered, max_tokens: int, n: int = 1, schema: str = "") -> Tokens:
    """About as many tokens as the call will use: for the dry estimate and the pace. Answers count as full."""
    return Tokens(-(-_bytes(rendered) // _BYTES_A_TOKEN) + _around(rendered, schema) // 4, max_tokens * n)


def dollars(nano: int) -> str:
    """`1234567890` as `$1.23`; amounts below a cent with two significant digits."""
    sign, amount = "-" * (nano < 0), Decimal(abs(nano)) / NANO
    if not amount or amount >= Decimal("0.01"):
        return f"{sign}${amount:,.2f}"
    return f"{sign}${amount:.{1 - amount.adjusted()}f}"


def _bytes(rendered: Rendered) -> int:
    texts = [rendered.text, *(message.content for message in rendered.messages)]
    return sum(len(text.encode()) for text in texts)


def _around(rendered: Rendered, schema: str) -> int:
    return _AROUND_PROMPT + _AROUND_MESSAGE * len(rendered.messages) + (_SCHEMA if schema else 0)


@lru_cache(maxsize=8)
def _prices(path: str) -> dict[tuple[str, str], Price]:
    import yaml

    try:
        listed = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return {
            (entry["provider"], model): price_make(*map(str, pair), source=entry["source"], date=str(entry["date"]))
            for entry in listed
            for model, pair in entry["models"].items()
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise LlmError(f"The list of prices {path} cannot be read: {type(error).__name__}.") from error
