"""The calls of one job, on one event loop: from the store where they were asked before, else from the provider.

The loop only renders, asks and parses. Whatever touches the database runs in one thread with its own connection, in
batches: a batch is one transaction with the calls, the items that they finish, their judgements and their cost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from django.db import connections

from labelapp.autolabel.asking import Asker, Question
from labelapp.autolabel.calls import NewCall, StoredCall, calls_find
from labelapp.autolabel.models import Run
from labelapp.autolabel.money import Settlement
from labelapp.autolabel.results import results_write
from labelapp.jobs.models import Job, State
from labelapp.jobs.services import job_wish
from workers.llm.errors import CallError, PromptError
from workers.llm.execution import Outcome, Work, execute
from workers.llm.pacing import Pacer
from workers.llm.parsing import parse
from workers.llm.prices import Price
from workers.llm.providers import Provider
from workers.llm.requests import Answer
from workers.tasks.base import stopping
from workers.tasks.journal import Journal
from workers.tasks.llm_items import Ask, Batch, Item, ask_of, item_failed, item_result
from workers.tasks.llm_money import Purse

SETTLE_SECONDS = 1.0
LOOK_UP_SECONDS = 0.05
# Items are rendered shortly before their turn, so many at once, while fewer calls than that wait.
RENDERED_AHEAD = 256
# In one go: the loop stands still meanwhile, and the first calls of a run wait for no more than they need.
RENDERED_AT_ONCE = 64
# A worker that is told to stop waits so long for the calls under way.
DRAIN_SECONDS = 10.0
# So many calls in a row that fail like this will go on failing: a wrong key, a server that is away.
HOPELESS_KINDS = ("refused", "disconnected")
HOPELESS_CALLS = 50


class ChunkRun:
    """Asks about the pending items of a job. `halted` says why it ended before all were asked, if it did."""

    def __init__(
        self,
        run: Run,
        job: Job,
        asker: Asker,
        price: Price | None,
        items: list[Item],
        journal: Journal,
    ) -> None:
        self.run, self.job, self.asker, self.price, self.journal = run, job, asker, price, journal
        self.finished = job.total - len(items)
        self.total = job.total
        self.halted = ""
        self.reason = ""
        self._unrendered: Iterator[Item] = iter(items)
        self._all_rendered = False
        self._asks: dict[str, Ask] = {}
        self._unsought: list[Ask] = []  # not looked up in the store yet
        self._verifiers: deque[Ask] = deque()  # first, so that items come to their end
        self._labelers: deque[Ask] = deque()
        self._open = 0  # asks without an outcome
        self._under_way = 0
        self._batch = Batch()
        self._is_settling = False
        self._failures = 0  # hopeless ones in a row
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._over = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llm-database")
        self._purse = Purse(run.pk, job, self._database, self._is_idle)

    @property
    def is_complete(self) -> bool:
        return self.finished == self.total

    async def ask_all(self, provider: Provider, pacer: Pacer) -> None:
        """Raises LeaseLostError, and leaves at once, where the job is no longer this process's."""
        options = self.asker.options
        execution = asyncio.create_task(
            execute(
                self._work(),
                provider,
                pacer,
                in_flight=options.in_flight or self.asker.config.in_flight,
                attempts=options.attempts,
                on_outcome=self._on_outcome,
                stop=self._stop,
                may_pay_again=self._may_pay_again,
            )
        )
        helpers = [asyncio.create_task(self._look_up()), asyncio.create_task(self._keep())]
        try:
            await self._until_done(execution, helpers)
            self._over.set()
            await asyncio.gather(*helpers)
            await self._settle()
            if not execution.cancelled():
                execution.result()
            await self._purse.close()
        finally:
            for task in (execution, *helpers):
                task.cancel()
            await asyncio.gather(execution, *helpers, return_exceptions=True)
            await asyncio.get_running_loop().run_in_executor(self._thread, connections.close_all)
            self._thread.shutdown()

    async def _until_done(self, execution: asyncio.Task[None], helpers: list[asyncio.Task[None]]) -> None:
        while not execution.done():
            drain = DRAIN_SECONDS if self.halted == "shutdown" else None
            done, _ = await asyncio.wait({execution, *helpers}, timeout=drain or 1.0, return_when="FIRST_COMPLETED")
            for helper in helpers:
                if helper in done:
                    helper.result()
            if drain and not execution.done():
                execution.cancel()
                await asyncio.wait({execution})

    # What is asked

    async def _work(self) -> AsyncIterator[Work]:
        while not self._stop.is_set():
            queue = self._verifiers or self._labelers
            if queue:
                ask = queue.popleft()
                if not await self._pay(ask):
                    return
                self._under_way += 1
                yield Work(ask, ask.question.request, ask.question.expected.total)
            elif self._all_rendered and self._open == 0:
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _pay(self, ask: Ask) -> bool:
        amount = self._purse.bound(ask.bound)
        if await self._purse.take(amount):
            ask.takes.append(amount)
            return True
        ask.is_unpaid = True
        self._halt("money")
        return False

    async def _may_pay_again(self, work: Work, error: CallError) -> bool:
        return await self._pay(ask_of(work))

    async def _look_up(self) -> None:
        """Render what is next, and find in the store what was asked before, many at a time."""
        while not self._over.is_set():
            self._render_ahead()
            batch, self._unsought = self._unsought, []
            if batch:
                hashes = [ask.hash for ask in batch]
                found = await self._database(calls_find, hashes, self.asker.options.sample)
                for ask in batch:
                    self._sought(ask, found.get(ask.hash))
                self._changed.set()
            if self._all_rendered and self._open == 0:
                self._changed.set()
            is_short = len(self._labelers) < RENDERED_AT_ONCE and not self._all_rendered
            await asyncio.sleep(0 if is_short else LOOK_UP_SECONDS)

    def _sought(self, ask: Ask, stored: StoredCall | None) -> None:
        if stored is not None:
            ask.call_id, ask.confidence = stored.id, stored.confidence
            self._answered(ask, stored.answer)
        elif (recovered := self.journal.recovered.get(ask.hash)) is not None:
            cost = self._cost(ask, recovered)
            self._batch.spent += cost or 0
            self._batch.regained += cost or 0
            self._batch.calls.append((ask, cost))
            self._answered(ask, recovered)
        elif ask.is_opening:
            self._labelers.append(ask)
        else:
            self._verifiers.append(ask)

    def _render_ahead(self) -> None:
        rendered = 0
        wanted = min(RENDERED_AT_ONCE, RENDERED_AHEAD - len(self._labelers))
        while not self._all_rendered and rendered < wanted:
            item = next(self._unrendered, None)
            if item is None:
                self._all_rendered = True
                return
            rendered += 1
            try:
                question = self.asker.opening(item.subject)
            except PromptError as error:
                self._fail(item, "prompt", str(error))
                continue
            if self.asker.is_checked(item.subject):
                version = self.run.detector_id or self.run.verifier_id
                item.checker = ask = self._ask(question, version, self._finish, is_opening=True)
            else:
                item.labeler = ask = self._ask(question, self.run.labeler_id, self._labeled, is_opening=True)
            self._join(item, ask)

    def _ask(
        self,
        question: Question,
        prompt_version_id: int | None,
        take_up: Callable[[Item], None],
        *,
        is_opening: bool = False,
    ) -> Ask:
        """The call of a question; items that ask the same share it."""
        ask = self._asks.get(question.request.hash)
        if ask is None:
            assert prompt_version_id is not None
            bound = self.price.cost(question.most.prompt, question.most.completion) if self.price else 0
            ask = Ask(question, prompt_version_id, take_up, bound, is_opening)
            self._asks[ask.hash] = ask
            self._unsought.append(ask)
            self._open += 1
        return ask

    def _join(self, item: Item, ask: Ask) -> None:
        """Let an item wait for an answer, or take up the one that is there."""
        if ask.answer is not None:
            ask.take_up(item)
        elif ask.error is not None:
            self._fail(item, ask.error.kind, ask.error.message)
        else:
            ask.items.append(item)

    # What comes back

    def _on_outcome(self, outcome: Outcome) -> None:
        ask = ask_of(outcome.work)
        self._under_way -= 1
        held, lost = sum(ask.takes), sum(ask.takes[: outcome.unanswered_billed])
        if outcome.answer is not None:
            self.journal.write(ask.hash, outcome.answer)
            cost = self._cost(ask, outcome.answer)
            self._purse.learn(ask.takes[-1], cost or 0)
            self._pay_for(held, cost or 0, lost)
            self._batch.calls.append((ask, cost))
            self._failures = 0
            self._answered(ask, outcome.answer)
        else:
            self._pay_for(held, 0, lost)
            if outcome.state == "failed" and outcome.error is not None and not ask.is_unpaid:
                self._failed(ask, outcome.error)
        self._changed.set()

    def _pay_for(self, held: int, spent: int, lost: int) -> None:
        released = min(held, spent + lost)
        self._batch.spent += spent
        self._batch.lost += lost
        self._batch.released += released
        self._purse.free += held - released

    def _cost(self, ask: Ask, answer: Answer) -> int | None:
        """In nano-dollars; of an answer whose tokens were not counted, the most that it can have cost."""
        if self.price is None:
            return None
        most = ask.question.most
        prompt = most.prompt if answer.prompt_tokens is None else answer.prompt_tokens
        completion = most.completion if answer.completion_tokens is None else answer.completion_tokens
        return self.price.cost(prompt, completion)

    def _answered(self, ask: Ask, answer: Answer) -> None:
        ask.answer = answer
        self._open -= 1
        for item in ask.items:
            ask.take_up(item)

    def _failed(self, ask: Ask, error: CallError) -> None:
        ask.error = error
        self._open -= 1
        for item in ask.items:
            self._fail(item, error.kind, error.message)
        if error.kind in HOPELESS_KINDS:
            self._failures += 1
            if self._failures >= HOPELESS_CALLS:
                self._halt("hopeless", f"{self._failures} calls in a row failed; the last one: {error.message}")

    def _labeled(self, item: Item) -> None:
        assert item.labeler is not None and item.labeler.answer is not None
        assert self.asker.labeler is not None
        item.said = parse(self.asker.labeler, item.labeler.answer)
        try:
            question = self.asker.verify(item.subject.tokens, item.said)
        except PromptError as error:
            self._fail(item, "prompt", str(error))
            return
        if question is None:
            self._finish(item)
            return
        item.verifier = ask = self._ask(question, self.run.verifier_id, self._finish)
        self._join(item, ask)

    def _finish(self, item: Item) -> None:
        self.finished += 1
        self._batch.items.append(partial(item_result, self.asker, item))

    def _fail(self, item: Item, kind: str, message: str) -> None:
        self.finished += 1
        self._batch.items.append(partial(item_failed, item, kind, message))

    # What is written

    async def _keep(self) -> None:
        """Write batches, and see whether the work is to stop."""
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), SETTLE_SECONDS)
            await self._settle()
            wish = await self._database(job_wish, self.job)
            if wish != State.RUNNING:
                self._halt(wish)
            elif stopping.is_set():
                self._halt("shutdown")

    async def _settle(self) -> None:
        batch, self._batch = self._batch, Batch()
        if not (batch.calls or batch.items or batch.money != Settlement()):
            return
        self._is_settling = True
        try:
            for ask, call_id in await self._database(self._write, batch, self.finished):
                ask.call_id = call_id
        finally:
            self._is_settling = False

    def _write(self, batch: Batch, done: int) -> list[tuple[Ask, int]]:
        """In the thread of the database."""
        calls = [
            NewCall(
                ask.question.request, self.asker.options.sample, self.run.provider, self.run.llm,
                ask.prompt_version_id, ask.answer, cost,
            )
            for ask, cost in batch.calls
            if ask.answer is not None
        ]  # fmt: skip
        items = [result() for result in batch.items]
        ids = results_write(
            self.run, self.job, calls=calls, items=items, money=batch.money, done=min(done, self.total),
            judges=self.run.is_judging,
        )  # fmt: skip
        return [(ask, ids[ask.hash]) for ask, _ in batch.calls]

    async def _database(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(function, *arguments, **named))

    def _is_idle(self) -> bool:
        return self._under_way == 0 and not self._is_settling and not self._batch.calls

    def _halt(self, why: str, reason: str = "") -> None:
        if not self.halted:
            self.halted, self.reason = str(why), reason
        self._stop.set()
        self._changed.set()
