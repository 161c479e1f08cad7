"""The list of projects; their own pages are in project_views.py, member_views.py and queue_views.py."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from labelapp.accounts.typing import SignedInRequest
from labelapp.labelling.listing import projects_listed


@require_GET
def projects(request: SignedInRequest) -> HttpResponse:
    return render(request, "labelling/projects.html", {"projects": projects_listed(request.user)})
