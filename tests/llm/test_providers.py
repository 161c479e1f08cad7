"""Providers from the environment, recorded answers, and requests as data."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
from dataclasses import replace

import pytest

from tests.llm.conftest import chat, completion
from workers.llm.client import client_open
from workers.llm.errors import CallError, ProviderError
from workers.llm.providers import OPENAI_URL, ProviderConfig, llm_parse, providers
from workers.llm.replay import record_line
from workers.llm.requests import Answer, answer_from_mapping, request_from_mapping, yes_no_confidence


def test_nothing_set_is_no_provider():
    assert providers({"PATH": "/bin", "TEALEAVES_LLM_LOCAL_URL": " "}) == {}


def test_openai():
    (config,) = providers({"OPENAI_API_KEY": "sk-1"}).values()
    assert (config.name, config.base_url, config.key, config.is_openai) == ("openai", OPENAI_URL, "sk-1", True)
    assert config.logprobs and config.requests_per_minute is None
    elsewhere = providers({"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "https://proxy.example/v1/"})["openai"]
    assert elsewhere.identity == "https://proxy.example/v1" and not elsewhere.is_openai
    limited = providers({"OPENAI_API_KEY": "sk-1", "TEALEAVES_LLM_OPENAI_RPM": "500"})["openai"]
    assert limited.requests_per_minute == 500


def test_several_side_by_side():
    known = providers(
        {
            "OPENAI_API_KEY": "sk-1",
            "TEALEAVES_LLM_MY_BOX_URL": "http://box:8000/v1",
            "TEALEAVES_LLM_MY_BOX_KEY": "k",
            "TEALEAVES_LLM_MY_BOX_RPM": "60",
            "TEALEAVES_LLM_MY_BOX_TPM": "90000",
            "TEALEAVES_LLM_MY_BOX_IN_FLIGHT": "64",
            "TEALEAVES_LLM_MY_BOX_TIMEOUT": "2.5",
            "TEALEAVES_LLM_MY_BOX_LOGPROBS": "yes",
            "TEALEAVES_LLM_OLLAMA_URL": "http://127.0.0.1:11434/v1/",
            "TEALEAVES_LLM_REPLAY_FILE": "/data/answers.jsonl",
        }
    )
    assert list(known) == ["my_box", "ollama", "openai", "replay"]
    box = known["my_box"]
    assert (box.requests_per_minute, box.tokens_per_minute, box.in_flight, box.timeout) == (60, 90000, 64, 2.5)
    assert box.logprobs and not known["ollama"].logprobs and known["ollama"].base_url == "http://127.0.0.1:11434/v1"
    assert known["replay"].kind == "replay" and known["replay"].identity == "replay"
    assert llm_parse("MY_BOX:org/model:7b", known) == (box, "org/model:7b")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"TEALEAVES_LLM_BOX_KEY": "secret"}, "TEALEAVES_LLM_BOX_URL"),
        ({"TEALEAVES_LLM_BOX_URL": "http://b/v1", "TEALEAVES_LLM_BOX_FILE": "/x"}, "both are set"),
        ({"TEALEAVES_LLM_BOX_URL": "box:8000"}, "must look like"),
        ({"TEALEAVES_LLM_BOX_URL": "http://b:99999999/v1"}, "must look like"),
        ({"TEALEAVES_LLM_BOX_URL": "http://me:secret@b/v1"}, "more than host and path"),
        ({"TEALEAVES_LLM_BOX_URL": "http://b/v1?key=secret"}, "more than host and path"),
        ({"TEALEAVES_LLM_BOX_URL": "http://b/v1", "TEALEAVES_LLM_BOX_RPM": "0"}, "above 0"),
        ({"TEALEAVES_LLM_BOX_URL": "http://b/v1", "TEALEAVES_LLM_BOX_TPM": "many"}, "whole number"),
        ({"TEALEAVES_LLM_BOX_URL": "http://b/v1", "TEALEAVES_LLM_BOX_TIMEOUT": "nan"}, "seconds"),
        ({"TEALEAVES_LLM_BOX_URL": "http://b/v1", "TEALEAVES_LLM_BOX_LOGPROBS": "maybe"}, "yes or no"),
        ({"TEALEAVES_LLM_BOX_ADDRESS": "http://b/v1"}, "TEALEAVES_LLM_BOX_ADDRESS is unknown"),
        ({"TEALEAVES_LLM_URL": "http://b/v1"}, "is unknown"),
    ],
)
def test_refused_with_one_sentence(environ, says):
    with pytest.raises(ProviderError, match=says) as caught:
        providers(environ)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["gpt-4.1", "openai:", ":gpt-4.1", "", "nobody:gpt-4.1"])
def test_a_language_model_that_is_not_there(text):
    with pytest.raises(ProviderError):
        llm_parse(text, providers({"OPENAI_API_KEY": "sk-1"}))
    with pytest.raises(ProviderError):
        llm_parse(text, {})


def test_the_key_is_not_shown():
    config = ProviderConfig("a", base_url="http://b/v1", key="secret")
    assert "secret" not in repr(config) + str(config)


def test_a_hash_is_of_everything_that_makes_the_call():
    one = chat("words", temperature=0.0, seed=1)
    assert one.hash == chat("words", seed=1, temperature=0.0).hash and len(one.hash) == 64
    others = [
        chat("words!", temperature=0.0, seed=1),
        chat("words", temperature=0.0, seed=2),
        chat("words", temperature=0.0),
        replace(one, model="m2"),
        replace(one, identity="http://other/v1"),
        replace(one, schema="labeler-1"),
        completion("words", temperature=0.0, seed=1),
    ]
    assert len({request.hash for request in [one, *others]}) == 8
    assert request_from_mapping(json.loads(json.dumps(one.to_mapping()))) == one
    assert pickle.loads(pickle.dumps(one)).hash == one.hash
    # What a database holds must be found again.
    assert one.hash == "b865eee391fd7fc08ceff2cd19a59188e8e204d74d71c568f345d8b214a03964"


def test_an_answer_and_back():
    answer = Answer(("a", "b"), ("stop", "length"), 3, 4, 0.5, "m", ((("Yes", -0.1), ("No", -2.0)),))
    assert answer_from_mapping(json.loads(json.dumps(answer.to_mapping()))) == answer


@pytest.mark.parametrize(
    ("positions", "confidence"),
    [
        ((), None),
        ((((" Yes", math.log(0.6)), ("No", math.log(0.2)), ("Maybe", math.log(0.2))),), 0.75),
        ((((" yes", math.log(0.3)), ("Yes", math.log(0.3)), ("no", math.log(0.2))),), 0.75),
        ((((" yes", math.log(0.5)), (" yes", math.log(0.5)), ("no", math.log(0.5))),), 0.5),
        (((("Answer", -0.1), ("yes", -1.0)), ((":", 0.0),), ((" no", math.log(0.9)), (" yes", math.log(0.1)))), 0.1),
        (((("no", -9999.0),),), None),
        (((("maybe", -0.1), ("yes", -3.0)),), None),
    ],
)
def test_confidence(positions, confidence):
    answer = Answer(("x",), ("stop",), top_logprobs=positions)
    expected = confidence if confidence is None else pytest.approx(confidence)
    assert yes_no_confidence(answer) == expected


def calls(path, *requests):
    async def act():
        provider = client_open(ProviderConfig("replay", "replay", path=str(path)))
        said = []
        for request in requests:
            try:
                said.append((await provider.call(request)).text)
            except CallError as error:
                said.append(error.kind)
        await provider.close()
        return said

    return asyncio.run(act())


def test_recorded_answers(tmp_path):
    """Found by the request, whoever answered it then; else by its text; several are given in turn."""
    path = tmp_path / "answers.jsonl"
    recorded = replace(chat("one"), identity="https://api.example/v1")
    lines = [
        record_line(recorded, Answer(("first",), ("stop",))),
        json.dumps({"prompt": "two", "answer": "by its text"}),
        json.dumps({"prompt": "three", "answer": "x"}),
        json.dumps({"prompt": "three", "answer": "y"}),
    ]
    path.write_text("\n".join(lines) + "\n\n")
    asked = [replace(chat("one"), identity="replay"), completion("two"), *[completion("three")] * 3, completion("four")]
    assert calls(path, *asked) == ["first", "by its text", "x", "y", "x", "refused"]


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", '{"prompt": "a"}', '{"prompt": "a", "answer": {}}', '{"answer": "a"}']
)
def test_a_file_that_holds_no_answers(tmp_path, line):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"prompt": "a", "answer": "b"}\n' + line)
    with pytest.raises(ProviderError, match="Line 2 of"):
        calls(path)
    with pytest.raises(ProviderError, match="cannot be read"):
        calls(tmp_path / "none")
