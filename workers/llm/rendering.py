"""From a prompt version and a readout to the text that a language model is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workers.llm.prompts import Prompt
from workers.llm.requests import Endpoint, Message, Request


@dataclass(frozen=True)
class Rendered:
    """A rendered prompt: `messages` for chat, `text` for completion.

    `order[i]` is the place, in the tokens given, of the i-th token shown; a detector's item i + 1 is that token.
    """

    endpoint: Endpoint
    messages: tuple[Message, ...]
    text: str
    order: tuple[int, ...]


def render(
    prompt: Prompt,
    *,
    tokens: Sequence[str],
    label: str = "",
    order_seed: int | None = None,
    exemplar_seed: int | None = None,
) -> Rendered:
    """Fill the prompt in for one readout.

    Args:
        tokens: the readout, best first, as Python strings (bytes that are no UTF-8 as `surrogateescape`). The
            first `prompt.tokens_shown` are shown; a detector is shown all.
        label: what a verifier or detector judges; a labeler's whole statement (`Parsed.statement`).
        order_seed: shuffles the tokens shown ("the same list in another order"); None keeps their order.
        exemplar_seed: draws exemplars and their order in place of `prompt.exemplar_seed`.

    Raises PromptError where there are no tokens, or a verifier or detector gets no label.
    """
    raise NotImplementedError


def request_make(prompt: Prompt, rendered: Rendered, *, identity: str, model: str, is_openai: bool = False) -> Request:
    """The call that asks `model` the rendered prompt; `identity` is the provider's (`ProviderConfig.identity`).

    OpenAI's own chat endpoint (`is_openai`) wants `max_completion_tokens` where all others know `max_tokens`.
    """
    raise NotImplementedError


def token_shown(token: str) -> str:
    """A token as a language model is shown it, always one printable line.

    Spaces around it are dropped, as in the post; a token of nothing but spaces stands in quotation marks.
    Control and unseen characters become escapes (`\\n`, `\\x00`, `\\u200b`), bytes that are no UTF-8 `\\xNN`.
    """
    raise NotImplementedError


def label_shown(label: str) -> str:
    """A label as one line: runs of white space become one space, unseen characters escapes."""
    raise NotImplementedError
