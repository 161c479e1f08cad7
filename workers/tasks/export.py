"""Tasks that write files for download."""

from __future__ import annotations

from labelapp.exchange.models import Export
from labelapp.exchange.services import export_write as service_export_write
from labelapp.exchange.subjects import ExportError
from labelapp.jobs.models import Job
from labelapp.jobs.services import job_completion
from workers.tasks.base import ProgressReport, job_task


@job_task("workers.tasks.export.export_write", user_errors=lambda: (ExportError,))
def export_write(job: Job) -> None:
    """Write an export's file and note where it lies."""
    export = Export.objects.select_related("created_by").get(pk=job.params["export"])
    progress = ProgressReport(job)
    name, n = service_export_write(export, on_row=lambda _: progress.step())
    with job_completion(job):
        Export.objects.filter(pk=export.pk).update(file=name, rows=n)
