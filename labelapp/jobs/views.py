"""What runs in the background, and how far it is."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.jobs.control import CONTROLS
from labelapp.jobs.models import Job
from labelapp.jobs.pages import job_get_for, jobs_of, may_control, progress_response

JOBS_SHOWN = 100
PARTS_SHOWN = 200


@require_GET
def job_list(request: SignedInRequest) -> HttpResponse:
    return render(request, "jobs/list.html", {"jobs": jobs_of(request.user)[:JOBS_SHOWN], "shown": JOBS_SHOWN})


@require_GET
def detail(request: SignedInRequest, job_id: int) -> HttpResponse:
    job = job_get_for(request.user, job_id)
    parts = Job.objects.filter(parent=job).order_by("pk")[:PARTS_SHOWN]
    return render(request, "jobs/detail.html", {"job": job, "parts": parts})


@require_GET
def progress(request: SignedInRequest, job_id: int) -> HttpResponse:
    return progress_response(request, job_get_for(request.user, job_id))


@require_POST
def control(request: SignedInRequest, job_id: int) -> HttpResponse:
    """Pause, resume, cancel or try again; then back to the page with the button."""
    act = CONTROLS.get(request.POST.get("act", ""))
    job = get_object_or_404(Job, pk=job_id, parent=None)
    if act is None:
        raise Http404("There is no such thing to do with a job.")
    if not may_control(request.user, job):
        raise PermissionDenied("Only who started a job may pause or end it.")
    if not act(job):
        messages.warning(request, "The job had changed meanwhile; this is how it is now.")
    back = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = reverse("jobs:detail", args=[job.pk])
    return redirect(back)
