"""The pace: requests and tokens a minute, shared by all workers through Redis or Valkey."""

from __future__ import annotations

from typing import Protocol

from workers.llm.providers import ProviderConfig


class Pacer(Protocol):
    """Where each attempt waits for its turn."""

    async def acquire(self, tokens: int) -> None:
        """Wait until a request of about so many tokens may be sent. Raises PacingError."""
        ...

    async def settle(self, reserved: int, used: int) -> None:
        """Correct what `acquire` reserved by what the call used."""
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
    raise NotImplementedError
