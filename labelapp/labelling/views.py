"""The labelling pages. The same addresses serve a plain form and, for its script, parts of the page."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.judgements.models import HUMAN_VERDICTS, LABEL_LENGTH, Kind
from labelapp.judgements.services import JudgementError
from labelapp.labelling.cards import Entry, queue_state
from labelapp.labelling.forms import AnswerForm
from labelapp.labelling.listing import projects_listed
from labelapp.labelling.models import Item, Project
from labelapp.labelling.selectors import (
    JUDGING_ROLES,
    REVIEWING_ROLES,
    item_get_for,
    item_next,
    project_get_for,
)
from labelapp.labelling.services import (
    LabellingError,
    guidelines_current,
    item_judge,
    item_skip,
    judgement_undo,
)

NOTHING_TO_UNDO = "There is nothing to undo: no judgement of yours stands in this project."


@require_GET
def projects(request: SignedInRequest) -> HttpResponse:
    return render(request, "labelling/projects.html", {"projects": projects_listed(request.user)})


@require_GET
def guidelines(request: SignedInRequest, slug: str) -> HttpResponse:
    project = project_get_for(request.user, slug)
    versions = project.guidelines.order_by("-version")
    return render(request, "labelling/guidelines.html", {"project": project, "versions": versions})


@never_cache
@require_GET
def queue(request: SignedInRequest, slug: str) -> HttpResponse:
    """The next item, or the one that `?item=` names."""
    project = project_get_for(request.user, slug, JUDGING_ROLES)
    item = item_get_for(project, request.GET["item"]) if "item" in request.GET else None
    return _page(request, project, item=item)


@require_POST
def judge(request: SignedInRequest, slug: str, opaque_id: str) -> HttpResponse:
    project = project_get_for(request.user, slug, JUDGING_ROLES)
    item = item_get_for(project, opaque_id)
    form = AnswerForm(request.POST)
    if not form.is_valid():
        return _refused(request, project, form.sentence(), item, form.entry())
    try:
        item_judge(item=item, user=request.user, **form.answer())
    except (JudgementError, LabellingError) as error:
        return _refused(request, project, str(error), item, form.entry())
    return _go_on(request, project)


@require_POST
def skip(request: SignedInRequest, slug: str, opaque_id: str) -> HttpResponse:
    project = project_get_for(request.user, slug, JUDGING_ROLES)
    item = item_get_for(project, opaque_id)
    try:
        item_skip(item=item, user=request.user)
    except LabellingError as error:
        return _refused(request, project, str(error), item)
    return _go_on(request, project, item_next(project, request.user, after=item))


@require_POST
def undo(request: SignedInRequest, slug: str) -> HttpResponse:
    """Withdraw the person's last judgement and show its item again, with what had been entered."""
    project = project_get_for(request.user, slug, JUDGING_ROLES)
    try:
        withdrawn = judgement_undo(project=project, user=request.user)
    except LabellingError as error:
        return _refused(request, project, str(error))
    if withdrawn is None:
        return _refused(request, project, NOTHING_TO_UNDO)
    return _go_on(request, project, withdrawn[0])


def _page(
    request: SignedInRequest,
    project: Project,
    *,
    item: Item | None = None,
    entry: Entry | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    """The whole page, or, for its script, what changes in it."""
    context = {
        "project": project,
        "guidelines": guidelines_current(project),
        "state": queue_state(project, request.user, item=item, entry=entry),
        "is_paused": project.state == Project.State.PAUSED,
        "reviews": _role_of(request, project) in REVIEWING_ROLES,
        "verdicts": HUMAN_VERDICTS,
        "kinds": Kind.choices,
        "label_length": LABEL_LENGTH,
        "error": error,
    }
    template = "labelling/queue_parts.html" if request.htmx else "labelling/queue.html"
    return render(request, template, context, status=status)


def _refused(
    request: SignedInRequest,
    project: Project,
    sentence: str,
    item: Item | None = None,
    entry: Entry | None = None,
) -> HttpResponse:
    """Nothing was changed. A script gets the sentence and keeps its page, a plain form gets the page back."""
    if request.htmx:
        return render(request, "partials/error.html", {"error": sentence}, status=422)
    return _page(request, project, item=item, entry=entry, error=sentence, status=422)


def _go_on(request: SignedInRequest, project: Project, item: Item | None = None) -> HttpResponse:
    if request.htmx:
        return _page(request, project, item=item)
    address = reverse("labelling:queue", args=[project.slug])
    return redirect(f"{address}?{urlencode({'item': item.opaque_id})}" if item else address)


def _role_of(request: SignedInRequest, project: Project) -> str:
    return project.memberships.values_list("role", flat=True).get(user=request.user)
