"""Reads on runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, QuerySet
from django.utils import timezone

from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import MatrixSelection, directions_selected
from labelapp.autolabel.models import Run, RunItem
from labelapp.jobs.models import State
from labelapp.judgements.models import Judge, Judgement

# The rate of a run is that of its last minute, or of so many judgements where these were quicker.
RATE_SECONDS = 60
RATE_JUDGEMENTS = 1000


def runs_recent() -> QuerySet[Run]:
    """Newest first, with what a list shows of them."""
    return Run.objects.select_related("judge", "model", "job", "created_by").order_by("-pk")


def directions_to_judge(model: Model, judge: Judge, selection: MatrixSelection) -> QuerySet[Direction]:
    """The stored directions of a selection that the judge has no standing judgement on."""
    rows = directions_selected(model, selection)
    judged = Judgement.objects.filter(judge=judge, current=True).values("direction_id")
    return rows.exclude(pk__in=judged)


def layers_to_judge(model: Model, judge: Judge, selection: MatrixSelection) -> dict[int | None, int]:
    """For each layer with directions to judge, how many; None stands for what belongs to no layer."""
    rows = directions_to_judge(model, judge, selection).order_by("matrix__layer")
    return dict(rows.values_list("matrix__layer").annotate(n=Count("pk")))


@dataclass(frozen=True)
class RunTally:
    """What has become of a run's items, and what went wrong with those that failed."""

    done: int
    failed: int
    pending: int
    errors: dict[str, int]  # by kind, the most frequent first

    @property
    def total(self) -> int:
        return self.done + self.failed + self.pending


def run_tally(run: Run) -> RunTally:
    """Two counts by index, whatever else is stored."""
    items = RunItem.objects.filter(run=run).order_by()
    states = dict(items.values_list("state").annotate(n=Count("pk")))
    return RunTally(states.get("done", 0), states.get("failed", 0), states.get("pending", 0), run_errors(run))


def run_errors(run: Run) -> dict[str, int]:
    """How many items failed for each kind of error, the most frequent first."""
    failed = RunItem.objects.filter(run=run, state=RunItem.State.FAILED)
    return dict(failed.values_list("error_kind").annotate(n=Count("pk")).order_by("-n", "error_kind"))


def run_rate(run: Run) -> float | None:
    """Directions that a run at work has judged a second of late; None where it is not at work or has judged none."""
    if run.job.state != State.RUNNING:
        return None
    now = timezone.now()
    since = max(now - timedelta(seconds=RATE_SECONDS), run.job.started_at or now)
    rows = Judgement.objects.filter(source=run.source, judge=run.judge_id).order_by("-pk")
    times = [at for at in rows.values_list("created_at", flat=True)[:RATE_JUDGEMENTS] if at >= since]
    if len(times) == RATE_JUDGEMENTS:
        since = min(times)
    seconds = (now - since).total_seconds()
    return len(times) / seconds if times and seconds > 0 else None
