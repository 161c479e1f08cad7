"""Who is asked: providers' settings, from the environment alone. Importing this never imports a client.

`openai` is there where OPENAI_API_KEY is set (OPENAI_BASE_URL is honoured). Any number of others: for
each NAME `TEALEAVES_LLM_<NAME>_URL` and, if wanted, `_KEY`, `_RPM` and `_TPM` (requests and tokens a minute),
`_IN_FLIGHT`, `_TIMEOUT` (seconds), `_LOGPROBS` (`yes` or `no`); all but the first two work for `OPENAI` too.
`TEALEAVES_LLM_<NAME>_FILE` makes a provider that answers from a file of recorded answers (JSON Lines).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from workers.llm.errors import ProviderError
from workers.llm.requests import Answer, Request

OPENAI_URL = "https://api.openai.com/v1"
_FIELDS = ("URL", "KEY", "FILE", "RPM", "TPM", "IN_FLIGHT", "TIMEOUT", "LOGPROBS")


@dataclass(frozen=True)
class ProviderConfig:
    """One provider. The key is in no repr, no hash of a request, no error and no log.

    `requests_per_minute` and `tokens_per_minute`: None for no limit. `in_flight`: calls at a time in one worker.
    `timeout` bounds one call, in seconds. `logprobs`: log-probabilities may be asked for.
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
    groups: dict[str, dict[str, str]] = {}
    for variable, value in environ.items():
        if not variable.startswith("TEALEAVES_LLM_") or not value.strip():
            continue
        name, part = _variable_parse(variable)
        groups.setdefault(name, {})[part] = value.strip()
    key = environ.get("OPENAI_API_KEY", "").strip()
    if key:
        group = groups.setdefault("openai", {})
        group.setdefault("URL", environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL)
        group.setdefault("KEY", key)
    return {name: _config(name, groups[name]) for name in sorted(groups)}


def llm_parse(text: str, known: Mapping[str, ProviderConfig]) -> tuple[ProviderConfig, str]:
    """`PROVIDER:MODEL` to the provider and the model's name (which may hold colons). Raises ProviderError."""
    name, colon, model = text.strip().partition(":")
    if not colon or not name or not model.strip():
        raise ProviderError(f"{text!r} names no language model; write PROVIDER:MODEL, such as openai:gpt-4.1-mini.")
    config = known.get(name.lower())
    if config is None:
        listed = f"there are {', '.join(sorted(known))}" if known else "none is set up"
        raise ProviderError(
            f"There is no provider {name!r} ({listed}); set OPENAI_API_KEY or TEALEAVES_LLM_<NAME>_URL."
        )
    return config, model.strip()


def _variable_parse(variable: str) -> tuple[str, str]:
    for part in _FIELDS:
        name = variable.removeprefix("TEALEAVES_LLM_").removesuffix(f"_{part}")
        if variable == f"TEALEAVES_LLM_{name}_{part}" and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]*", name):
            return name.lower(), part
    raise ProviderError(
        f"The variable {variable} is unknown; it should be TEALEAVES_LLM_<NAME>_ and one of {', '.join(_FIELDS)}."
    )


def _config(name: str, group: Mapping[str, str]) -> ProviderConfig:
    prefix = f"TEALEAVES_LLM_{name.upper()}"
    if ("URL" in group) == ("FILE" in group):
        raise ProviderError(
            f"The provider {name} needs its address in {prefix}_URL, or recorded answers in {prefix}_FILE"
            + ("; both are set." if "URL" in group else ".")
        )
    limits: dict[str, Any] = {
        "requests_per_minute": _number(group, prefix, "RPM", None),
        "tokens_per_minute": _number(group, prefix, "TPM", None),
        "in_flight": _number(group, prefix, "IN_FLIGHT", 16),
        "timeout": _seconds(group, prefix),
    }
    if "FILE" in group:
        return ProviderConfig(name, "replay", path=group["FILE"], logprobs=True, **limits)
    url = _url(group["URL"], f"{prefix}_URL")
    logprobs = _yes_no(group, prefix, default=url == OPENAI_URL)
    return ProviderConfig(name, base_url=url, key=group.get("KEY", ""), logprobs=logprobs, **limits)


def _url(text: str, variable: str) -> str:
    """The address without a slash at its end. Never repeats it in an error: it might hold a password."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    else:
        if valid and (parts.username or parts.password or parts.query or parts.fragment):
            raise ProviderError(
                f"The address in {variable} holds more than host and path; a key belongs into the variable _KEY."
            )
    if not valid:
        raise ProviderError(f"The address in {variable} must look like https://host:port/v1.")
    return text.rstrip("/")


def _number(group: Mapping[str, str], prefix: str, part: str, default: int | None) -> int | None:
    text = group.get(part)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < 1:
        raise ProviderError(f"{prefix}_{part} must be a whole number above 0, and {text!r} is not.")
    return int(text)


def _seconds(group: Mapping[str, str], prefix: str) -> float:
    text = group.get("TIMEOUT", "60")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 3600:
        raise ProviderError(f"{prefix}_TIMEOUT must be a number of seconds up to 3600, and {text!r} is not.")
    return seconds


def _yes_no(group: Mapping[str, str], prefix: str, *, default: bool) -> bool:
    text = group.get("LOGPROBS", "yes" if default else "no").lower()
    if text not in ("yes", "no"):
        raise ProviderError(f"{prefix}_LOGPROBS must be yes or no, and {text!r} is neither.")
    return text == "yes"
