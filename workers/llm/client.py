"""The open connection to a provider: the one module that imports openai, and only when a client is opened."""

from __future__ import annotations

from workers.llm.providers import Provider, ProviderConfig


def client_open(config: ProviderConfig) -> Provider:
    """One client for all calls; open it and close it on the event loop that uses it.

    Its own retries are off: attempts are counted, paced and paid for in `workers.llm.execution`.
    Raises ProviderError where the settings cannot work.
    """
    raise NotImplementedError
