"""Recorded answers: a provider that needs no server, for reproducing a run or trying things out.

The file is JSON Lines. A line holds `answer`, a text or an answer's fields (`texts`, `finish_reasons`, ...), and
`request_hash` (with `identity`, the recorded provider's, the same request is found under another provider) or
`prompt`, the rendered text. Several lines for one request are given in turn.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from workers.llm.errors import CallError, ProviderError
from workers.llm.providers import ProviderConfig
from workers.llm.requests import Answer, Request, answer_from_mapping


def record_line(request: Request, answer: Answer) -> str:
    """The line that lets `replay` give this answer to this request again."""
    return json.dumps(
        {
            "request_hash": request.hash,
            "identity": request.identity,
            "prompt": request.prompt_text,
            "answer": answer.to_mapping(),
        }
    )


class ReplayProvider:
    """Answers by the request's hash, else by its prompt's text."""

    def __init__(self, config: ProviderConfig) -> None:
        self._name = config.name
        self._answers: dict[str, deque[Answer]] = {}
        self._identities: set[str] = set()
        for mapping in _lines(Path(config.path)):
            self._identities.add(str(mapping.get("identity") or ""))
            answer = _answer(mapping["answer"])
            keys = (mapping.get("request_hash"), mapping.get("prompt"))
            for key in keys:
                if key:
                    self._answers.setdefault(str(key), deque()).append(answer)

    async def call(self, request: Request) -> Answer:
        """See `Provider`."""
        hashes = [request.hash] + [replace(request, identity=identity).hash for identity in sorted(self._identities)]
        for key in (*hashes, request.prompt_text):
            recorded = self._answers.get(key)
            if recorded:
                recorded.rotate(-1)
                return recorded[-1]
        raise CallError("refused", f"{self._name} has no recorded answer for this prompt.")

    async def close(self) -> None:
        self._answers = {}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProviderError(f"The file of recorded answers {path} cannot be read: {error}.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            mapping = json.loads(line)
            if not (mapping.get("request_hash") or mapping.get("prompt")):
                raise KeyError("request_hash")
            _answer(mapping["answer"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProviderError(
                f"Line {number} of {path} is no recorded answer: it needs answer, and request_hash or prompt."
            ) from error
        yield mapping


def _answer(given: Any) -> Answer:
    if isinstance(given, str):
        return Answer(texts=(given,), finish_reasons=("stop",))
    answer = answer_from_mapping(given)
    if not answer.texts or len(answer.texts) != len(answer.finish_reasons):
        raise ValueError("texts and finish_reasons must go together")
    return answer
