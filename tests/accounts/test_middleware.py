"""What every request goes through."""

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("address", ["/models/a%00b/", "/models/?q=%00", "/models/?%00=q", "/label/%00/"])
def test_nul_in_an_address_is_refused(owner_client, address):
    assert owner_client.get(address).status_code in (400, 404)


def test_nul_in_a_form_is_refused(owner_client):
    answer = owner_client.post("/exports/start/", {"subject": "project:\0", "format": "jsonl"})
    assert answer.status_code == 400


def test_health_answers_when_the_database_does_not(owner_client, monkeypatch):
    def gone(*_):
        raise OperationalError("the database is away")

    monkeypatch.setattr(SessionStore, "load", gone)
    answer = owner_client.get("/health/", headers={"accept": "text/html"})
    assert answer.status_code in (200, 503)
