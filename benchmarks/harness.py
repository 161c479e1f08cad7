"""`./tea bench NAME`: runs benchmarks/NAME.py and keeps what it found in benchmarks/results/NAME.md.

A benchmark is a module with a docstring (its first line says what it measures) and `run(bench)`.
It compares within the same run: an absolute number means little on another machine.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NOT_BENCHMARKS = {"__init__", "harness"}


@dataclass(frozen=True)
class Figure:
    """One number with its limit: `short` where it misses it. Without a limit it is never short."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    at_most: bool = True

    @property
    def ok(self) -> bool:
        if self.limit is None:
            return True
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    @property
    def line(self) -> str:
        if self.limit is None:
            return f"figure {self.name} {number(self.value)} {self.unit}"
        state = "ok" if self.ok else "short"
        return f"figure {self.name} {number(self.value)} {self.unit} limit {number(self.limit)} {state}"


@dataclass
class Bench:
    """What a benchmark writes to: tables for people, figures with limits, libraries whose versions matter."""

    name: str
    arguments: Sequence[str] = ()
    figures: list[Figure] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A Markdown table, aligned for a terminal; shown at once."""
        cells = [[str(cell) if not isinstance(cell, float) else number(cell) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
        lines = [list(header), ["-" * width for width in widths], *cells]
        block = "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in lines
        )
        self.blocks.append(block)
        say(block)

    def note(self, text: str) -> None:
        self.blocks.append(text)
        say(text)

    def at_most(self, name: str, value: float, unit: str, limit: float) -> None:
        self.figures.append(Figure(name, value, unit, limit, at_most=True))

    def at_least(self, name: str, value: float, unit: str, limit: float) -> None:
        self.figures.append(Figure(name, value, unit, limit, at_most=False))

    def plain(self, name: str, value: float, unit: str) -> None:
        """A figure without a limit."""
        self.figures.append(Figure(name, value, unit))


@dataclass(frozen=True)
class Paired:
    """Repeats of two things taken in turn, so that a slow moment of the machine meets both."""

    first: list[float]
    second: list[float]

    @property
    def medians(self) -> tuple[float, float]:
        return statistics.median(self.first), statistics.median(self.second)

    @property
    def difference(self) -> float:
        """The median of second − first, pair by pair."""
        return statistics.median(b - a for a, b in zip(self.first, self.second, strict=True))

    @property
    def ratio(self) -> float:
        """The median of second / first, pair by pair."""
        return statistics.median(b / a for a, b in zip(self.first, self.second, strict=True))


def paired(first: Callable[[], object], second: Callable[[], object], *, repeats: int = 7, warmup: int = 1) -> Paired:
    """Seconds of both, `repeats` times, each pair in the opposite order of the last."""
    for _ in range(warmup):
        first()
        second()
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats):
        for which in (0, 1) if repeat % 2 == 0 else (1, 0):
            times[which].append(seconds(second if which else first))
    return Paired(*times)


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def number(value: float) -> str:
    """Four significant digits at most, never an exponent: scripts read these lines."""
    digits = f"{value:.4g}"
    return f"{value:.0f}" if "e" in digits else digits


def names() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_BENCHMARKS)


def say(text: str) -> None:
    print(text, flush=True)


def machine(libraries: Sequence[str]) -> list[str]:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in libraries)
    return [
        f"- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- commit: {git_commit()}",
        f"- machine: {platform.system()} {platform.machine()}, {processor()}, {os.cpu_count()} cores",
        f"- Python {platform.python_version()}" + (f", {versions}" if versions else ""),
    ]


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def git_commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") or "none"
    return f"{commit} with changes" if git("status", "--porcelain", "--untracked-files=no") else commit


def report(bench: Bench, title: str) -> str:
    figures = "\n".join(figure.line for figure in bench.figures)
    facts = "\n".join(machine(bench.libraries))
    return "\n\n".join([f"# {title}", *bench.blocks, f"```\n{figures}\n```", facts]) + "\n"


def title_of(name: str) -> str:
    module = importlib.import_module(f"benchmarks.{name}")
    return (module.__doc__ or name).strip().splitlines()[0]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./tea bench", description="Run a benchmark; without a name, list them.")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--no-fail", action="store_true", help="exit 0 even where a figure is short")
    options, rest = parser.parse_known_args(arguments)
    if options.name is None:
        for name in names():
            say(f"{name:12} {title_of(name)}")
        return 0
    if options.name not in names():
        sys.stderr.write(f"bench: No benchmark is called {options.name}; there are {', '.join(names())}.\n")
        return 2
    return run(options.name, rest, no_fail=options.no_fail)


def run(name: str, arguments: Sequence[str], *, no_fail: bool) -> int:
    bench = Bench(name, arguments)
    title = title_of(name)
    importlib.import_module(f"benchmarks.{name}").run(bench)
    for figure in bench.figures:
        say(figure.line)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / f"{name}.md").write_text(report(bench, title))
    return 0 if no_fail or all(figure.ok for figure in bench.figures) else 1


if __name__ == "__main__":
    # As a module of its own: a benchmark imports the same one.
    from benchmarks import harness

    raise SystemExit(harness.main(sys.argv[1:]))
