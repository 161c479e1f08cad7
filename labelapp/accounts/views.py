"""Sign-in, sign-out, and the change of one's password."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelapp.accounts.forms import SignInForm, password_form
from labelapp.accounts.services import ShortcutsError, password_set, shortcuts_set
from labelapp.accounts.typing import SignedInRequest


class SignInView(LoginView):
    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True
    http_method_names = ["get", "post", "head", "options"]

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        # A part of a page was asked for after the session had ended: the whole page is loaded again, so that
        # the form does not appear in the midst of it.
        if request.headers.get("HX-Request"):
            return HttpResponseClientRefresh()
        return super().get(request, *args, **kwargs)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    messages.success(request, "You are signed out.")
    return redirect("accounts:sign_in")


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "POST"])
def password(request: SignedInRequest) -> HttpResponse:
    user = request.user
    form = password_form(user, request.POST if request.method == "POST" else None)
    if form.is_valid():
        password_set(user, form.cleaned_data["new_password1"])
        update_session_auth_hash(request, user)
        messages.success(request, "Your password is changed.")
        return redirect("home")
    status = 422 if form.is_bound else 200
    return render(request, "accounts/password.html", {"form": form}, status=status)


@require_POST
def shortcuts(request: SignedInRequest) -> HttpResponse:
    """Keep the keys that the person has changed, as the dialog of all keys sends them."""
    try:
        shortcuts_set(request.user, request.POST.get("shortcuts", ""))
    except ShortcutsError as error:
        return render(request, "partials/error.html", {"error": str(error)}, status=422)
    return HttpResponse(status=204)
