from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

ALLOWED = {"accounts:password", "accounts:sign_out", "accounts:sign_in"}


class SignInMiddleware(LoginRequiredMiddleware):
    """Every page asks for a sign-in, unless its view says otherwise."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: tuple[Any, ...], view_kwargs: Any
    ) -> HttpResponseBase | None:
        # Django's asks for the user first; the health page must answer without a database, where the user is.
        if not getattr(view_func, "login_required", True):
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)


class PasswordChangeMiddleware:
    """Leads a person with a one-time password to the change of it, whatever page was asked for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        match = request.resolver_match
        # The name first: the health page must answer without a database, from which the user would come.
        if match is None or match.view_name in ALLOWED or match.view_name.startswith("operations:"):
            return None
        if getattr(request.user, "must_change_password", False):
            return redirect("accounts:password")
        return None


class NulMiddleware:
    """Refuses NUL, which no form and no address of ours holds and PostgreSQL's text cannot."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        values = [request.path, *request.GET, *(value for name in request.GET for value in request.GET.getlist(name))]
        if request.method == "POST":
            values += [value for name in request.POST for value in request.POST.getlist(name)]
        if any("\0" in value for value in values):
            raise BadRequest("The address or the form holds a NUL character, which is not allowed.")
        return self.get_response(request)
