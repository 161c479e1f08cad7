"""The pages of exports: who may ask for one, and who may download it."""

import json

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import reverse

from labelapp.exchange.models import Export
from labelapp.exchange.services import export_write
from labelapp.jobs.models import Job, State
from labelapp.labelling.services import item_judge
from tests.factories import cast_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(owner, reviewer, annotator):
    return cast_project(owner, reviewer, annotator)


def start(client, subject, format="jsonl"):
    return client.post(reverse("exchange:start"), {"subject": subject, "format": format})


def finish(export):
    export.file, export.rows = export_write(export, lambda n: None)
    export.save()
    Job.objects.filter(pk=export.job_id).update(state=State.DONE)


def test_no_export_teaches(owner_client):
    assert "No export yet" in owner_client.get("/exports/").content.decode()


@pytest.mark.parametrize(("who", "status"), [("owner", 302), ("reviewer", 302), ("annotator", 422), ("outsider", 422)])
def test_owner_and_reviewer_may_export(project, who, status, request, client_of):
    response = start(client_of(request.getfixturevalue(who)), "project:animals")
    assert response.status_code == status
    assert Export.objects.count() == (status == 302) == Job.objects.count()


@pytest.mark.parametrize(
    ("subject", "format", "sentence"),
    [
        ("project:none", "jsonl", "There is no project"),
        ("", "jsonl", "cannot be exported"),
        ("figure:1", "jsonl", "cannot be exported"),
        ("project:animals", "exe", "There is no format"),
    ],
)
def test_a_bad_request_gets_one_sentence(project, owner_client, subject, format, sentence):
    response = start(owner_client, subject, format)
    assert response.status_code == 422 and sentence in response.content.decode()
    assert not Export.objects.exists() and not Job.objects.exists()


def test_it_is_downloaded_and_read_back(project, owner, owner_client):
    item_judge(item=project.items.first(), user=owner, verdict="interpretable", label="pets")
    start(owner_client, "project:animals")
    export = Export.objects.get()
    html = owner_client.get("/exports/").content.decode()
    assert "0 of 5" in html and "Download" not in html
    early = owner_client.get(reverse("exchange:download", args=[export.pk]), follow=True)
    assert "not written yet" in early.content.decode()

    finish(export)
    assert reverse("exchange:download", args=[export.pk]) in owner_client.get("/exports/").content.decode()
    response = owner_client.get(reverse("exchange:download", args=[export.pk]))
    assert response["Content-Disposition"] == 'attachment; filename="animals.jsonl"'
    rows = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]
    assert len(rows) == 5
    assert {row["key"] for row in rows} == {str(item.direction.key) for item in project.items.all()}


def test_only_who_asked_and_superusers_may_have_it(
    project, owner, owner_client, reviewer_client, outsider_client, make_user, client_of
):
    start(owner_client, "project:animals")
    export = Export.objects.get()
    finish(export)
    path = reverse("exchange:download", args=[export.pk])
    chief = client_of(make_user("chief", is_superuser=True))
    clients = (owner_client, chief, reviewer_client, outsider_client)
    assert [client.get(path).status_code for client in clients] == [200, 200, 404, 404]
    assert "by owner" in chief.get("/exports/").content.decode()
    assert "animals" not in outsider_client.get("/exports/").content.decode()


def test_whoever_left_the_project_has_it_no_more(project, owner, reviewer, reviewer_client):
    item_judge(item=project.items.first(), user=owner, verdict="interpretable", label="pets")
    start(reviewer_client, "project:animals")
    export = Export.objects.get()
    finish(export)
    path = reverse("exchange:download", args=[export.pk])
    assert reviewer_client.get(path).status_code == 200
    for change in ({"role": "annotator"}, None):
        found = project.memberships.filter(user=reviewer)
        if change:
            found.update(**change)
        else:
            found.delete()
        response = reviewer_client.get(path)
        assert response.status_code == 403 and "its owner and reviewers may" in response.content.decode()


def test_a_file_that_is_gone_is_said_in_a_sentence(project, owner_client):
    start(owner_client, "project:animals")
    export = Export.objects.get()
    export.file = default_storage.save("exports/x.jsonl", ContentFile(b"x"))
    export.save()
    Job.objects.update(state=State.DONE)
    default_storage.delete(export.file)
    response = owner_client.get(reverse("exchange:download", args=[export.pk]))
    assert response.status_code == 410 and "export it again" in response.content.decode()


def test_methods(project, owner_client):
    assert owner_client.get("/exports/start/").status_code == 405
    for path in ("/exports/", "/exports/1/"):
        for method in (owner_client.post, owner_client.put, owner_client.delete):
            assert method(path).status_code == 405
