"""A real model server (`transformers serve`, the demo model), so that the protocol is not only our idea of it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labelapp.operations.children import die_with_parent
from tests.llm.test_prompts import FOLDER
from tests.llm.test_prompts import VERIFIER as SHORT_VERIFIER
from tests.support.services import tail
from workers.llm.errors import CallError
from workers.llm.parsing import parse
from workers.llm.prompts import Prompt, Sampling, prompt_from_mapping, prompt_read
from workers.llm.providers import ProviderConfig
from workers.llm.rendering import render, request_make
from workers.llm.requests import Request, yes_no_confidence

MODEL = Path(__file__).resolve().parents[2] / "fixtures" / "demo_model"
START_SECONDS = 180


@pytest.fixture(scope="module")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its base address."""
    binary = shutil.which("transformers", path=str(Path(sys.executable).parent))
    assert binary, "requirements-test.txt brings transformers[serving]; install it"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    command = [binary, "serve", str(MODEL), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"The model server did not start.\n{tail(log)}", pytrace=False)


@pytest.fixture
def model_config(model_server: str) -> ProviderConfig:
    return ProviderConfig("demo", base_url=model_server, timeout=120.0)


# The demo model reads 128 tokens at most: prompts without exemplars.
LABELER = replace(prompt_read(FOLDER / "labeler-zero-shot.yaml"), max_tokens=12)
VERIFIER = prompt_from_mapping({**SHORT_VERIFIER, "max_tokens": 8, "parser": "first_line", "top_logprobs": 5})


def request_of(prompt: Prompt, tokens: list[str], config: ProviderConfig, model: str = str(MODEL)) -> Request:
    rendered = render(prompt, tokens=tokens, label="most of these words are x")
    return request_make(prompt, rendered, identity=config.identity, model=model, logprobs=config.logprobs)


def test_prompts_go_through_a_real_model_server(model_config, run):
    """Labeler and verifier, two at a time; a small model's answers are no verdicts, and are called that."""
    prompts = [LABELER, LABELER, VERIFIER, VERIFIER]
    lists = [[" dog", " cat"], ["\0", "{x}", "\udce4"]] * 2
    requests = [request_of(prompt, tokens, model_config) for prompt, tokens in zip(prompts, lists, strict=True)]
    outcomes = {outcome.work.id: outcome for outcome in run(requests, model_config, in_flight=2)}
    assert any(outcome.answer for outcome in outcomes.values())
    for number, prompt in enumerate(prompts):
        answer = outcomes[number].answer
        if answer is None:  # so small a model may end at once
            assert (outcomes[number].kind, outcomes[number].attempts) == ("empty", 1)
            continue
        assert answer.finish_reason in ("stop", "length")
        assert answer.prompt_tokens > 10 and 0 < answer.completion_tokens <= prompt.max_tokens
        assert str(MODEL) in answer.provider_model and answer.latency > 0
        assert yes_no_confidence(answer) is None  # this server offers no log-probabilities
        read = parse(prompt, answer)
        assert read.is_parsed or read.reason
        if answer.finish_reason == "length":
            assert read.verdict == "unparsed" and "max_tokens" in read.reason


def test_the_same_call_gets_the_same_answer(model_config, ask):
    first, again = (ask(request_of(LABELER, [" dog", " cat"], model_config), model_config) for _ in range(2))
    assert first.texts == again.texts


def test_what_it_cannot_do_is_said(model_config, ask):
    """An unknown model is refused; several answers are asked for and one comes: an error, not fewer votes."""
    with pytest.raises(CallError) as caught:
        ask(request_of(LABELER, [" dog"], model_config, model="no-such-model"), model_config)
    assert caught.value.kind == "refused" and "no-such-model" in caught.value.message
    best = replace(LABELER, sampling=Sampling(temperature=1.0, n=5))
    with pytest.raises(CallError, match="1 of the 5 answers"):
        ask(request_of(best, [" dog"], model_config), model_config)
    chat = replace(LABELER, endpoint="chat")  # the demo model has no chat template
    too_long = replace(LABELER, tokens_shown=400)  # and reads 128 tokens
    for prompt, tokens in [(chat, [" dog"]), (too_long, [" dog"] * 400)]:
        with pytest.raises(CallError) as caught:
            ask(request_of(prompt, tokens, model_config), model_config)
        assert caught.value.kind == "server_error"
