"""`./tea lint`: runs every checker, says what each found, and fails if any did."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
TYPED = ["labelapp", "workers", "benchmarks", "fixtures", "manage.py", "tea"]

CHECKS: dict[str, list[str]] = {
    "ruff check": [PYTHON, "-m", "ruff", "check", ".", "tea"],
    "ruff format": [PYTHON, "-m", "ruff", "format", "--check", ".", "tea"],
    "mypy": [PYTHON, "-m", "mypy", *TYPED],
    "djlint": [PYTHON, "-m", "djlint", "templates", "--lint", "--check"],
    "import-linter": [PYTHON, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
    "migrations": [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"],
}


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - CHECKS.keys())
    if unknown:
        say(f"No checker is called {', '.join(unknown)}; there are {', '.join(CHECKS)}.")
        return 2
    with tempfile.TemporaryDirectory(prefix="tealeaves-lint-") as data:
        environment = {**os.environ, "TEALEAVES_DATA": data}
        environment.pop("DATABASE_URL", None)
        failed = [name for name in names or CHECKS if not passes(name, environment)]
    say(f"Failed: {', '.join(failed)}." if failed else "Nothing to complain about.")
    return 1 if failed else 0


def passes(name: str, environment: dict[str, str]) -> bool:
    started = time.monotonic()
    result = subprocess.run(
        CHECKS[name], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    verdict = "ok" if result.returncode == 0 else "FAILED"
    say(f"{name:15} {verdict} in {time.monotonic() - started:.1f} s")
    if result.returncode:
        say(result.stdout.rstrip() + "\n")
    return result.returncode == 0


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
