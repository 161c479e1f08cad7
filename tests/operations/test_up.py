"""`up` with real processes: broker, worker, web server and the whole demo."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.operations.conftest import Up, is_alive, up_environment, wait_for
from tests.support.parts import require

pytestmark = pytest.mark.timeout(600)
DEMO_SECONDS = 400


def rows(data: Path, query: str) -> list[tuple]:
    with sqlite3.connect(f"file:{data / 'db.sqlite3'}?mode=ro", uri=True, timeout=20) as database:
        return database.execute(query).fetchall()


def count(data: Path, table: str) -> int:
    try:
        return rows(data, f"SELECT count(*) FROM {table}")[0][0]
    except sqlite3.OperationalError:  # not there yet
        return 0


def manage(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
    return subprocess.run(command, env=up_environment(data), capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory whose demo was prepared under fire.

    The worker is killed in the middle of the decomposition; once its successor works, the supervisor
    itself is killed, and another `up` finishes.
    """
    require("broker")
    data = tmp_path_factory.mktemp("up")
    first = Up(data, "--port", "0")
    try:
        pid = wait_for(lambda: count(data, "atlas_matrix") and first.file["children"]["worker"], "a matrix")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: first.file["children"]["worker"] not in (pid, None), "another worker")
        before = count(data, "atlas_matrix")
        wait_for(lambda: count(data, "atlas_matrix") > before or count(data, "judgements_judgement"), "more work")
        children = first.file["children"]
        first.process.kill()
        first.wait(10)
        wait_for(lambda: not any(map(is_alive, children.values())), "the orphans to end")
        assert "The worker has stopped (killed by SIGKILL" in first.output
        second = Up(data, "--port", "0", "--exit-when-ready")
        assert second.wait(DEMO_SECONDS) == 0, second.output
    finally:
        first.end()
    yield data


def test_a_demo_prepared_under_fire_lost_and_doubled_nothing(judged):
    config = json.loads((settings.BASE_DIR / "fixtures" / "demo_model" / "config.json").read_text())
    layers, heads = config["n_layer"], config["n_head"]
    expected = {"ov": layers * heads, "mlp_in": layers, "mlp_out": layers}
    assert dict(rows(judged, "SELECT circuit, count(*) FROM atlas_matrix GROUP BY circuit")) == expected
    per_matrix = rows(
        judged,
        "SELECT m.n_vectors * (CASE m.circuit WHEN 'ov' THEN 4 ELSE 2 END), count(*) FROM atlas_matrix m "
        "JOIN atlas_direction d ON d.matrix_id = m.id GROUP BY m.id",
    )
    assert all(wanted == stored for wanted, stored in per_matrix)
    assert count(judged, "judgements_judgement") == count(judged, "atlas_direction")
    assert rows(judged, "SELECT direction_id FROM judgements_judgement GROUP BY direction_id HAVING count(*) > 1") == []
    assert rows(judged, "SELECT DISTINCT state FROM jobs_job") == [("done",)]
    assert rows(judged, "SELECT count(*) FROM jobs_job WHERE attempts > 1")[0][0] >= 1
    assert rows(judged, "SELECT count(*) FROM autolabel_run") == [(1,)]
    assert rows(judged, "SELECT slug FROM labelling_project") == [("demo",)]
    assert count(judged, "labelling_item") > 0
    assert rows(judged, "SELECT username, must_change_password FROM accounts_user") == [("admin", 1)]


def test_verify_finds_nothing(judged):
    result = manage(judged, "verify")
    assert (result.returncode, result.stdout.splitlines()) == (
        0,
        [
            "Every sample is the one that its design draws.",
            "Every summary, every item and the disagreement queue agree with the judgements.",
        ],
    )


def test_status_names_what_is_not_there(judged):
    result = manage(judged, "status")
    assert result.returncode == 1
    assert "BAD  broker" in result.stdout and "ok   database" in result.stdout
    assert "no jobs wait or run" in result.stdout


def test_a_later_start_does_nothing_again_and_stops_in_order(judged, up):
    tables = ("jobs_job", "atlas_matrix", "judgements_judgement", "autolabel_run", "labelling_item", "accounts_user")
    before = {table: count(judged, table) for table in tables}
    running = up(judged, "--port", "0")
    running.wait_ready()
    assert {table: count(judged, table) for table in tables} == before
    told = running.file
    assert told["state"] == "ready" and told["user"] == "admin" and told["password"]
    assert (judged / "up.json").stat().st_mode & 0o777 == 0o600
    with urllib.request.urlopen(told["address"] + "health/") as answer:
        assert json.loads(answer.read())["healthy"]

    died: dict[str, float] = {}

    def watch(name: str, pid: int) -> None:
        while is_alive(pid):
            time.sleep(0.005)
        died[name] = time.monotonic()

    watchers = [threading.Thread(target=watch, args=child) for child in told["children"].items()]
    for thread in watchers:
        thread.start()
    running.process.send_signal(signal.SIGINT)
    assert running.wait(60) == 0
    for thread in watchers:
        thread.join()
    assert sorted(died, key=died.__getitem__) == ["web", "worker", "llm-worker", "broker"]
    assert [line for line in running.lines if line.startswith("Stop")] == [
        "Stopping the web …",
        "Stopping the worker …",
        "Stopping the llm-worker …",
        "Stopping the broker …",
        "Stopped.",
    ]
    assert f"password  {told['password']}" in running.output
    after = json.loads((judged / "up.json").read_text())
    assert (after["pid"], after["ready"], after["password"]) == (None, False, told["password"])


def test_a_killed_child_is_started_again(judged, up):
    running = up(judged, "--port", "0")
    running.wait_ready()
    before = running.file["children"]
    for name in ("broker", "web"):
        os.kill(before[name], signal.SIGKILL)
        wait_for(lambda name=name: running.file["children"][name] not in (before[name], None), f"another {name}")
    assert "The web has stopped (killed by SIGKILL" in running.output

    def is_healthy() -> bool:
        try:
            with urllib.request.urlopen(running.file["address"] + "health/", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    wait_for(is_healthy, "the health page to be content again", 60)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait(60) == 0


def test_a_second_up_on_the_same_data_is_refused(judged, up):
    running = up(judged, "--port", "0")
    wait_for(lambda: running.file.get("address"), "the address")
    second = up(judged, "--port", "0")
    assert second.wait() == 1
    assert second.lines == [f"CommandError: Tealeaves is already running from {judged}, at {running.file['address']}"]
    assert running.process.poll() is None


def test_a_second_interrupt_hurries(judged, up):
    running = up(judged, "--port", "0")
    running.wait_ready()
    pid = running.file["children"]["worker"]
    os.kill(pid, signal.SIGSTOP)  # a worker that cannot end by itself
    running.process.send_signal(signal.SIGINT)
    wait_for(lambda: "Stopping the worker …" in running.lines, "the worker's turn")
    time.sleep(0.3)
    running.process.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert running.wait(30) == 0
    assert time.monotonic() - started < 10
    assert not is_alive(pid)


def test_stale_socket_and_files_are_cleared_away(judged, up):
    stale = socket.socket(socket.AF_UNIX)
    path = judged / "broker.sock"
    stale.bind(str(path))
    stale.close()
    up_json = json.loads((judged / "up.json").read_text())
    (judged / "up.json").write_text(json.dumps({**up_json, "pid": 999_999, "ready": True}))
    running = up(judged, "--port", "0", "--exit-when-ready")
    assert running.wait() == 0, running.output
    assert running.lines[-1] == "Stopped."


# What is refused before anything is started


def test_a_port_in_use_is_one_sentence(tmp_path, up):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        running = up(tmp_path, "--port", str(port))
        assert running.wait() == 1
    assert running.lines == [f"CommandError: Port {port} is in use; choose another one with --port."]
    assert not (tmp_path / "db.sqlite3").exists()


def test_a_port_that_is_none_is_one_sentence(tmp_path, up):
    running = up(tmp_path, "--port", "70000")
    assert running.wait() == 1
    assert running.lines[0].startswith("CommandError: 70000 is not a port")


@pytest.mark.parametrize("environment", [{}, {"SECRET_KEY": "x" * 50}], ids=["key from the data", "key given"])
def test_a_data_directory_that_cannot_be_written_is_one_sentence(tmp_path, up, environment):
    (tmp_path / "file").write_text("")
    running = up(tmp_path / "file" / "data", "--port", "0", **environment)
    assert running.wait() == 1
    (sentence,) = running.lines
    assert str(tmp_path / "file" / "data") in sentence and "cannot be written" in sentence


def test_a_broker_that_does_not_answer_is_one_sentence(tmp_path, up):
    running = up(tmp_path, "--port", "0", CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert running.wait() == 1
    assert running.lines[-1].startswith("CommandError: The broker of CELERY_BROKER_URL does not answer")


def test_a_database_that_does_not_answer_is_one_sentence(tmp_path, up):
    running = up(tmp_path, "--port", "0", DATABASE_URL="postgres://tea@127.0.0.1:1/tea")
    assert running.wait() == 1
    assert running.lines[-1].startswith("CommandError: The database cannot be used")
    assert "Traceback" not in running.output


def test_the_supervisor_is_light():
    code = "import sys, labelapp.operations.supervisor; print('django' in sys.modules, 'celery' in sys.modules)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=True)
    assert result.stdout == "False False\n"
