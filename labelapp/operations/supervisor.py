"""The supervisor of `up`: broker, workers, web server, and the preparation of the demo beside them.

Standard library only, so that what stays resident is small: the command `up` checks and prepares
everything with Django, and then replaces itself by this module (`python -m labelapp.operations.supervisor`).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from labelapp.operations.broker import broker_answers, broker_command
from labelapp.operations.children import Child, log_tail
from labelapp.operations.console import Console
from labelapp.operations.upfile import upfile_read, upfile_update

TICK_SECONDS = 0.1
START_SECONDS = 90.0
HEALTH_SECONDS = 3.0
# So many deaths before a child has ever been of use mean that it will never be.
HOPELESS_DEATHS = 3
WORKER_PATIENCE_SECONDS = 20.0
WORKER_PROCESSES = 2
# Warm (running tasks end), then cold (they go back into the queue).
WORKER_ENDING: dict[str, Any] = {
    "farewell": [(signal.SIGTERM, WORKER_PATIENCE_SECONDS), (signal.SIGQUIT, 8.0)],
    "orphaned": signal.SIGKILL,
}


class FailureError(Exception):
    """Why `up` gives up, in one sentence."""


class StopRequestedError(Exception):
    """Ctrl-C, or another request to stop."""


@dataclass(frozen=True)
class Plan:
    """What the command `up` has found and prepared; it travels as JSON across the change of program."""

    base: str
    data: str
    port: int
    listener: int  # the listening socket: nobody else can take the port between the check and the start
    lock: int  # held as long as the supervisor lives
    host_header: str
    broker_binary: str | None  # None: CELERY_BROKER_URL names a broker that is not ours
    broker_socket: str
    exit_when_ready: bool

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


def supervise(plan: Plan) -> None:
    """Replace this process by the supervisor. Never returns."""
    for descriptor in (plan.listener, plan.lock):
        os.set_inheritable(descriptor, True)
    os.chdir(plan.base)
    os.execv(sys.executable, [sys.executable, "-m", __name__, json.dumps(asdict(plan))])


class Supervisor:
    def __init__(self, plan: Plan, console: Console) -> None:
        self.plan = plan
        self.console = console
        self.data = Path(plan.data)
        self.listener = socket.socket(fileno=plan.listener)
        # Neither the lock nor, except for the web server, the listener is a child's business.
        os.set_inheritable(plan.listener, False)
        os.set_inheritable(plan.lock, False)
        self.broker = self._broker() if plan.broker_binary else None
        # Two: language models are waited for, by one small process without torch; matrices are computed by the other.
        self.worker = self._worker()
        self.llm_worker = self._llm_worker()
        self.web = self._web()
        self.demo = self._demo()
        self.watched: list[Child] = []
        self.stops = 0
        self.is_ready = False
        self.demo_error = ""
        self._reader = -1
        self._heard = b""

    # The children

    def _child(self, name: str, command: list[str], environment: Mapping[str, str] | None = None, **rest: Any) -> Child:
        environment = {"TEALEAVES_DATA": self.plan.data, "PYTHONUNBUFFERED": "1", **(environment or {})}
        return Child(name, command, self.data / "logs" / f"{name}.log", environment=environment, **rest)

    def _broker(self) -> Child:
        directory = self.data / "broker"
        directory.mkdir(parents=True, exist_ok=True)
        command = broker_command(Path(self.plan.broker_binary or ""), Path(self.plan.broker_socket), directory)
        return self._child("broker", command, farewell=[(signal.SIGTERM, 10.0)])

    def _worker(self) -> Child:
        command = celery_worker("-Q", "weights,export", "-c", str(WORKER_PROCESSES), "-n", "tealeaves@%h")
        # Each process with all cores for itself would make them wait for each other.
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKER_PROCESSES)))
        return self._child("worker", command, {"OMP_NUM_THREADS": threads}, **WORKER_ENDING)

    def _llm_worker(self) -> Child:
        command = celery_worker("-Q", "llm", "-P", "threads", "-c", "1", "-n", "tealeaves-llm@%h")
        return self._child("llm-worker", command, **WORKER_ENDING)

    def _web(self) -> Child:
        options = ["--bind", f"fd://{self.plan.listener}", "--worker-class", "gthread", "--preload"]
        options += ["--workers", "2", "--threads", "4", "--graceful-timeout", "8", "--no-control-socket"]
        return self._child(
            "web",
            [sys.executable, "-m", "gunicorn", *options, "labelapp.config.wsgi:application"],
            farewell=[(signal.SIGTERM, 10.0)],
            pass_fds=[self.plan.listener],
        )

    def _demo(self) -> Child:
        command = [sys.executable, str(Path(self.plan.base) / "manage.py"), "demo", "--events"]
        return self._child("demo", command, farewell=[(signal.SIGTERM, 2.0)])

    # The life of `up`

    def run(self) -> int:
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, self._on_signal)
        # The demo's preparation fills in the user, and looks whether the password still is the one-time one.
        password = upfile_read(self.data).get("password")
        state = {"user": None, "password": password, "pid": os.getpid(), "ready": False, "state": "starting"}
        upfile_update(self.data, address=self.plan.address, **state)
        code = 0
        try:
            self._start()
            self._prepare_demo()
            self._check_health()
            if self.plan.exit_when_ready:
                self.console.line("Ready and healthy; stopping again, as asked.")
            else:
                self._stay()
        except StopRequestedError:
            code = 130 if self.plan.exit_when_ready else 0
        except FailureError as failure:
            self.console.progress_end()
            print(f"up: {failure}", file=sys.stderr, flush=True)  # noqa: T201
            code = 1
        finally:
            self._stop()
        return code

    def _start(self) -> None:
        if self.broker:
            self._launch(self.broker)
            broker_socket = Path(self.plan.broker_socket)
            self._wait(lambda: broker_answers(broker_socket), "The broker does not answer", self.broker)
        self._launch(self.web)
        self._launch(self.worker)
        self._start_demo()
        self._wait(lambda: self._health() is not None, "The web server does not answer", self.web)
        self._greet()
        self._launch(self.llm_worker)  # the demo does without it

    def _greet(self) -> None:
        self._wait(
            lambda: upfile_read(self.data)["user"] or not self.demo.is_running,
            "The first user is not there",
            self.demo,
        )
        known = upfile_read(self.data)
        self.console.line(f"\nTealeaves is at {self.plan.address}")
        if known.get("user"):
            self.console.line(f"  user      {known['user']}")
        if known.get("password"):
            self.console.line(f"  password  {known['password']}  (until you choose your own at the first sign-in)")
        self.console.line()

    def _prepare_demo(self) -> None:
        """Tell what the demo's preparation reports, until it has ended."""
        while self.demo.is_running:
            self._tick()
        self._hear_demo()
        self.console.progress_end()
        if self.demo.process is None or self.demo.process.returncode == 0:
            return
        sentence = self.demo_error or ending("The preparation of the demo broke off", self.demo)
        if self.plan.exit_when_ready:
            raise FailureError(sentence)
        self.console.line(f"{sentence}\nEverything else works; the next start tries the demo again.")

    def _check_health(self) -> None:
        self._wait(lambda: (self._health() or {}).get("healthy"), "The health page reports trouble", self.web)
        self.is_ready = True
        upfile_update(self.data, ready=not self.demo_error, state=self.demo_error or "ready")

    def _stay(self) -> None:
        self.console.line("Ready. Ctrl-C stops.")
        while True:
            self._tick()

    def _stop(self) -> None:
        self.console.progress_end()
        self.listener.close()
        upfile_update(self.data, ready=False, state="stopping")
        self.demo.stop(self._is_hurried)
        for child in (self.web, self.worker, self.llm_worker, self.broker):
            if child is not None and child.process is not None:
                self.console.line(f"Stopping the {child.name} …")
                child.stop(self._is_hurried)
        upfile_update(self.data, ready=False, state="stopped", pid=None, children={})
        self.console.line("Stopped.")

    # What happens while it waits

    def _launch(self, child: Child) -> None:
        child.start()
        self.watched.append(child)
        self._note_children()

    def _note_children(self) -> None:
        pids = {child.name: child.process.pid if child.process else None for child in self.watched}
        upfile_update(self.data, children=pids)

    def _tick(self) -> None:
        if self.stops:
            raise StopRequestedError
        for child in self.watched:
            was_running = child.process is not None
            if death := child.watch():
                self.console.line(death)
                if not self.is_ready and child.deaths >= HOPELESS_DEATHS:
                    raise FailureError(ending(f"The {child.name} does not start", child))
            if was_running != (child.process is not None):
                self._note_children()
        self._hear_demo()
        time.sleep(TICK_SECONDS)

    def _wait(self, condition: Callable[[], Any], complaint: str, child: Child) -> None:
        end = time.monotonic() + START_SECONDS
        while not condition():
            self._tick()
            if time.monotonic() > end:
                raise FailureError(ending(complaint, child))

    def _start_demo(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self.demo.start(stdout=writer)
        os.close(writer)

    def _hear_demo(self) -> None:
        """Events are lines of JSON: a text with its topic, or the error that ended the preparation."""
        for line in self._demo_lines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a library's remark on the standard output
            if "error" in event:
                self.demo_error = event["error"]
                continue
            upfile_update(self.data, state=event["text"])
            self.console.progress(event["topic"], event["text"])

    def _demo_lines(self) -> Iterator[bytes]:
        with contextlib.suppress(OSError):  # nothing there yet, or not started yet
            while chunk := os.read(self._reader, 65536):
                self._heard += chunk
        *lines, self._heard = self._heard.split(b"\n")
        yield from lines

    def _health(self) -> dict[str, Any] | None:
        """The health page as data; None while nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.plan.port, timeout=HEALTH_SECONDS)
        try:
            headers = {"Host": self.plan.host_header, "Accept": "application/json"}
            connection.request("GET", "/health/", headers=headers)
            answer = json.loads(connection.getresponse().read())
            return answer if isinstance(answer, dict) else {}
        except (OSError, http.client.HTTPException):
            return None
        except ValueError:
            return {}
        finally:
            connection.close()

    def _is_hurried(self) -> bool:
        return self.stops > 1

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self.stops += 1


def celery_worker(*options: str) -> list[str]:
    command = [sys.executable, "-m", "celery", "-A", "workers", "worker", *options]
    return [*command, "--without-gossip", "--without-mingle"]


def ending(complaint: str, child: Child) -> str:
    return f"{complaint}; the end of {child.log}:\n{log_tail(child.log)}"


def main() -> int:
    return Supervisor(Plan(**json.loads(sys.argv[1])), Console()).run()


if __name__ == "__main__":
    raise SystemExit(main())
