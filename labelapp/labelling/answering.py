"""How pages on which people answer talk to their scripts."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import render

from labelapp.accounts.typing import SignedInRequest

P = ParamSpec("P")
View = Callable[Concatenate[SignedInRequest, P], HttpResponse]


def said_to_scripts(view: View[P]) -> View[P]:
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
