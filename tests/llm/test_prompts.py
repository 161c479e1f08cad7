"""Prompt versions: what is accepted, what is refused and how, and the versions that come with the project."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workers.llm.errors import PromptError
from workers.llm.parsing import parse_text
from workers.llm.prompts import prompt_from_mapping, prompt_read, prompt_to_mapping, prompts_read
from workers.llm.rendering import render

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "prompts"
PROMPTS = prompts_read(FOLDER)
LABELER = {
    "name": "mine",
    "kind": "labeler",
    "style": "few-shot",
    "endpoint": "chat",
    "instruction": "What is it?\n\n{exemplars}",
    "exemplar_format": "{tokens}\nAnswer: {answer}",
    "item_format": "{tokens}\nAnswer:",
    "exemplars": [
        {"tokens": ["dog", "cat"], "answer": "most of these words relate to animals.", "positive": True},
        {"tokens": ["ded", "oug"], "answer": "these words have no shared semantic meaning", "positive": False},
    ],
}
VERIFIER = {
    "name": "mine",
    "kind": "verifier",
    "style": "zero-shot",
    "endpoint": "completion",
    "instruction": "Does it fit?",
    "item_format": "{tokens}: {label}?",
}


def changed(mapping, **changes):
    result = copy.deepcopy(mapping)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = result
        for parent in parents:
            place = place[int(parent) if parent.isdigit() else parent]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return result


def test_a_prompt_and_back():
    prompt = prompt_from_mapping(LABELER)
    mapping = prompt_to_mapping(prompt)
    assert prompt_from_mapping(json.loads(json.dumps(mapping))) == prompt
    assert prompt.exemplars[0].positive and prompt.sampling.temperature == 0.0


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        (changed(LABELER, item_format="{tokens} {word}"), "unknown placeholder {word}"),
        (changed(LABELER, item_format="{tokens} {label}"), "unknown placeholder {label}"),
        (changed(LABELER, item_format="{tokens} {}"), "unknown placeholder {}"),
        (changed(LABELER, instruction="{tokens} {exemplars}"), "unknown placeholder {tokens}"),
        (changed(LABELER, item_format="Answer:"), "item_format lacks the placeholder {tokens}"),
        (changed(LABELER, exemplar_format="{tokens}"), "exemplar_format lacks the placeholder {answer}"),
        (changed(LABELER, instruction="What is it?"), "{exemplars} is missing"),
        (changed(LABELER, system="{exemplars}"), "{exemplars} stands more than once"),
        (changed(LABELER, exemplars=[]), "There are no exemplars"),
        (changed(LABELER, item_format="{tokens} { Answer:"), "single {; write {{"),
        (changed(LABELER, item_format="{tokens} } Answer:"), "single }; write }}"),
        (changed(LABELER, exemplars__0__answer=None), "exemplar 1 has no answer"),
        (changed(LABELER, exemplars__1__answer=""), "exemplar 2 has no answer"),
        (changed(LABELER, exemplars__1__answer="nothing"), "The answer of exemplar 2 would be unparsed"),
        (changed(LABELER, exemplars__1__positive=True), "exemplar 2 is marked positive: true"),
        (changed(LABELER, exemplars__1__positive="no"), "positive of exemplar 2 must be true or false"),
        (changed(LABELER, exemplars__0__tokens=["dog", False]), "put it in quotation marks"),
        (changed(LABELER, exemplars__0__tokens=[]), "exemplar 1 has no tokens"),
        (changed(LABELER, exemplars__0__tokens="dog, cat"), "must be a list"),
        (changed(LABELER, exemplars__0__label="animals"), "exemplar 1 has a label"),
        (changed(LABELER, exemplars__0__tone="warm"), "'tone' is no field of exemplar 1"),
        (changed(LABELER, max_tokens=0), "max_tokens is 0; it must be from 1"),
        (changed(LABELER, max_tokens=True), "must be a whole number"),
        (changed(LABELER, max_tokens="64"), "must be a whole number"),
        (changed(LABELER, tokens_shown=0), "tokens_shown is 0"),
        (changed(LABELER, exemplar_count=3), "there are 2 exemplars"),
        (changed(LABELER, exemplar_count=0), "exemplar_count is 0"),
        (changed(LABELER, sampling={"n": 5}), "n is above 1 at temperature 0"),
        (changed(LABELER, sampling={"n": 0}), "n is 0"),
        (changed(LABELER, sampling={"temperature": 3}), "temperature must be a number from 0 to 2"),
        (changed(LABELER, sampling={"temperature": float("nan")}), "temperature must be a number"),
        (changed(LABELER, sampling={"top_p": 0}), "top_p must be above 0"),
        (changed(LABELER, sampling={"heat": 1}), "'heat' is no field of sampling"),
        (changed(LABELER, sampling=[1]), "sampling must have the fields"),
        (changed(LABELER, kind="judge"), "kind is 'judge'; it must be one of labeler, verifier, detector"),
        (changed(LABELER, kind=[]), "kind is []"),
        (changed(LABELER, parser="regex"), "parser is 'regex'"),
        (changed(LABELER, answer_format="structured"), "must both be structured"),
        (changed(LABELER, endpoint="completion", system="Be brief."), "no system message"),
        (changed(LABELER, name="Mine!"), "lower-case letters"),
        (changed(LABELER, name=7), "name must be text"),
        (changed(LABELER, style=" "), "style is empty"),
        (changed(LABELER, joiner=""), "joiner is empty"),
        (changed(LABELER, stop=["a", ""]), "stop takes up to four texts"),
        (changed(LABELER, stop="a"), "stop must be a list"),
        (changed(LABELER, top_logprobs=3), "top_logprobs is for verifiers"),
        (changed(LABELER, instruction="a\0 {exemplars}"), "holds a NUL"),
        (changed(LABELER, instruction=None), "The field instruction of a prompt is missing"),
        (changed(LABELER, promt="x"), "'promt' is no field of a prompt"),
        (changed(VERIFIER, item_format="{tokens}"), "lacks the placeholder {label}"),
        (changed(VERIFIER, answer_format="structured", parser="structured"), "need a chat endpoint"),
        (
            changed(
                VERIFIER,
                instruction="{exemplars}",
                exemplar_format="{tokens} {label} {answer}",
                exemplars=[{"tokens": ["a"], "answer": "yes", "positive": True}],
            ),
            "exemplar 1 has no label",
        ),
        (changed(VERIFIER, kind="detector"), "unknown placeholder {tokens}"),
    ],
)
def test_refused_with_one_sentence(mapping, says):
    with pytest.raises(PromptError) as caught:
        prompt_from_mapping(mapping)
    sentence = str(caught.value)
    assert says in sentence
    assert sentence.endswith(".") and "\n" not in sentence


def test_the_digest_is_of_what_is_asked():
    one = prompt_from_mapping(LABELER)
    assert one.digest == prompt_from_mapping(changed(LABELER, name="yours")).digest
    assert len(one.digest) == 64
    for change in ({"max_tokens": 65}, {"style": "other"}, {"exemplars__0__tokens": ["dog", "cow"]}, {"joiner": " "}):
        assert prompt_from_mapping(changed(LABELER, **change)).digest != one.digest
    # A version that is in a database must find itself again.
    assert one.digest == "10dec5e676491a199f835423ff6a37c2918c41af66a3d30981328da9a788b364"


def test_literal_braces():
    prompt = prompt_from_mapping(changed(LABELER, instruction='Like {{"a": 1}}.\n{exemplars}'))
    assert 'Like {"a": 1}.' in render(prompt, tokens=["x"]).messages[-1].content


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.name)
def test_the_versions_that_come_with_the_project(prompt):
    rendered = render(prompt, tokens=[" dog", "cat"], label="most of these words relate to animals.")
    text = rendered.text or "".join(message.content for message in rendered.messages)
    assert "dog" in text and "{" not in text
    assert prompt_from_mapping(prompt_to_mapping(prompt)) == prompt
    if prompt.answer_format == "text" and prompt.kind == "labeler":
        # What the prompt asks for is what the parser reads.
        assert "these words have no shared semantic meaning" in text
    # "yes" and a longer reasoning fit; so does the longest label of the few-shot exemplars.
    assert prompt.max_tokens >= (64 if prompt.kind == "labeler" else 8)


def test_the_styles_of_the_post_are_there():
    labelers = {(prompt.style, prompt.endpoint) for prompt in PROMPTS if prompt.kind == "labeler"}
    styles = ["zero-shot", "few-shot-mostly-negative", "few-shot-balanced", "chain-of-thought", "best-of-n"]
    assert {(style, endpoint) for style in styles for endpoint in ("chat", "completion")} <= labelers
    assert {prompt.kind for prompt in PROMPTS if prompt.answer_format == "structured"} == {
        "labeler",
        "verifier",
        "detector",
    }
    mostly_negative = next(prompt for prompt in PROMPTS if prompt.name == "labeler-few-shot-negative")
    assert [exemplar.positive for exemplar in mostly_negative.exemplars].count(False) == 4
    for prompt in PROMPTS:
        if prompt.style == "few-shot-balanced":
            assert sum(2 * exemplar.positive - 1 for exemplar in prompt.exemplars) == 0


def test_files(tmp_path):
    path = tmp_path / "of-the-file.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in LABELER.items() if key != "name"}))
    assert prompt_read(path).name == "of-the-file"
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**LABELER, "name": "of-the-file"}))
    with pytest.raises(PromptError, match="Two files"):
        prompts_read(tmp_path)
    for content, says in [
        (b"kind: [", "is not YAML"),
        (b"- a\n", "holds no fields"),
        (b"\xff\xfe", "not UTF-8"),
        (b"kind: labeler\n", "bad.yaml: The field style"),
        (b"kind: !!python/object/apply:os.system [ls]\n", "is not YAML"),
    ]:
        bad = tmp_path / "bad.yaml"
        bad.write_bytes(content)
        with pytest.raises(PromptError, match=says) as caught:
            prompt_read(bad)
        assert "\n" not in str(caught.value)
    with pytest.raises(PromptError, match="cannot be read"):
        prompt_read(tmp_path / "none.yaml")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*prompt_to_mapping(PROMPTS[0]), "other"]), anything, max_size=4))
def test_any_mapping_is_a_prompt_or_a_sentence(changes):
    try:
        prompt = prompt_from_mapping({**LABELER, **changes})
    except PromptError as error:
        assert str(error)
    else:
        assert prompt_from_mapping(prompt_to_mapping(prompt)) == prompt


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.name)
def test_an_exemplars_answer_is_read_as_what_it_is(prompt):
    for exemplar in prompt.exemplars:
        read = parse_text(prompt.kind, prompt.parser, exemplar.answer, items=len(exemplar.tokens))
        assert (read.verdict in ("interpretable", "yes", "picked")) == exemplar.positive


def test_choosers_are_shown_a_list_whole_and_an_intruder_gets_no_label():
    intruder, matcher = (
        next(it for it in PROMPTS if it.name == f"{kind}-few-shot") for kind in ("intruder", "matcher")
    )
    shown = render(intruder, tokens=[f" word{n}" for n in range(30)])
    assert shown.text.endswith("29. word28\n30. word29\nNumber:") and shown.order == tuple(range(30))
    with pytest.raises(PromptError, match="needs a label"):
        render(matcher, tokens=["a, b", "c, d"])
    assert (
        "Interpretation: pets\n1. a, b\n2. c, d\nNumber:" in render(matcher, tokens=["a, b", "c, d"], label="pets").text
    )
    for wrong, says in (
        ({"label": "animals", "tokens": ["a", "b"], "answer": "1", "positive": True}, "found without one"),
        ({"tokens": ["a", "b"], "answer": "3", "positive": True}, "would be unparsed"),
    ):
        with pytest.raises(PromptError, match=says):
            prompt_from_mapping({**prompt_to_mapping(intruder), "exemplars": [wrong]})
