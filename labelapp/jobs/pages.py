"""What pages show of a job, and who may see it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from labelapp.accounts.models import User
from labelapp.jobs.control import controls_of
from labelapp.jobs.models import ACTIVE, Job
from labelapp.jobs.selectors import job_progress, workers_alive
from workers.celery import queue_of


def jobs_of(user: User) -> QuerySet[Job]:
    """What the person started, newest first (a superuser: everything); parts of other jobs are not listed."""
    jobs = Job.objects.filter(parent=None).select_related("created_by").order_by("-pk")
    return jobs if user.is_superuser else jobs.filter(created_by=user)


def job_get_for(user: User, job_id: int) -> Job:
    """Raises Http404 for another person's job, unless it is one that several may wait for (a matrix, say)."""
    jobs = Job.objects.select_related("parent", "created_by")
    if not user.is_superuser:
        jobs = jobs.filter(Q(created_by=user) | ~Q(dedupe_key=""))
    job = jobs.filter(pk=job_id).first()
    if job is None:
        raise Http404("There is no such job of yours.")
    return job


def may_control(user: User | AnonymousUser | None, job: Job) -> bool:
    """Who started a job may pause and end it, and so may a superuser; parts go with the whole."""
    if not isinstance(user, User) or job.parent_id is not None:
        return False
    return user.is_superuser or job.created_by_id == user.pk


def progress_context(job: Job, poll: str = "", user: User | AnonymousUser | None = None) -> dict[str, Any]:
    """For the fragment jobs/progress.html; `user` gets the buttons that they may press."""
    progress = job_progress(job.pk)
    if may_control(user, job):
        job.state = progress.state  # as it is shown
    return {
        "controls": controls_of(job) if may_control(user, job) else [],
        "job": job,
        "progress": progress,
        "left": max(progress.total - progress.done, 0),
        "seconds_left": progress.seconds_left,
        "poll": poll or reverse("jobs:progress", args=[job.pk]),
        "waits_for_worker": not progress.is_over and not _is_served(job),
    }


def progress_response(request: HttpRequest, job: Job, poll: str = "") -> HttpResponse:
    """The fragment; when the job is over, the page around it is loaded anew, for what it now can show."""
    context = progress_context(job, poll, request.user)
    response = render(request, "jobs/progress.html", context)
    if context["progress"].is_over and request.headers.get("HX-Request"):
        response["HX-Refresh"] = "true"
    return response


def _is_served(job: Job) -> bool:
    """Whether a worker is alive for what is left of the job."""
    task = job.task
    if not task:
        open_parts = Job.objects.filter(parent=job, state__in=ACTIVE).exclude(task="")
        task = open_parts.order_by("pk").values_list("task", flat=True).first() or ""
    return bool(workers_alive(queue_of(task) if task else None))
