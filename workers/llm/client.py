"""The open connection to a provider: the one module that imports openai, and only when a client is opened.

What goes over the wire is the openai client's work; what comes back is read here from its raw bytes, since the
client's own reading accepts any shape, and the text of an answer that was paid for must not be lost.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.llm.errors import CallError, first_line
from workers.llm.providers import Provider, ProviderConfig
from workers.llm.replay import ReplayProvider
from workers.llm.requests import Answer, Position, Request

if TYPE_CHECKING:
    import openai

CONNECT_SECONDS = 10.0
# The HTTP client looks at all its connections for each call: with 64 of them that takes a sixth of its CPU time.
CALLS_A_CLIENT = 16
# Nothing was sent yet when these are raised, so nothing can be billed.
_BEFORE_SENDING = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"}
# A gateway gave up; the server behind it may not have.
_GATEWAY = {502, 504, 524}
# 429 is also said when no amount of waiting helps.
_NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


def client_open(config: ProviderConfig) -> Provider:
    """One client for all calls; open it and close it on the event loop that uses it.

    Its own retries are off: attempts are counted, paced and paid for in `workers.llm.execution`.
    Raises ProviderError where the settings cannot work.
    """
    return ReplayProvider(config) if config.kind == "replay" else OpenAIProvider(config)


@dataclass(eq=False)
class _Line:
    """A client and how many calls are under way on it."""

    client: openai.AsyncOpenAI
    calls: int = 0


class OpenAIProvider:
    """A server that speaks the OpenAI protocol; many calls at a time share several clients."""

    def __init__(self, config: ProviderConfig) -> None:
        import openai

        # The HTTP client logs a line for each request at INFO.
        for name in ("httpx", "httpx2"):
            logger = logging.getLogger(name)
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.WARNING)
        self._openai = openai
        self._config = config
        self._lines = [self._open()]

    async def call(self, request: Request) -> Answer:
        """See `Provider`. The client's time-outs are for each read; this one is for the whole call."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._config.timeout):
                body = await self._send(request)
        except TimeoutError as error:
            raise self._timed_out() from error
        except self._openai.APITimeoutError as error:
            raise self._timed_out(before_sending=_cause(error) in _BEFORE_SENDING) from error
        except self._openai.APIConnectionError as error:
            raise self._disconnected(error) from error
        except self._openai.APIStatusError as error:
            raise self._status(error) from error
        except (self._openai.OpenAIError, ValueError, TypeError) as error:
            raise CallError("refused", f"The call could not be made: {self._safe(first_line(error))}.") from error
        return answer_read(body, request, latency=time.perf_counter() - started)

    async def close(self) -> None:
        for line in self._lines:
            await line.client.close()

    def _open(self) -> _Line:
        config = self._config
        # An empty string, not None: the client would take OpenAI's from the environment and send it elsewhere.
        account = None if config.is_openai else ""
        return _Line(
            self._openai.AsyncOpenAI(
                api_key=config.key or "none",
                base_url=config.base_url,
                max_retries=0,
                timeout=self._openai.Timeout(config.timeout, connect=min(config.timeout, CONNECT_SECONDS)),
                organization=account,
                project=account,
            )
        )

    @contextmanager
    def _client(self) -> Iterator[openai.AsyncOpenAI]:
        """The client with the fewest calls under way, or another one where each has enough."""
        line = min(self._lines, key=lambda line: line.calls)
        if line.calls >= CALLS_A_CLIENT:
            line = self._open()
            self._lines.append(line)
        line.calls += 1
        try:
            yield line.client
        finally:
            line.calls -= 1

    async def _send(self, request: Request) -> str | bytes:
        """The body of the response, as it came.

        `client.post` is the client's own way to any address: the typed methods would spend a third of the whole CPU
        time of a call on turning these same parameters into themselves, and the response into objects.
        """
        parameters: dict[str, Any] = {"model": request.model, **request.parameters}
        if request.endpoint == "completion":
            return await self._post("/completions", {**parameters, "prompt": request.text})
        messages: Any = [{"role": message.role, "content": message.content} for message in request.messages]
        if not request.schema:
            return await self._post("/chat/completions", {**parameters, "messages": messages})
        from workers.llm.schemas import FORMS

        form = FORMS[request.schema]
        with self._client() as client:
            chat = client.chat.completions.with_raw_response
            raw = await chat.parse(messages=messages, response_format=form, **parameters)
            return raw.content

    async def _post(self, path: str, body: dict[str, Any]) -> str:
        # Only this provider's key: the client would send an OPENAI_ADMIN_KEY of the environment as well.
        options: Any = {"security": {"bearer_auth": True}}
        with self._client() as client:
            return await client.post(path, cast_to=str, body=body, options=options)

    def _timed_out(self, *, before_sending: bool = False) -> CallError:
        return CallError(
            "timed_out",
            f"{self._config.name} gave no answer within {self._config.timeout:g} seconds.",
            may_be_billed=not before_sending,
            is_transient=True,
        )

    def _disconnected(self, error: openai.APIConnectionError) -> CallError:
        before_sending = _cause(error) in _BEFORE_SENDING
        what = "cannot be reached" if before_sending else "cut the connection"
        detail = self._safe(first_line(error.__cause__ or error))
        return CallError(
            "disconnected",
            f"{self._config.name} {what}: {detail}.",
            may_be_billed=not before_sending,
            is_transient=True,
        )

    def _status(self, error: openai.APIStatusError) -> CallError:
        status = error.status_code
        said = self._safe(_message_of(error))
        retry_after = retry_after_seconds(error.response.headers)
        if status == 429 and error.code not in _NO_MONEY:
            return CallError(
                "rate_limited",
                f"{self._config.name} asks for fewer calls (429): {said}.",
                retry_after=retry_after,
                is_transient=True,
            )
        if status >= 500 or status in (408, 409):
            return CallError(
                "server_error",
                f"{self._config.name} failed ({status}): {said}.",
                retry_after=retry_after,
                may_be_billed=status in _GATEWAY,
                is_transient=True,
            )
        return CallError("refused", f"{self._config.name} refused the call ({status}): {said}.")

    def _safe(self, text: str) -> str:
        """Never the key, whatever a server echoes."""
        return text.replace(self._config.key, "[key]") if self._config.key else text


def answer_read(body: str | bytes, request: Request, *, latency: float) -> Answer:
    """The answer in a response's body. Raises CallError (`bad_answer`, `empty`): these may have been billed."""
    try:
        data = json.loads(body)
    except ValueError as error:
        raise _bad(f"it is not whole JSON ({len(body)} long)") from error
    try:
        choices = data["choices"][: request.samples]
        texts = tuple(storable(_text_of(choice, request)) for choice in choices)
        finish_reasons = tuple(storable(str(choice.get("finish_reason") or "")) for choice in choices)
        usage = data.get("usage") or {}
        answer = Answer(
            texts=texts,
            finish_reasons=finish_reasons,
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
            latency=latency,
            provider_model=storable(str(data.get("model") or "")),
            top_logprobs=_logprobs(choices[0].get("logprobs"), request) if choices else (),
        )
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise _bad(f"it has not the form of the protocol ({type(error).__name__}: {first_line(error)})") from error
    if len(texts) < request.samples:
        raise _bad(f"it holds {len(texts)} of the {request.samples} answers asked for (n)", is_transient=False)
    if not any(text.strip() for text in texts) and not {"length", "content_filter"} & set(finish_reasons):
        # At temperature 0 the model would say nothing again, for the same money.
        would_vary = bool(request.parameters.get("temperature", 1))
        raise CallError("empty", "The answer is empty.", may_be_billed=True, is_transient=would_vary)
    return answer


def storable(text: str) -> str:
    """Text that every database takes: NUL and halves of surrogate pairs as U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "�").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def retry_after_seconds(headers: Any) -> float | None:
    """What `retry-after-ms` or `retry-after` (seconds or a date) asks for; None without a usable one."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / divisor
        except ValueError:
            moment = email.utils.parsedate_tz(value)
            if moment is None:
                continue
            seconds = email.utils.mktime_tz(moment) - time.time()
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _bad(reason: str, *, is_transient: bool = True) -> CallError:
    return CallError(
        "bad_answer", f"The answer cannot be read: {reason}.", may_be_billed=True, is_transient=is_transient
    )


def _text_of(choice: Any, request: Request) -> str:
    text = choice["text"] if request.endpoint == "completion" else choice["message"].get("content")
    if text is None and request.endpoint == "chat":
        text = choice["message"].get("refusal") or ""
    if not isinstance(text, str):
        raise TypeError("a choice holds no text")
    return text


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _logprobs(given: Any, request: Request) -> tuple[Position, ...]:
    """The chat's and the completions' forms of log-probabilities as one; nothing where none were asked for."""
    if not given or not request.parameters.get("logprobs"):
        return ()
    if request.endpoint == "chat":
        return tuple(
            tuple(_pair(one["token"], one["logprob"]) for one in (entry, *(entry.get("top_logprobs") or ())))
            for entry in given.get("content") or ()
        )
    tops = given.get("top_logprobs") or [{} for _ in given["tokens"]]
    return tuple(
        tuple(_pair(*one) for one in ((token, value), *(top or {}).items()))
        for token, value, top in zip(given["tokens"], given["token_logprobs"], tops, strict=True)
    )


def _pair(token: Any, value: Any) -> tuple[str, float]:
    # Minus infinity is no JSON; protocol's own stand-in is -9999.
    number = float(value)
    return storable(str(token)), number if math.isfinite(number) else -9999.0


def _cause(error: BaseException) -> str:
    return type(error.__cause__).__name__


def _message_of(error: openai.APIStatusError) -> str:
    """What the server says, as one line: OpenAI's `message`, FastAPI's `detail`, or the body."""
    body = error.body
    said = ""
    if isinstance(body, dict):
        said = str(body.get("message") or body.get("detail") or body.get("error") or "")
    said = " ".join((said or error.response.text or error.message).split())[:300].rstrip(".")
    return storable(said) or "without a word"
