"""Sign-in, sign-out, the change of a password; and that nothing else is reachable without the first."""

import pytest
from django.conf import settings
from django.core.cache import cache
from django.template.loader import render_to_string
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.urls.converters import IntConverter

from labelapp.accounts.models import User
from labelapp.accounts.services import one_time_password_reset
from tests.support.cast import PASSWORD

pytestmark = pytest.mark.django_db

OPEN = {"accounts:sign_in", "labelling:join"}  # by an invitation one comes in without an account
OPEN_ROOMS = {"operations"}
SIGN_IN = "/account/sign-in/"


def _all_addresses(resolver=None, namespace="", before=""):
    """(name, address) of every page, with something in the place of each part that varies."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            inner = ":".join(filter(None, [namespace, pattern.namespace]))
            yield from _all_addresses(pattern, inner, before + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            address = before + str(pattern.pattern)
            for name, converter in pattern.pattern.converters.items():
                kind = next(kind for kind in ("int", "slug", "str", "path") if f"<{kind}:{name}>" in address)
                value = "1" if isinstance(converter, IntConverter) else "x"
                address = address.replace(f"<{kind}:{name}>", value)
            yield f"{namespace}:{pattern.name}" if namespace else pattern.name, "/" + address


def test_the_walk_finds_the_pages():
    names = {name for name, _ in _all_addresses()}
    assert {"home", "accounts:sign_in", "jobs:progress", "labelling:judge", "exchange:download"} <= names
    assert len(names) > 20


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_nothing_is_reachable_without_sign_in(client, method):
    for name, address in _all_addresses():
        if name in OPEN or name.split(":")[0] in OPEN_ROOMS:
            continue
        response = getattr(client, method)(address)
        assert response.status_code == 302, (name, address, response.status_code)
        assert response.url.startswith(SIGN_IN), (name, response.url)


def test_sign_in_leads_to_the_page_that_was_asked_for(client, owner):
    response = client.get("/label/")
    assert response.url == f"{SIGN_IN}?next=/label/"
    response = client.post(SIGN_IN, {"username": "owner", "password": PASSWORD, "next": "/label/"})
    assert response.url == "/label/"
    assert client.get("/label/").status_code == 200


def test_sign_in_leads_to_no_other_host(client, owner):
    answers = {"username": "owner", "password": PASSWORD, "next": "https://elsewhere.example/"}
    assert client.post(SIGN_IN, answers).url == "/"


def test_a_wrong_password_is_said_in_a_sentence(client, owner):
    response = client.post(SIGN_IN, {"username": "owner", "password": "wrong"})
    assert response.status_code == 200
    assert "Name and password do not belong together" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_many_wrong_passwords_lock_the_name(client, owner):
    cache.clear()
    for _ in range(settings.AXES_FAILURE_LIMIT):
        response = client.post(SIGN_IN, {"username": "owner", "password": "wrong"})
    assert response.status_code == 429
    assert "Too many wrong passwords" in response.content.decode()
    assert client.post(SIGN_IN, {"username": "owner", "password": PASSWORD}).status_code == 429


def test_who_is_signed_in_needs_no_form(owner_client):
    assert owner_client.get(SIGN_IN).status_code == 302


def test_a_part_of_a_page_after_the_session_loads_the_page_anew(client):
    response = client.get(SIGN_IN, headers={"HX-Request": "true"})
    assert response["HX-Refresh"] == "true"
    assert b"<form" not in response.content


def test_sign_out_is_a_post(owner_client):
    assert owner_client.get("/account/sign-out/").status_code == 405
    assert owner_client.post("/account/sign-out/").url == SIGN_IN
    assert owner_client.get("/label/").status_code == 302


def test_a_one_time_password_leads_to_the_change_of_it(client, make_user):
    user = make_user("fresh")
    once = one_time_password_reset(user)
    client.post(SIGN_IN, {"username": "fresh", "password": once})
    for address in ("/", "/label/", "/jobs/"):
        assert client.get(address).url == reverse("accounts:password")
    page = client.get(reverse("accounts:password")).content.decode()
    assert "old_password" not in page and "one-time password" in page

    chosen = {"new_password1": "rooibos-at-noon", "new_password2": "rooibos-at-noon"}
    assert client.post(reverse("accounts:password"), chosen).status_code == 302
    assert client.get("/label/").status_code == 200  # still signed in
    user.refresh_from_db()
    assert not user.must_change_password and user.check_password("rooibos-at-noon")


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"old_password": "wrong", "new_password1": "a-b-c-d-e", "new_password2": "a-b-c-d-e"}, "present password"),
        ({"old_password": PASSWORD, "new_password1": "short", "new_password2": "short"}, "too short"),
        ({"old_password": PASSWORD, "new_password1": "a-b-c-d-e", "new_password2": "a-b-c-d"}, "match"),
        ({}, "required"),
    ],
)
def test_a_password_that_cannot_be_taken_changes_nothing(owner_client, owner, answers, sentence):
    response = owner_client.post(reverse("accounts:password"), answers)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert User.objects.get(pk=owner.pk).check_password(PASSWORD)


def test_every_answer_carries_the_strict_policy(client, owner_client):
    for response in (client.get(SIGN_IN), owner_client.get("/label/"), owner_client.get("/nowhere/")):
        policy = response["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        html = response.content.decode()
        assert " style=" not in html and "<style" not in html and " onclick=" not in html
        assert "<script>" not in html


def test_an_unknown_address_is_a_page_of_ours(owner_client):
    response = owner_client.get("/nowhere/")
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()


def test_the_page_for_errors_needs_nothing():
    html = render_to_string("500.html")
    assert "Something went wrong" in html and "{%" not in html


def test_an_old_form_is_answered_in_a_sentence(owner):
    client = Client(enforce_csrf_checks=True)
    response = client.post(SIGN_IN, {"username": "owner", "password": PASSWORD})
    assert response.status_code == 403
    assert "Please send it again" in response.content.decode()
