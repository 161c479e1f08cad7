"""Every way in which a server can misbehave, met by the real openai client over real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from tests.llm.conftest import KEY, chat, completion
from workers.llm.client import answer_read, client_open, retry_after_seconds
from workers.llm.errors import CallError
from workers.llm.requests import yes_no_confidence


@pytest.mark.parametrize("make", [chat, completion])
def test_an_answer(server, ask, make):
    answer = ask(make("What do most of these words have in common?", temperature=0.0, seed=3))
    assert answer.text == "most of these words relate to animals."
    assert answer.finish_reason == "stop" and answer.provider_model == "m-2026"
    assert answer.prompt_tokens == 11 and answer.completion_tokens == 10
    assert 0 < answer.latency < 20
    (seen,) = server.requests()
    assert seen["body"].items() >= {"model": "m", "max_tokens": 16, "temperature": 0.0, "seed": 3}.items()
    assert seen["headers"]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("behaviour", "kind", "transient", "billed", "says"),
    [
        ({"do": "rate_limit", "retry_after": "7"}, "rate_limited", True, False, "fewer calls"),
        ({"do": "rate_limit"}, "rate_limited", True, False, "Too many requests"),
        ({"do": "quota"}, "refused", False, False, "no money left"),
        ({"do": "status", "status": 500}, "server_error", True, False, "(500)"),
        ({"do": "status", "status": 503, "retry_after": "2"}, "server_error", True, False, "(503)"),
        ({"do": "status", "status": 504}, "server_error", True, True, "(504)"),
        (
            {"do": "status", "status": 400, "body": {"detail": "no such model"}},
            "refused",
            False,
            False,
            "no such model",
        ),
        ({"do": "status", "status": 401}, "refused", False, False, "(401)"),
        ({"do": "status", "status": 403, "body": "go away"}, "refused", False, False, "go away"),
        ({"do": "status", "status": 404}, "refused", False, False, "(404)"),
        ({"do": "cut"}, "disconnected", True, True, "cut the connection"),
        ({"do": "cut_body"}, "disconnected", True, True, "cut the connection"),
        ({"do": "half_json"}, "bad_answer", True, True, "not whole JSON"),
        ({"do": "not_json"}, "bad_answer", True, True, "not whole JSON"),
        ({"do": "wrong_schema"}, "bad_answer", True, True, "form of the protocol"),
        ({"do": "wrong_schema", "body": []}, "bad_answer", True, True, "form of the protocol"),
        ({"do": "wrong_schema", "body": {"choices": []}}, "bad_answer", False, True, "0 of the 1"),
        ({"do": "wrong_schema", "body": {"choices": "none"}}, "bad_answer", True, True, "form of the protocol"),
        ({"do": "wrong_schema", "body": {"choices": [{"message": {"content": 7}}]}}, "bad_answer", True, True, "form"),
        ({"do": "empty"}, "empty", True, True, "empty"),
    ],
)
def test_misbehaviour(server, ask, behaviour, kind, transient, billed, says):
    server.tell(default=behaviour)
    with pytest.raises(CallError) as caught:
        ask(chat())
    error = caught.value
    assert (error.kind, error.is_transient, error.may_be_billed) == (kind, transient, billed)
    assert says in error.message and "\n" not in error.message and error.message.endswith(".")
    assert error.retry_after == (float(behaviour["retry_after"]) if "retry_after" in behaviour else None)
    # The client's own retries are off: one call is one request.
    assert server.seen()["counts"]["asked"] == 1


@pytest.mark.parametrize(
    "behaviour", [{"do": "hang"}, {"do": "slow", "seconds": 60}, {"do": "trickle", "seconds": 0.1}]
)
def test_a_call_is_bounded_as_a_whole(server, ask, config, behaviour):
    server.tell(default=behaviour)
    started = time.monotonic()
    with pytest.raises(CallError) as caught:
        ask(chat(), replace(config, timeout=0.5))
    assert (caught.value.kind, caught.value.may_be_billed, caught.value.is_transient) == ("timed_out", True, True)
    assert "0.5 seconds" in caught.value.message
    assert time.monotonic() - started < 15


def test_nobody_listens(ask, config):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connecting is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(CallError) as caught:
            ask(chat(), replace(config, base_url=url))
    error = caught.value
    assert (error.kind, error.is_transient, error.may_be_billed) == ("disconnected", True, False)
    assert "cannot be reached" in error.message


def test_a_connection_that_was_cut_is_not_used_again(server, config):
    server.tell(plan=[{"do": "cut"}, {"do": "cut_body"}, {"do": "ok"}])

    async def three():
        provider = client_open(config)
        said = []
        for _ in range(3):
            try:
                said.append((await provider.call(chat())).text)
            except CallError as error:
                said.append(error.kind)
        await provider.close()
        return said

    assert asyncio.run(three()) == ["disconnected", "disconnected", "most of these words relate to animals."]


def test_the_key_is_never_shown(server, ask, config, caplog):
    server.tell(default={"do": "echo_key"})
    with caplog.at_level(logging.DEBUG), pytest.raises(CallError) as caught:
        ask(chat())
    assert "Bearer [key]" in caught.value.message
    assert KEY not in repr(config) + str(config) + caught.value.message + caplog.text


def test_openais_account_goes_to_openai_alone(server, ask, config, monkeypatch):
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "secret-of-openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    ask(chat(), replace(config, key=""))
    ask(completion(), replace(config, key=""))
    assert "secret-of-openai" not in str(server.requests())
    assert len(server.requests()) == 2


def test_an_empty_answer_is_not_paid_for_again_at_temperature_0(server, ask):
    server.tell(default={"do": "empty"})
    with pytest.raises(CallError) as caught:
        ask(chat(temperature=0.0))
    assert caught.value.kind == "empty" and caught.value.may_be_billed and not caught.value.is_transient


def test_a_cut_answer_is_an_answer(server, ask):
    server.tell(plan=[{"do": "ok", "text": "most of these words are derogatory terms for", "finish": "length"}])
    assert ask(chat()).finish_reason == "length"
    server.tell(plan=[{"do": "ok", "text": "", "finish": "length"}])  # all of it went into reasoning
    assert ask(chat()).text == ""


def test_several_answers(server, ask):
    server.tell(plan=[{"do": "ok", "texts": ["a", "b", "c"]}, {"do": "ok", "texts": ["a"]}])
    assert ask(chat(n=3)).texts == ("a", "b", "c")
    with pytest.raises(CallError, match="1 of the 3 answers") as caught:  # a server that does not know n
        ask(chat(n=3))
    assert not caught.value.is_transient and caught.value.may_be_billed


def test_a_server_that_does_not_count(server, ask):
    server.tell(default={"do": "ok", "usage": False})
    answer = ask(chat())
    assert answer.prompt_tokens is None and answer.completion_tokens is None


@pytest.mark.parametrize("request_", [chat("x", logprobs=True, top_logprobs=5), completion("x", logprobs=5)])
def test_log_probabilities_become_a_confidence(server, ask, request_):
    server.tell(default={"do": "ok", "text": "no"})
    assert yes_no_confidence(ask(request_)) == pytest.approx(0.25)
    server.tell(default={"do": "ok", "text": "Yes"})
    assert ask(request_).top_logprobs[0][0][0] == "Yes"


def test_structured_output(server, ask):
    request = replace(chat("Words: dog, cat"), schema="labeler-1")
    assert ask(request).text == '{"interpretable": true, "label": "animals"}'
    form = server.requests()[-1]["body"]["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["required"] == ["interpretable", "label"]
    # What is cut or has another form is an answer all the same: it was paid for, and the parser calls it unparsed.
    for text, finish in [('{"interpretable": tr', "length"), ('{"label": 7}', "stop"), ("animals", "stop")]:
        server.tell(plan=[{"do": "ok", "text": text, "finish": finish}])
        answer = ask(request)
        assert (answer.text, answer.finish_reason) == (text, finish)


def test_a_refusal_is_kept_as_text():
    body = '{"choices": [{"message": {"content": null, "refusal": "I will not."}, "finish_reason": "stop"}]}'
    assert answer_read(body, chat(), latency=0).text == "I will not."


def test_what_no_database_takes():
    body = b'{"model": "a\\u0000", "choices": [{"message": {"content": "a\\u0000b\\ud800c \\ud83d\\ude00 \xc3\xa9"}}]}'
    answer = answer_read(body, chat(), latency=0)
    assert answer.text == "a�b�c \N{GRINNING FACE} é" and answer.provider_model == "a�"


def test_a_prompt_that_cannot_be_sent_is_one_bad_member(server, ask):
    with pytest.raises(CallError) as caught:
        ask(chat("half \ud800"))
    assert caught.value.kind == "refused" and not caught.value.is_transient


def test_retry_after():
    assert retry_after_seconds({"retry-after": "1.5"}) == 1.5
    assert retry_after_seconds({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after_seconds({"retry-after": "-3"}) == 0
    assert 50 < retry_after_seconds({"retry-after": formatdate(time.time() + 60, usegmt=True)}) < 70
    for odd in ({}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after": "inf"}):
        assert retry_after_seconds(odd) is None
