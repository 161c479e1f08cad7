"""The form of a prompt version: fields to paste a published prompt into, or the whole of it as YAML."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

from django import forms

from workers.llm.errors import PromptError
from workers.llm.prompts import (
    AnswerFormat,
    Kind,
    Parser,
    Prompt,
    prompt_from_mapping,
    prompt_to_mapping,
    prompt_to_yaml,
    yaml_parse,
    yaml_text,
)
from workers.llm.requests import Endpoint

YAML = "yaml"
LONGEST = 200_000  # characters; far above what a language model reads
TEXTS = ("name", "style", "system", "instruction", "exemplar_format", "item_format", "joiner")
CHOICES = {"kind": Kind, "endpoint": Endpoint, "answer_format": AnswerFormat, "parser": Parser}
INTEGERS = ("exemplar_count", "exemplar_seed", "tokens_shown", "max_tokens", "top_logprobs")
SAMPLING = ("temperature", "top_p", "seed", "n")
# Empty means nothing is asked of the provider, or no number is set; the others must be given.
MAY_BE_EMPTY = ("exemplar_count", "exemplar_seed", "temperature", "top_p", "seed")
LISTS = ("exemplars", "stop")
LINES = {"system": 3, "instruction": 10, "exemplars": 10, "exemplar_format": 4, "item_format": 4, YAML: 32}
LABELS = {
    "system": "System message",
    "item_format": "Item",
    "exemplar_format": "Format of an exemplar",
    "exemplar_count": "Exemplars shown",
    "exemplar_seed": "Seed of their order",
    "tokens_shown": "Tokens shown",
    "joiner": "Between tokens",
    "answer_format": "Answer format",
    "max_tokens": "Most tokens of an answer",
    "top_p": "Top p",
    "n": "Answers a call (n)",
    "stop": "Stop texts",
    "top_logprobs": "Log-probabilities",
    YAML: "The whole version as YAML",
}
HELP = {
    "name": "small letters, digits, '.', '_', '-'; of a name that there is, this becomes the next version",
    "style": "in a word how it asks, such as few-shot-balanced",
    "system": "for chat alone",
    "instruction": "what comes before the item, with {exemplars} where they belong",
    "exemplar_format": "with {tokens} or {list}, {answer}, and {label} where the kind has it, as in the item",
    "item_format": "the readout to be judged: {tokens} or {list}, and {label}; {{ is a brace that is meant as one",
    "exemplars": "YAML: each with tokens, answer, positive: true or false, and a label where the item has one",
    "exemplar_count": "empty: all",
    "exemplar_seed": "empty: as written",
    "stop": 'YAML, such as ["\\n"]',
    "top_logprobs": "for verifiers: 0 to 20",
    "temperature": "empty: the provider's",
    "top_p": "empty: the provider's",
    "seed": "empty: none",
    "n": "the most frequent verdict counts",
}
WORDING = ("system", "instruction", "item_format", "exemplar_format", "exemplars")
NUMBERS = ("parser", "answer_format", "max_tokens", "tokens_shown", "joiner", *SAMPLING, "stop", "exemplar_count",
           "exemplar_seed", "top_logprobs")  # fmt: skip


class PromptForm(forms.Form):
    """Takes whatever is typed; `prompt` says in one sentence what is wrong with it."""

    def __init__(self, *args: Any, as_yaml: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.as_yaml = as_yaml
        for name in (YAML,) if as_yaml else ("name", "kind", "style", "endpoint", *WORDING, *NUMBERS):
            self.fields[name] = self._field(name)

    @staticmethod
    def _field(name: str) -> forms.Field:
        attributes: dict[str, Any] = {"class": "small mono", "autocomplete": "off", "spellcheck": "false"}
        widget: forms.Widget = forms.TextInput(attributes)
        if name in CHOICES:
            words = get_args(CHOICES[name])
            widget = forms.Select({"class": "small"}, choices=[(word, word) for word in words])
        elif name in LINES:
            widget = forms.Textarea(attributes | {"class": "mono", "rows": LINES[name]})
        label = LABELS.get(name, name.capitalize())
        # What is typed is taken as it stands: blanks and line ends of a published prompt belong to it.
        return forms.CharField(label=label, help_text=HELP.get(name, ""), required=False, strip=False, widget=widget)

    @property
    def head(self) -> list[forms.BoundField]:
        return [self[name] for name in ("name", "kind", "style", "endpoint")]

    @property
    def wording(self) -> list[forms.BoundField]:
        return [self[name] for name in WORDING]

    @property
    def numbers(self) -> list[forms.BoundField]:
        return [self[name] for name in NUMBERS]

    def prompt(self) -> Prompt:
        """What was typed as a checked prompt. Raises PromptError, a sentence that names the field."""
        typed = {name: str(self.data.get(name, "")).replace("\r\n", "\n") for name in self.fields}
        if sum(map(len, typed.values())) > LONGEST:
            raise PromptError(f"The prompt is longer than {LONGEST:,} characters.")
        return prompt_from_mapping(_yaml_mapping(typed[YAML]) if self.as_yaml else _mapping(typed))


def typed_of(prompt: Prompt, *, as_yaml: bool) -> dict[str, str]:
    """A prompt as the form's fields hold it."""
    if as_yaml:
        return {YAML: prompt_to_yaml(prompt)}
    mapping = prompt_to_mapping(prompt)
    values = {**mapping, **mapping["sampling"]}
    exemplars = [{name: value for name, value in it.items() if value != ""} for it in mapping["exemplars"]]
    return {
        **{name: values[name] for name in (*TEXTS, *CHOICES)},
        **{name: "" if values[name] is None else f"{values[name]}" for name in (*INTEGERS, *SAMPLING)},
        "exemplars": yaml_text(exemplars) if exemplars else "",
        "stop": json.dumps(mapping["stop"], ensure_ascii=False) if mapping["stop"] else "",  # JSON is YAML on one line
    }


def _yaml_mapping(text: str) -> Mapping[str, Any]:
    mapping = yaml_parse(text, "The text")
    if not isinstance(mapping, dict):
        raise PromptError("The text holds no fields; the ready-made versions show which there are.")
    wrong = next((name for name in mapping if not isinstance(name, str)), None)
    if wrong is not None:
        raise PromptError(f"{wrong!r} is no name of a field.")
    return mapping


def _mapping(typed: Mapping[str, str]) -> dict[str, Any]:
    return {
        **{name: typed[name] for name in (*TEXTS, *CHOICES)},
        **{name: _number(name, typed[name], int) for name in INTEGERS},
        **{name: yaml_parse(typed[name], name) or [] for name in LISTS},
        "sampling": {
            name: _number(name, typed[name], float if name in ("temperature", "top_p") else int) for name in SAMPLING
        },
    }


def _number(name: str, text: str, kind: Callable[[str], float]) -> Any:
    """The number; what is none stays text, which the prompt's own check refuses by name."""
    text = text.strip()
    if not text and name in MAY_BE_EMPTY:
        return None
    try:
        return kind(text)
    except ValueError:
        return text
