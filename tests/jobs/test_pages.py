"""The pages of background work: who sees what, and what they say while it runs, waits or fails."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from labelapp.jobs.models import Job, State
from labelapp.jobs.services import worker_beat
from labelapp.jobs.templatetags.jobs import duration

pytestmark = pytest.mark.django_db

TASK = "workers.tasks.weights.decompose_layer"


def make_job(user=None, **fields):
    return Job.objects.create(**{"title": "Decompose demo", "task": TASK, "created_by": user} | fields)


def progress_of(client, job):
    response = client.get(reverse("jobs:progress", args=[job.pk]), headers={"HX-Request": "true"})
    assert response.status_code == 200
    return response, response.content.decode()


def test_a_person_sees_their_own_and_a_superuser_all(owner, outsider, make_user, client_of):
    job = make_job(owner)
    chief = make_user("chief", is_superuser=True)
    addresses = [reverse("jobs:detail", args=[job.pk]), reverse("jobs:progress", args=[job.pk])]
    for user, status in ((owner, 200), (outsider, 404), (chief, 200)):
        client = client_of(user)
        assert [client.get(address).status_code for address in addresses] == [status, status]
        assert ("Decompose demo" in client.get(reverse("jobs:list")).content.decode()) is (status == 200)


def test_a_job_that_several_wait_for_is_shown_to_each(owner, outsider_client):
    job = make_job(owner, dedupe_key="matrix:1:ov.0.0")
    assert outsider_client.get(reverse("jobs:progress", args=[job.pk])).status_code == 200
    assert "Decompose demo" not in outsider_client.get(reverse("jobs:list")).content.decode()


def test_an_empty_list_teaches(owner_client):
    assert "What takes longer than a page may take runs here" in owner_client.get("/jobs/").content.decode()


@pytest.mark.parametrize("name", ["jobs:detail", "jobs:progress"])
def test_only_reading(owner, owner_client, name):
    job = make_job(owner)
    for method in (owner_client.post, owner_client.put, owner_client.delete):
        assert method(reverse(name, args=[job.pk])).status_code == 405
    assert owner_client.get(reverse(name, args=[job.pk + 1])).status_code == 404


def test_without_a_worker_the_page_says_so(owner, owner_client):
    job = make_job(owner)
    _, html = progress_of(owner_client, job)
    assert "No worker is running" in html and 'hx-trigger="every 1s"' in html
    worker_beat("w@host", ["export"])
    assert "No worker is running" in progress_of(owner_client, job)[1]
    worker_beat("w@host", ["export", "weights"])
    assert "No worker is running" not in progress_of(owner_client, job)[1]


def test_a_parent_waits_for_the_queue_of_its_parts(owner, owner_client):
    parent = make_job(owner, task="")
    make_job(owner, parent=parent, total=4)
    assert "No worker is running" in progress_of(owner_client, parent)[1]
    worker_beat("w@host", ["weights"])
    _, html = progress_of(owner_client, parent)
    assert "No worker is running" not in html and "0 of 4" in html
    assert "Its parts" in owner_client.get(reverse("jobs:detail", args=[parent.pk])).content.decode()


def test_a_running_job_says_what_is_left(owner, owner_client):
    started = timezone.now() - timedelta(seconds=100)
    job = make_job(owner, state=State.RUNNING, done=25, total=100, started_at=started)
    response, html = progress_of(owner_client, job)
    assert "25 of 100" in html and "about 5 min left" in html
    assert 'value="25"' in html and "HX-Refresh" not in response


def test_when_it_is_over_the_page_is_loaded_anew_and_asks_no_more(owner, owner_client):
    job = make_job(owner, state=State.DONE, done=3, total=3)
    response, html = progress_of(owner_client, job)
    assert response["HX-Refresh"] == "true" and "hx-get" not in html
    page = owner_client.get(reverse("jobs:detail", args=[job.pk]))
    assert "HX-Refresh" not in page and "hx-get" not in page.content.decode()


def test_a_failure_shows_its_sentence_harmlessly(owner, owner_client):
    job = make_job(owner, state=State.FAILED, error="No folder <script>x</script> here.")
    html = owner_client.get(reverse("jobs:detail", args=[job.pk])).content.decode()
    assert "It failed" in html and "No folder &lt;script&gt;x&lt;/script&gt; here." in html


def test_a_list_takes_the_same_queries_whatever_its_length(owner, owner_client, django_assert_max_num_queries):
    for _ in range(30):
        make_job(owner)
    with django_assert_max_num_queries(3):
        owner_client.get("/jobs/")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0.2, "1 s"), (40, "40 s"), (89, "89 s"), (90, "2 min"), (5399, "1 h 30 min"), (7200, "2 h 0 min")],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words
