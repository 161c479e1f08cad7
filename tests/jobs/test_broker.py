"""With a real broker and real workers: a lost or doubled message, and a dead worker, change nothing."""

import time

import pytest

from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.services import decompose_start
from labelapp.jobs.models import Job, State
from labelapp.jobs.selectors import job_progress
from labelapp.jobs.services import job_create
from tests.support.waiting import wait_for
from workers.celery import app

DEMO = "fixtures/demo_model"


def start(layers: str = "0-1") -> Job:
    return decompose_start(source=DEMO, name="demo", layers=layers, directions=4, top=5)


def assert_atlas(layers: int) -> None:
    assert Model.objects.count() == 1
    # Four OV heads with two sides, MLP-in and MLP-out with one; four vectors, two ends.
    assert Matrix.objects.count() == layers * 6
    assert Direction.objects.count() == layers * (4 * 2 + 2) * 4 * 2


def test_a_decomposition_through_the_worker(worker):
    job = start()
    wait_for(lambda: job_progress(job.pk).is_over)
    assert job_progress(job.pk).state == State.DONE, job_progress(job.pk).error
    assert_atlas(layers=2)


def test_doubled_messages_change_nothing(worker):
    job = start()
    for _ in range(3):
        for child in Job.objects.filter(parent=job):
            app.send_task(child.task, args=[child.pk], queue="weights")
        time.sleep(0.2)
    wait_for(lambda: job_progress(job.pk).is_over)
    assert job_progress(job.pk).state == State.DONE
    assert set(Job.objects.filter(parent=job).values_list("attempts", flat=True)) == {1}
    assert_atlas(layers=2)


def test_a_lost_message_is_sent_again(transactional_db, broker, request):
    job = start("0")
    broker.flush()
    request.getfixturevalue("worker")
    wait_for(lambda: job_progress(job.pk).is_over)
    assert job_progress(job.pk).state == State.DONE
    assert_atlas(layers=1)


def test_a_broker_that_is_away_costs_nothing(transactional_db, monkeypatch, request):
    with monkeypatch.context() as patched:
        patched.setattr(app.conf, "broker_url", "redis+socket:///nowhere/broker.sock")
        patched.setattr(app, "_pool", None)
        patched.setattr(app.amqp, "_producer_pool", None)
        job = start("0")
        assert Job.objects.get(parent=job).state == State.QUEUED
    request.getfixturevalue("worker")
    wait_for(lambda: job_progress(job.pk).is_over)
    assert_atlas(layers=1)


@pytest.mark.parametrize("seconds", [0.0, 0.4])
def test_kill_9_in_the_middle_loses_and_doubles_nothing(worker, seconds):
    job = start("all")
    wait_for(lambda: Matrix.objects.exists() or job_progress(job.pk).is_over)
    time.sleep(seconds)
    worker.kill()
    at_the_kill = dict(Matrix.objects.values_list("address", "pk"))
    assert not job_progress(job.pk).is_over, "the worker was done before it was killed"
    worker.start()
    wait_for(lambda: job_progress(job.pk).is_over)
    assert job_progress(job.pk).state == State.DONE, job_progress(job.pk).error
    assert_atlas(layers=6)
    # Finished layers were not done again.
    assert at_the_kill.items() <= dict(Matrix.objects.values_list("address", "pk")).items()


def test_an_error_in_the_code_fails_the_job_with_its_name(worker):
    job = job_create(title="no such model", task="workers.tasks.weights.decompose_layer", params={"model": 0})
    wait_for(lambda: job_progress(job.pk).is_over)
    job.refresh_from_db()
    assert job.state == State.FAILED and job.attempts == job.max_attempts
    assert "Model matching query does not exist" in job.error
