"""The labelling pages. The same addresses serve a plain form and, for its script, parts of the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.judgements.models import HUMAN_VERDICTS, LABEL_LENGTH, Kind
from labelapp.judgements.services import JudgementError
from labelapp.labelling.cards import Entry, queue_state
from labelapp.labelling.errors import LabellingError
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
from labelapp.labelling.services import answer_undo, guidelines_current, item_judge, item_skip

P = ParamSpec("P")
NOTHING_TO_UNDO = "There is nothing to undo: no answer of yours stands in this project."

View = Callable[Concatenate[SignedInRequest, P], HttpResponse]


def _said_to_scripts(view: View[P]) -> View[P]:
    """A script gets the sentence of a refusal alone, not the page around it."""

    @wraps(view)
    def answer(request: SignedInRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            _require_same_person(request)
            return view(request, *args, **kwargs)
        except (Http404, PermissionDenied) as error:
            if not request.htmx:
                raise
            status = 404 if isinstance(error, Http404) else 403
            return render(request, "partials/error.html", {"error": str(error)}, status=status)

    return answer


def _require_same_person(request: SignedInRequest) -> None:
    """A page may outlive its session; what was entered by one person must not be taken for another's.

    Raises PermissionDenied.
    """
    if request.headers.get("X-Judge", str(request.user.pk)) != str(request.user.pk):
        raise PermissionDenied(f"You are signed in as {request.user} now, and somebody else entered this.")


@require_GET
def projects(request: SignedInRequest) -> HttpResponse:
    return render(request, "labelling/projects.html", {"projects": projects_listed(request.user)})


@never_cache
@require_GET
def queue(request: SignedInRequest, slug: str) -> HttpResponse:
    """The next item, or the one that `?item=` names."""
    project = project_get_for(request.user, slug, JUDGING_ROLES)
    item = item_get_for(project, request.GET["item"]) if "item" in request.GET else None
    return _page(request, project, item=item)


@require_POST
@_said_to_scripts
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
@_said_to_scripts
def skip(request: SignedInRequest, slug: str, opaque_id: str) -> HttpResponse:
    project = project_get_for(request.user, slug, JUDGING_ROLES)
    item = item_get_for(project, opaque_id)
    try:
        item_skip(item=item, user=request.user)
    except LabellingError as error:
        return _refused(request, project, str(error), item)
    return _go_on(request, project, item_next(project, request.user, after=item))


@require_POST
@_said_to_scripts
def undo(request: SignedInRequest, slug: str) -> HttpResponse:
    """Take back the person's last answer and show its item again, with what had been entered."""
    project = project_get_for(request.user, slug, JUDGING_ROLES)
    try:
        item = answer_undo(project=project, user=request.user)
    except LabellingError as error:
        return _refused(request, project, str(error))
    if item is None:
        return _refused(request, project, NOTHING_TO_UNDO)
    return _go_on(request, project, item)


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
