"""Runs by real worker processes: killed, paused, two at a time; the server counts what it was asked."""

import time
from collections import Counter

import pytest
from django.conf import settings

from labelapp.autolabel.models import Call, Run, RunItem
from labelapp.autolabel.runs import failed_again
from labelapp.jobs.control import job_cancel, job_pause, job_resume
from labelapp.jobs.models import Job, State
from labelapp.jobs.selectors import job_progress
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import summaries_verify
from tests.autolabel.conftest import KEY, atlas, provider_set, start
from tests.support.waiting import wait_for
from tests.support.workers import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)
IN_FLIGHT = 8


@pytest.fixture
def llm_worker(llm, transactional_db, broker):
    """Workers of the queue llm alone, as `./tea up` starts one; `llm_worker()` starts another."""
    started = []

    def begin() -> WorkerProcess:
        process = WorkerProcess(settings.DATA_DIR / "logs", queues="llm", concurrency=1, pool="threads")
        started.append(process)
        process.start()
        return process

    yield begin
    for process in started:
        process.kill()


def wait_over(run: Run) -> None:
    wait_for(lambda: job_progress(run.job_id).is_over)
    assert job_progress(run.job_id).state == State.DONE, job_progress(run.job_id).error


def assert_answered_once(run: Run, n: int) -> None:
    assert RunItem.objects.filter(run=run, state="done").count() == RunItem.objects.filter(run=run).count() == n
    assert Judgement.objects.filter(source=run.source, current=True).count() == n
    assert set(Counter(Judgement.objects.values_list("direction")).values()) == {1}
    assert Call.objects.count() == 2 * n
    assert summaries_verify() == []


def test_kill_9_pays_for_no_answered_call_again(llm, prompts, llm_worker):
    n = 150
    left_by_others = set((settings.DATA_DIR / "answers").glob("*/*"))
    llm.tell(latency=0.05)
    worker = llm_worker()
    run = start(atlas(n), chunk_items=60)
    for answered in (40, 140):
        wait_for(lambda answered=answered: llm.seen()["answered"] >= answered)
        worker.kill()
        assert not job_progress(run.job_id).is_over, "the worker was done before it was killed"
        worker = llm_worker()
    wait_over(run)
    assert_answered_once(run, n)
    asked = llm.seen()["counts"]["asked"]
    # Twice some calls were under way: they may have been answered to a process that was no more.
    assert 2 * n <= asked <= 2 * n + 2 * IN_FLIGHT
    # What is stored is not kept twice; the file goes just after the job's end.
    wait_for(lambda: not set((settings.DATA_DIR / "answers").glob("*/*")) - left_by_others)


# What passes if the call is made again, and what does not, with the kind of error that it leaves.
PASSING = [
    {"do": "rate_limit", "retry_after": "0.2"},
    {"do": "rate_limit"},
    {"do": "status", "status": 500},
    {"do": "hang"},
    {"do": "cut"},
    {"do": "cut_body"},
    {"do": "half_json"},
    {"do": "not_json"},
    {"do": "wrong_schema"},
    {"do": "slow", "seconds": 0.5},
]
LASTING = [
    ({"do": "rate_limit"}, "rate_limited"),
    ({"do": "status", "status": 503}, "server_error"),
    ({"do": "hang"}, "timed_out"),
    ({"do": "cut"}, "disconnected"),
    ({"do": "half_json"}, "bad_answer"),
    ({"do": "empty"}, "empty"),
    ({"do": "status", "status": 400}, "refused"),
]


def test_a_worker_brings_every_item_to_its_end_whatever_the_server_does(llm, prompts, llm_worker, monkeypatch):
    provider_set(monkeypatch, TIMEOUT="4")
    rules = [{"when": f"word{number}x", "times": 1, **trouble} for number, trouble in enumerate(PASSING)]
    rules += [{"when": f"word{number}x", **trouble} for number, (trouble, _) in enumerate(LASTING, len(PASSING))]
    llm.tell(rules=rules)
    llm_worker()
    n = 40
    run = start(atlas(n), attempts=3)
    wait_over(run)
    failed = RunItem.objects.filter(run=run, state="failed")
    kinds = {item.direction.tokens[0].strip().partition("x")[0]: item.error_kind for item in failed}
    assert kinds == {f"word{number}": kind for number, (_, kind) in enumerate(LASTING, len(PASSING))}
    assert all(item.error and KEY not in item.error for item in failed)
    assert Judgement.objects.filter(source=run.source).count() == n - len(LASTING), "an error is no verdict"
    llm.tell(reset=True)
    assert failed_again(run) == len(LASTING)
    wait_over(run)
    assert_answered_once(run, n)
    assert llm.seen()["counts"]["asked"] == 2 * len(LASTING)


def test_two_workers_share_a_run_and_ask_nothing_twice(llm, prompts, llm_worker):
    llm.tell(latency=0.1)
    llm_worker()
    llm_worker()
    run = start(atlas(120, same=2), chunk_items=30)  # pairs of equal readouts: half of the calls
    wait_over(run)
    assert llm.seen()["counts"]["asked"] == llm.seen()["answered"] == 120
    assert llm.seen()["most_open"] > IN_FLIGHT
    assert RunItem.objects.filter(run=run, state="done").count() == 120
    assert Call.objects.count() == 120
    assert Judgement.objects.count() == 120


def test_a_pause_finishes_what_is_under_way_and_resuming_asks_the_rest(llm, prompts, llm_worker):
    n = 100
    llm.tell(latency=0.1)
    llm_worker()
    run = start(atlas(n), chunk_items=40)
    wait_for(lambda: llm.seen()["answered"] >= 20)
    assert job_pause(run.job, "Coffee.")
    wait_for(lambda: not Job.objects.filter(parent=run.job, state=State.RUNNING).exists())
    asked = llm.seen()["counts"]["asked"]
    assert asked == llm.seen()["answered"] < 2 * n
    assert Call.objects.count() == asked
    states = set(Job.objects.filter(parent=run.job).values_list("state", flat=True))
    assert State.PAUSED in states and states <= {State.PAUSED, State.DONE}
    time.sleep(1)
    assert llm.seen()["counts"]["asked"] == asked
    run.job.refresh_from_db()
    assert job_resume(run.job)
    wait_over(run)
    assert_answered_once(run, n)
    assert llm.seen()["counts"]["asked"] == 2 * n


def test_a_cancelled_run_keeps_what_was_answered(llm, prompts, llm_worker):
    llm.tell(latency=0.1)
    llm_worker()
    model = atlas(100)
    run = start(model, chunk_items=40)
    wait_for(lambda: llm.seen()["answered"] >= 20)
    assert job_cancel(run.job)
    wait_for(lambda: Call.objects.count() == llm.seen()["counts"]["asked"])
    done = RunItem.objects.filter(run=run, state="done").count()
    assert Judgement.objects.filter(source=run.source).count() == done
    asked = llm.seen()["counts"]["asked"]
    again = start(model)
    wait_over(again)
    assert llm.seen()["counts"]["asked"] == 200 and asked < 200
    assert summaries_verify() == []


def test_a_worker_that_stops_gives_its_work_back(llm, prompts, llm_worker):
    llm.tell(latency=0.1)
    worker = llm_worker()
    run = start(atlas(100))
    wait_for(lambda: llm.seen()["answered"] >= 20)
    worker.stop()
    job = Job.objects.get(parent=run.job)
    assert (job.state, job.attempts) == (State.QUEUED, 0)
    asked = llm.seen()["counts"]["asked"]
    assert Call.objects.count() == asked
    llm_worker()
    wait_over(run)
    assert_answered_once(run, 100)
    assert llm.seen()["counts"]["asked"] == 200
    assert KEY not in worker.log.read_text()
