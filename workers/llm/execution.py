"""Many calls at a time: paced, tried again, and every item brought to an outcome."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from workers.llm.errors import CallError
from workers.llm.pacing import LocalPacer, Pacer
from workers.llm.providers import Provider
from workers.llm.requests import Answer, Request

Result = TypeVar("Result")


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

    `work` is drawn from only when a call can start, so an async generator may wait there (for money, for a pause);
    where it waits while `stop` is set, it is cancelled there. `on_outcome` is called on the event loop, once for each
    piece of work drawn, and must be quick: collect, and write elsewhere in batches. Nothing is raised for one bad call.
    `stop`: when it is set, no more work is drawn, what waits (for its turn or before another attempt) ends as
    `stopped`, and calls that are under way are finished.
    `may_pay_again` is asked before another attempt after one that may have been billed; False fails the item.

    Raises what `work`, `on_outcome` or `may_pay_again` raise, and PacingError, once the calls under way have come
    to their outcomes; the piece of work that raised has none. Cancelled, it cancels everything at once.
    """
    if in_flight < 1 or attempts < 1:
        raise ValueError("in_flight and attempts must be at least 1")
    run = _Execution(provider, pacer or LocalPacer(), on_outcome, attempts, backoff or Backoff(), may_pay_again)
    await run.run(work, in_flight, stop)


class _Execution:
    """One call of `execute`: members, each of which draws a piece of work, brings it to its outcome, draws another.

    A member sends its next call as soon as it has an answer: an idle connection costs the HTTP client time.
    """

    def __init__(
        self,
        provider: Provider,
        pacer: Pacer,
        on_outcome: Callable[[Outcome], None],
        attempts: int,
        backoff: Backoff,
        may_pay_again: Callable[[Work, CallError], Awaitable[bool]] | None,
    ) -> None:
        self.provider = provider
        self.pacer = pacer
        self.on_outcome = on_outcome
        self.attempts = attempts
        self.backoff = backoff
        self.may_pay_again = may_pay_again
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        # Not a lock: members that once queue for a lock get it one in each turn of the loop, and never catch up.
        self.is_drawing = False
        self.drew = asyncio.Event()
        # Those that wait for work or before an attempt: nothing of theirs is under way, so a stop may end them.
        self.waiting: set[asyncio.Task[None]] = set()

    async def run(self, work: AsyncIterable[Work] | Iterable[Work], in_flight: int, stop: asyncio.Event | None) -> None:
        drawn = _drawn(work)
        members = [asyncio.create_task(self.member(drawn)) for _ in range(in_flight)]
        watcher = asyncio.create_task(self.watch(stop)) if stop else None
        try:
            await asyncio.wait(members)
        finally:
            self.stopping.set()
            everything = [*members, watcher] if watcher else members
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
            await drawn.aclose()
        if self.failure is not None:
            raise self.failure

    async def watch(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.halt()

    def halt(self) -> None:
        """Draw no more work, and end what waits."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        for task in self.waiting:
            task.cancel()

    async def member(self, drawn: AsyncGenerator[Work, None]) -> None:
        try:
            while (piece := await self.unless_stopped(self.draw(drawn))) is not None:
                await self.bring_to_outcome(piece)
        except Exception as error:
            self.failure = self.failure or error
            self.halt()

    async def draw(self, drawn: AsyncGenerator[Work, None]) -> Work | None:
        """The next piece of work; a generator gives one at a time."""
        while self.is_drawing:
            await self.drew.wait()
        if self.stopping.is_set():
            return None
        self.is_drawing = True
        self.drew.clear()
        try:
            return await anext(drawn, None)
        finally:
            self.is_drawing = False
            self.drew.set()

    async def unless_stopped(self, waiting: Awaitable[Result]) -> Result | None:
        """What is waited for, or None where the run was stopped meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        self.waiting.add(task)
        try:
            return await waiting
        except asyncio.CancelledError:
            # `halt` cancels a task that waits, once; any other cancelling is meant.
            if not self.stopping.is_set() or task.uncancel() > 0:
                raise
            return None
        finally:
            self.waiting.discard(task)

    async def bring_to_outcome(self, work: Work) -> None:
        attempts = billed = 0
        error: CallError | None = None
        while True:
            if not await self.may_send(work, attempts, error):
                self.on_outcome(Outcome(work, "stopped", error=error, attempts=attempts, unanswered_billed=billed))
                return
            attempts += 1
            try:
                answer = await self.provider.call(work.request)
            except CallError as failed:
                error = failed
            else:
                self.on_outcome(Outcome(work, "answered", answer, attempts=attempts, unanswered_billed=billed))
                await self.settle(work, answer)
                return
            billed += error.may_be_billed
            if error.retry_after:
                await self.pacer.hold(min(error.retry_after, self.backoff.longest_retry_after))
            if not await self.is_worth_another(work, error, attempts):
                self.on_outcome(Outcome(work, "failed", error=error, attempts=attempts, unanswered_billed=billed))
                return

    async def may_send(self, work: Work, attempts: int, error: CallError | None) -> bool:
        """Wait for the item's turn; False where the run was stopped meanwhile."""
        if self.stopping.is_set():
            return False
        await self.unless_stopped(self.turn(work, attempts, error))
        return not self.stopping.is_set()

    async def turn(self, work: Work, attempts: int, error: CallError | None) -> None:
        if error is not None:
            jitter = random.uniform(0, min(self.backoff.cap, self.backoff.base * 2 ** min(attempts - 1, 30)))
            await asyncio.sleep((error.retry_after or 0.0) + jitter)
        await self.pacer.acquire(work.tokens)

    async def is_worth_another(self, work: Work, error: CallError, attempts: int) -> bool:
        if not error.is_transient or attempts >= self.attempts:
            return False
        if (error.retry_after or 0.0) > self.backoff.longest_retry_after:
            return False
        # After a stop nothing is sent again: `may_send` ends the item as stopped.
        if self.stopping.is_set() or not error.may_be_billed or self.may_pay_again is None:
            return True
        return await self.may_pay_again(work, error)

    async def settle(self, work: Work, answer: Answer) -> None:
        if answer.prompt_tokens is not None and answer.completion_tokens is not None:
            await self.pacer.settle(work.tokens, answer.prompt_tokens + answer.completion_tokens)


async def _drawn(work: AsyncIterable[Work] | Iterable[Work]) -> AsyncGenerator[Work, None]:
    if isinstance(work, AsyncIterable):
        async for piece in work:
            yield piece
        return
    for piece in work:
        yield piece
