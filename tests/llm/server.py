"""A server that speaks the OpenAI protocol over real sockets, misbehaves on demand, and counts what it was asked.

As light as it can be (one process, asyncio, no framework), since benchmarks measure clients against it:

    python -m tests.llm.server --latency 0.2          prints its port, serves until its stdin ends

`Server` starts it in a process of its own. Behaviours are given as `{"do": NAME, ...}`, see `BEHAVIOURS`; they apply
to the next requests in turn (`plan`), to those whose prompt holds a text (`rule`), or to all (`default`).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, deque
from pathlib import Path
from typing import Any

BEHAVIOURS = """
ok              an answer; "text" or "texts" say which, "finish" the finish reason, "usage": false leaves usage out
rate_limit      429; with "retry_after" (text) the header
quota           429 with the code insufficient_quota
status          "status", and "body" as JSON
hang            never answers
slow            an answer after "seconds"
cut             closes the connection without a word
cut_body        announces more bytes than it sends, then closes the connection
trickle         an answer, one byte every "seconds"
half_json       200 and half of the JSON
not_json        200 and HTML
wrong_schema    200 and JSON of another form ("body" says which)
empty           200 and an answer without text
echo_key        401 that repeats the Authorization header
"""
ROOT = Path(__file__).resolve().parents[2]
KEPT = 2000


class State:
    """What the server was told and what it saw."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.reset()

    def reset(self) -> None:
        self.plan: deque[dict[str, Any]] = deque()
        self.rules: list[dict[str, Any]] = []
        self.default: dict[str, Any] = {"do": "ok"}
        self.counts: Counter[str] = Counter()
        self.bodies: Counter[str] = Counter()
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.open = self.most_open = 0

    def tell(self, given: dict[str, Any]) -> None:
        if given.get("reset"):
            self.reset()
        self.plan.extend(given.get("plan", ()))
        self.rules.extend(given.get("rules", ()))
        self.default = given.get("default", self.default)
        self.latency = given.get("latency", self.latency)

    def behaviour(self, prompt: str) -> dict[str, Any]:
        for rule in self.rules:
            if rule["when"] in prompt and rule.get("times", math.inf) > 0:
                rule["times"] = rule.get("times", math.inf) - 1
                return {"do": "ok", **rule}
        return {"do": "ok", **(self.plan.popleft() if self.plan else self.default)}

    def seen(self) -> dict[str, Any]:
        repeated = sum(number > 1 for number in self.bodies.values())
        return {
            "counts": dict(self.counts),
            "answered": sum(self.bodies.values()),
            "repeated": repeated,
            "most_open": self.most_open,
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection: requests come one after the other."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""
        self.transport: asyncio.Transport
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer is not None:  # the client left before its answer
            self.timer.cancel()
            self.timer = None
            self.state.open -= 1
            self.state.counts["left"] += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        method, path, _ = line.split(" ", 2)
        self.asked(method, path, headers, rest[:length])

    def asked(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        state = self.state
        if path == "/control":
            state.tell(json.loads(body))
            self.respond(200, {"ok": True})
        elif path == "/seen":
            self.respond(200, state.seen())
        elif path == "/requests":
            self.respond(200, list(state.requests))
        elif method == "POST" and path.endswith(("/chat/completions", "/completions")):
            self.completion(path, headers, body)
        else:
            self.respond(404, {"error": {"message": f"no such path: {path}"}})

    def completion(self, path: str, headers: dict[str, str], body: bytes) -> None:
        state = self.state
        asked = json.loads(body)
        is_chat = path.endswith("/chat/completions")
        prompt = "\n".join(message["content"] for message in asked["messages"]) if is_chat else asked["prompt"]
        behaviour = state.behaviour(prompt)
        did = behaviour["do"]
        state.requests.append({"at": time.time(), "path": path, "headers": headers, "body": asked, "did": did})
        state.counts["asked"] += 1
        state.counts[did] += 1
        state.open += 1
        state.most_open = max(state.most_open, state.open)
        delay = state.latency + (behaviour.get("seconds", 0) if did == "slow" else 0)
        if did == "hang":
            delay = 3600.0
        act = (behaviour, asked, is_chat, prompt, body, headers)
        self.timer = asyncio.get_running_loop().call_later(delay, self.act, *act)

    def act(self, behaviour: dict, asked: dict, is_chat: bool, prompt: str, body: bytes, headers: dict) -> None:
        self.timer = None
        self.state.open -= 1
        answer = answer_of(behaviour, asked, is_chat, prompt)
        what = behaviour["do"]
        if what == "rate_limit":
            extra = {"retry-after": str(behaviour["retry_after"])} if "retry_after" in behaviour else {}
            self.respond(429, {"error": {"message": "Too many requests", "code": "rate_limit_exceeded"}}, extra)
        elif what == "quota":
            self.respond(429, {"error": {"message": "You have no money left", "code": "insufficient_quota"}})
        elif what == "status":
            extra = {"retry-after": str(behaviour["retry_after"])} if "retry_after" in behaviour else {}
            self.respond(behaviour["status"], behaviour.get("body", {"error": {"message": "as told"}}), extra)
        elif what == "cut":
            self.transport.abort()
        elif what == "cut_body":
            raw = json.dumps(answer).encode()
            self.transport.write(head_of(200, len(raw)) + raw[: len(raw) // 2])
            self.transport.close()
        elif what == "half_json":
            raw = json.dumps(answer).encode()
            self.write(200, raw[: len(raw) // 2])
        elif what == "not_json":
            self.write(200, b"<html><body>Welcome to the proxy</body></html>", kind="text/html")
        elif what == "wrong_schema":
            self.respond(200, behaviour.get("body", {"result": "fine"}))
        elif what == "echo_key":
            self.respond(401, {"error": {"message": f"Incorrect key: {headers.get('authorization')}"}})
        elif what == "trickle":
            raw = json.dumps(answer).encode()
            self.trickle(head_of(200, len(raw)) + raw, behaviour["seconds"])
        else:
            if what in ("ok", "slow"):
                self.state.bodies[hashlib.sha256(body).hexdigest()] += 1
            self.respond(200, answer)

    def trickle(self, raw: bytes, seconds: float) -> None:
        if raw and not self.transport.is_closing():
            self.transport.write(raw[:1])
            asyncio.get_running_loop().call_later(seconds, self.trickle, raw[1:], seconds)

    def respond(self, status: int, content: Any, extra: dict[str, str] | None = None) -> None:
        self.write(status, json.dumps(content).encode(), extra)

    def write(
        self, status: int, raw: bytes, extra: dict[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        self.transport.write(head_of(status, len(raw), extra, kind) + raw)


def head_of(status: int, length: int, extra: dict[str, str] | None = None, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status} -", f"content-type: {kind}", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_of(behaviour: dict[str, Any], asked: dict[str, Any], is_chat: bool, prompt: str) -> dict[str, Any]:
    """The protocol's answer: texts as told, or what suits the prompt."""
    n = asked.get("n", 1)
    texts = behaviour.get("texts") or [behaviour.get("text", suitable(asked, prompt))] * n
    if behaviour["do"] == "empty":
        texts = [""] * n
    finish = behaviour.get("finish", "stop")
    choices = []
    for index, text in enumerate(texts):
        said: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
        choices.append({"index": index, "finish_reason": finish, "logprobs": logprobs(asked, text, is_chat), **said})
    usage = {"prompt_tokens": -(-len(prompt) // 4), "completion_tokens": sum(-(-len(text) // 4) for text in texts)}
    answer = {
        "id": "answer-1",
        "object": "chat.completion" if is_chat else "text_completion",
        "created": 1,
        "model": f"{asked['model']}-2026",
        "choices": choices,
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }
    if behaviour.get("usage") is False:
        del answer["usage"]
    return answer


def suitable(asked: dict[str, Any], prompt: str) -> str:
    """A fitting answer: by the schema where one is asked for, "yes" to a verifier, a label to a labeler."""
    form = asked.get("response_format", {}).get("json_schema", {}).get("name", "")
    if form:
        named = {"LabelerAnswer1": {"interpretable": True, "label": "animals"}, "VerifierAnswer1": {"fits": True}}
        return json.dumps(named.get(form, {"numbers": [1]}))
    if "numbers" in prompt.lower() and "\n1. " in prompt:
        return "1"
    if "Interpretation:" in prompt:
        return "yes"
    return "most of these words relate to animals."


def logprobs(asked: dict[str, Any], text: str, is_chat: bool) -> dict[str, Any] | None:
    """The text's first word as one token, with its own probability .75 and the rest on the opposite."""
    if not asked.get("logprobs"):
        return None
    token = text.split(" ")[0]
    other = "No" if token.strip().lower() == "yes" else "Yes"
    pairs = [(token, math.log(0.75)), (other, math.log(0.25))]
    if not is_chat:
        return {"tokens": [token], "token_logprobs": [pairs[0][1]], "top_logprobs": [dict(pairs)], "text_offset": [0]}
    entry = {"token": token, "logprob": pairs[0][1], "bytes": None}
    return {"content": [{**entry, "top_logprobs": [{"token": t, "logprob": v, "bytes": None} for t, v in pairs]}]}


class Server:
    """The server in a process of its own; ends with the process that started it.

    `with Server(latency=0.2) as server: ...  server.url  server.tell(plan=[{"do": "cut"}])  server.seen()`
    """

    def __init__(self, latency: float = 0.0) -> None:
        self.latency = latency
        self.process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The base address for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Server:
        command = [sys.executable, "-m", "tests.llm.server", "--latency", str(self.latency)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def tell(self, **given: Any) -> None:
        """Behaviours as `plan=[...]`, `rules=[{"when": TEXT, "times": 2, "do": ...}]` or `default={...}`.

        Also `latency=0.1` and `reset=True` (forgets everything told and seen).
        """
        self._ask("/control", given)

    def seen(self) -> dict[str, Any]:
        """`counts` by behaviour (and `asked`), `answered`, `repeated` (the same call answered twice), `most_open`."""
        return self._ask("/seen")

    def requests(self) -> list[dict[str, Any]]:
        """The last requests: `at` (time.time()), `path`, `headers`, `body`, and what it `did`."""
        return self._ask("/requests")

    def _ask(self, path: str, content: Any = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data, timeout=30) as response:
            return json.load(response)


async def serve(latency: float, port: int) -> None:
    loop = asyncio.get_running_loop()
    state = State(latency)
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", port, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    # Ends with whoever holds the other end of its stdin.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    asyncio.run(serve(options.latency, options.port))


if __name__ == "__main__":
    main()
