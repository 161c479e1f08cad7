"""The pace, from several processes on a real server, and the arithmetic of one process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.llm.conftest import chat
from workers.llm.client import client_open
from workers.llm.errors import PacingError
from workers.llm.execution import Work, execute
from workers.llm.pacing import Limits, LocalPacer, RedisPacer, pacer_open, redis_url
from workers.llm.providers import ProviderConfig

ROOT = Path(__file__).resolve().parents[2]
# Says when it is ready, is told until when (by the machine's clock) to take turns, and prints the moments it got.
MEMBERS = 4
WORKER = """
import asyncio, json, os, sys, time
from workers.llm.pacing import pacer_open
from workers.llm.providers import ProviderConfig
url, rpm, tpm, tokens, used = json.loads(sys.argv[1])

async def main():
    pacer = pacer_open(ProviderConfig("shared", requests_per_minute=rpm, tokens_per_minute=tpm), url)
    turns = []
    async def member():
        while True:
            await pacer.acquire(tokens)
            turns.append(time.time())
            await pacer.settle(tokens, used)
    await pacer.acquire(0)
    print("ready", flush=True)
    until = float(sys.stdin.readline())
    members = [asyncio.ensure_future(member()) for _ in range(MEMBERS)]
    await asyncio.wait(members, timeout=max(0, until - time.time()))
    print(json.dumps(turns), flush=True)
    os._exit(0)

asyncio.run(main())
""".replace("MEMBERS", str(MEMBERS))
PROCESSES = 3
# A turn is noted by a process that may be late: at most one turn for each member is noted in a later window.
LATE = MEMBERS * PROCESSES


@pytest.fixture
def url(broker) -> str:
    return f"redis+socket://{broker.socket_path}"


def turns_of(url: str, *, rpm=None, tpm=None, tokens=0, used=0, seconds=3.0, before_start=None) -> list[float]:
    """All turns that the processes got within the time, in order."""
    argument = json.dumps([url, rpm, tpm, tokens, used])
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, argument], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    if before_start is not None:
        before_start()
    until = time.time() + seconds
    for worker in workers:
        worker.stdin.write(f"{until}\n")
        worker.stdin.flush()
    said = [worker.communicate(timeout=60) for worker in workers]
    return sorted(turn for output, _ in said for turn in json.loads(output))


def most_within(turns: list[float], seconds: float) -> int:
    return max(sum(start <= turn < start + seconds for turn in turns) for start in turns)


def test_requests_a_minute_are_shared_by_processes(url):
    turns = turns_of(url, rpm=1200, seconds=3.0)
    # 20 a second, and at most one second's worth at once
    for window in (0.5, 1.0, 2.0):
        assert most_within(turns, window) <= 20 * window + 20 + LATE
    assert 30 <= len(turns) <= 20 * 3 + 20 + LATE


def test_tokens_a_minute_are_shared_and_corrected(url):
    """3,000 tokens a second; calls reserve 600 and use 300, so about ten a second go through."""
    turns = turns_of(url, tpm=180_000, tokens=600, used=300, seconds=3.0)
    assert 15 <= len(turns) <= 10 * 3 + 5 + LATE


def test_a_hold_stops_all_processes(url):
    async def hold():
        pacer = pacer_open(ProviderConfig("shared", requests_per_minute=6000), url)
        await pacer.hold(1.5)
        await pacer.close()

    held: list[float] = []

    def before_start():
        held.append(time.time())
        asyncio.run(hold())

    turns = turns_of(url, rpm=6000, seconds=3.0, before_start=before_start)
    assert turns and turns[0] >= held[0] + 1.5


def test_turns_taken_before_a_hold_are_taken_again(url):
    """Ten turns a second are handed out ahead; a hold in the middle postpones what is left, at the same pace."""

    async def act():
        pacer = RedisPacer(Limits.of(600, None), url, "again")
        started = time.monotonic()
        turns = []

        async def member():
            await pacer.acquire(0)
            turns.append(time.monotonic() - started)

        members = [asyncio.create_task(member()) for _ in range(25)]
        await asyncio.sleep(0.55)
        before = len(turns)
        held = time.monotonic() - started
        await pacer.hold(1.0)
        await asyncio.gather(*members)
        await pacer.close()
        return before, held, sorted(turns)

    before, held, turns = asyncio.run(act())
    assert 1 <= before < 25
    late = turns[before:]
    assert len(late) == 25 - before and late[0] >= held + 0.95
    assert late[-1] >= held + 0.95 + (len(late) - 10) * 0.1  # ten at once, then ten a second


def test_without_limits_a_hold_is_shared_all_the_same(url):
    async def act():
        one, other = (pacer_open(ProviderConfig("free"), url) for _ in range(2))
        await one.acquire(10)
        await asyncio.sleep(1.1)  # longer than a process goes without looking
        started = time.monotonic()
        await other.hold(0.6)
        await one.acquire(10)
        waited = time.monotonic() - started
        await one.close()
        await other.close()
        return waited

    assert asyncio.run(act()) >= 0.6


def test_a_server_that_is_away_says_so(tmp_path, config):
    nowhere = f"unix://{tmp_path}/no.sock"

    async def limited():
        pacer = pacer_open(ProviderConfig("away", requests_per_minute=60), nowhere)
        await pacer.acquire(1)

    with pytest.raises(PacingError, match="start it, then resume"):
        asyncio.run(limited())

    async def unlimited():
        pacer = pacer_open(ProviderConfig("away"), nowhere)
        await pacer.acquire(1)
        await pacer.close()

    asyncio.run(unlimited())


def test_a_run_keeps_the_pace(server, config, url):
    """The whole way: `execute`, the real client, the real servers; tokens reserved are corrected by the usage."""

    async def act():
        provider = client_open(config)
        pacer = RedisPacer(Limits.of(600, None), url, "run")
        outcomes = []
        work = [Work(number, chat(f"words {number}"), tokens=100) for number in range(25)]
        await execute(work, provider, pacer, in_flight=8, on_outcome=outcomes.append)
        await provider.close()
        await pacer.close()
        return outcomes

    assert len(asyncio.run(act())) == 25
    at = [request["at"] for request in server.requests()]
    assert at[-1] - at[0] >= 1.3  # 25 less the ten at once, at ten a second


def test_the_pace_of_one_process():
    async def act():
        pacer = LocalPacer(Limits.of(600, None))
        started = time.monotonic()
        turns = []
        for _ in range(15):
            await pacer.acquire(0)
            turns.append(time.monotonic() - started)
        return turns

    turns = asyncio.run(act())
    assert turns[14] >= 0.4 > turns[0]


def test_limits_hold_in_every_minute():
    """By the arithmetic: the most that may start within a minute after a quiet time is the limit."""
    for rpm in (1, 2, 59, 60, 61, 600, 5000, 100_000):
        pacer, now = LocalPacer(Limits.of(rpm, None)), 1000.0
        started = 0
        while pacer._reserve(0, now) < 60.0 - 1e-6:
            started += 1
        assert 0.98 * rpm - 1 <= started <= rpm


def test_addresses():
    assert redis_url("redis+socket:///a/b.sock") == "unix:///a/b.sock?db=0"
    assert redis_url("redis+socket:///a/b.sock?virtual_host=3") == "unix:///a/b.sock?db=3"
    assert redis_url("redis://host:6379/2") == "redis://host:6379/2"
