from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

START_SECONDS = 120


def wait_for(condition: Callable[[], Any], what: str, seconds: float = START_SECONDS) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    pytest.fail(f"waited {seconds} s in vain for {what}", pytrace=False)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # a zombie whose parent was killed counts as dead
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Up:
    """A real `manage.py up` in its own process, on a data directory of its own."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        self.data = data
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, str(settings.BASE_DIR / "manage.py"), "up", *options],
            env=up_environment(data, **environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def file(self) -> dict[str, Any]:
        """up.json, once this process has written it."""
        try:
            content = json.loads((self.data / "up.json").read_text())
        except (OSError, ValueError):
            return {}
        return content if content.get("pid") == self.process.pid else {}

    def wait(self, seconds: float = START_SECONDS) -> int:
        code = self.process.wait(timeout=seconds)
        self._reader.join()
        return code

    def wait_ready(self, seconds: float = START_SECONDS) -> float:
        """Seconds since the start."""

        def ready() -> bool:
            assert self.process.poll() is None, self.output
            return bool(self.file.get("ready"))

        wait_for(ready, "up to be ready", seconds)
        return time.monotonic() - self.started

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait(10)


def up_environment(data: Path, **environment: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    clean["DJANGO_SETTINGS_MODULE"] = "labelapp.config.settings"
    return {**clean, "TEALEAVES_DATA": str(data), **environment}


@pytest.fixture
def up() -> Iterator[Callable[..., Up]]:
    """`up(data, "--port", "0")`; what still runs at the end of the test is killed."""
    started: list[Up] = []

    def start(data: Path, *options: str, **environment: str) -> Up:
        started.append(Up(data, *options, **environment))
        return started[-1]

    yield start
    for process in started:
        process.end()
