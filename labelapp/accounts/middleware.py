from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

ALLOWED = {"accounts:password", "accounts:sign_out", "accounts:sign_in"}


class PasswordChangeMiddleware:
    """Leads a person with a one-time password to the change of it, whatever page was asked for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        match = request.resolver_match
        must_change = getattr(request.user, "must_change_password", False)
        if must_change and match and match.view_name not in ALLOWED and not match.view_name.startswith("operations:"):
            return redirect("accounts:password")
        return None
