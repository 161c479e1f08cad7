"""What pages show of runs: what a judge has said so far, from the summaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Sum

from labelapp.autolabel.models import Run
from labelapp.jobs.selectors import JobProgress, job_progress
from labelapp.judgements.models import Summary, Verdict

Counts = dict[str, int]
SUMS = {verdict: Sum(verdict, default=0) for verdict in Verdict.values}


@dataclass(frozen=True)
class ListedRun:
    run: Run
    progress: JobProgress
    counts: Counts = field(default_factory=dict)  # of the judge on the whole model, under the rule `labeler`


def runs_listed(runs: Iterable[Run]) -> list[ListedRun]:
    """With the verdicts of each run's judge on its model, read at once."""
    found = list(runs)
    rows = Summary.objects.filter(
        judge__in={run.judge_id for run in found},
        matrix__model__in={run.model_id for run in found},
        rule="labeler",
    )
    sums: dict[tuple[int, int], Counts] = {
        (row["judge_id"], row["matrix__model_id"]): _counts(row)
        for row in rows.values("judge_id", "matrix__model_id").annotate(**SUMS)
    }
    return [ListedRun(run, job_progress(run.job_id), sums.get((run.judge_id, run.model_id), {})) for run in found]


def counts_by_circuit(run: Run) -> list[tuple[str, str, Counts, int]]:
    """For each rule and circuit what the run's judge says of its selection, with the number of directions."""
    rows = Summary.objects.filter(judge=run.judge_id, matrix__model=run.model_id)
    if run.selection.get("circuits"):
        rows = rows.filter(matrix__circuit__in=run.selection["circuits"])
    if run.selection.get("layers"):
        rows = rows.filter(matrix__layer__in=run.selection["layers"])
    sums = rows.values("rule", "matrix__circuit").annotate(**SUMS).order_by("rule", "matrix__circuit")
    return [_by_circuit(row) for row in sums]


def selection_words(selection: dict[str, Any]) -> str:
    """As a phrase: "ov, mlp_in in layers 0, 3" or "everything stored"."""
    circuits = ", ".join(selection.get("circuits") or [])
    layers = ", ".join(str(layer) for layer in selection.get("layers") or [])
    if not circuits and not layers:
        return "everything stored"
    return " in ".join(filter(None, [circuits or "all circuits", layers and f"layers {layers}"]))


def _by_circuit(row: Mapping[str, Any]) -> tuple[str, str, Counts, int]:
    counts = _counts(row)
    return row["rule"], row["matrix__circuit"], counts, sum(counts.values())


def _counts(row: Mapping[str, Any]) -> Counts:
    return {verdict: row[verdict] for verdict in Verdict.values}
