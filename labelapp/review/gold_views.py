"""The button that makes a ground-truth set the gold of a project."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.selectors import REVIEWING_ROLES, project_get_for
from labelapp.review.gold import projects_for_gold, truth_as_gold
from labelapp.review.truth import truth_get
from labelapp.review.truth_rules import GroundTruthError


@require_POST
def gold(request: SignedInRequest, slug: str, name: str, version: int) -> HttpResponse:
    """`into` is the short name of a project that the person owns."""
    project = project_get_for(request.user, slug, REVIEWING_ROLES)
    try:
        truth = truth_get(project, name, version)
    except GroundTruthError as error:
        raise Http404(str(error)) from None
    into = projects_for_gold(request.user).filter(slug=request.POST.get("into", "")).first()
    if into is None:
        messages.error(request, "Choose an opened project that you own: its owner decides what is mixed in.")
        return redirect("review:truth", project.slug, name, version)
    try:
        messages.success(request, truth_as_gold(truth=truth, project=into, user=request.user).sentence)
    except LabellingError as error:
        messages.error(request, str(error))
        return redirect("review:truth", project.slug, name, version)
    return redirect("labelling:checks", into.slug)
