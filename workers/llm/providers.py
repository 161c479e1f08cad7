"""Who is asked: providers' settings, from the environment alone. Importing this never imports a client.

`openai` is there where OPENAI_API_KEY is set (OPENAI_BASE_URL is honoured). Any number of others: for
each NAME `TEALEAVES_LLM_<NAME>_URL` and, if wanted, `_KEY`, `_RPM` and `_TPM` (requests and tokens a minute),
`_IN_FLIGHT`, `_TIMEOUT` (seconds), `_LOGPROBS` (`yes` or `no`); the last five work for `openai` too.
`TEALEAVES_LLM_<NAME>_FILE` makes a provider that answers from a file of recorded answers (JSON Lines).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from workers.llm.requests import Answer, Request

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class ProviderConfig:
    """One provider. The key is in no repr, no hash of a request, no error and no log.

    `requests_per_minute` and `tokens_per_minute`: None for no limit. `in_flight`: calls at a time in one worker.
    `timeout` bounds one call, in seconds. `logprobs`: the server knows log-probabilities.
    """

    name: str
    kind: Literal["openai", "replay"] = "openai"
    base_url: str = ""
    key: str = field(default="", repr=False, compare=False)
    path: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    in_flight: int = 16
    timeout: float = 60.0
    logprobs: bool = False

    @property
    def identity(self) -> str:
        """What stands for the provider in a request's hash: the base address; `replay` for recorded answers."""
        return "replay" if self.kind == "replay" else self.base_url

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI itself and not a server that speaks its protocol."""
        return self.base_url == OPENAI_URL


class Provider(Protocol):
    """An open connection to a provider: `workers.llm.client.client_open` makes one."""

    async def call(self, request: Request) -> Answer:
        """Ask once. Raises CallError, and nothing else for whatever the server does."""
        ...

    async def close(self) -> None:
        """Give the connections back; the provider cannot be used after it."""
        ...


def providers(environ: Mapping[str, str]) -> dict[str, ProviderConfig]:
    """All providers that the environment names, by name in lower case. Raises ProviderError."""
    raise NotImplementedError


def llm_parse(text: str, known: Mapping[str, ProviderConfig]) -> tuple[ProviderConfig, str]:
    """`PROVIDER:MODEL` to the provider and the model's name (which may hold colons). Raises ProviderError."""
    raise NotImplementedError
