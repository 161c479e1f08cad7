"""The shared cast: who may do what is tested with the same four people, and with nobody (`client`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from labelapp.accounts.models import User

PASSWORD = "four-cups-of-green-tea"


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    """`make_user("mary")`: a user with the cast's password, which need not be changed."""

    def make(username: str, **fields: object) -> User:
        user = User.objects.create_user(username=username, password=PASSWORD, **fields)
        if user.must_change_password:
            user.must_change_password = False
            user.save(update_fields=["must_change_password"])
        return user

    return make


@pytest.fixture
def owner(make_user: Callable[..., User]) -> User:
    return make_user("owner")


@pytest.fixture
def reviewer(make_user: Callable[..., User]) -> User:
    return make_user("reviewer")


@pytest.fixture
def annotator(make_user: Callable[..., User]) -> User:
    return make_user("annotator")


@pytest.fixture
def outsider(make_user: Callable[..., User]) -> User:
    return make_user("outsider")


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """`client_of(owner)`: a client that is signed in as this user."""

    def make(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


@pytest.fixture
def owner_client(owner: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(owner)


@pytest.fixture
def reviewer_client(reviewer: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(reviewer)


@pytest.fixture
def annotator_client(annotator: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(annotator)


@pytest.fixture
def outsider_client(outsider: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(outsider)
