"""`execute` against the misbehaving server: every item comes to one outcome, whatever the others do."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace

import pytest

from tests.llm.conftest import FAST, chat
from workers.llm.client import client_open
from workers.llm.errors import CallError, PacingError
from workers.llm.execution import Backoff, Work, execute
from workers.llm.pacing import LocalPacer

HARM = [
    {"do": "rate_limit", "retry_after": "0.05"},
    {"do": "rate_limit"},
    {"do": "status", "status": 500},
    {"do": "cut"},
    {"do": "cut_body"},
    {"do": "half_json"},
    {"do": "wrong_schema"},
    {"do": "empty"},
    {"do": "slow", "seconds": 0.2},
]


def test_every_item_survives_every_misbehaviour(server, run):
    """One after the other, two of each: every item is answered in the end, and exactly once."""
    server.tell(plan=HARM * 2)
    outcomes = run([chat(f"words {number}") for number in range(40)], in_flight=8, attempts=20)
    assert sorted(outcome.work.id for outcome in outcomes) == list(range(40))
    assert {outcome.state for outcome in outcomes} == {"answered"}
    seen = server.seen()
    assert seen["answered"] == 40 and seen["repeated"] == 0
    assert sum(outcome.attempts for outcome in outcomes) == seen["counts"]["asked"] == 40 + 16
    assert sum(outcome.unanswered_billed for outcome in outcomes) == 10
    assert seen["most_open"] <= 8


def test_one_bad_member_does_not_harm_the_others(server, run):
    server.tell(rules=[{"when": "words 3", "do": "half_json"}, {"when": "words 5", "do": "status", "status": 400}])
    outcomes = {outcome.work.id: outcome for outcome in run([chat(f"words {n}") for n in range(10)], attempts=3)}
    assert Counter(outcome.state for outcome in outcomes.values()) == {"answered": 8, "failed": 2}
    exhausted, refused = outcomes[3], outcomes[5]
    assert (exhausted.kind, exhausted.attempts, exhausted.unanswered_billed) == ("bad_answer", 3, 3)
    assert (refused.kind, refused.attempts, refused.unanswered_billed) == ("refused", 1, 0)
    assert "(400)" in refused.message and refused.answer is None


def test_retry_after_holds_everybody(server, run):
    server.tell(plan=[{"do": "rate_limit", "retry_after": "1.5"}])
    outcomes = run([chat(f"words {n}") for n in range(6)], in_flight=1)
    assert {outcome.state for outcome in outcomes} == {"answered"}
    at = [request["at"] for request in server.requests()]
    assert at[1] - at[0] >= 1.5
    assert at[-1] - at[1] < 1.5


def test_a_retry_after_that_is_too_long_fails_the_item(server, run):
    server.tell(plan=[{"do": "rate_limit", "retry_after": "0.4"}])
    (outcome,) = run([chat()], backoff=replace(FAST, longest_retry_after=0.2))
    assert (outcome.state, outcome.kind, outcome.attempts) == ("failed", "rate_limited", 1)
    assert outcome.error.retry_after == 0.4


def test_nothing_is_drawn_before_it_can_start(server, config):
    """Work comes from an async generator that waits; at most `in_flight` pieces are drawn and unfinished."""
    server.tell(latency=0.02)
    drawn, done, most = 0, 0, 0

    async def work():
        nonlocal drawn, most
        for number in range(30):
            await asyncio.sleep(0)
            drawn += 1
            most = max(most, drawn - done)
            yield Work(number, chat(f"words {number}"))

    def on_outcome(outcome):
        nonlocal done
        done += 1

    async def act():
        provider = client_open(config)
        await execute(work(), provider, in_flight=4, on_outcome=on_outcome)
        await provider.close()

    asyncio.run(act())
    assert (drawn, done) == (30, 30) and most <= 4 and server.seen()["most_open"] <= 4


def test_follow_ups_come_from_the_outcomes(server, config):
    """A verifier's call begins when its labeler's answer is there: the generator waits for it on a queue."""
    outcomes = []

    async def act():
        queue: asyncio.Queue[Work] = asyncio.Queue()
        stop = asyncio.Event()
        for number in range(10):
            queue.put_nowait(Work(("labeler", number), chat(f"words {number}")))

        async def work():
            while True:
                yield await queue.get()

        def on_outcome(outcome):
            outcomes.append(outcome)
            part, number = outcome.work.id
            if part == "labeler":
                text = f"List: words {number}\nInterpretation: {outcome.answer.text}\nAnswer:"
                queue.put_nowait(Work(("verifier", number), chat(text)))
            if len(outcomes) == 20:
                stop.set()

        provider = client_open(config)
        await execute(work(), provider, in_flight=3, on_outcome=on_outcome, stop=stop)
        await provider.close()

    asyncio.run(asyncio.wait_for(act(), 60))
    texts = Counter(outcome.answer.text for outcome in outcomes)
    assert texts == {"most of these words relate to animals.": 10, "yes": 10}


def test_after_a_wait_for_work_all_members_are_at_work_again_at_once():
    """While one waits in the generator the others wait for it; then they do not follow one in each turn of the loop."""
    at_work, turns, there_is_work = 0, 0, asyncio.Event()
    over = asyncio.Event()

    class Endless:
        async def call(self, request):
            nonlocal at_work
            at_work += 1
            await over.wait()
            raise CallError("refused", "It is over.")

    async def work():
        for number in range(60):
            if number == 10:
                await there_is_work.wait()
            yield Work(number, chat())

    async def act():
        nonlocal turns
        running = asyncio.create_task(execute(work(), Endless(), in_flight=60, on_outcome=lambda _: None))
        while at_work < 10:
            await asyncio.sleep(0)
        there_is_work.set()
        while at_work < 60:
            turns += 1
            await asyncio.sleep(0)
        over.set()
        await running

    asyncio.run(asyncio.wait_for(act(), 60))
    assert turns <= 5


def test_stop_finishes_what_is_under_way_and_sends_nothing_more(server, config):
    server.tell(latency=0.3)
    outcomes = []

    async def act():
        stop = asyncio.Event()
        provider = client_open(config)
        task = asyncio.create_task(
            execute(
                (Work(n, chat(f"words {n}")) for n in range(1000)),
                provider,
                in_flight=5,
                on_outcome=outcomes.append,
                stop=stop,
            )
        )
        while not outcomes:
            await asyncio.sleep(0.01)
        stop.set()
        await task
        await provider.close()

    asyncio.run(act())
    assert {outcome.state for outcome in outcomes} == {"answered"}
    assert 5 <= len(outcomes) <= 15
    assert server.seen()["counts"]["asked"] == len(outcomes)


def test_stop_ends_what_waits(server, config):
    """Between attempts and before their turn nothing is under way: these end at once, as they were."""
    server.tell(default={"do": "status", "status": 500})
    outcomes = []

    async def act():
        stop = asyncio.Event()
        provider = client_open(config)
        asyncio.get_running_loop().call_later(1.0, stop.set)
        await execute(
            [Work(n, chat(f"words {n}")) for n in range(4)],
            provider,
            in_flight=4,
            on_outcome=outcomes.append,
            stop=stop,
            backoff=Backoff(base=10_000, cap=10_000),
        )
        await provider.close()

    started = time.monotonic()
    asyncio.run(act())
    assert time.monotonic() - started < 20
    assert [(outcome.state, outcome.attempts, outcome.kind) for outcome in outcomes] == [
        ("stopped", 1, "server_error")
    ] * 4


def test_stop_reaches_a_generator_that_waits(server, config):
    reached = []

    async def work():
        yield Work(0, chat())
        try:
            await asyncio.sleep(3600)
        finally:
            reached.append(True)

    async def act():
        stop = asyncio.Event()
        provider = client_open(config)
        await execute(work(), provider, in_flight=3, on_outcome=lambda outcome: stop.set(), stop=stop)
        await provider.close()

    asyncio.run(asyncio.wait_for(act(), 30))
    assert reached == [True]


def test_money_is_asked_for_before_a_second_payment(server, config):
    """Only after an attempt that may have been billed; no money fails the item with that attempt's error."""
    server.tell(plan=[{"do": "status", "status": 500}, {"do": "cut_body"}, {"do": "half_json"}])
    asked, outcomes = [], []

    async def may_pay_again(work: Work, error: CallError) -> bool:
        await asyncio.sleep(0)
        asked.append(error.kind)
        return len(asked) < 2

    async def act():
        provider = client_open(config)
        await execute(
            [Work(0, chat())], provider, on_outcome=outcomes.append, may_pay_again=may_pay_again, backoff=FAST
        )
        await provider.close()

    asyncio.run(act())
    (outcome,) = outcomes
    assert asked == ["disconnected", "bad_answer"]
    assert (outcome.state, outcome.kind, outcome.attempts) == ("failed", "bad_answer", 3)
    assert outcome.unanswered_billed == 2


class BrokenPacer(LocalPacer):
    """Its server goes away after some turns."""

    turns = 3

    async def acquire(self, tokens: int) -> None:
        self.turns -= 1
        if self.turns < 0:
            raise PacingError("The server that keeps the common pace does not answer.")


@pytest.mark.parametrize("where", ["pacer", "generator", "on_outcome"])
def test_what_breaks_the_run_is_raised_after_the_calls_under_way(server, config, where):
    server.tell(latency=0.2)
    outcomes = []

    async def work():
        for number in range(100):
            if where == "generator" and number == 3:
                raise RuntimeError("the generator broke")
            yield Work(number, chat(f"words {number}"))

    def on_outcome(outcome):
        if where == "on_outcome" and len(outcomes) == 3:
            raise RuntimeError("no place to store it")
        outcomes.append(outcome)

    async def act():
        provider = client_open(config)
        pacer = BrokenPacer() if where == "pacer" else None
        try:
            await execute(work(), provider, pacer, in_flight=3, on_outcome=on_outcome)
        finally:
            await provider.close()

    with pytest.raises((RuntimeError, PacingError)):
        asyncio.run(act())
    assert len([outcome for outcome in outcomes if outcome.state == "answered"]) >= 3
    assert len(outcomes) < 20


def test_bad_numbers():
    with pytest.raises(ValueError, match="in_flight"):
        asyncio.run(execute([], None, in_flight=0, on_outcome=print))


def test_no_work_is_no_work(run):
    assert run([]) == []
