"""A project's report from the page: asked for here, written by a job, downloaded by who asked."""

from __future__ import annotations

from pathlib import PurePosixPath

from django.contrib import messages
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.figures.report_files import report_start, reports_of
from labelapp.jobs.models import State
from labelapp.labelling.selectors import REVIEWING_ROLES, project_get_for

REPORTS_SHOWN = 20


@require_GET
def reports(request: SignedInRequest, slug: str) -> HttpResponse:
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    jobs = reports_of(project, request.user)[:REPORTS_SHOWN]
    return render(request, "figures/reports.html", {"project": project, "jobs": jobs})


@require_POST
def start(request: SignedInRequest, slug: str) -> HttpResponse:
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    report_start(project=project, user=request.user, with_names=request.POST.get("names") == "1")
    messages.success(request, "The report is being written; it stands here to be downloaded when it is done.")
    return redirect("figures:reports", project.slug)


@require_GET
def download(request: SignedInRequest, slug: str, job_id: int) -> HttpResponseBase:
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    job = reports_of(project, request.user).filter(pk=job_id).first()
    if job is None:
        raise Http404("There is no such report of yours.")
    name = job.params.get("file", "")
    if job.state != State.DONE or not name or not default_storage.exists(name):
        messages.warning(request, "That report is not there (yet); write it again.")
        return redirect("figures:reports", project.slug)
    return FileResponse(default_storage.open(name), as_attachment=True, filename=PurePosixPath(name).name)
