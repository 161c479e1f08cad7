"""What can go wrong between a prompt and an answer. Every message is one sentence for the user.

A call that failed is a `CallError`: a state with its reason, never an empty answer and never a verdict.
"""

from __future__ import annotations

from typing import Literal

CallErrorKind = Literal["rate_limited", "server_error", "timed_out", "disconnected", "bad_answer", "refused", "empty"]


def first_line(error: BaseException) -> str:
    """What another library's exception says, short enough to stand inside a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")[:300]


class LlmError(Exception):
    """Base of everything that this package refuses to do; `str(error)` is a sentence for the user."""


class PromptError(LlmError):
    """A prompt version that cannot be used as it stands."""


class ProviderError(LlmError):
    """A provider is unknown or its settings are wrong."""


class PacingError(LlmError):
    """The server that keeps the common pace cannot be reached: nothing was sent, so nothing was paid."""


class CallError(LlmError):
    """One call to a provider brought no answer.

    `retry_after` is what the server asked for, in seconds. `may_be_billed` says that the provider may have done the
    work all the same (a time-out, a connection cut after the request was sent, an unreadable answer).
    `is_transient` says that another attempt may help.
    """

    def __init__(
        self,
        kind: CallErrorKind,
        message: str,
        *,
        retry_after: float | None = None,
        may_be_billed: bool = False,
        is_transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: CallErrorKind = kind
        self.message = message
        self.retry_after = retry_after
        self.may_be_billed = may_be_billed
        self.is_transient = is_transient
