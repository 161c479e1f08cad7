"""The misbehaving server, and what tests send to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.llm.server import Server
from workers.llm.client import client_open
from workers.llm.execution import Backoff, Outcome, Work, execute
from workers.llm.providers import ProviderConfig
from workers.llm.requests import Message, Request

KEY = "sk-test-never-shown"
FAST = Backoff(base=0.01, cap=0.05)


@pytest.fixture(scope="session")
def running_server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def server(running_server: Server) -> Server:
    """A server that was told nothing yet and answers at once."""
    running_server.tell(reset=True, latency=0.0)
    return running_server


@pytest.fixture
def config(server: Server) -> ProviderConfig:
    return ProviderConfig("local", base_url=server.url, key=KEY, timeout=20.0)


@pytest.fixture
def ask(config: ProviderConfig) -> Callable[..., Any]:
    """`ask(request)`: one call through the real client; its answer, or the CallError that it raises."""

    def act(request: Request, config: ProviderConfig = config) -> Any:
        async def one() -> Any:
            provider = client_open(config)
            try:
                return await provider.call(request)
            finally:
                await provider.close()

        return asyncio.run(one())

    return act


@pytest.fixture
def run(config: ProviderConfig) -> Callable[..., list[Outcome]]:
    """`run(requests, ...)`: `execute` with the real client; the outcomes in the order in which they came."""

    def act(requests: Iterable[Request], config: ProviderConfig = config, **options: Any) -> list[Outcome]:
        outcomes: list[Outcome] = []

        async def all_of_them() -> None:
            provider = client_open(config)
            try:
                work = [Work(number, request) for number, request in enumerate(requests)]
                await execute(work, provider, on_outcome=outcomes.append, **{"backoff": FAST, **options})
            finally:
                await provider.close()

        asyncio.run(all_of_them())
        return outcomes

    return act


def chat(text: str = "What do most of these words have in common?\ndog, cat\nAnswer:", **parameters: Any) -> Request:
    return Request("http://x/v1", "chat", "m", (Message("user", text),), parameters={"max_tokens": 16, **parameters})


def completion(text: str = "dog, cat\nAnswer:", **parameters: Any) -> Request:
    return Request("http://x/v1", "completion", "m", text=text, parameters={"max_tokens": 16, **parameters})
