"""What pages show of runs: what a judge has said so far, from the summaries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count, Q

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.atlas.keys import Variant
from labelapp.atlas.selection import matrix_filter, selection_from_json
from labelapp.autolabel.models import Run
from labelapp.autolabel.selection import run_selection_words
from labelapp.autolabel.selectors import RunTally, run_rate, run_tally
from labelapp.jobs.selectors import JobProgress, jobs_progress
from labelapp.judgements.models import Summary, Verdict
from labelapp.judgements.tables import SUMS, RuleTable, rule_tables
from labelapp.judgements.visibility import count_is_shown
from workers.llm.prices import NANO, dollars

Counts = dict[str, int]


@dataclass(frozen=True)
class ListedRun:
    run: Run
    progress: JobProgress
    counts: Counts  # of the judge on the variants of the selection, under the rule `labeler`
    is_shown: bool  # the counts give nothing away that the viewer is still to judge blind

    @property
    def without_verdict(self) -> int:
        """Answers that could not be read or had."""
        return self.counts[Verdict.UNPARSED] + self.counts[Verdict.FAILED]


def runs_listed(runs: Iterable[Run], viewer: User) -> list[ListedRun]:
    """With the verdicts of each run's judge on its model, read at once."""
    found = list(runs)
    made = [f"matrix__{name}" for name in asdict(Variant())]
    rows = Summary.objects.filter(judge__in={run.judge_id for run in found}, rule="labeler")
    # By judge and model, and by judge alone for runs over several models.
    sums: dict[tuple[int, int | None], list[tuple[Variant, Counts]]] = defaultdict(list)
    for row in rows.values("judge_id", "matrix__model_id", *made).annotate(**SUMS):
        variant = Variant(*(row[name] for name in made))
        for model_id in (row["matrix__model_id"], None):
            sums[row["judge_id"], model_id].append((variant, _counts(row)))
    progress = jobs_progress(run.job_id for run in found)
    blind = panels.hidden_directions(viewer).order_by().values_list("matrix__model_id")
    hidden: Counter[int | None] = Counter(dict(blind.annotate(n=Count("pk"))))
    hidden[None] = hidden.total()
    listed = []
    for run in found:
        selection = selection_from_json(run.selection)
        parts = [counts for variant, counts in sums[run.judge_id, run.model_id] if selection.holds(variant)]
        counts = {verdict: sum(part[verdict] for part in parts) for verdict in Verdict.values}
        is_shown = count_is_shown(sum(counts.values()), hidden[run.model_id])
        listed.append(ListedRun(run, progress[run.job_id], counts, is_shown))
    return listed


def rule_table(run: Run, viewer: User) -> RuleTable | None:
    """What the run's judge says of its selection by circuit, under every rule side by side."""
    selected = matrix_filter(selection_from_json(run.selection), prefix="matrix__")
    # Of several models, where a project's are: all that the judge has judged.
    of_model = Q(matrix__model=run.model_id) if run.model_id else Q()
    return next(iter(rule_tables(selected & of_model & Q(judge=run.judge_id), viewer)), None)


@dataclass(frozen=True)
class LiveRun:
    """A run of a language model at this moment: what changes while it is watched."""

    run: Run
    tally: RunTally
    rate: float | None  # directions a second, of late

    @property
    def seconds_left(self) -> float | None:
        return self.tally.pending / self.rate if self.rate else None

    @property
    def rate_words(self) -> str:
        """ "3.2 a second", "45 a minute"."""
        if self.rate is None:
            return ""
        return f"{self.rate:.3g} a second" if self.rate >= 1 else f"{60 * self.rate:.2g} a minute"

    @property
    def money(self) -> list[tuple[str, str]]:
        """What was spent and what is left, with their names."""
        run = self.run
        if not run.has_price:
            return [("Cost", "unknown")]
        rows = [("Spent", dollars(run.spent))]
        if run.lost:
            rows.append(("Lost", f"{dollars(run.lost)} on calls without an answer, which may have been billed"))
        if run.left is None:
            return [*rows, ("Budget", "none")]
        under_way = f", {dollars(run.reserved)} held for calls under way" if run.reserved else ""
        return [*rows, ("Left", f"{dollars(max(run.left, 0))} of {dollars(run.budget or 0)}{under_way}")]


def run_live(run: Run) -> LiveRun:
    return LiveRun(run, run_tally(run), run_rate(run))


def money_words(run: Run) -> str:
    """ "$0.12 spent of $2.00", "cost unknown"."""
    if not run.has_price:
        return "cost unknown"
    words = f"{dollars(run.spent + run.lost)} spent"
    return words if run.budget is None else f"{words} of {dollars(run.budget)}"


def dollars_plain(nano: int) -> str:
    """As a person types it, and exactly: "2.5" for 2500000000."""
    text = f"{nano // NANO}.{nano % NANO:09d}"
    return text.rstrip("0").rstrip(".")


def selection_words(selection: dict[str, Any]) -> str:
    """As a phrase: "ov, mlp_in in layers 0, 3"."""
    return run_selection_words(selection)


def _counts(row: Mapping[str, Any]) -> Counts:
    return {verdict: row[verdict] for verdict in Verdict.values}
