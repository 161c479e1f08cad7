"""Prompt versions: immutable data, read from YAML files or from a page, checked once and for all here.

The wording lives in four templates. Placeholders are `{exemplars}` (system, instruction or item_format) and,
in the formats of exemplars and items: `{tokens}` and, for verifiers and detectors, `{label}`; detectors have
`{list}`, a numbered list, in place of `{tokens}`; exemplars also `{answer}`. A literal brace is written `{{` or `}}`.
Only templates are searched for placeholders: tokens and labels may hold braces, they are never interpreted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from workers.llm.requests import Endpoint

Kind = Literal["labeler", "verifier", "detector"]
AnswerFormat = Literal["text", "structured"]
Parser = Literal["whole", "first_line", "last_line", "structured"]


@dataclass(frozen=True)
class Exemplar:
    """One worked example: a list of tokens, the label it is about (verifier, detector) and the right answer.

    `positive`: the answer names a meaning (labeler), says yes (verifier), picks something (detector).
    """

    tokens: tuple[str, ...]
    answer: str
    positive: bool
    label: str = ""


@dataclass(frozen=True)
class Sampling:
    """How the model draws its answer. None leaves a parameter to the provider; `n` answers a call (best-of-n)."""

    temperature: float | None = 0.0
    top_p: float | None = None
    seed: int | None = None
    n: int = 1


@dataclass(frozen=True)
class Prompt:
    """One version of a prompt. `prompt_from_mapping` and `prompt_read` are the ways to make one that is checked.

    `exemplar_count` takes so many of the exemplars (None: all); `exemplar_seed` draws them and their order
    (None: the first ones, as written). `tokens_shown` is how many tokens of a readout are shown, joined by `joiner`.
    `parser` says where in the text the answer stands. `top_logprobs` asks for so many alternatives of each
    token (0: none), for the confidence in yes and no.
    """

    name: str
    kind: Kind
    style: str
    endpoint: Endpoint
    instruction: str
    item_format: str
    system: str = ""
    exemplar_format: str = ""
    exemplars: tuple[Exemplar, ...] = ()
    exemplar_count: int | None = None
    exemplar_seed: int | None = None
    tokens_shown: int = 15
    joiner: str = ", "
    answer_format: AnswerFormat = "text"
    parser: Parser = "whole"
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0

    @cached_property
    def digest(self) -> str:
        """sha256 (64 hex digits) of the canonical mapping without the name: equal digests ask the same."""
        raise NotImplementedError


def prompt_from_mapping(mapping: Mapping[str, Any]) -> Prompt:
    """A checked prompt. Raises PromptError, whose text names the field and says what to do."""
    raise NotImplementedError


def prompt_to_mapping(prompt: Prompt) -> dict[str, Any]:
    """Every field as JSON values, in the form that `prompt_from_mapping` takes."""
    raise NotImplementedError


def prompt_read(path: Path | str) -> Prompt:
    """The prompt of a YAML file; its name is the file's unless the file gives one. Raises PromptError."""
    raise NotImplementedError


def prompts_read(folder: Path | str) -> list[Prompt]:
    """All prompts of a folder's `*.yaml`, by name. Raises PromptError, also for two of one name."""
    raise NotImplementedError
