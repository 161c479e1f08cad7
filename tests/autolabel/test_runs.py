"""Runs of language models: real calls to a real server, by a real worker's code."""

import pytest
from django.apps import apps

from labelapp.autolabel.models import Call, Run, RunItem
from labelapp.autolabel.money import Settlement, reservation_grow, reservation_open
from labelapp.autolabel.providers import llm_get, price_give
from labelapp.autolabel.results import ItemResult, results_write
from labelapp.autolabel.runs import RunError, failed_again, plan_estimate, run_resume
from labelapp.autolabel.selectors import run_tally
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import Job, State
from labelapp.jobs.services import LeaseLostError, job_claim
from labelapp.judgements.models import Judgement, Verification
from labelapp.judgements.services import summaries_verify
from tests.autolabel.conftest import KEY, atlas, plan_for, provider_set, start
from workers.llm.prices import NANO, price_make
from workers.llm.requests import Answer
from workers.tasks.journal import Journal

pytestmark = pytest.mark.django_db(transaction=True)


def finish(run: Run, state: State = State.DONE) -> Run:
    progress = job_wait(run.job)
    assert progress.state == state, progress.error
    return Run.objects.select_related("job").get(pk=run.pk)


def test_every_direction_is_asked_about_judged_and_verified_once(llm, prompts):
    run = finish(start(atlas(30)))
    assert llm.seen()["answered"] == 60 and llm.seen()["repeated"] == 0
    assert Call.objects.count() == 60
    assert Judgement.objects.filter(source=run.source, judge=run.judge, current=True).count() == 30
    assert Verification.objects.filter(judge=run.verifier_judge, answer="yes").count() == 30
    item = RunItem.objects.filter(run=run).first()
    assert (item.state, item.verdict, item.verification) == ("done", "interpretable", "yes")
    assert "animals" in item.label
    judgement = Judgement.objects.get(direction=item.direction_id)
    assert judgement.evidence["answer"] == "most of these words relate to animals."
    assert judgement.evidence["verifier_answer"] == "yes"
    assert judgement.evidence["confidence"] == pytest.approx(0.75)
    assert judgement.evidence["call"] == item.labeler_call_id
    assert summaries_verify() == []
    assert run_tally(run).total == 30


def test_what_was_asked_before_is_answered_from_the_store(llm, prompts):
    model = atlas(20)
    finish(start(model))
    again = finish(start(model))
    assert llm.seen()["counts"]["asked"] == 40
    assert run_tally(again).done == 20
    # The same judge has judged these directions, and its answers are the same.
    assert Judgement.objects.count() == 20
    alone = finish(start(model, verifier=None))
    assert llm.seen()["counts"]["asked"] == 40
    assert Judgement.objects.filter(source=alone.source).count() == 20, "another judge: one without a verifier"
    finish(start(model, sample=1))
    assert llm.seen()["counts"]["asked"] == 80, "the same calls again, on purpose"


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ({"do": "rate_limit"}, "rate_limited"),
        ({"do": "status", "status": 500}, "server_error"),
        ({"do": "hang"}, "timed_out"),
        ({"do": "half_json"}, "bad_answer"),
        ({"do": "empty"}, "empty"),
    ],
)
def test_what_fails_says_why_and_is_run_again_alone(llm, prompts, monkeypatch, trouble, kind):
    provider_set(monkeypatch, TIMEOUT="0.7", KEY=KEY)
    llm.tell(rules=[{"when": "word3x", **trouble}])
    model = atlas(6)
    run = finish(start(model, attempts=2))
    item = RunItem.objects.get(run=run, state="failed")
    assert item.error_kind == kind and item.error and KEY not in item.error
    assert run_tally(run).errors == {kind: 1}
    assert Judgement.objects.filter(direction=item.direction_id).count() == 0, "an error is no verdict"
    before = llm.seen()["counts"]["asked"]
    llm.tell(reset=True)
    assert failed_again(run) == 1
    run = finish(run)
    assert run_tally(run).done == 6 and before >= 10
    assert llm.seen()["counts"]["asked"] == 2
    assert Judgement.objects.count() == 6
    with pytest.raises(RunError, match="no failed items"):
        failed_again(run)


def test_a_verifier_that_fails_costs_no_second_labeler_call(llm, prompts):
    llm.tell(rules=[{"when": "Interpretation:", "times": 1, "do": "status", "status": 400}])
    run = finish(start(atlas(3)))
    assert run_tally(run).failed == 1
    failed_again(run)
    finish(run)
    assert llm.seen()["counts"]["asked"] == 7


def test_a_cut_answer_is_unparsed_and_no_verifier_is_asked(llm, prompts):
    llm.tell(rules=[{"when": "word1x", "do": "ok", "text": "most of these words relate to", "finish": "length"}])
    run = finish(start(atlas(3)))
    item = RunItem.objects.get(run=run, verdict="unparsed")
    assert item.state == "done" and item.verification == "" and item.detail["reason"]
    assert llm.seen()["counts"]["asked"] == 5
    assert Judgement.objects.get(direction=item.direction_id).evidence["finish_reason"] == "length"
    assert summaries_verify() == []


def test_a_key_that_is_refused_pauses_a_long_run(llm, prompts):
    llm.tell(default={"do": "echo_key"})
    run = finish(start(atlas(100)), State.PAUSED)
    assert "calls in a row failed" in run.job.error and KEY not in run.job.error
    assert llm.seen()["counts"]["asked"] < 70
    assert all(KEY not in error for error in RunItem.objects.values_list("error", flat=True))


# Money


def priced(model, *, budget=None, dollars_in="1", dollars_out="4", **options):
    config, llm = llm_get("test:tiny-1")
    price_give(config, llm, price_make(dollars_in, dollars_out))
    return start(model, budget=budget, **options)


def test_what_a_run_costs_is_the_sum_of_its_calls(llm, prompts):
    run = finish(priced(atlas(12), budget=NANO))
    costs = list(Call.objects.values_list("prompt_tokens", "completion_tokens", "cost"))
    assert all(cost == prompt * 1000 + answer * 4000 for prompt, answer, cost in costs)
    assert run.spent == sum(cost for *_, cost in costs) > 0
    assert (run.reserved, run.lost) == (0, 0)


@pytest.mark.parametrize("calls", [1, 2, 4])
def test_a_budget_is_never_passed_and_the_run_goes_on_with_more(llm, prompts, calls):
    plan = plan_for(atlas(15))
    most = plan.asker.label([" word1x1"] * 10).most
    budget = calls * (most.prompt * 1000 + most.completion * 4000)
    run = finish(priced(plan.selection.model, budget=budget), State.PAUSED)
    assert 0 < run.spent <= budget and run.reserved == 0
    assert "does not pay for another call" in run.job.error
    assert llm.seen()["counts"]["asked"] == Call.objects.count() >= calls
    with pytest.raises(RunError, match="more than 0"):
        run_resume(run, budget=0)
    assert run_resume(run, budget=NANO)
    run = finish(run)
    assert llm.seen()["counts"]["asked"] == 30
    assert run.spent == sum(Call.objects.values_list("cost", flat=True))


def test_calls_without_an_answer_that_may_be_billed_are_lost_money(llm, prompts, monkeypatch):
    provider_set(monkeypatch, TIMEOUT="0.7")
    llm.tell(rules=[{"when": "word2x", "do": "hang"}])
    run = finish(priced(atlas(4), attempts=2))
    most = plan_for(run.model).asker.label([f" word2x{place}" for place in range(10)]).most
    assert run.lost == 2 * (most.prompt * 1000 + most.completion * 4000)
    assert run.spent == sum(Call.objects.values_list("cost", flat=True)) and run.reserved == 0


def test_a_provider_that_does_not_count_is_charged_at_the_bound(llm, prompts):
    llm.tell(default={"do": "ok", "usage": False})
    run = finish(priced(atlas(2), verifier=None))
    most = plan_for(run.model).asker.label([f" word1x{place}" for place in range(10)]).most
    assert run.spent == 2 * (most.prompt * 1000 + most.completion * 4000)
    assert set(Call.objects.values_list("prompt_tokens", flat=True)) == {None}


def test_what_a_worker_held_when_it_died_is_lost_and_what_it_had_noted_is_regained(llm, prompts):
    run = priced(atlas(4), budget=NANO)
    job = job_claim(Job.objects.get(parent=run.job).pk)
    reservation_open(run.pk, job)
    asker = plan_for(run.model).asker
    question = asker.label([f" word1x{place}" for place in range(10)])
    bound = question.most.prompt * 1000 + question.most.completion * 4000
    assert reservation_grow(run.pk, job, need=3 * bound, want=3 * bound) == 3 * bound
    answer = Answer(("most of these words relate to birds.",), ("stop",), 100, 10)
    with Journal(job) as journal:
        journal.write(question.request.hash, answer)
        with (journal.folder / "torn.jsonl").open("w") as torn:
            torn.write('{"hash": "abc", "answ')
    Job.objects.filter(pk=job.pk).update(state=State.QUEUED, lease_token="")
    run = finish(run)
    assert Call.objects.get(request_hash=question.request.hash).texts == list(answer.texts)
    assert llm.seen()["counts"]["asked"] == 7
    assert run.spent == sum(Call.objects.values_list("cost", flat=True))
    assert run.lost == 3 * bound - (100 * 1000 + 10 * 4000)


def test_who_lost_the_lease_writes_nothing(llm, prompts):
    run = priced(atlas(2), budget=NANO)
    job = job_claim(Job.objects.get(parent=run.job).pk)
    reservation_open(run.pk, job)
    Job.objects.filter(pk=job.pk).update(lease_token="another")
    item = RunItem.objects.filter(run=run).first()
    result = ItemResult(item.pk, item.direction_id, "failed", error_kind="empty", error="late")
    with pytest.raises(LeaseLostError):
        results_write(run, job, calls=[], items=[result], money=Settlement(spent=5), done=1)
    item.refresh_from_db()
    run.refresh_from_db()
    assert item.state == "pending" and run.spent == 0


# Secrets


def test_the_key_is_nowhere_but_in_the_requests(llm, prompts, capfd, data_dir, owner_client):
    llm.tell(plan=[{"do": "echo_key"}, {"do": "status", "status": 500}])
    run = finish(priced(atlas(5), budget=NANO))
    assert any(KEY in request["headers"].get("authorization", "") for request in llm.requests())
    captured = capfd.readouterr()
    seen = [captured.out, captured.err, repr(llm_get("test:tiny-1")), owner_client.get(f"/runs/{run.pk}/").text]
    seen += [owner_client.get(address).text for address in ("/runs/", f"/jobs/{run.job_id}/", "/jobs/")]
    for model in apps.get_models():
        seen += [repr(row) for row in model._base_manager.values_list()]
    seen += [path.read_bytes().decode(errors="replace") for path in data_dir.rglob("*") if path.is_file()
             and path.suffix in (".log", ".jsonl")]  # fmt: skip
    assert run_tally(run).failed == 1
    assert all(KEY not in text for text in seen)


def test_equal_readouts_are_asked_about_once_and_each_is_judged(llm, prompts):
    run = finish(start(atlas(12, same=4), chunk_items=5))
    assert llm.seen()["counts"]["asked"] == 6
    assert Judgement.objects.filter(source=run.source).count() == 12
    assert run_tally(run).done == 12


def test_the_estimate_is_what_is_then_asked(llm, prompts):
    model = atlas(10, same=2)
    plan = plan_for(model)
    before = plan_estimate(plan)
    assert (before.directions, before.calls, before.stored, before.cost) == (10, 10, 0, None)
    finish(start(model, verifier=None))
    half = plan_estimate(plan)
    assert (half.calls, half.stored) == (5, 5)
    priced(model)
    finish(Run.objects.latest("pk"))
    plan = plan_for(model)
    after = plan_estimate(plan)
    assert (after.calls, after.stored, after.cost, after.most) == (0, 10, 0, 0)
    assert llm.seen()["counts"]["asked"] == 10
