"""Answers to verdicts: the post's rule, and everything that is no answer."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.llm.test_prompts import FOLDER, PROMPTS
from workers.llm.parsing import label_of, labeler_parse, parse, parse_text, verifier_parse
from workers.llm.prompts import CHOOSING, prompt_read
from workers.llm.requests import Answer
from workers.llm.schemas import FORMS

RELEASED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "gpt3-labels" / "json_data"


def said(*texts, finish="stop"):
    return Answer(texts=texts, finish_reasons=(finish,) * len(texts))


@pytest.mark.parametrize(
    ("text", "verdict", "label"),
    [
        ("most of these words relate to animals.", "interpretable", "animals"),
        ("Most of these words are prepositions", "interpretable", "prepositions"),
        ("Answer: most of these words are related to  the law.\n", "interpretable", "the law"),
        ("**Answer:** Most of these words are associated with fire.", "interpretable", "fire"),
        ("all of these words have to do with water", "interpretable", "water"),
        ("most of these words are a", "interpretable", "a"),
        ('most of these words are "verbs".', "interpretable", "verbs"),
        ("most of these words", "interpretable", "most of these words"),
        ("these words have no shared semantic meaning.", "not_interpretable", ""),
        ("These words have no semantic meaning", "not_interpretable", ""),
        ("There is no shared semantic meaning", "not_interpretable", ""),
        ("most of these words have no shared semantic meaning, but some are verbs", "not_interpretable", ""),
        ("animals", "unparsed", ""),
        ("I cannot say.", "unparsed", ""),
        ("", "unparsed", ""),
        ("   \n", "unparsed", ""),
    ],
)
def test_the_posts_rule(text, verdict, label):
    read = parse_text("labeler", "whole", text)
    assert (read.verdict, read.label) == (verdict, label)
    assert bool(read.reason) == (verdict == "unparsed")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("yes", "yes"),
        (" Yes.", "yes"),
        ("NO", "no"),
        ("no, they are not nouns", "no"),
        ('"yes"', "yes"),
        ("**No**", "no"),
        ("Answer: yes", "yes"),
        ("yes and no", "unparsed"),
        ("yes/no", "unparsed"),
        ("Yes or no?", "unparsed"),
        ("yesterday", "unparsed"),
        ("nouns", "unparsed"),
        ("no shared semantic meaning", "unparsed"),
        ("a group \nanswer", "unparsed"),
        ("maybe", "unparsed"),
        ("", "unparsed"),
    ],
)
def test_verifiers(text, verdict):
    assert parse_text("verifier", "whole", text).verdict == verdict


@pytest.mark.parametrize(
    ("text", "picks"),
    [
        ("1, 3", (0, 2)),
        ("3,1,3.", (0, 2)),
        ("1 and 4", (0, 3)),
        ("- 2\n- 4", (1, 3)),
        ("[1, 2]", (0, 1)),
        ("Numbers: 1", None),
        ("none", ()),
        ("None.", ()),
        ("5", None),
        ("0", None),
        ("dog, cat", None),
        ("1, dog", None),
        ("-", None),
        ("", None),
        ("99999999999999999999", None),
    ],
)
def test_detectors(text, picks):
    read = parse_text("detector", "whole", text, items=4)
    assert (read.verdict, read.picks) == (("unparsed", ()) if picks is None else ("picked", picks))


@pytest.mark.parametrize(
    ("text", "pick"),
    [
        ("4", 3),
        ("4.", 3),
        (" **4**\n", 3),
        ("4. farm", 3),
        ("Number: 2", 1),
        ("Answer: item 6", 5),
        ("No. 3", 2),
        ("1. 1984, the year", 0),
        ("5 because the others are animals", 4),
        ("0", None),
        ("7", None),
        ("3 or 4", None),
        ("3, 4", None),
        ("3/4", None),
        ("farm", None),
        ("the farm is number 4", None),
        ("none", None),
        ("", None),
        ("99999999999", None),
    ],
)
def test_a_choice_is_one_number(text, pick):
    for kind in CHOOSING:
        read = parse_text(kind, "whole", text, items=6)
        assert (read.verdict, read.picks) == (("unparsed", ()) if pick is None else ("picked", (pick,)))
        assert bool(read.reason) == (pick is None)


def test_chain_of_thought_counts_the_last_line():
    text = "Some of these words are verbs.\nNot most.\n\nAnswer: these words have no shared semantic meaning.\n\n"
    assert parse_text("labeler", "last_line", text).verdict == "not_interpretable"
    assert parse_text("labeler", "first_line", text).verdict == "interpretable"
    assert parse_text("verifier", "last_line", "It fits.\n**Answer: yes**").verdict == "yes"
    assert parse_text("verifier", "whole", "<think>no, or\nyes?</think>\nyes").verdict == "yes"
    assert parse_text("verifier", "whole", "<think>no, or\nyes").verdict == "unparsed"


@pytest.mark.parametrize(
    ("kind", "text", "verdict"),
    [
        ("labeler", '{"interpretable": true, "label": " the law. "}', "interpretable"),
        ("labeler", '{"interpretable": false, "label": ""}', "not_interpretable"),
        ("labeler", '{"interpretable": true, "label": " "}', "unparsed"),
        ("labeler", '{"interpretable": "yes", "label": "a"}', "unparsed"),
        ("labeler", '{"interpretable": true}', "unparsed"),
        ("labeler", '{"interpretable": true, "label": "a", "b": 1}', "unparsed"),
        ("labeler", '{"interpretable": tr', "unparsed"),
        ("labeler", "most of these words relate to animals", "unparsed"),
        ("verifier", '{"fits": true}', "yes"),
        ("verifier", '{"fits": false}', "no"),
        ("verifier", '{"fits": 1}', "unparsed"),
        ("verifier", "[]", "unparsed"),
        ("detector", '{"numbers": [1, 4]}', "picked"),
        ("detector", '{"numbers": []}', "picked"),
        ("detector", '{"numbers": [5]}', "unparsed"),
        ("detector", '{"numbers": [-1]}', "unparsed"),
        ("detector", '{"numbers": ["1"]}', "unparsed"),
        ("intruder", '{"number": 4}', "picked"),
        ("intruder", '{"number": 0}', "unparsed"),
        ("matcher", '{"number": 5}', "unparsed"),
        ("matcher", '{"number": "1"}', "unparsed"),
    ],
)
def test_structured_answers(kind, text, verdict):
    read = parse_text(kind, "structured", text, items=4)
    assert read.verdict == verdict
    assert bool(read.reason) == (verdict == "unparsed") and "\n" not in read.reason


def test_a_structured_label_becomes_a_sentence_for_the_verifier():
    read = parse_text("labeler", "structured", '{"interpretable": true, "label": " the law. "}')
    assert (read.label, read.statement) == ("the law", "most of these words are the law")
    read = parse_text("labeler", "structured", '{"interpretable": false, "label": ""}')
    assert read.statement == "these words have no shared semantic meaning"


def test_a_form_never_changes_under_its_name():
    """A form's name is in the requests' hashes: another form needs another name."""
    shapes = {
        name: {field: part["type"] for field, part in form.model_json_schema()["properties"].items()}
        for name, form in FORMS.items()
    }
    assert shapes == {
        "labeler-1": {"interpretable": "boolean", "label": "string"},
        "verifier-1": {"fits": "boolean"},
        "detector-1": {"numbers": "array"},
        "intruder-1": {"number": "integer"},
        "matcher-1": {"number": "integer"},
    }


labeler = prompt_read(FOLDER / "labeler-few-shot-negative.yaml")
best = prompt_read(FOLDER / "labeler-best-of-5-chat.yaml")
YES, OTHER, NONE = "most of these words are verbs", "most of these words are nouns", "no shared semantic meaning"


def test_a_cut_answer_is_unparsed():
    read = parse(labeler, said("most of these words are derogatory terms for groups of", finish="length"))
    assert read.verdict == "unparsed" and "64 tokens" in read.reason
    assert parse(labeler, said("most of these", finish="content_filter")).verdict == "unparsed"
    assert parse(labeler, said("most of these words are verbs", finish="")).verdict == "interpretable"


def test_best_of_n():
    assert parse(best, said(YES, OTHER, OTHER, NONE, NONE)).label == "nouns"
    assert parse(best, said(YES, OTHER, NONE, NONE, NONE)).verdict == "not_interpretable"
    tie = parse(best, said(YES, OTHER, NONE, NONE, "what?"))
    assert tie.verdict == "unparsed" and "tie" in tie.reason
    assert parse(best, said("what?", "what?", "what?", YES, NONE)).verdict == "unparsed"
    assert parse(best, said(YES, OTHER, NONE)).label == "verbs"  # equally frequent: the first
    cut = Answer(texts=(YES, YES, NONE), finish_reasons=("length", "length", "stop"))
    assert parse(best, cut).verdict == "unparsed"


@given(st.text(max_size=200), st.sampled_from(PROMPTS), st.sampled_from(["stop", "length", ""]), st.integers(0, 30))
def test_any_text_is_a_verdict_or_unparsed_with_a_reason(text, prompt, finish, items):
    read = parse(replace(prompt), said(text, finish=finish), items=items)
    known = {
        "labeler": {"interpretable", "not_interpretable"},
        "verifier": {"yes", "no"},
    }.get(prompt.kind, {"picked"})
    assert read.verdict in known | {"unparsed"}
    assert (read.verdict == "unparsed") == bool(read.reason)
    assert all(0 <= pick < items for pick in read.picks)
    assert prompt.kind not in CHOOSING or len(read.picks) == read.is_parsed
    assert read.label.isprintable() and read.statement.isprintable()
    assert bool(read.label) == (read.verdict == "interpretable")


@given(st.text(st.characters(categories=["L", "Nd", "Zs"]), min_size=1, max_size=30).filter(str.strip))
def test_a_label_comes_out_of_its_sentence(label):
    """Whatever names the direction after the verb is the label, unless it begins with such a verb itself."""
    label = " ".join(label.split())
    if label_of(f"these words {label}") == label:
        assert labeler_parse(f"most of these words relate to {label}.").label == label


def test_the_released_answers():
    """The verdicts behind the post's figures (KNOWN_ANSWERS.md): four cells, and one unparsed verification."""
    if not RELEASED.is_dir():
        pytest.skip(f"the released labels are not there: {RELEASED}")
    cells: Counter[tuple[str, str]] = Counter()
    for path in RELEASED.glob("*.json"):
        for layer in json.loads(path.read_text()).values():
            for row in layer.values():
                pair = labeler_parse(row["response"]).verdict, verifier_parse(row["verifier_response"]).verdict
                cells[pair] += 1
    assert cells == {
        ("interpretable", "yes"): 2523,
        ("interpretable", "no"): 1114,
        ("interpretable", "unparsed"): 1,
        ("not_interpretable", "yes"): 519,
        ("not_interpretable", "no"): 163,
    }
