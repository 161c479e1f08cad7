"""The pages of projects and their guidelines; judging is in queue_views.py."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from labelapp.accounts.typing import SignedInRequest
from labelapp.labelling.listing import projects_listed
from labelapp.labelling.selectors import project_get_for


@require_GET
def projects(request: SignedInRequest) -> HttpResponse:
    return render(request, "labelling/projects.html", {"projects": projects_listed(request.user)})


@require_GET
def guidelines(request: SignedInRequest, slug: str) -> HttpResponse:
    project = project_get_for(request.user, slug)
    versions = project.guidelines.order_by("-version")
    return render(request, "labelling/guidelines.html", {"project": project, "versions": versions})
