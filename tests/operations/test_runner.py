"""`./tea test` itself, `./tea lint` and `./tea bench`."""

from __future__ import annotations

import pytest

from benchmarks import harness
from tests import lint, run
from tests.support import parts


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["-m", "database"]),
        (["tests/atlas", "-k", "key"], ["tests/atlas", "-k", "key", "-m", "database"]),
        (["-m", "not slow", "-x"], ["-x", "-m", "database and (not slow)"]),
    ],
)
def test_the_second_run_takes_only_what_touches_a_database(given, expected):
    assert run.only_database(given) == expected


@pytest.mark.parametrize(("cores", "processes"), [(2, "2"), (64, "4")])
@pytest.mark.parametrize("given", [[], ["-x", "-q"], ["-m", "not slow"]])
def test_the_whole_suite_runs_in_several_processes(monkeypatch, cores, processes, given):
    monkeypatch.setattr(run.os, "cpu_count", lambda: cores)
    assert run.in_parallel(given)[:4] == ["-n", processes, "--dist", "loadfile"]


@pytest.mark.parametrize(
    "given",
    [["tests/atlas"], ["tests/test_house.py::test_x"], ["-n", "3"], ["-n=0"], ["-x", "-s"], ["--pdb"], ["-k", "a"]],
)
def test_what_is_chosen_runs_as_it_was_chosen(monkeypatch, given):
    monkeypatch.setattr(run.os, "cpu_count", lambda: 2)
    assert run.in_parallel(given) == []


def test_one_core_has_no_use_for_several_processes(monkeypatch):
    monkeypatch.setattr(run.os, "cpu_count", lambda: 1)
    assert run.in_parallel([]) == []


def test_a_missing_part_fails_under_ci_and_nothing_runs(monkeypatch, capsys):
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(run, "missing_parts", lambda: ["Chromium"])
    monkeypatch.setattr(run, "run_pytest", lambda *_: pytest.fail("it ran"))
    assert run.main([]) == 1
    said = capsys.readouterr().out
    assert "Chromium is missing" in said and "Under CI=true a missing part is a failure" in said


def test_without_ci_it_says_what_is_left_out(monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(run, "missing_parts", lambda: ["PostgreSQL"])
    runs = []
    monkeypatch.setattr(run, "run_pytest", lambda title, *_: runs.append(title) or 0)
    assert run.main([]) == 0
    assert runs == ["SQLite"]
    assert "the database tests run on SQLite alone" in capsys.readouterr().out


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_test_that_needs_a_missing_part_is_left_out_or_fails(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(parts, "missing_parts", lambda: ["broker"])
    with pytest.raises(outcome, match="broker is missing"):
        parts.require("broker")


@pytest.mark.parametrize(
    ("sqlite", "postgres", "expected"), [(0, 0, 0), (0, 5, 0), (5, 0, 0), (5, 5, 5), (1, 0, 1), (0, 1, 1)]
)
def test_it_passes_if_both_runs_pass(monkeypatch, sqlite, postgres, expected):
    monkeypatch.setattr(run, "run_pytest", lambda *_: sqlite)
    monkeypatch.setattr(run, "run_on_postgres", lambda *_: postgres)
    assert run.run_both([], with_postgres=True) == expected


def test_lint_runs_every_checker_and_names_those_that_failed(monkeypatch, capsys):
    monkeypatch.setattr(lint, "CHECKS", {"good": ["true"], "bad": ["sh", "-c", "echo a complaint; exit 3"]})
    assert lint.main([]) == 1
    said = capsys.readouterr().out
    assert "a complaint" in said and "Failed: bad." in said
    assert lint.main(["good"]) == 0
    assert lint.main(["another"]) == 2


# Benchmarks


@pytest.mark.parametrize(
    ("value", "at_most", "line"),
    [
        (1.23456, True, "figure time 1.235 s limit 2 ok"),
        (2.5, True, "figure time 2.5 s limit 2 short"),
        (2.5, False, "figure time 2.5 s limit 2 ok"),
        (1234567.0, True, "figure time 1234567 s limit 2 short"),
    ],
)
def test_a_figure_is_one_line(value, at_most, line):
    assert harness.Figure("time", value, "s", 2, at_most).line == line


def test_a_figure_without_a_limit_is_never_short():
    figure = harness.Figure("time", 1.23456, "s")
    assert figure.line == "figure time 1.235 s" and figure.ok


def test_pairs_are_compared_pair_by_pair():
    times = harness.Paired([1.0, 2.0, 10.0], [2.0, 4.0, 20.0])
    assert (times.medians, times.difference, times.ratio) == ((2.0, 4.0), 2.0, 2.0)


def test_a_pair_is_taken_in_turn():
    order = []
    harness.paired(lambda: order.append("a"), lambda: order.append("b"), repeats=2, warmup=0)
    assert order == ["a", "b", "b", "a"]


def test_a_short_figure_fails_and_the_result_is_kept(monkeypatch, tmp_path, capsys):
    (tmp_path / "sample.py").write_text('"""A sample."""\n')

    class Module:
        __doc__ = "A sample.\n\nMore."

        @staticmethod
        def run(bench):
            bench.table(["thing", "value"], [["one", 1.5]])
            bench.at_most("thing", 1.5, "s", 1)

    monkeypatch.setattr(harness, "HERE", tmp_path)
    monkeypatch.setattr(harness.importlib, "import_module", lambda _: Module)
    assert harness.main(["sample"]) == 1
    assert harness.main(["sample", "--no-fail"]) == 0
    assert "figure thing 1.5 s limit 1 short" in capsys.readouterr().out
    kept = (tmp_path / "results" / "sample.md").read_text()
    assert "# A sample." in kept and "| one   | 1.5   |" in kept and "- Python" in kept


def test_an_unknown_benchmark_is_one_sentence(capsys):
    assert harness.main(["nothing"]) == 2
    assert "No benchmark is called nothing" in capsys.readouterr().err
