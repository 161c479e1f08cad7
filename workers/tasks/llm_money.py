"""The part of a run's budget that one worker holds, on the event loop: taken before each call."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from labelapp.autolabel.money import money_is_gone, reservation_close, reservation_grow, reservation_shrink
from labelapp.jobs.models import Job

WAIT_SECONDS = 0.2
# Reserved at once: about so many calls like the one at hand.
CALLS_AHEAD = 64


class Purse:
    """`free` is what is reserved and not promised to a call. Without a price every amount is 0, and free."""

    def __init__(
        self, run_id: int, job: Job, database: Callable[..., Awaitable[Any]], is_idle: Callable[[], bool]
    ) -> None:
        self.run_id = run_id
        self.job = job
        self.database = database  # runs a function in the thread that has the connection
        self.is_idle = is_idle  # no call is under way here, and all that were are settled
        self.free = 0
        # Where a provider counts more tokens than there can be, its next calls are reserved for at that rate.
        self.stretch = 1.0
        self._growing: asyncio.Task[int] | None = None

    def bound(self, amount: int) -> int:
        return amount if self.stretch == 1.0 else math.ceil(amount * self.stretch)

    async def take(self, amount: int) -> bool:
        """Promise so much to a call; False where the budget does not hold it."""
        while self.free < amount:
            if await self._grow(amount):
                continue
            if await self.database(money_is_gone, self.run_id, amount):
                return False
            # Others hold some of it, or calls that are under way here: what they do not need comes back.
            if self.is_idle() and self.free:
                given, self.free = self.free, 0
                await self.database(reservation_shrink, self.run_id, self.job, given)
            await asyncio.sleep(WAIT_SECONDS)
        self.free -= amount
        if amount and self.free < amount * CALLS_AHEAD // 4 and self._growing is None:
            self._growing = asyncio.create_task(self._grow_ahead(amount))
        return True

    def learn(self, bound: int, cost: int) -> None:
        """Of a call that was bounded by `bound` and has cost `cost`."""
        if bound and cost > bound:
            self.stretch = max(self.stretch, self.stretch * cost / bound)

    async def close(self) -> None:
        """Give back what is left, now that all is settled. Raises LeaseLostError."""
        if self._growing is not None:
            await self._growing
        self.free = 0
        await self.database(reservation_close, self.run_id, self.job)

    async def _grow(self, need: int) -> int:
        if self._growing is not None and (grown := await self._growing):
            return grown
        missing = need - self.free
        if missing <= 0:
            return 1
        got: int = await self.database(reservation_grow, self.run_id, self.job, need=missing, want=need * CALLS_AHEAD)
        self.free += got
        return got

    async def _grow_ahead(self, amount: int) -> int:
        try:
            got: int = await self.database(
                reservation_grow, self.run_id, self.job, need=amount, want=amount * CALLS_AHEAD
            )
            self.free += got
            return got
        finally:
            self._growing = None
