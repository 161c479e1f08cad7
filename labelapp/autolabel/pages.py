"""What pages show of runs: what a judge has said so far, from the summaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.atlas.selection import matrix_filter, selection_from_json
from labelapp.autolabel.models import Run
from labelapp.jobs.selectors import JobProgress, jobs_progress
from labelapp.judgements.models import Summary, Verdict
from labelapp.judgements.tables import SUMS, RuleTable, rule_tables
from labelapp.judgements.visibility import count_is_shown

Counts = dict[str, int]


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


def rule_table(run: Run, viewer: User) -> RuleTable | None:
    """What the run's judge says of its selection by circuit, under every rule side by side."""
    selected = matrix_filter(selection_from_json(run.selection), prefix="matrix__")
    return next(iter(rule_tables(selected & Q(judge=run.judge_id, matrix__model=run.model_id), viewer)), None)


def selection_words(selection: dict[str, Any]) -> str:
    """As a phrase: "ov, mlp_in in layers 0, 3"."""
    return selection_from_json(selection).words


def _counts(row: Mapping[str, Any]) -> Counts:
    return {verdict: row[verdict] for verdict in Verdict.values}
