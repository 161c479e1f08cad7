"""Prompt versions: immutable data, read from YAML files or from a page, checked once and for all here.

The wording lives in four templates. Placeholders are `{exemplars}` (in system, instruction or item_format) and, in the
formats of exemplars and items, `{tokens}` and, for verifiers, detectors and matchers, `{label}`; detectors, intruders
and matchers have `{list}`, a numbered list, in place of `{tokens}`; exemplars have `{answer}` too. A literal brace is
`{{` or `}}`. Only templates are searched for placeholders: tokens and labels may hold braces, which stay what they are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from workers.llm.errors import PromptError, first_line
from workers.llm.requests import Endpoint

Kind = Literal["labeler", "verifier", "detector", "intruder", "matcher"]
AnswerFormat = Literal["text", "structured"]
Parser = Literal["whole", "first_line", "last_line", "structured"]

# These are shown a numbered list whole: a detector picks what fits a label, an intruder the one item that does not
# belong to the others, a matcher the one that a label names.
LISTED: frozenset[Kind] = frozenset(("detector", "intruder", "matcher"))
CHOOSING: frozenset[Kind] = frozenset(("intruder", "matcher"))  # one item, no more and no less
LABELLED: frozenset[Kind] = frozenset(("verifier", "detector", "matcher"))  # are given a label

# A brace that opens a placeholder, two that stand for one, or one that is a mistake.
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Exemplar:
    """One worked example: a list of tokens, the label it is about (verifier, detector, matcher) and the right answer.

    `positive`: the answer names a meaning (labeler), says yes (verifier), picks something (the others).
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
        body = {key: value for key, value in prompt_to_mapping(self).items() if key != "name"}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def placeholders(template: str, where: str) -> list[str]:
    """The names of the placeholders in order. Raises PromptError on a brace that is none."""
    found = []
    for match in PLACEHOLDER.finditer(template):
        if match["name"] is not None:
            found.append(match["name"])
        elif match[0] in "{}":
            raise PromptError(
                f"{where} has a single {match[0]}; write {match[0] * 2} for a brace that is meant as one."
            )
    return found


def prompt_from_mapping(mapping: Mapping[str, Any]) -> Prompt:
    """A checked prompt. Raises PromptError, whose text names the field and says what to do."""
    from workers.llm.prompt_checks import prompt_check, prompt_shape

    prompt = prompt_shape(mapping)
    prompt_check(prompt)
    return prompt


def prompt_to_mapping(prompt: Prompt) -> dict[str, Any]:
    """Every field as JSON values, in the form that `prompt_from_mapping` takes."""
    mapping = asdict(prompt)
    mapping["exemplars"] = [{**exemplar, "tokens": list(exemplar["tokens"])} for exemplar in mapping["exemplars"]]
    mapping["stop"] = list(prompt.stop)
    return mapping


def prompt_to_yaml(prompt: Prompt) -> str:
    """The text of a YAML file that `prompt_read` takes, and that asks the same."""
    return yaml_text(prompt_to_mapping(prompt))


def yaml_text(value: Any) -> str:
    """Values of a prompt as YAML that people like to read: long texts as blocks, lists of tokens on one line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """With its own way to write texts of several lines."""

    Dumper.add_representer(
        str,
        lambda dumper, text: dumper.represent_scalar(
            "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
        ),
    )
    return str(
        yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10**6)
    )


def yaml_parse(text: str, what: str) -> Any:
    """The values of a YAML text; `what` names it in the sentence. Raises PromptError.

    Aliases are refused: a short text with aliases of aliases stands for more than a memory holds.
    """
    import yaml

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise PromptError(f"{what} has a YAML alias (*name); write the value out in its place.")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f" (line {place.line + 1})" if place else ""
        raise PromptError(f"{what} is not YAML: {first_line(error)}{line}.") from error
    except (ValueError, OverflowError, RecursionError) as error:  # a date that is none, too many brackets
        raise PromptError(f"{what} is not YAML: {first_line(error)}.") from error


def prompt_read(path: Path | str) -> Prompt:
    """The prompt of a YAML file; its name is the file's unless the file gives one. Raises PromptError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PromptError(f"The prompt file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"The prompt file {path} is not UTF-8 text.") from error
    mapping = yaml_parse(text, f"The prompt file {path}")
    if not isinstance(mapping, dict):
        raise PromptError(f"The prompt file {path} holds no fields; see fixtures/prompts for examples.")
    try:
        return prompt_from_mapping({"name": path.stem, **mapping})
    except PromptError as error:
        raise PromptError(f"{path.name}: {error}") from error


def prompts_read(folder: Path | str) -> list[Prompt]:
    """All prompts of a folder's `*.yaml`, by name. Raises PromptError, also for two of one name."""
    found: dict[str, Prompt] = {}
    for path in sorted(Path(folder).glob("*.yaml")):
        prompt = prompt_read(path)
        if prompt.name in found:
            raise PromptError(f"Two files in {folder} hold a prompt with the name {prompt.name}; rename one.")
        found[prompt.name] = prompt
    return [found[name] for name in sorted(found)]
