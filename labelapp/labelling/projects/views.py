"""The list of projects, and the pages with which one is made, opened, paused and changed."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from labelapp.accounts.typing import SignedInRequest
from labelapp.atlas.models import Model
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.projects.design import design_from_json
from labelapp.labelling.projects.exploration import exploration_add
from labelapp.labelling.projects.forms import (
    DraftForm,
    ExploreForm,
    GuidelinesForm,
    JudgingForm,
    NewProjectForm,
    draft_initial,
    sentence,
)
from labelapp.labelling.projects.listing import projects_listed
from labelapp.labelling.projects.services import (
    guidelines_add,
    project_change,
    project_draft,
    project_open,
    project_pause,
    project_redesign,
    project_resume,
)
from labelapp.labelling.projects.settings_page import drawn, preview, versions
from labelapp.labelling.selectors import ANY_ROLE, OWNING_ROLES, REVIEWING_ROLES, project_get_for
from labelapp.labelling.subjects import tokens_shown

ACTS = ("open", "pause", "resume")


@require_GET
def listed(request: SignedInRequest) -> HttpResponse:
    return render(request, "labelling/projects.html", {"projects": projects_listed(request.user)})


@require_http_methods(["GET", "POST"])
def create(request: SignedInRequest) -> HttpResponse:
    form = NewProjectForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        project = project_draft(owner=request.user, **form.draft_fields())
        messages.success(request, f"{project.name} is a draft: look at what it would draw, then open it.")
        return redirect("labelling:settings", project.slug)
    context = {"form": form, "has_models": Model.objects.exists()}
    return render(request, "labelling/new.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "POST"])
def settings(request: SignedInRequest, slug: str) -> HttpResponse:
    """For its owner to change, for reviewers to read."""
    posted = request.method == "POST"
    project = project_get_for(request.user, slug, OWNING_ROLES if posted else REVIEWING_ROLES)
    is_draft = project.state == Project.State.DRAFT
    form = _settings_form(project, request.POST if posted else None)
    if not posted:
        return _settings_page(request, project, form=form)
    if not form.is_valid():
        return _settings_page(request, project, form=form, status=422)
    try:
        if is_draft:
            assert isinstance(form, DraftForm)
            project_redesign(project, **form.project_fields())
        else:
            project_change(project, **form.cleaned_data)
    except LabellingError as error:
        return _settings_page(request, project, error=str(error), status=422)
    messages.success(request, "Saved.")
    return redirect("labelling:settings", project.slug)


@require_POST
def state(request: SignedInRequest, slug: str) -> HttpResponse:
    """Open a draft, pause, resume. What has happened already is not an error: somebody pressed twice."""
    project = project_get_for(request.user, slug, OWNING_ROLES)
    act = request.POST.get("act", "")
    if act not in ACTS:
        return _settings_page(
            request, project, error=f"There is no act {act[:20]!r}; open, pause or resume.", status=422
        )
    try:
        if act == "open":
            opened = project_open(project)
            messages.success(
                request, f"{opened.name} is open, with {opened.items.count():,} items; its design is frozen."
            )
        elif act == "pause" and project_pause(project):
            messages.success(request, f"{project.name} is paused: it takes no judgements until you resume it.")
        elif act == "resume" and project_resume(project):
            messages.success(request, f"{project.name} takes judgements again.")
    except (LabellingError, LookupError) as error:
        return _settings_page(request, project, error=str(error), status=422)
    return redirect("labelling:settings", project.slug)


@require_POST
def explore(request: SignedInRequest, slug: str) -> HttpResponse:
    """Put more into the exploration queue."""
    project = project_get_for(request.user, slug, OWNING_ROLES)
    form = ExploreForm(request.POST)
    if not form.is_valid():
        return _settings_page(request, project, error=sentence(form), status=422)
    data = form.cleaned_data
    try:
        n = exploration_add(
            project=project, user=request.user, criterion=data["criterion"], judge=data["machine"], n=data["n"]
        )
    except (LabellingError, LookupError) as error:
        return _settings_page(request, project, error=str(error), status=422)
    messages.success(request, f"{n:,} more to explore, after the sample and apart from every estimate.")
    return redirect("labelling:settings", project.slug)


@require_http_methods(["GET", "POST"])
def guidelines(request: SignedInRequest, slug: str) -> HttpResponse:
    """For members to read; what its owner posts is the next version."""
    project = project_get_for(request.user, slug, OWNING_ROLES if request.method == "POST" else ANY_ROLE)
    if request.method == "GET":
        return _guidelines_page(request, project)
    form = GuidelinesForm(request.POST)
    if not form.is_valid():
        return _guidelines_page(request, project, form=form, status=422)
    data = form.cleaned_data
    try:
        version = guidelines_add(
            project=project,
            user=request.user,
            text=data["guidelines"],
            threshold=data["threshold"],
            after=data["after"],
        )
    except LabellingError as error:
        return _guidelines_page(request, project, form=form, error=str(error), status=422)
    if version is not None:
        said = f"Version {version.version} holds from now on; judgements made before are marked as under an older one."
        messages.success(request, said)
    return redirect("labelling:guidelines", project.slug)


def _settings_form(project: Project, data: Any = None) -> DraftForm | JudgingForm:
    if project.state == Project.State.DRAFT:
        design = design_from_json(project.design)
        return DraftForm(data, initial=draft_initial(project, design) if design and data is None else None)
    names = ("name", "overlap", "reveal")
    return JudgingForm(data, initial={name: getattr(project, name) for name in names})


def _settings_page(
    request: SignedInRequest,
    project: Project,
    *,
    form: DraftForm | JudgingForm | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    project = project_get_for(request.user, project.slug)  # as it stands now
    is_draft = project.state == Project.State.DRAFT
    role = role_of(request, project)
    context = {
        "project": project,
        "role": role,
        "is_draft": is_draft,
        "form": form or _settings_form(project),
        "preview": preview(project) if is_draft else None,
        "drawn": None if is_draft else drawn(project, request.user),
        "explore": ExploreForm() if role in OWNING_ROLES and _may_explore(project) else None,
        "shown": tokens_shown(project),
        "error": error,
    }
    return render(request, "labelling/settings.html", context, status=status)


def _may_explore(project: Project) -> bool:
    return project.is_of_directions and bool(project.design.get("selection"))


def _guidelines_page(
    request: SignedInRequest,
    project: Project,
    *,
    form: GuidelinesForm | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    role = role_of(request, project)
    found = versions(project)
    current = found[0].guidelines
    initial = {"guidelines": current.text, "threshold": round(current.threshold * 100), "after": current.version}
    context = {
        "project": project,
        "role": role,
        "current": found[0],
        "older": found[1:],
        "form": (form or GuidelinesForm(initial=initial)) if role in OWNING_ROLES else None,
        "is_open": form is not None,
        "error": error,
    }
    return render(request, "labelling/guidelines.html", context, status=status)


def role_of(request: SignedInRequest, project: Project) -> str:
    return Membership.objects.values_list("role", flat=True).get(project=project, user=request.user)
