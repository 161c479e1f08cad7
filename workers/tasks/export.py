"""Tasks that write files for download, read uploaded files, estimate runs and aggregate votes: short ones."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from django.core.files.storage import default_storage

from labelapp.atlas.selection import SelectionError
from labelapp.autolabel.models import PlannedRun
from labelapp.autolabel.planned import planned_estimate
from labelapp.exchange.imports import ImportRefusedError, readouts_count
from labelapp.exchange.imports import readouts_import as service_readouts_import
from labelapp.exchange.models import Export, Import
from labelapp.exchange.services import export_write as service_export_write
from labelapp.exchange.subjects import ExportError
from labelapp.figures.services import figure_keep, figure_of_job
from labelapp.jobs.models import Job
from labelapp.jobs.services import job_completion, job_progress_set
from labelapp.review.aggregation import AggregationError, aggregation_write, votes_of
from labelapp.review.crossed import crossed_keep
from labelapp.review.crossed_shown import crossed_of_job
from labelapp.review.lab_stored import lab_keep, lab_of_job
from labelapp.review.models import Aggregation
from workers.llm.errors import LlmError
from workers.tasks.base import ProgressReport, job_task


@job_task("workers.tasks.export.export_write", user_errors=lambda: (ExportError,))
def export_write(job: Job) -> None:
    """Write an export's file and note where it lies."""
    export = Export.objects.select_related("created_by").get(pk=job.params["export"])
    progress = ProgressReport(job)
    name, n = service_export_write(export, on_row=lambda _: progress.step())
    with job_completion(job):
        Export.objects.filter(pk=export.pk).update(file=name, rows=n)


@job_task("workers.tasks.export.readouts_import", user_errors=lambda: (ImportRefusedError,))
def readouts_import(job: Job) -> None:
    """Read an uploaded file through, then store it in the transaction that ends the job."""
    made = Import.objects.get(pk=job.params["import"])
    progress = ProgressReport(job)
    with tempfile.NamedTemporaryFile() as copy, default_storage.open(made.file, "rb") as uploaded:
        shutil.copyfileobj(uploaded, copy)
        copy.flush()
        path = Path(copy.name)
        readouts_count(path, name=made.name, on_row=progress.step)
        with job_completion(job):
            service_readouts_import(path, name=made.name, revision=made.revision, created_by=made.created_by, made=made)


@job_task("workers.tasks.export.votes_aggregate", user_errors=lambda: (AggregationError,))
def votes_aggregate(job: Job) -> None:
    """Aggregate what stands of a project's people."""
    from workers.tasks.crowd import aggregate

    aggregation = Aggregation.objects.select_related("project").get(pk=job.params["aggregation"])
    votes = votes_of(aggregation.project)
    if not votes:
        raise AggregationError(f"Nobody's yes or no stands in {aggregation.project} any more.")
    found = aggregate(votes, aggregation.method)
    with job_completion(job):
        aggregation_write(aggregation, votes, found)


@job_task("workers.tasks.export.run_estimate", user_errors=lambda: (LlmError, ExportError, SelectionError))
def run_estimate(job: Job) -> None:
    """Count the calls, tokens and money that a planned run will take."""
    planned = PlannedRun.objects.select_related("model", "labeler", "verifier", "created_by").get(
        pk=job.params["planned"]
    )
    estimate = planned_estimate(planned, ProgressReport(job).step)
    with job_completion(job):
        PlannedRun.objects.filter(pk=planned.pk).update(estimate=estimate)


@job_task("workers.tasks.export.figure_compute", user_errors=lambda: (SelectionError,))
def figure_compute(job: Job) -> None:
    """Compute a figure that a page would wait too long for, and store it."""
    kind, query, computed, stamp = figure_of_job(job, lambda percent: job_progress_set(job, done=percent))
    with job_completion(job):
        figure_keep(kind=kind, query=query, computed=computed, stamp=stamp, user=job.created_by)


@job_task("workers.tasks.export.lab_compute")
def lab_compute(job: Job) -> None:
    """Score judges over more directions than a page would wait for, and keep what was found."""
    result, differing = lab_of_job(job, lambda percent: job_progress_set(job, done=percent))
    with job_completion(job):
        lab_keep(result, differing)


@job_task("workers.tasks.export.crossed_count")
def crossed_count(job: Job) -> None:
    """Count people beside machines in a project where a page would wait too long for it."""
    found = crossed_of_job(job)
    with job_completion(job):
        crossed_keep(found)


def _report_errors() -> tuple[type[Exception], ...]:
    from labelapp.figures.report import ReportError

    return (ReportError, SelectionError)


@job_task("workers.tasks.export.project_report", user_errors=_report_errors)
def project_report(job: Job) -> None:
    """Write a project's report as an archive, and note in the job where it lies."""
    from labelapp.figures.report_files import report_of_job  # brings scipy, which other tasks do without

    progress = ProgressReport(job)
    name = report_of_job(job, lambda _: progress.step())
    with job_completion(job):
        Job.objects.filter(pk=job.pk).update(params={**job.params, "file": name})
