"""The job row is the truth: whoever changes it by its condition has won."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from labelapp.atlas.services import decompose_start
from labelapp.jobs import follow
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import Job, State
from labelapp.jobs.reaper import reap
from labelapp.jobs.selectors import JobProgress, job_progress, jobs_progress, workers_alive
from labelapp.jobs.services import (
    LeaseLostError,
    job_claim,
    job_completion,
    job_create,
    job_fail,
    job_heartbeat,
    job_progress_set,
    job_release,
    job_retry,
    worker_beat,
    worker_gone,
)

TASK = "workers.tasks.weights.decompose_layer"
pytestmark = pytest.mark.django_db


def make(**fields) -> Job:
    return job_create(title="a job", task=TASK, **fields)


def expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_a_job_is_claimed_once():
    job = make()
    first, second = job_claim(job.pk), job_claim(job.pk)
    assert first is not None and first.state == State.RUNNING and first.attempts == 1
    assert second is None


def test_an_active_key_gives_the_same_job_and_a_finished_one_a_new_job():
    job = make(dedupe_key="matrix:1")
    assert make(dedupe_key="matrix:1").pk == job.pk
    with job_completion(job_claim(job.pk)):
        pass
    assert make(dedupe_key="matrix:1").pk != job.pk


def test_a_completion_writes_the_result_and_the_end_together():
    job = job_claim(make(total=3).pk)
    with job_completion(job):
        worker_beat("written in the block", ["weights"])
    job.refresh_from_db()
    assert (job.state, job.done) == (State.DONE, 3)
    assert workers_alive()


def test_who_lost_the_lease_writes_nothing():
    job = make()
    slow = job_claim(job.pk)
    expire(job)
    reap()
    fast = job_claim(job.pk)
    assert fast is not None
    with pytest.raises(LeaseLostError), job_completion(slow):
        worker_beat("never", ["weights"])
    assert not workers_alive()
    with pytest.raises(LeaseLostError):
        job_heartbeat(slow)
    with pytest.raises(LeaseLostError):
        job_progress_set(slow, done=1)
    job_fail(slow, "too late")
    job_retry(slow, "too late")
    job_release(slow)
    job.refresh_from_db()
    assert (job.state, job.lease_token, job.error) == (State.RUNNING, fast.lease_token, "")


def test_an_error_in_the_completion_leaves_the_job_running_and_the_result_unwritten():
    job = job_claim(make().pk)
    with pytest.raises(ZeroDivisionError), job_completion(job):
        worker_beat("never", ["weights"])
        1 / 0  # noqa: B018
    job.refresh_from_db()
    assert job.state == State.RUNNING
    assert not workers_alive()


def test_a_heartbeat_keeps_the_reaper_away():
    job = make()
    held = job_claim(job.pk)
    expire(job)
    job_heartbeat(held)
    reap()
    job.refresh_from_db()
    assert job.state == State.RUNNING


def test_an_unexpected_error_is_tried_again_until_the_attempts_are_used_up():
    job = make()
    for _ in range(job.max_attempts - 1):
        job_retry(job_claim(job.pk), "boom")
        job.refresh_from_db()
        assert (job.state, job.error) == (State.QUEUED, "boom")
    job_retry(job_claim(job.pk), "boom")
    job.refresh_from_db()
    assert (job.state, job.error) == (State.FAILED, "boom")


def test_a_job_whose_worker_dies_every_time_is_given_up():
    parent = job_create(title="parent")
    job = make(parent=parent)
    for _ in range(job.max_attempts):
        assert job_claim(job.pk) is not None
        expire(job)
        reap()
    job.refresh_from_db()
    parent.refresh_from_db()
    assert job.state == State.FAILED and "died each time" in job.error
    assert parent.state == State.FAILED and parent.error == job.error


def test_reaping_twice_changes_nothing_more(django_capture_on_commit_callbacks):
    expired, fresh = make(), make()
    job_claim(expired.pk)
    job_claim(fresh.pk)
    expire(expired)
    assert reap() > 0
    assert reap() == 0
    fresh.refresh_from_db()
    assert fresh.state == State.RUNNING


def test_a_parent_ends_with_its_last_child_and_fails_with_its_first_failure():
    parent = job_create(title="parent")
    one, two, three = (make(parent=parent) for _ in range(3))
    with job_completion(job_claim(one.pk)):
        pass
    job_fail(job_claim(two.pk), "the second failed")
    parent.refresh_from_db()
    assert parent.state == State.RUNNING
    with job_completion(job_claim(three.pk)):
        pass
    parent.refresh_from_db()
    assert (parent.state, parent.error) == (State.FAILED, "the second failed")
    assert parent.finished_at is not None


def test_children_that_a_child_adds_keep_the_parent_open():
    parent = job_create(title="parent")
    first = make(parent=parent)
    with job_completion(job_claim(first.pk)):
        added = make(parent=parent)
    parent.refresh_from_db()
    assert parent.state == State.RUNNING
    with job_completion(job_claim(added.pk)):
        pass
    parent.refresh_from_db()
    assert parent.state == State.DONE


def test_progress_is_the_sum_over_the_children():
    parent = job_create(title="parent")
    one, two = make(parent=parent, total=10), make(parent=parent, total=30)
    make(parent=parent)
    with job_completion(job_claim(one.pk)):
        pass
    job_progress_set(job_claim(two.pk), done=10)
    progress = job_progress(parent.pk)
    assert (progress.done, progress.total, progress.percent) == (20, 41, 48)
    assert not progress.is_over and progress.seconds_left is not None


def test_a_message_is_sent_only_after_the_commit(django_capture_on_commit_callbacks, monkeypatch):
    sent = []
    monkeypatch.setattr("labelapp.jobs.services.app.send_task", lambda *args, **options: sent.append((args, options)))
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        job = make()
        assert sent == []
    assert sent == [((TASK,), {"args": [job.pk], "queue": "weights", "retry": False})]


def test_a_worker_that_stopped_is_not_alive():
    worker_beat("one@here", ["weights", "llm"])
    assert [beat.name for beat in workers_alive("llm")] == ["one@here"]
    assert workers_alive("export") == []
    worker_gone("one@here")
    assert workers_alive() == []


def test_an_orderly_stop_is_no_attempt():
    job = make(total=10)
    for _ in range(job.max_attempts + 2):
        held = job_claim(job.pk)
        job_progress_set(held, done=5)
        job_release(held)
        job.refresh_from_db()
        assert (job.state, job.attempts) == (State.QUEUED, 0)
    assert job_claim(job.pk).done == 0


@pytest.mark.parametrize("end", [job_fail, job_retry])
def test_any_text_can_be_stored_as_an_error(end):
    job = make()
    end(job_claim(job.pk), "the folder m\udcff\0 is not there")
    job.refresh_from_db()
    assert job.error == "the folder m\\udcff\\x00 is not there"


def test_the_progress_of_many_jobs_takes_as_many_queries_as_that_of_one(django_assert_num_queries):
    parents = [job_create(title=f"parent {n}") for n in range(4)]
    for parent in parents:
        job_claim(make(parent=parent, total=3).pk)
    with django_assert_num_queries(3):
        progress = jobs_progress(parent.pk for parent in parents)
    assert [it.total for it in progress.values()] == [3] * 4
    with pytest.raises(Job.DoesNotExist):
        job_progress(0)


@pytest.mark.django_db(transaction=True)
def test_a_foreground_command_takes_over_from_a_worker_that_died():
    job = decompose_start(source="no/such/folder")
    child = Job.objects.get(parent=job)
    job_claim(child.pk)
    expire(child)
    assert "no/such/folder" in job_wait(job).error


def test_a_log_says_once_that_the_workers_are_busy(monkeypatch, capsys):
    monkeypatch.setattr(follow, "PATIENCE_SECONDS", 0.0)
    said = follow._Lines(Job(title="Decompose tiny"))
    queued = JobProgress(State.QUEUED, 0, 1, "", "", 0.0)
    for progress in (queued, queued, replace(queued, state=State.RUNNING, done=5, total=10, seconds=5.0)):
        said(progress)
    assert capsys.readouterr().err.splitlines() == [
        "Decompose tiny: waiting: the workers are busy with other jobs",
        "Decompose tiny: 50 % 5 s left",
    ]
