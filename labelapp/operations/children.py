"""Child processes that are started again when they die and that do not outlive their parent.

Standard library only: the supervisor stays small.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOG_BYTES = 10_000_000
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# A child that has lived this long starts its backoff anew when it dies.
SETTLED_SECONDS = 60.0


def die_with_parent(sig: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn` with which Linux sends `sig` to the child when its parent dies; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, int(sig), 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os.kill(os.getpid(), sig)

    return arrange


@dataclass
class Child:
    """One main process. Its own children are its business: only the main process is ever signalled."""

    name: str
    command: Sequence[str]
    log: Path
    # What ends it: a signal, and how many seconds it has before the next one; SIGKILL follows the last.
    farewell: Sequence[tuple[signal.Signals, float]]
    orphaned: signal.Signals = signal.SIGTERM
    environment: dict[str, str] = field(default_factory=dict)
    pass_fds: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    _started: float = 0.0
    _again_at: float = 0.0

    def start(self, *, stdout: int | None = None) -> None:
        _rotate(self.log)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                env={**os.environ, **self.environment},
                pass_fds=self.pass_fds,
                # Ctrl-C in the terminal is for the supervisor, which then stops its children in order.
                start_new_session=True,
                preexec_fn=die_with_parent(self.orphaned),
            )
        self._started = time.monotonic()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def watch(self) -> str | None:
        """Notice a death (and return the sentence about it), and start the child again when it is time."""
        if self.process is not None:
            if self.process.poll() is None:
                return None
            return self._note_death(self.process.returncode)
        if time.monotonic() >= self._again_at:
            self.start()
        return None

    def _note_death(self, code: int) -> str:
        if time.monotonic() - self._started > SETTLED_SECONDS:
            self.deaths = 0
        pause = BACKOFF_SECONDS[min(self.deaths, len(BACKOFF_SECONDS) - 1)]
        self.deaths += 1
        self.process = None
        self._again_at = time.monotonic() + pause
        cause = f"{describe_exit(code)}; its log is {self.log}"
        return f"The {self.name} has stopped ({cause}); starting it again in {pause:g} s."

    def stop(self, is_hurried: Callable[[], bool]) -> None:
        """End it politely, then less so; where the user is in a hurry each step has a moment only."""
        if self.process is None:
            return
        for sig, patience in self.farewell:
            if self.process.poll() is not None:
                break
            self.process.send_signal(sig)
            end = time.monotonic() + patience
            while self.process.poll() is None and time.monotonic() < end and not is_hurried():
                time.sleep(0.02)
            if is_hurried():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=1.0)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process = None


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def log_tail(log: Path, lines: int = 15) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 20_000))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))
