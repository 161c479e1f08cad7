"""What pages show of runs: what a judge has said so far, from the summaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Sum

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.atlas.selection import matrix_filter, selection_from_json
from labelapp.autolabel.models import Run
from labelapp.jobs.selectors import JobProgress, jobs_progress
from labelapp.judgements.models import Summary, Verdict
from labelapp.judgements.rules import RULES, Rule
from labelapp.judgements.visibility import count_is_shown

Counts = dict[str, int]
SUMS = {verdict: Sum(verdict, default=0) for verdict in Verdict.values}


@dataclass(frozen=True)
class ListedRun:
    run: Run
    progress: JobProgress
    counts: Counts  # of the judge on the whole model, under the rule `labeler`
    is_shown: bool  # the counts give nothing away that the viewer is still to judge blind

    @property
    def without_verdict(self) -> int:
        """Answers that could not be read or had."""
        return self.counts[Verdict.UNPARSED] + self.counts[Verdict.FAILED]


@dataclass(frozen=True)
class CircuitCounts:
    """What a run's judge says of one circuit of its selection, under one rule."""

    rule: Rule
    circuit: str
    counts: Counts
    n: int
    is_shown: bool


def runs_listed(runs: Iterable[Run], viewer: User) -> list[ListedRun]:
    """With the verdicts of each run's judge on its model, read at once."""
    found = list(runs)
    rows = Summary.objects.filter(
        judge__in={run.judge_id for run in found},
        matrix__model__in={run.model_id for run in found},
        rule="labeler",
    )
    sums: dict[tuple[int, int | None], Counts] = {
        (row["judge_id"], row["matrix__model_id"]): _counts(row)
        for row in rows.values("judge_id", "matrix__model_id").annotate(**SUMS)
    }
    none_yet: Counts = dict.fromkeys(Verdict.values, 0)
    progress = jobs_progress(run.job_id for run in found)
    blind = panels.hidden_directions(viewer).order_by().values_list("matrix__model_id")
    hidden = dict(blind.annotate(n=Count("pk")))
    listed = []
    for run in found:
        counts = sums.get((run.judge_id, run.model_id), none_yet)
        is_shown = count_is_shown(sum(counts.values()), hidden.get(run.model_id, 0))
        listed.append(ListedRun(run, progress[run.job_id], counts, is_shown))
    return listed


def counts_by_circuit(run: Run, viewer: User) -> list[CircuitCounts]:
    """For each rule and circuit what the run's judge says of its selection, with the number of directions."""
    selected = matrix_filter(selection_from_json(run.selection), prefix="matrix__")
    blind = panels.hidden_directions(viewer).filter(selected, matrix__model=run.model_id).order_by()
    rows = Summary.objects.filter(selected, judge=run.judge_id, matrix__model=run.model_id)
    sums = rows.values("rule", "matrix__circuit").annotate(**SUMS).order_by("rule", "matrix__circuit")
    hidden = dict(blind.values_list("matrix__circuit").annotate(n=Count("pk")))
    return [_by_circuit(row, hidden.get(row["matrix__circuit"], 0)) for row in sums if row["rule"] in RULES]


def selection_words(selection: dict[str, Any]) -> str:
    """As a phrase: "ov, mlp_in in layers 0, 3"."""
    return selection_from_json(selection).words


def _by_circuit(row: Mapping[str, Any], n_hidden: int) -> CircuitCounts:
    counts = _counts(row)
    n = sum(counts.values())
    return CircuitCounts(RULES[row["rule"]], row["matrix__circuit"], counts, n, count_is_shown(n, n_hidden))


def _counts(row: Mapping[str, Any]) -> Counts:
    return {verdict: row[verdict] for verdict in Verdict.values}
