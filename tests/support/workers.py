"""The private broker and a real Celery worker on the test database."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from labelapp.config.paths import broker_socket
from labelapp.jobs.models import WorkerBeat
from labelapp.operations.children import die_with_parent
from tests.support.parts import require
from tests.support.services import PrivateBroker, ServiceError, tail

START_SECONDS = 60
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def private_broker() -> Iterator[PrivateBroker]:
    """The broker that the settings point to: its socket lies in the tests' own data directory."""
    require("broker")
    broker = PrivateBroker(broker_socket(settings.DATA_DIR), settings.DATA_DIR / "broker")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def broker(private_broker: PrivateBroker) -> PrivateBroker:
    """A running, empty broker."""
    private_broker.flush()
    return private_broker


@pytest.fixture
def worker(transactional_db: None, broker: PrivateBroker) -> Iterator[WorkerProcess]:
    """A real worker for all queues on the test database, stopped before the database is emptied."""
    process = WorkerProcess(settings.DATA_DIR / "logs")
    process.start()
    yield process
    process.kill()  # quicker than a warm stop, and the database is emptied anyway


class WorkerProcess:
    """`celery -A workers worker` as in production; `kill()` is kill -9, `start()` starts another one."""

    def __init__(
        self, logs: Path, queues: str = "weights,llm,export", concurrency: int = 2, pool: str = "prefork"
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = logs
        self.queues = queues
        self.concurrency = concurrency
        self.pool = pool
        self.name = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.logs / f"{self.name}.log"

    def start(self) -> None:
        self.name = f"test-{os.getpid()}-{next(_numbers)}"
        command = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-Q", self.queues]
        command += [
            "-c",
            str(self.concurrency),
            "-P",
            self.pool,
            "-n",
            f"{self.name}@%h",
            "--without-gossip",
            "--without-mingle",
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=settings.BASE_DIR,
                env=worker_environment(),
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        self._wait()

    def _wait(self) -> None:
        assert self.process is not None
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            if WorkerBeat.objects.filter(name__startswith=f"{self.name}@").exists():
                return
            time.sleep(0.1)
        self.stop()
        raise ServiceError(f"The test's worker did not start.\n{tail(self.log)}")

    def kill(self) -> None:
        """kill -9: no goodbye. Linux takes its pool processes along."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Warm, then cold: as the supervisor does."""
        if self.process is None:
            return
        for sig, seconds in ((signal.SIGTERM, 60), (signal.SIGQUIT, 10)):
            self.process.send_signal(sig)
            try:
                self.process.wait(timeout=seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self.kill()

    def restart(self) -> None:
        self.kill()
        self.start()


def database_url() -> str:
    """The test database as another process must name it."""
    it = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{quote(str(it['NAME']))}"
    user = quote(it["USER"]) + (f":{quote(it['PASSWORD'])}" if it["PASSWORD"] else "")
    host = it["HOST"] + (f":{it['PORT']}" if it["PORT"] else "")
    socket = "/" if host.startswith("/") else ""
    return f"postgres://{user}@{socket}{quote(host, safe='/:')}/{it['NAME']}"


def worker_environment() -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "labelapp.config.settings",
        "DATABASE_URL": database_url(),
        "TEALEAVES_DATA": str(settings.DATA_DIR),
        "OMP_NUM_THREADS": "1",
    }
