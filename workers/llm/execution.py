"""Many calls at a time: paced, tried again, and every item brought to an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Literal

from workers.llm.errors import CallError
from workers.llm.pacing import Pacer
from workers.llm.providers import Provider
from workers.llm.requests import Answer, Request


@dataclass(frozen=True)
class Work:
    """One call to make. `tokens` is about how many it will use, prompt and answer, for the pace."""

    id: Hashable
    request: Request
    tokens: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of one piece of work.

    `answered`: there is an `answer`. `failed`: `error` says why. `stopped`: the run was stopped before it was sent
    (again), so it is as before; `error` is that of the last attempt if there was one. `attempts` counts what was
    sent; `unanswered_billed` those attempts that brought no answer and may have been billed all the same.
    """

    work: Work
    state: Literal["answered", "failed", "stopped"]
    answer: Answer | None = None
    error: CallError | None = None
    attempts: int = 1
    unanswered_billed: int = 0

    @property
    def kind(self) -> str:
        return self.error.kind if self.error else ""

    @property
    def message(self) -> str:
        return self.error.message if self.error else ""


@dataclass(frozen=True)
class Backoff:
    """How long to wait before another attempt: a random part (full jitter) of base · 2^attempt, at most `cap` seconds.

    A `retry-after` comes on top of it; one above `longest_retry_after` fails the item at once.
    """

    base: float = 0.5
    cap: float = 30.0
    longest_retry_after: float = 300.0


async def execute(
    work: AsyncIterable[Work] | Iterable[Work],
    provider: Provider,
    pacer: Pacer | None = None,
    *,
    in_flight: int = 16,
    attempts: int = 6,
    on_outcome: Callable[[Outcome], None],
    stop: asyncio.Event | None = None,
    may_pay_again: Callable[[Work, CallError], Awaitable[bool]] | None = None,
    backoff: Backoff | None = None,
) -> None:
    """Make all calls, at most `in_flight` at a time, each tried at most `attempts` times.

    `work` is drawn from only when a call can start, so an async generator may wait there (for money, for a pause).
    `on_outcome` is called on the event loop, once for each piece of work, and must be quick: collect, and write
    elsewhere in batches. Nothing is raised for one bad call. `stop`: when it is set, no more work is drawn, what waits
    (for its turn or before another attempt) ends as `stopped`, and calls that are under way are finished.
    `may_pay_again` is asked before another attempt after one that may have been billed; False fails the item.

    Raises what `work` or `on_outcome` raise, and PacingError, after the calls under way have come to their outcome.
    """
    raise NotImplementedError
