"""Pause, resume, cancel, try again: a job and its parts together, whoever else is at work on them."""

import contextlib
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from labelapp.jobs.control import job_cancel, job_pause, job_reopen, job_restart, job_resume
from labelapp.jobs.models import Job, State
from labelapp.jobs.reaper import reap
from labelapp.jobs.selectors import job_progress
from labelapp.jobs.services import (
    LeaseLostError,
    job_claim,
    job_completion,
    job_create,
    job_fail,
    job_release,
    job_wish,
    job_writing,
)

TASK = "workers.tasks.weights.decompose_layer"


def family(n=3, **fields):
    parent = job_create(title="parent", **fields)
    return parent, [job_create(title=f"part {i}", task=TASK, parent=parent, total=4) for i in range(n)]


def states(parent):
    parent.refresh_from_db()
    return [parent.state, *Job.objects.filter(parent=parent).order_by("pk").values_list("state", flat=True)]


@pytest.mark.django_db
def test_a_paused_job_begins_nothing_and_goes_on_where_it_was():
    parent, (one, two, three) = family()
    held = job_claim(one.pk)
    assert job_wish(held) == State.RUNNING
    assert job_pause(parent, "Coffee.") and not job_pause(parent)
    assert states(parent) == ["paused", "running", "paused", "paused"]
    assert job_wish(held) == State.PAUSED
    assert job_claim(two.pk) is None
    progress = job_progress(parent.pk)
    assert progress.is_paused and not progress.is_over and progress.error == "Coffee."
    with job_completion(held):  # what was at work may end
        pass
    assert states(parent) == ["paused", "done", "paused", "paused"]
    assert job_resume(parent) and not job_resume(parent)
    reap()
    assert states(parent) == ["running", "done", "queued", "queued"]
    assert parent.error == ""
    for job in (two, three):
        with job_completion(job_claim(job.pk)):
            pass
    assert states(parent)[0] == "done"


@pytest.mark.django_db
def test_what_is_given_back_or_added_to_a_paused_job_waits_with_it():
    parent, (one, _) = family(2)
    held = job_claim(one.pk)
    job_pause(parent)
    job_release(held)
    assert states(parent) == ["paused", "paused", "paused"]
    added = job_create(title="added", task=TASK, parent=parent)
    assert job_claim(added.pk) is None
    reap()
    assert states(parent)[-1] == "paused"
    dead = family(1)
    lost = job_claim(dead[1][0].pk)
    job_pause(dead[0])
    Job.objects.filter(pk=lost.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    reap()
    assert states(dead[0]) == ["paused", "paused"]


@pytest.mark.django_db
def test_a_paused_job_whose_last_part_ends_is_done():
    parent, (one,) = family(1)
    held = job_claim(one.pk)
    job_pause(parent)
    with job_completion(held):
        pass
    assert states(parent) == ["done", "done"]
    assert not job_resume(parent)


@pytest.mark.django_db
def test_cancelling_ends_everything_and_lets_the_holder_write_what_it_has():
    parent, (one, two, _) = family()
    held = job_claim(one.pk)
    assert job_cancel(parent) and not job_cancel(parent)
    assert states(parent) == ["cancelled"] * 4
    assert job_wish(held) == State.CANCELLED
    with job_writing(held, done=2):
        pass
    with pytest.raises(LeaseLostError), job_completion(held):
        pass
    job_fail(held, "too late")
    job_release(held)
    assert job_claim(two.pk) is None
    reap()
    assert states(parent) == ["cancelled"] * 4
    assert not (job_pause(parent) or job_resume(parent) or job_restart(parent))


@pytest.mark.django_db
def test_failed_parts_are_tried_again_and_no_others():
    parent, (one, two, three) = family()
    job_fail(job_claim(one.pk), "boom")
    for job in (two, three):
        with job_completion(job_claim(job.pk)):
            pass
    assert states(parent) == ["failed", "failed", "done", "done"]
    assert job_restart(parent) and not job_restart(parent)
    reap()
    assert states(parent) == ["queued", "queued", "done", "done"]
    with job_completion(job_claim(one.pk)):
        pass
    assert states(parent)[0] == "done"


@pytest.mark.django_db
def test_a_job_that_was_asked_for_anew_is_not_tried_again_beside_it():
    job = job_create(title="one", task=TASK, dedupe_key="matrix:1")
    job_fail(job_claim(job.pk), "boom")
    job_create(title="two", task=TASK, dedupe_key="matrix:1")
    assert not job_restart(job)


@pytest.mark.django_db
def test_an_end_can_be_opened_for_more_parts():
    parent, (one,) = family(1)
    assert not job_reopen(parent)
    with job_completion(job_claim(one.pk)):
        pass
    assert job_reopen(parent)
    more = job_create(title="more", task=TASK, parent=parent)
    with job_completion(job_claim(more.pk)):
        pass
    assert states(parent) == ["done", "done", "done"]


@pytest.mark.django_db
def test_a_task_that_runs_alone_can_be_cancelled_and_not_paused():
    job = job_create(title="alone", task=TASK)
    assert job_pause(job) and job_resume(job)
    held = job_claim(job.pk)
    assert not job_pause(job)
    assert job_cancel(job)
    with pytest.raises(LeaseLostError), job_completion(held):
        pass


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", [job_pause, job_cancel])
def test_races_leave_no_part_behind(act):
    """Workers claim and finish while the job is paused or cancelled: every part is done, or waits, or ended."""
    parent, parts = family(12)
    go = threading.Barrier(4)
    written = []

    def work(some):
        go.wait()
        try:
            for part in some:
                held = job_claim(part.pk)
                if held is not None:
                    with contextlib.suppress(LeaseLostError):
                        with job_completion(held):
                            pass
                        written.append(part.pk)
        finally:
            connection.close()

    def end():
        go.wait()
        try:
            act(parent)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(parts[i::3],)) for i in range(3)]
    threads.append(threading.Thread(target=end))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = dict(Job.objects.filter(parent=parent).values_list("pk", "state"))
    waiting = State.PAUSED if act is job_pause else State.CANCELLED
    assert {pk for pk, state in found.items() if state == State.DONE} == set(written)
    assert set(found.values()) <= {State.DONE, waiting}
    parent.refresh_from_db()
    assert parent.state in (waiting, State.DONE)
    if act is job_pause and parent.state == State.PAUSED:
        assert job_resume(parent)
        work_left = Job.objects.filter(parent=parent, state=State.QUEUED)
        for part in work_left:
            with job_completion(job_claim(part.pk)):
                pass
        parent.refresh_from_db()
        assert parent.state == State.DONE


# The page


def act_on(client, job, act, **headers):
    return client.post(reverse("jobs:control", args=[job.pk]), {"act": act}, headers=headers)


@pytest.mark.django_db
def test_buttons_are_for_who_started_it(owner, owner_client, outsider_client, client):
    parent, _ = family(created_by=owner)
    page = owner_client.get(reverse("jobs:detail", args=[parent.pk])).text
    assert 'value="pause"' in page and 'value="cancel"' in page and 'value="resume"' not in page
    for other, status in ((outsider_client, 403), (client, 302)):
        assert act_on(other, parent, "pause").status_code == status
        assert states(parent)[0] == "queued"
    assert act_on(owner_client, parent, "explode").status_code == 404
    assert owner_client.get(reverse("jobs:control", args=[parent.pk])).status_code == 405
    answer = act_on(owner_client, parent, "pause", referer="http://testserver/runs/7/")
    assert answer.url == "http://testserver/runs/7/" and states(parent)[0] == "paused"
    page = owner_client.get(reverse("jobs:detail", args=[parent.pk])).text
    assert 'value="resume"' in page and "Paused" in page
    assert act_on(owner_client, parent, "resume", referer="https://evil.example/").url == f"/jobs/{parent.pk}/"
    assert states(parent)[0] == "queued"
    act_on(owner_client, parent, "cancel")
    assert states(parent)[0] == "cancelled"
    again = owner_client.post(reverse("jobs:control", args=[parent.pk]), {"act": "cancel"}, follow=True)
    assert "had changed meanwhile" in again.text and 'name="act"' not in again.text
