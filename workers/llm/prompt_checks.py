"""What a prompt version must satisfy. Every fault is one sentence that names the field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, get_args

from workers.llm.errors import PromptError
from workers.llm.parsing import parse_text
from workers.llm.prompts import (
    LABELLED,
    LISTED,
    AnswerFormat,
    Exemplar,
    Kind,
    Parser,
    Prompt,
    Sampling,
    placeholders,
)
from workers.llm.requests import Endpoint

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_CHOICES = {
    "kind": get_args(Kind),
    "endpoint": get_args(Endpoint),
    "answer_format": get_args(AnswerFormat),
    "parser": get_args(Parser),
}
_TEXTS = ("name", "style", "instruction", "item_format", "system", "exemplar_format", "joiner")
_CONTENT = {
    "labeler": {"tokens"},
    "verifier": {"tokens", "label"},
    "detector": {"list", "label"},
    "intruder": {"list"},
    "matcher": {"list", "label"},
}


def prompt_shape(mapping: Mapping[str, Any]) -> Prompt:
    """The mapping as a Prompt: names and types of all fields are right, their meaning is not yet checked."""
    _names_check(mapping, Prompt, "a prompt")
    values = dict(mapping)
    for name in _TEXTS:
        if name in values:
            values[name] = _text(values[name], name)
    for name, choices in _CHOICES.items():
        if name in values and values[name] not in choices:
            raise PromptError(f"{name} is {values[name]!r}; it must be one of {', '.join(choices)}.")
    for name in ("tokens_shown", "max_tokens", "top_logprobs"):
        if name in values:
            values[name] = _integer(values[name], name)
    for name in ("exemplar_count", "exemplar_seed"):
        if values.get(name) is not None:
            values[name] = _integer(values[name], name)
    values["stop"] = tuple(_text(text, "stop") for text in _sequence(values.get("stop") or (), "stop"))
    values["exemplars"] = tuple(
        _exemplar(given, number)
        for number, given in enumerate(_sequence(values.get("exemplars") or (), "exemplars"), 1)
    )
    values["sampling"] = _sampling(values.get("sampling") or {})
    for name in ("system", "instruction", "item_format", "exemplar_format"):
        values[name] = values.get(name, "").strip("\n")
    # A completion must not begin after a blank: the next token brings its own.
    values["item_format"] = values["item_format"].rstrip()
    return Prompt(**values)


def prompt_check(prompt: Prompt) -> None:
    """Raises PromptError where the fields do not go together."""
    for check in (_identity_check, _templates_check, _exemplars_check, _numbers_check, _answers_check):
        check(prompt)


def _names_check(mapping: Mapping[str, Any], kind: type, what: str) -> None:
    known = {item.name: item for item in fields(kind)}
    for name in mapping:
        if name not in known:
            raise PromptError(f"{name!r} is no field of {what}; the fields are {', '.join(known)}.")
    for name, item in known.items():
        if name not in mapping and item.default is MISSING and item.default_factory is MISSING:
            raise PromptError(f"The field {name} of {what} is missing.")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise PromptError(f"{where} must be text, and {value!r} is not; put it in quotation marks.")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise PromptError(f"{where} holds a NUL or half of a character, which cannot be sent; take it out.")
    return value


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise PromptError(f"{where} must be a whole number, and {value!r} is not.")
    return value


def _sequence(value: Any, where: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise PromptError(f"{where} must be a list.")
    return value


def _exemplar(given: Any, number: int) -> Exemplar:
    where = f"exemplar {number}"
    if isinstance(given, Exemplar):
        given = vars(given)
    if not isinstance(given, Mapping):
        raise PromptError(f"{where} must have the fields tokens, answer and positive.")
    if not given.get("answer"):
        raise PromptError(f"{where} has no answer; give it the one that the model should have given.")
    _names_check(given, Exemplar, where)
    tokens = _sequence(given["tokens"], f"tokens of {where}")
    if not tokens:
        raise PromptError(f"{where} has no tokens.")
    if not isinstance(given["positive"], bool):
        raise PromptError(f"positive of {where} must be true or false.")
    return Exemplar(
        tokens=tuple(_text(token, f"a token of {where}") for token in tokens),
        answer=_text(given["answer"], f"the answer of {where}").strip(),
        positive=given["positive"],
        label=_text(given.get("label", ""), f"the label of {where}").strip(),
    )


def _sampling(given: Any) -> Sampling:
    if isinstance(given, Sampling):
        given = vars(given)
    if not isinstance(given, Mapping):
        raise PromptError("sampling must have the fields temperature, top_p, seed and n.")
    _names_check(given, Sampling, "sampling")
    values = dict(given)
    for name, low, high in (("temperature", 0.0, 2.0), ("top_p", 0.0, 1.0)):
        value = values.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise PromptError(f"{name} must be a number from {low:g} to {high:g}, and {value!r} is not.")
        values[name] = float(value)
    if values.get("top_p") == 0.0:
        raise PromptError("top_p must be above 0.")
    if values.get("seed") is not None:
        values["seed"] = _integer(values["seed"], "seed")
    values["n"] = _integer(values.get("n", 1), "n")
    return Sampling(**values)


def _identity_check(prompt: Prompt) -> None:
    if not _NAME.fullmatch(prompt.name):
        raise PromptError(
            f"The name {prompt.name!r} must be lower-case letters, digits, '.', '_' and '-', 100 of them at most."
        )
    if not prompt.style.strip():
        raise PromptError("style is empty; say in a word how the prompt asks, such as few-shot-balanced.")
    if prompt.endpoint == "completion" and prompt.system:
        raise PromptError("A completion endpoint has no system message; move the text into instruction.")


def _templates_check(prompt: Prompt) -> None:
    content = _CONTENT[prompt.kind]
    allowed: dict[str, set[str]] = {
        "system": {"exemplars"},
        "instruction": {"exemplars"},
        "item_format": content | {"exemplars"},
        "exemplar_format": content | {"answer"},
    }
    uses: Counter[str] = Counter()
    for name, names in allowed.items():
        found = placeholders(getattr(prompt, name), name)
        for placeholder in found:
            if placeholder not in names:
                listed = ", ".join(f"{{{each}}}" for each in sorted(names))
                raise PromptError(
                    f"{name} has the unknown placeholder {{{placeholder}}}; a {prompt.kind} knows {listed} there."
                )
        needed = content if name == "item_format" else content | {"answer"} if name == "exemplar_format" else set()
        if name == "exemplar_format" and not prompt.exemplars:
            continue
        for placeholder in sorted(needed - set(found)):
            raise PromptError(f"{name} lacks the placeholder {{{placeholder}}}.")
        uses[name] = found.count("exemplars")
    places = uses.total()
    if prompt.exemplars and places != 1:
        where = "is missing: put it into" if places == 0 else "stands more than once: keep it once in"
        raise PromptError(f"The placeholder {{exemplars}} {where} system, instruction or item_format.")
    if not prompt.exemplars and (places or prompt.exemplar_format):
        raise PromptError("There are no exemplars; take {exemplars} and exemplar_format out, or add some.")


def _exemplars_check(prompt: Prompt) -> None:
    count = prompt.exemplar_count
    if count is not None and not 1 <= count <= len(prompt.exemplars):
        raise PromptError(f"exemplar_count is {count}, and there are {len(prompt.exemplars)} exemplars.")
    for number, exemplar in enumerate(prompt.exemplars, 1):
        if prompt.kind in LABELLED and not exemplar.label:
            raise PromptError(f"exemplar {number} has no label for the {prompt.kind} to judge.")
        if prompt.kind == "labeler" and exemplar.label:
            raise PromptError(f"exemplar {number} has a label; a labeler's exemplars say it in their answer.")
        if prompt.kind == "intruder" and exemplar.label:
            raise PromptError(f"exemplar {number} has a label, and an intruder is found without one; take it out.")
        read = parse_text(prompt.kind, prompt.parser, exemplar.answer, items=len(exemplar.tokens))
        if not read.is_parsed:
            raise PromptError(f"The answer of exemplar {number} would be unparsed: {read.reason}.")
        says = read.verdict in ("interpretable", "yes") or bool(read.picks)
        if says != exemplar.positive:
            raise PromptError(
                f"exemplar {number} is marked positive: {str(exemplar.positive).lower()}, "
                f"and its answer is read as {read.verdict.replace('_', ' ')}; one of them is wrong."
            )


def _numbers_check(prompt: Prompt) -> None:
    bounds: list[tuple[str, int, int, int]] = [
        ("max_tokens", prompt.max_tokens, 1, 100_000),
        ("tokens_shown", prompt.tokens_shown, 1, 1000),
        ("n", prompt.sampling.n, 1, 100),
        ("top_logprobs", prompt.top_logprobs, 0, 20),
    ]
    for name, value, low, high in bounds:
        if not low <= value <= high:
            raise PromptError(f"{name} is {value}; it must be from {low} to {high}.")
    if prompt.sampling.n > 1 and prompt.sampling.temperature == 0:
        raise PromptError(
            "n is above 1 at temperature 0, which would ask for the same answer again; raise temperature."
        )
    if len(prompt.stop) > 4 or "" in prompt.stop:
        raise PromptError("stop takes up to four texts, none of them empty.")
    if not prompt.joiner:
        raise PromptError("joiner is empty: the tokens would run into one another.")


def _answers_check(prompt: Prompt) -> None:
    rules: list[tuple[Callable[[Prompt], bool], str]] = [
        (
            lambda it: (it.answer_format == "structured") != (it.parser == "structured"),
            "answer_format and parser must both be structured, or neither of them.",
        ),
        (
            lambda it: it.answer_format == "structured" and it.endpoint == "completion",
            "Structured answers need a chat endpoint.",
        ),
        (
            lambda it: it.kind in LISTED and it.sampling.n > 1,
            "What picks from a list answers once: n must be 1.",
        ),
        (
            lambda it: bool(it.top_logprobs) and it.kind != "verifier",
            "top_logprobs is for verifiers: their yes and no become a confidence.",
        ),
    ]
    for is_wrong, sentence in rules:
        if is_wrong(prompt):
            raise PromptError(sentence)
