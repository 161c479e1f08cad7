"""What runs in the background, and how far it is."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from labelapp.accounts.typing import SignedInRequest
from labelapp.jobs.models import Job
from labelapp.jobs.pages import job_get_for, jobs_of, progress_response

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
