"""A real server that speaks the OpenAI protocol, prompts, and a small atlas to ask about."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from labelapp.autolabel.asking import RunOptions
from labelapp.autolabel.prompts import prompt_get, prompt_store_mapping
from labelapp.autolabel.providers import llm_get
from labelapp.autolabel.runs import Plan, run_plan, run_start
from labelapp.autolabel.selection import RunSelection
from tests.factories import DirectionFactory, MatrixFactory
from tests.llm.server import Server

KEY = "sk-very-secret-0123456789"
LABELER = {
    "name": "plain",
    "kind": "labeler",
    "style": "zero-shot",
    "endpoint": "chat",
    "instruction": "What do most of these words have in common? Say: most of these words ...",
    "item_format": "Words: {tokens}",
    "max_tokens": 40,
}
VERIFIER = {
    "name": "check",
    "kind": "verifier",
    "style": "zero-shot",
    "endpoint": "chat",
    "instruction": "Does the interpretation fit? Answer yes or no.",
    "item_format": "Words: {tokens}\nInterpretation: {label}",
    "max_tokens": 4,
    "top_logprobs": 5,
}


@pytest.fixture(scope="session")
def llm_process() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def llm(llm_process: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, as the provider `test` of this process and of workers that are started after this."""
    llm_process.tell(reset=True, latency=0.0)
    provider_set(monkeypatch, URL=llm_process.url, KEY=KEY, IN_FLIGHT="8", TIMEOUT="5", LOGPROBS="yes")
    return llm_process


def provider_set(monkeypatch: pytest.MonkeyPatch, **parts: str) -> None:
    """Set up the provider `test`, in the environment and in the settings that were read from it."""
    variables = {f"TEALEAVES_LLM_TEST_{name}": value for name, value in parts.items()}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(settings, "LLM_ENVIRONMENT", {**settings.LLM_ENVIRONMENT, **variables})


@pytest.fixture
def prompts(db: None) -> None:
    prompt_store_mapping(LABELER)
    prompt_store_mapping(VERIFIER)


def atlas(n: int, *, same: int = 1):
    """A model with n directions in two matrices; groups of `same` have one readout."""
    first = MatrixFactory(head=0)
    second = MatrixFactory(model=first.model, head=1)
    for number in range(n):
        words = [f" word{number // same}x{place}" for place in range(10)]
        DirectionFactory(matrix=(first, second)[number % 2], index=number // 2, tokens=words)
    return first.model


def plan_for(model, *, verifier: str | None = "check", llm: str = "test:tiny-1", user=None, **options) -> Plan:
    config, name = llm_get(llm)
    return run_plan(
        selection=RunSelection(model),
        labeler=prompt_get("plain", "labeler"),
        verifier=prompt_get(verifier, "verifier") if verifier else None,
        config=config,
        llm=name,
        options=RunOptions(**options),
        user=user,
    )


def start(model, *, budget: int | None = None, **options):
    return run_start(plan_for(model, **options), budget=budget)


def detector_store():
    """A detector, stored."""
    return prompt_store_mapping(
        {
            "name": "picks",
            "kind": "detector",
            "style": "zero-shot",
            "endpoint": "chat",
            "instruction": "Write the numbers of the items that fit the interpretation.",
            "item_format": "Interpretation: {label}\nList:\n{list}\nNumbers:",
            "max_tokens": 60,
        }
    )
