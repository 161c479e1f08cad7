"""From a prompt version and a readout to the text that a language model is sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from workers.llm.errors import PromptError
from workers.llm.prompts import LABELLED, LISTED, PLACEHOLDER, Exemplar, Prompt
from workers.llm.requests import Endpoint, Message, Request

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Rendered:
    """A rendered prompt: `messages` for chat, `text` for completion.

    `order[i]` is the place, in the tokens given, of the i-th token shown; item i + 1 of a list is that token.
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
            first `prompt.tokens_shown` are shown; a list of items (`LISTED` kinds) is shown whole.
        label: what a verifier, detector or matcher is given; a verifier gets a labeler's whole statement
            (`Parsed.statement`).
        order_seed: shuffles the tokens shown ("the same list in another order"); None keeps their order.
        exemplar_seed: draws exemplars and their order in place of `prompt.exemplar_seed`.

    Raises PromptError where there are no tokens, or one of the `LABELLED` kinds gets no label.
    """
    if not tokens:
        raise PromptError("There are no tokens to show.")
    if prompt.kind in LABELLED and not label.strip():
        raise PromptError(f"A {prompt.kind} needs a label to judge.")
    count = len(tokens) if prompt.kind in LISTED else min(prompt.tokens_shown, len(tokens))
    order = tuple(range(count)) if order_seed is None else permutation(count, order_seed)
    values = _content(prompt, [tokens[place] for place in order], label)
    values["exemplars"] = _exemplars(prompt, prompt.exemplar_seed if exemplar_seed is None else exemplar_seed)
    system, instruction, item = (
        fill(template, values) for template in (prompt.system, prompt.instruction, prompt.item_format)
    )
    body = f"{instruction}\n\n{item}" if instruction else item
    if prompt.endpoint == "completion":
        return Rendered("completion", (), body, order)
    messages = (Message("system", system),) if system else ()
    return Rendered("chat", (*messages, Message("user", body)), "", order)


def request_make(
    prompt: Prompt, rendered: Rendered, *, identity: str, model: str, is_openai: bool = False, logprobs: bool = True
) -> Request:
    """The call that asks `model` the rendered prompt; the other arguments are `ProviderConfig`'s properties.

    OpenAI's own chat endpoint (`is_openai`) wants `max_completion_tokens` where all others know `max_tokens`.
    `logprobs` False leaves log-probabilities out even where the prompt asks for them: some servers refuse them.
    """
    is_chat = rendered.endpoint == "chat"
    sampling = prompt.sampling
    parameters: dict[str, Any] = {
        "max_completion_tokens" if is_openai and is_chat else "max_tokens": prompt.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "n": sampling.n if sampling.n > 1 else None,
        "stop": list(prompt.stop) or None,
    }
    if prompt.top_logprobs and logprobs:
        parameters |= {"logprobs": True, "top_logprobs": prompt.top_logprobs} if is_chat else {}
        parameters |= {} if is_chat else {"logprobs": prompt.top_logprobs}
    return Request(
        identity=identity,
        endpoint=rendered.endpoint,
        model=model,
        messages=rendered.messages,
        text=rendered.text,
        parameters={name: value for name, value in parameters.items() if value is not None},
        schema=f"{prompt.kind}-1" if prompt.answer_format == "structured" else "",
    )


def token_shown(token: str) -> str:
    """A token as a language model is shown it, always one printable line.

    Spaces around it are dropped, as in the post; a token of nothing but spaces stands in quotation marks.
    Control and unseen characters become escapes (`\\n`, `\\x00`, `\\u200b`), bytes that are no UTF-8 `\\xNN`.
    """
    return _escaped(token.strip(" ")) or f'"{token}"'


def label_shown(label: str) -> str:
    """A label as one line: runs of white space become one space, unseen characters escapes."""
    return _escaped(" ".join(label.split()))


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders replaced in one pass: braces inside the values stay what they are."""

    def value(match: re.Match[str]) -> str:
        return match[0][0] if match["name"] is None else values[match["name"]]

    return PLACEHOLDER.sub(value, template)


def permutation(count: int, seed: int) -> tuple[int, ...]:
    """0 to count - 1 in an order that depends on the seed alone, on every machine and Python.

    Sorted by the sha256 of seed and place, since the order of `random.shuffle` may change between Pythons.
    """
    return tuple(sorted(range(count), key=lambda place: hashlib.sha256(f"{seed}:{place}".encode()).digest()))


def exemplars_of(prompt: Prompt, seed: int | None) -> tuple[Exemplar, ...]:
    """The exemplars that are shown, in their order; None: the first ones, as written."""
    count = len(prompt.exemplars) if prompt.exemplar_count is None else prompt.exemplar_count
    order = range(len(prompt.exemplars)) if seed is None else permutation(len(prompt.exemplars), seed)
    return tuple(prompt.exemplars[place] for place in order[:count])


@lru_cache(maxsize=64)  # of a few prompts in thousands of calls
def _exemplars(prompt: Prompt, seed: int | None) -> str:
    return "\n\n".join(
        fill(
            prompt.exemplar_format,
            {**_content(prompt, exemplar.tokens, exemplar.label), "answer": exemplar.answer},
        )
        for exemplar in exemplars_of(prompt, seed)
    )


def _content(prompt: Prompt, tokens: Sequence[str], label: str) -> dict[str, str]:
    shown = [token_shown(token) for token in tokens]
    return {
        "tokens": prompt.joiner.join(shown),
        "list": "\n".join(f"{number}. {token}" for number, token in enumerate(shown, 1)),
        "label": label_shown(label),
    }


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    # The same escapes as on the pages (labelapp.atlas.tokens); a test holds the two together.
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape's image of the bytes 0x80 to 0xFF
        return f"\\x{code - 0xDC00:02x}"
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
