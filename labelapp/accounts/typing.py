"""Types of requests, for views."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from labelapp.accounts.models import User


class SignedInRequest(HttpRequest):
    """What a view behind the sign-in gets: LoginRequiredMiddleware lets nobody else through."""

    user: User
    htmx: HtmxDetails
