"""A run's page while it works, pauses and ends: money, rate, errors, and who may press what."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from labelapp.autolabel.models import Run, RunItem
from labelapp.autolabel.pages import dollars_plain, run_live
from labelapp.autolabel.runs import Plan, run_start
from labelapp.autolabel.selectors import RATE_JUDGEMENTS, run_rate
from labelapp.jobs.control import job_pause
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import Job, State
from labelapp.jobs.services import worker_beat
from labelapp.judgements.models import Judgement
from tests.autolabel.conftest import atlas, plan_for, start
from tests.factories import machine_says
from workers.llm.prices import Price

pytestmark = pytest.mark.django_db


def run_of(owner, n=4, *, budget: int | None = None, priced: bool = True) -> Run:
    run = start(atlas(n), user=owner)
    prices = {"price_input": 2_000_000_000, "price_output": 8_000_000_000} if priced else {}
    Run.objects.filter(pk=run.pk).update(budget=budget, **prices)
    return Run.objects.get(pk=run.pk)


def live_part(client, run: Run, query: str = "") -> str:
    return client.get(f"/runs/{run.pk}/progress/{query}", headers={"HX-Request": "true"})


def test_the_live_part_says_spent_lost_left_and_errors_by_kind(llm, prompts, owner, owner_client):
    run = run_of(owner, budget=2_000_000_000)
    Run.objects.filter(pk=run.pk).update(spent=500_000_000, lost=20_000_000, reserved=80_000_000)
    items = list(RunItem.objects.filter(run=run))
    for item, kind in zip(items, ("timeout", "timeout", "refused"), strict=False):
        RunItem.objects.filter(pk=item.pk).update(state="failed", error_kind=kind)
    response = live_part(owner_client, run)
    html = " ".join(response.content.decode().split())
    assert 'id="run-live" hx-swap-oob="true"' in html
    assert "$0.50" in html and "$0.02 on calls without an answer" in html
    assert "$1.40 of $2.00, $0.08 held for calls under way" in html
    assert "0 judged, 1 to go, 3 failed" in html
    assert html.index("timeout") < html.index("refused")
    assert "HX-Refresh" not in response
    assert "hx-swap-oob" not in owner_client.get(f"/runs/{run.pk}/").content.decode()


def test_an_unknown_price_is_never_shown_as_zero(llm, prompts, owner, owner_client):
    html = owner_client.get(f"/runs/{run_of(owner, priced=False).pk}/").content.decode()
    assert "unknown" in html and "$0" not in html


def test_the_rate_is_that_of_the_last_minute(llm, prompts, owner):
    run = run_of(owner, 6)
    assert run_rate(run) is None, "it has not started"
    now = timezone.now()
    Job.objects.filter(pk=run.job_id).update(state=State.RUNNING, started_at=now - timedelta(hours=3))
    ends = [item.direction for item in RunItem.objects.filter(run=run)]
    machine_says(dict.fromkeys(ends[:4], "interpretable"), source=run.source)
    Judgement.objects.update(judge=run.judge)
    for judgement, seconds in zip(Judgement.objects.order_by("pk"), (7000, 50, 30, 10), strict=True):
        Judgement.objects.filter(pk=judgement.pk).update(created_at=now - timedelta(seconds=seconds))
    run = Run.objects.get(pk=run.pk)
    assert run_rate(run) == pytest.approx(3 / 60, rel=0.02)
    live = run_live(run)
    assert live.rate_words == "3 a minute" and live.seconds_left == pytest.approx(6 * 20, rel=0.02)
    assert RATE_JUDGEMENTS > 60
    Job.objects.filter(pk=run.job_id).update(started_at=now - timedelta(seconds=20))
    assert run_rate(Run.objects.get(pk=run.pk)) == pytest.approx(1 / 20, rel=0.2), "it runs for 20 s only"


def test_the_page_is_loaded_anew_when_the_run_pauses_goes_on_or_ends(llm, prompts, owner, owner_client):
    run = run_of(owner)
    assert "?paused=0" in owner_client.get(f"/runs/{run.pk}/").content.decode()
    job_pause(run.job)
    assert live_part(owner_client, run, "?paused=0")["HX-Refresh"] == "true"
    assert "HX-Refresh" not in live_part(owner_client, run, "?paused=1")
    Job.objects.filter(pk=run.job_id).update(state=State.DONE)
    assert live_part(owner_client, run, "?paused=1")["HX-Refresh"] == "true"


@pytest.mark.django_db(transaction=True)
def test_a_run_without_money_goes_on_with_a_larger_budget(llm, prompts, owner, owner_client, outsider_client, client):
    model = atlas(6)
    run = run_of_plan(plan_for(model, user=owner))
    assert job_wait(run.job).state == State.PAUSED
    page = f"/runs/{run.pk}/"
    html = owner_client.get(page).content.decode()
    assert "does not pay for another call" in html and f'action="{page}resume/"' in html
    assert 'value="resume"' not in html, "one way to go on, not two"
    assert f'action="{page}resume/"' not in outsider_client.get(page).content.decode()
    assert outsider_client.post(f"{page}resume/", {"budget": "9"}).status_code == 403
    assert "/account/" in client.post(f"{page}resume/", {"budget": "9"}).url
    for typed, sentence in (
        ("0", "no amount of money above 0"),
        ("0.0000001", "are spent already"),
        ("x", "no amount"),
    ):
        refused = owner_client.post(f"{page}resume/", {"budget": typed})
        html = refused.content.decode()
        assert refused.status_code == 422 and sentence in html and f'value="{typed}"' in html
        assert Run.objects.get(pk=run.pk).budget == run.budget
    assert owner_client.post(f"{page}resume/", {"budget": "5"}).url == page
    assert job_wait(Run.objects.get(pk=run.pk).job).state == State.DONE
    run = Run.objects.get(pk=run.pk)
    assert run.budget == 5_000_000_000 and run.items.filter(state="done").count() == 6
    late = owner_client.post(f"{page}resume/", {"budget": "7"}, follow=True)
    assert "is not paused any more" in late.content.decode()


def run_of_plan(plan: Plan) -> Run:
    # Pays for a call or two of what would take twelve.
    return run_start(replace(plan, price=Price(2_000_000_000, 8_000_000_000)), budget=2_000_000)


@pytest.mark.django_db(transaction=True)
def test_a_pause_goes_on_with_the_same_budget(llm, prompts, owner, owner_client):
    run = run_of(owner, budget=2_500_000_000)
    job_pause(run.job, "Coffee.")
    html = owner_client.get(f"/runs/{run.pk}/").content.decode()
    assert "Coffee." in html and 'value="2.5"' in html
    owner_client.post(f"/runs/{run.pk}/resume/", {"budget": ""})
    run = Run.objects.get(pk=run.pk)
    assert run.budget == 2_500_000_000 and job_wait(run.job).state == State.DONE


@pytest.mark.django_db(transaction=True)
def test_pause_cancel_and_the_failed_again_from_the_page(llm, prompts, owner, owner_client, outsider_client):
    llm.tell(rules=[{"when": "word1x", "times": 1, "do": "status", "status": 400}])
    run = run_of(owner)
    page = f"/runs/{run.pk}/"
    assert 'value="pause"' in owner_client.get(page).content.decode()
    owner_client.post(f"/jobs/{run.job_id}/control/", {"act": "pause"})
    owner_client.post(f"{page}resume/", {})
    assert job_wait(Job.objects.get(pk=run.job_id)).state == State.DONE
    html = owner_client.get(page).content.decode()
    assert "3 judged, 0 to go, 1 failed" in html and "refused" in html
    assert "Ask about the failed ones again" in html
    assert "Ask about the failed ones again" not in outsider_client.get(page).content.decode()
    assert outsider_client.post(f"{page}retry-failed/").status_code == 403
    owner_client.post(f"{page}retry-failed/")
    assert job_wait(Job.objects.get(pk=run.job_id)).state == State.DONE
    assert "4 judged, 0 to go, 0 failed" in owner_client.get(page).content.decode()
    other = run_of(owner, 2)
    owner_client.post(f"/jobs/{other.job_id}/control/", {"act": "cancel"})
    assert "Cancelled" in owner_client.get(f"/runs/{other.pk}/").content.decode()


def test_a_run_that_no_worker_of_its_queue_serves_says_so(llm, prompts, owner, owner_client):
    run = run_of(owner)
    worker_beat("elsewhere", ["weights", "export"])
    assert "No worker is running for this" in owner_client.get(f"/runs/{run.pk}/").content.decode()
    worker_beat("here", ["llm"])
    assert "No worker is running for this" not in owner_client.get(f"/runs/{run.pk}/").content.decode()


@pytest.mark.parametrize(
    ("nano", "text"),
    [(2_500_000_000, "2.5"), (1, "0.000000001"), (3_000_000_000, "3"), (100_000_000_000, "100"), (0, "0")],
)
def test_a_budget_as_it_is_typed(nano, text):
    assert dollars_plain(nano) == text
