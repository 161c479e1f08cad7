"""`./tea test`: everything once on SQLite, then what touches a database again on a private PostgreSQL.

The whole suite runs in as many processes as there are cores, four at most, each with a database, a broker, a data
directory and a browser of its own; a file's tests stay together. What is named on the command line runs in one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from tests.support.parts import under_ci
from tests.support.services import MISSING, PrivatePostgres, ServiceError, missing_parts

ROOT = Path(__file__).resolve().parent.parent
MOST_PROCESSES = 4
PASSED, FAILED, INTERRUPTED, NOTHING_COLLECTED = 0, 1, 2, 5
CONSEQUENCES = {
    "broker": "the tests with a real worker are left out",
    "Chromium": "the browser tests are left out",
    "dictionaries": "the demo model's corpus is only tested on made-up entries",
    "PostgreSQL": "nothing runs on PostgreSQL, the database tests run on SQLite alone",
}


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main(arguments: list[str]) -> int:
    missing = missing_parts()
    for part in missing:
        say(f"{part} is missing ({MISSING[part]}): {CONSEQUENCES[part]}.")
    if missing and under_ci():
        say("Under CI=true a missing part is a failure; nothing was run.")
        return FAILED
    signal.signal(signal.SIGTERM, _stop)
    try:
        return run_both(arguments, with_postgres="PostgreSQL" not in missing)
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    except ServiceError as error:
        say(str(error))
        return FAILED


def run_both(arguments: list[str], *, with_postgres: bool) -> int:
    arguments = [*in_parallel(arguments), *arguments]
    codes = {"SQLite": run_pytest("SQLite", arguments, {})}
    if with_postgres and codes["SQLite"] in (PASSED, FAILED, NOTHING_COLLECTED):
        codes["PostgreSQL"] = run_on_postgres(only_database(arguments))
    if set(codes.values()) <= {PASSED, NOTHING_COLLECTED} and PASSED in codes.values():
        say(f"Passed on {' and on '.join(name for name, code in codes.items() if code == PASSED)}.")
        return PASSED
    bad = {name: code for name, code in codes.items() if code != PASSED}
    say("; ".join(f"{name}: pytest ended with {code}" for name, code in bad.items()) + ".")
    return next((code for code in bad.values() if code != NOTHING_COLLECTED), NOTHING_COLLECTED)


def run_on_postgres(arguments: list[str]) -> int:
    # Directly under the temporary directory: PostgreSQL's own user must be able to reach it.
    directory = Path(tempfile.mkdtemp(prefix="tealeaves-pg-"))
    server = PrivatePostgres(directory)
    try:
        server.start()
        return run_pytest("PostgreSQL", arguments, {"TEST_DATABASE_URL": server.url})
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def run_pytest(title: str, arguments: list[str], environment: dict[str, str]) -> int:
    say(f"\nTests on {title}")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env={**os.environ, **environment}
    )
    try:
        return process.wait()
    except BaseException:  # Ctrl-C reached pytest as well; anything else has to be passed on
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def in_parallel(arguments: list[str]) -> list[str]:
    """What makes the whole suite run in several processes; nothing where the caller chose tests or a way to run."""
    chosen = {"-n", "--numprocesses", "--dist", "-s", "--capture", "--pdb", "--trace", "-k", "--lf", "--last-failed"}
    told = any(word.partition("=")[0] in chosen or Path(word.partition("::")[0]).exists() for word in arguments)
    processes = min(MOST_PROCESSES, os.cpu_count() or 1)
    if told or processes == 1:
        return []
    # In the order in which conftest.py puts the files: what takes longest comes first.
    return ["-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]


def only_database(arguments: list[str]) -> list[str]:
    """The same arguments, restricted to what touches a database; a `-m` of the caller stays in force."""
    rest, expressions = [], ["database"]
    words = iter(arguments)
    for word in words:
        if word == "-m":
            expressions.append(f"({next(words, 'database')})")
        else:
            rest.append(word)
    return [*rest, "-m", " and ".join(expressions)]


def _stop(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
