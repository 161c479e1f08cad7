"""The pace: requests and tokens a minute, shared by all workers through Redis or Valkey.

Both limits are generic cell rate algorithms (GCRA): a limit is one number, the moment at which all that was
let through so far will have been worked off at the even rate. Each request takes the next free moment at once and
then sleeps until it, so that any number of workers need one round trip a request and none of them polls. A `hold`
(from a `retry-after`) starts a new epoch: moments taken in an older one are void, and are taken anew after the hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, urlsplit

from workers.llm.errors import PacingError, first_line
from workers.llm.providers import ProviderConfig

if TYPE_CHECKING:
    from redis.asyncio import Redis

MINUTE = 60.0
# Up to so many seconds' worth may go at once after a quiet time; the rate is lowered by as much, so that no
# window of a minute holds more than the limit.
BURST_SECONDS = 1.0
# How often a process without limits looks whether another one was asked to wait.
LOOK_SECONDS = 1.0
REDIS_ATTEMPTS = 4
REDIS_CONNECTIONS = 8


class Pacer(Protocol):
    """Where each attempt waits for its turn."""

    async def acquire(self, tokens: int) -> None:
        """Wait until a request of about so many tokens may be sent. Raises PacingError."""
        ...

    async def settle(self, reserved: int, used: int) -> None:
        """Correct what `acquire` reserved by what the call used. Raises PacingError."""
        ...

    async def hold(self, seconds: float) -> None:
        """Let nobody send anything for so long: what a `retry-after` asks for, honoured by all workers."""
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


def pacer_open(config: ProviderConfig, url: str | None = None) -> Pacer:
    """The pacer of a provider.

    `url` is that of Redis or Valkey (`redis://`, `rediss://`, `unix://`, or Celery's `redis+socket://`), shared by all
    workers with the same provider. Without it the limits hold for this process alone.
    """
    limits = Limits.of(config.requests_per_minute, config.tokens_per_minute)
    return LocalPacer(limits) if url is None else RedisPacer(limits, url, config.name)


@dataclass(frozen=True)
class Limits:
    """Seconds that a request and a token take at the even rate (0: no limit), and how far each may run ahead."""

    request: float = 0.0
    request_ahead: float = 0.0
    token: float = 0.0
    token_ahead: float = 0.0

    @classmethod
    def of(cls, requests_per_minute: int | None, tokens_per_minute: int | None) -> Limits:
        request = ahead = token = 0.0
        if requests_per_minute:
            burst = max(1, math.floor(requests_per_minute * BURST_SECONDS / MINUTE))
            request = MINUTE / (requests_per_minute - burst + 1)
            ahead = (burst - 1) * request
        if tokens_per_minute:
            token = (MINUTE + BURST_SECONDS) / tokens_per_minute
        return cls(request, ahead, token, BURST_SECONDS if token else 0.0)

    def __bool__(self) -> bool:
        return self.request > 0 or self.token > 0


class LocalPacer:
    """The pace of one process; without limits it only honours `hold`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._requests_until = self._tokens_until = self._hold_until = 0.0
        self._epoch = 0

    async def acquire(self, tokens: int) -> None:
        """See `Pacer`."""
        while True:
            epoch, wait = self._epoch, self._reserve(tokens, time.monotonic())
            if wait <= 0:
                return
            await asyncio.sleep(wait)
            if epoch == self._epoch:
                return

    async def settle(self, reserved: int, used: int) -> None:
        """See `Pacer`."""
        if self._limits.token:
            self._tokens_until += (used - reserved) * self._limits.token

    async def hold(self, seconds: float) -> None:
        """See `Pacer`."""
        until = time.monotonic() + seconds
        if until > self._hold_until:
            self._hold_until = self._requests_until = self._tokens_until = until
            self._epoch += 1

    async def close(self) -> None:
        """See `Pacer`."""

    def _reserve(self, tokens: int, now: float) -> float:
        """Take the next free moment; seconds until it."""
        limits = self._limits
        start = max(now, self._hold_until)
        if limits.request:
            start = max(start, self._requests_until - limits.request_ahead)
        if limits.token:
            start = max(start, self._tokens_until - limits.token_ahead)
        if limits.request:
            self._requests_until = max(self._requests_until, start) + limits.request
        if limits.token:
            self._tokens_until = max(self._tokens_until, start) + tokens * limits.token
        return start - now


# The same arithmetic in microseconds of the server's clock, which all workers share.
# ARGV: what to do; tokens; the four numbers of Limits. Returns {microseconds to wait, epoch}.
SCRIPT = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local row = redis.call('HMGET', KEYS[1], 'requests', 'tokens', 'hold', 'epoch')
local requests, tokens = tonumber(row[1]) or 0, tonumber(row[2]) or 0
local hold, epoch = tonumber(row[3]) or 0, tonumber(row[4]) or 0
local action, amount = ARGV[1], tonumber(ARGV[2])
local request, request_ahead = tonumber(ARGV[3]), tonumber(ARGV[4])
local token, token_ahead = tonumber(ARGV[5]), tonumber(ARGV[6])
if action == 'look' then
  return {string.format('%.0f', math.max(0, hold - now)), string.format('%.0f', epoch)}
end
local start = math.max(now, hold)
if action == 'reserve' then
  if request > 0 then start = math.max(start, requests - request_ahead) end
  if token > 0 then start = math.max(start, tokens - token_ahead) end
  if request > 0 then requests = math.max(requests, start) + request end
  if token > 0 then tokens = math.max(tokens, start) + amount * token end
elseif action == 'settle' then
  tokens = tokens + amount * token
elseif now + amount > hold then
  hold = now + amount
  requests, tokens, epoch, start = hold, hold, epoch + 1, hold
end
redis.call('HSET', KEYS[1], 'requests', string.format('%.0f', requests), 'tokens', string.format('%.0f', tokens),
  'hold', string.format('%.0f', hold), 'epoch', string.format('%.0f', epoch))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (math.max(requests, tokens, hold) - now) / 1000 + 3600000))
return {string.format('%.0f', start - now), string.format('%.0f', epoch)}
"""


class RedisPacer:
    """One pace for all processes that share a Redis or Valkey server and the provider's name."""

    def __init__(self, limits: Limits, url: str, name: str) -> None:
        self._limits = limits
        self._numbers = [
            round(seconds * 1e6, 3)
            for seconds in (limits.request, limits.request_ahead, limits.token, limits.token_ahead)
        ]
        self._key = f"tealeaves:pace:{name}"
        self._redis = _redis(url)
        self._script = self._redis.register_script(SCRIPT)
        self._looked_at = -math.inf
        self._hold_until = 0.0

    async def acquire(self, tokens: int) -> None:
        """See `Pacer`."""
        if not self._limits:
            await self._free_pace()
            return
        while True:
            wait, epoch = await self._run("reserve", tokens)
            if wait <= 0:
                return
            await asyncio.sleep(wait)
            if epoch == (await self._run("look", 0))[1]:
                return

    async def settle(self, reserved: int, used: int) -> None:
        """See `Pacer`."""
        if self._limits.token and used != reserved:
            await self._run("settle", used - reserved)

    async def hold(self, seconds: float) -> None:
        """See `Pacer`."""
        self._hold_until = max(self._hold_until, time.monotonic() + seconds)
        await self._run("hold", round(seconds * 1e6))

    async def close(self) -> None:
        """See `Pacer`."""
        await self._redis.aclose()

    async def _free_pace(self) -> None:
        """Without limits there is only a hold to obey; a process looks for one once in a while."""
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            # A pace that nobody limits must not stop a run because its server is away.
            with contextlib.suppress(PacingError):
                wait, _ = await self._run("look", 0)
                self._hold_until = max(self._hold_until, time.monotonic() + wait) if wait > 0 else self._hold_until
        while (wait := self._hold_until - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    async def _run(self, action: str, amount: int) -> tuple[float, int]:
        from redis.exceptions import RedisError

        for attempt in range(1, REDIS_ATTEMPTS + 1):
            try:
                wait, epoch = await self._script(keys=[self._key], args=[action, amount, *self._numbers])
                return int(wait) / 1e6, int(epoch)
            except (RedisError, OSError) as error:
                if attempt == REDIS_ATTEMPTS:
                    raise PacingError(
                        f"The server that keeps the common pace does not answer ({first_line(error)}); "
                        "start it, then resume."
                    ) from error
                await asyncio.sleep(random.uniform(0, 0.25 * 2**attempt))
        raise AssertionError("unreachable")


def _redis(url: str) -> Redis:
    from redis.asyncio import BlockingConnectionPool, Redis

    pool = BlockingConnectionPool.from_url(
        redis_url(url), max_connections=REDIS_CONNECTIONS, timeout=None, socket_connect_timeout=5, socket_timeout=10
    )
    return Redis(connection_pool=pool)


def redis_url(url: str) -> str:
    """Celery's way to name a Unix socket (`redis+socket:///path?virtual_host=1`) as redis-py's; others unchanged."""
    if not url.startswith("redis+socket://"):
        return url
    parts = urlsplit(url)
    database = parse_qs(parts.query).get("virtual_host", ["0"])[0].lstrip("/") or "0"
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"unix://{user}{parts.path}?db={database}"
