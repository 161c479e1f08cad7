"""Who takes part: members by name, invitation links, and coming in by one."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from labelapp.accounts.forms import NewAccountForm
from labelapp.accounts.models import User
from labelapp.accounts.services import AccountError, account_create
from labelapp.accounts.typing import SignedInRequest
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.members.forms import InvitationForm, MemberForm, RoleForm
from labelapp.labelling.members.services import (
    OVER,
    invitation_accept,
    invitation_create,
    invitation_get,
    invitation_of,
    invitation_revoke,
    member_add,
    member_remove,
    member_role_change,
)
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.projects.forms import sentence
from labelapp.labelling.projects.settings_page import invitations
from labelapp.labelling.projects.settings_page import members as members_listed
from labelapp.labelling.projects.views import role_of
from labelapp.labelling.selectors import OWNING_ROLES, REVIEWING_ROLES, project_get_for

BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@require_http_methods(["GET", "POST"])
def members(request: SignedInRequest, slug: str) -> HttpResponse:
    """For owners and reviewers to read; what an owner posts is a new member."""
    posted = request.method == "POST"
    project = project_get_for(request.user, slug, OWNING_ROLES if posted else REVIEWING_ROLES)
    if not posted:
        return _page(request, project)
    form = MemberForm(request.POST)
    if not form.is_valid():
        return _page(request, project, form=form, error=sentence(form), status=422)
    try:
        added = member_add(project=project, **form.cleaned_data)
    except LabellingError as error:
        return _page(request, project, form=form, error=str(error), status=422)
    messages.success(request, f"{added.user} is {added.role} of {project.name} now.")
    return redirect("labelling:members", project.slug)


@require_POST
def member(request: SignedInRequest, slug: str, user_id: int) -> HttpResponse:
    """`act=remove`, or a `role` to change to."""
    project = project_get_for(request.user, slug, OWNING_ROLES)
    user = get_object_or_404(User, pk=user_id, memberships__project=project)
    form = RoleForm(request.POST)
    removes = request.POST.get("act") == "remove"
    try:
        if removes:
            member_remove(project=project, user=user)
        elif not form.is_valid():
            return _page(request, project, error=sentence(form), status=422)
        else:
            member_role_change(project=project, user=user, role=form.cleaned_data["role"])
    except LabellingError as error:
        return _page(request, project, error=str(error), status=422)
    if not removes:
        return redirect("labelling:members", project.slug)
    messages.success(request, f"{user} is no member of {project.name} any more; what {user} judged stays.")
    return redirect("labelling:projects") if user == request.user else redirect("labelling:members", project.slug)


@never_cache
@require_POST
def invite(request: SignedInRequest, slug: str) -> HttpResponse:
    """Make a link. The answer shows it, this once."""
    project = project_get_for(request.user, slug, OWNING_ROLES)
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return _page(request, project, invitation_form=form, error=sentence(form), status=422)
    _, secret = invitation_create(project=project, created_by=request.user, **form.cleaned_data)
    link = request.build_absolute_uri(reverse("labelling:join", args=[secret]))
    return _page(request, project, link=link)


@require_POST
def revoke(request: SignedInRequest, slug: str, invitation_id: int) -> HttpResponse:
    project = project_get_for(request.user, slug, OWNING_ROLES)
    if not project.invitations.filter(pk=invitation_id).exists():
        raise Http404("The project has no such invitation.")
    if invitation_revoke(project=project, invitation_id=invitation_id):
        messages.success(request, "The link leads nowhere now; who came in by it before stays a member.")
    return redirect("labelling:members", project.slug)


@sensitive_post_parameters()
@never_cache
@login_not_required
@require_http_methods(["GET", "POST"])
def join(request: HttpRequest, secret: str) -> HttpResponse:
    """Come in by a link: as who is signed in, or with an account made on the spot."""
    user = request.user if isinstance(request.user, User) else None
    if user is not None and (project := invitation_of(secret, user)):
        return _go_in(project)
    invitation = invitation_get(secret)
    if invitation is None:
        return render(request, "labelling/join_over.html", {"reason": OVER}, status=404)
    form = None if user else NewAccountForm(request.POST if request.method == "POST" else None)
    error = ""
    if request.method == "POST" and (form is None or form.is_valid()):
        try:
            with transaction.atomic():
                person = user or account_create(
                    username=form.cleaned_data["username"],  # type: ignore[union-attr]
                    password=form.cleaned_data["password1"],  # type: ignore[union-attr]
                )
                membership = invitation_accept(secret=secret, user=person)
        except (AccountError, LabellingError) as raised:
            error = str(raised)
        else:
            if user is None:
                login(request, person, backend=BACKEND)
            messages.success(request, f"You are {membership.role} of {invitation.project.name} now.")
            return _go_in(invitation.project)
    context = {
        "invitation": invitation,
        "form": form,
        "error": error,
        "sign_in": f"{reverse('accounts:sign_in')}?{urlencode({'next': request.path})}",
    }
    return render(request, "labelling/join.html", context, status=422 if request.method == "POST" else 200)


def _go_in(project: Project) -> HttpResponse:
    """The rubric first."""
    return redirect("labelling:guidelines", project.slug)


def _page(
    request: SignedInRequest,
    project: Project,
    *,
    form: MemberForm | None = None,
    invitation_form: InvitationForm | None = None,
    link: str = "",
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        "project": project,
        "role": role_of(request, project),
        "members": members_listed(project),
        "roles": Membership.Role.values,
        "invitations": invitations(project),
        "form": form or MemberForm(),
        "invitation_form": invitation_form or InvitationForm(auto_id="invitation_%s"),
        "link": link,
        "error": error,
    }
    return render(request, "labelling/members.html", context, status=status)
