from __future__ import annotations

import time

import pytest
from django.core.files.storage import default_storage

from labelapp.jobs.models import WorkerBeat
from labelapp.operations import health
from tests.operations.conftest import wait_for


def states(client) -> tuple[int, dict[str, bool]]:
    answer = client.get("/health/")
    return answer.status_code, {check["name"]: check["ok"] for check in answer.json()["checks"]}


def test_all_is_well(client, worker):
    status, found = states(client)
    assert status == 200
    assert found == dict.fromkeys(["database", "migrations", "workers", "broker", "storage"], True)


def test_it_says_when_no_worker_is_alive(client, worker):
    worker.stop()
    wait_for(lambda: not WorkerBeat.objects.exists(), "the worker's goodbye")
    status, found = states(client)
    assert status == 503
    assert not found["workers"] and found["broker"]


def test_it_says_when_the_broker_is_away_and_does_not_hang(client, worker, private_broker):
    private_broker.stop()
    started = time.monotonic()
    try:
        status, found = states(client)
    finally:
        private_broker.start()
    assert time.monotonic() - started < 5
    assert status == 503
    assert not found["broker"] and found["workers"]


@pytest.mark.django_db
def test_it_says_when_the_storage_cannot_be_written(client, monkeypatch):
    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied", "/secret/path")

    monkeypatch.setattr(default_storage, "save", refuse)
    answer = client.get("/health/")
    assert answer.status_code == 503
    assert b"/secret/path" not in answer.content


@pytest.mark.django_db
def test_it_says_when_migrations_are_missing(client, monkeypatch):
    monkeypatch.setattr(health, "_all_applied", False)
    monkeypatch.setattr(health, "migrations_missing", lambda: 2)
    status, found = states(client)
    assert status == 503 and not found["migrations"]


@pytest.mark.django_db
def test_people_get_a_page(client):
    answer = client.get("/health/", headers={"accept": "text/html"})
    assert answer.status_code == 503
    assert "Something needs attention" in answer.text
    assert client.get("/health/?format=json", headers={"accept": "text/html"}).json()["healthy"] is False


@pytest.mark.django_db
def test_it_cannot_be_posted_to(client):
    assert client.post("/health/").status_code == 405


def test_a_person_sees_it_in_the_browser(page, live_server, browser_errors):
    page.goto(live_server.url + "/health/")
    assert page.get_by_role("heading", level=1).inner_text() == "Something needs attention"
    # Chromium reports the 503 itself; anything else would be an error of the page.
    assert [error for error in browser_errors if "503" not in error] == []
    browser_errors.clear()
