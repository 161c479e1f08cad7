"""Money as integers, prices with their source, and bounds that hold."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.llm.test_prompts import PROMPTS
from tests.llm.test_rendering import tokens_any
from workers.llm.errors import LlmError
from workers.llm.prices import (
    NANO,
    PRICES,
    Price,
    dollars,
    money_parse,
    price_make,
    price_of,
    tokens_estimate,
    tokens_upper_bound,
)
from workers.llm.rendering import render

DEMO = Path(__file__).resolve().parents[2] / "fixtures" / "demo_model"


def test_a_price_is_known_or_unknown_and_never_nothing():
    price = price_of("openai", "gpt-4.1-mini")
    assert (price.input, price.output) == (400_000_000, 1_600_000_000)
    assert price.source.startswith("https://") and price.date == "2026-03-21"
    assert price_of("openai", "gpt-99") is None and price_of("my_box", "gpt-4.1-mini") is None
    mine = price_make("0.10", "0.2", source="the invoice")
    assert price_of("openai", "gpt-4.1-mini", {("openai", "gpt-4.1-mini"): mine}) is mine
    assert price_of("my_box", "x", {("my_box", "x"): price_make("0", 0)}).cost(10**6, 10**6) == 0


def test_the_list_of_prices():
    for entry in yaml.safe_load(PRICES.read_text()):
        assert entry["source"].startswith("https://") and str(entry["date"]) > "2024"
        for model in entry["models"]:
            price = price_of(entry["provider"], model)
            assert 0 < price.input <= price.output


def test_cost():
    """By hand: 1,234 tokens at $0.15 and 56 at $0.60 a million."""
    assert price_make("0.15", "0.60").cost(1234, 56) == 1234 * 150 + 56 * 600
    assert Price(1, 1).cost(1, 0) == 1  # rounded up: money is never given away
    assert Price(1, 1).cost(0, 0) == 0


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**12), st.integers(0, 10**12))
def test_cost_is_exact(prompt, completion, input_price, output_price):
    exact = Decimal(prompt * input_price + completion * output_price) / 1_000_000
    assert 0 <= Price(input_price, output_price).cost(prompt, completion) - exact < 1


@pytest.mark.parametrize(
    ("text", "nano"), [("5", 5 * NANO), ("$0.15", 150_000_000), (" 1e-9 ", 1), (Decimal("2.5"), 2.5 * NANO)]
)
def test_money(text, nano):
    assert money_parse(text) == nano


@pytest.mark.parametrize("text", ["0", "-1", "", "free", "nan", "inf", "1e-10", "1e99", "1,5"])
def test_no_money(text):
    with pytest.raises(LlmError, match="no amount of money"):
        money_parse(text)


def test_a_price_of_nothing_is_one_that_somebody_gave():
    assert price_make("0", "0").cost(5, 5) == 0
    with pytest.raises(LlmError):
        price_make("-1", "0")


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1_234_567_890, "$1.23"),
        (10**13, "$10,000.00"),
        (1_234_567, "$0.0012"),
        (3, "$0.0000000030"),
        (-5 * NANO, "-$5.00"),
    ],
)
def test_money_for_people(nano, text):
    assert dollars(nano) == text


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(DEMO / "tokenizer.json"))


@given(st.lists(tokens_any, min_size=1, max_size=20), st.sampled_from(PROMPTS))
def test_the_bound_is_never_passed(tokenizer, tokens, prompt):
    """Against a real byte-level tokenizer, with a chat template's markers counted as text."""
    rendered = render(prompt, tokens=tokens, label="x" + tokens[0])
    text = rendered.text or "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in rendered.messages)
    bound = tokens_upper_bound(rendered, prompt.max_tokens, prompt.sampling.n)
    counted = len(tokenizer.encode(text).ids)
    assert counted <= bound.prompt
    assert bound.completion == prompt.max_tokens * prompt.sampling.n
    estimate = tokens_estimate(rendered, prompt.max_tokens, prompt.sampling.n)
    assert estimate.prompt <= bound.prompt and estimate.total <= bound.total


def test_the_estimate_is_near(tokenizer):
    """Within a half of what a real tokenizer counts, for the project's own prompts."""
    for prompt in PROMPTS:
        rendered = render(prompt, tokens=[" dog", "veter", " cats"] * 5, label="most of these words are animals")
        text = rendered.text or "".join(message.content for message in rendered.messages)
        counted = len(tokenizer.encode(text).ids)
        assert 0.6 * counted <= tokens_estimate(rendered, 1).prompt <= 1.6 * counted, prompt.name
