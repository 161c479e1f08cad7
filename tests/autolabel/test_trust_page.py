"""The panel "Can this judge be trusted?", the click that measures, the command, and a real worker."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from labelapp.autolabel.measuring import Wanted, measure_plan, measurement_start
from labelapp.autolabel.models import Call, Run
from labelapp.jobs.control import job_pause, job_resume
from labelapp.jobs.models import Job, State
from labelapp.judgements.models import Judgement
from tests.autolabel.conftest import atlas, detector_store, start
from tests.autolabel.test_measuring import detection_run, noise
from tests.autolabel.test_runs import finish, priced
from tests.autolabel.test_runs_worker import llm_worker, wait_over  # noqa: F401
from tests.support.waiting import wait_for
from workers.llm.prices import NANO

pytestmark = pytest.mark.django_db(transaction=True)


def page(client, run) -> str:
    return " ".join(client.get(reverse("autolabel:run", args=[run.pk])).content.decode().split())


def click(client, run, **fields):
    return client.post(reverse("autolabel:measure", args=[run.pk]), fields, follow=True)


def test_an_unmeasured_judge_teaches_and_offers_each_check(llm, prompts, owner, owner_client, outsider_client):
    run = finish(start(atlas(4), user=owner))
    html = page(owner_client, run)
    assert "Can this judge be trusted?" in html and "Nobody knows yet" in html
    for check in ("order", "repeat", "wrong_label", "detection"):
        assert f'name="check" value="{check}"' in html
    for check in ("controls", "contrasts"):  # nothing of them is decomposed
        assert f'name="check" value="{check}"' not in html and f'name="decompose" value="{check}"' in html
    assert "at an unknown price" in html
    others = page(outsider_client, run)
    assert "Nobody knows yet" in others and 'name="check"' not in others, "only who started it may spend money on it"
    assert click(outsider_client, run, check="order").status_code == 403 and Run.objects.count() == 1


def test_a_click_measures_and_the_page_shows_the_figures(llm, prompts, owner, owner_client):
    run = finish(priced(atlas(6), user=owner, budget=NANO))
    assert "for about $0.0" in page(owner_client, run)
    response = click(owner_client, run, check="repeat", budget="1")
    asked = Run.objects.get(purpose="repeat")
    assert response.redirect_chain[-1][0] == reverse("autolabel:run", args=[asked.pk])
    assert (asked.created_by, asked.budget) == (owner, NANO)
    click(owner_client, run, check="repeat")
    assert Run.objects.filter(purpose="repeat").count() == 1, "a double click"
    html = page(owner_client, run)
    assert "asks; it is queued" in html and 'value="repeat"' not in html and 'value="order"' in html
    finish(asked)
    html = page(owner_client, run)
    assert "100.0 %" in html and "61.0 to 100.0" in html and "6 directions" in html and 'value="repeat"' in html
    assert asked.spent == 0 and Run.objects.get(pk=asked.pk).spent > 0
    own = page(owner_client, asked)
    assert "What this run found out about its judge" in own and f"run {run.pk}</a>" in own and "100.0 %" in own
    assert 'name="check"' not in own


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"check": "poetry"}, "There is no check"),
        ({}, "There is no check"),
        ({"check": "order", "budget": "lots"}, "no amount of money"),
        ({"check": "order", "budget": "0"}, "must be more than 0"),
        ({"check": "order", "budget": "1"}, "price of test:tiny-1 is unknown"),
        ({"check": "controls"}, "Nothing of this is decomposed yet"),
        ({"check": "detection"}, "2 store fewer than the 30 tokens"),
        ({"check": "detection", "detector": "poet@7"}, "There is no detector prompt"),
        ({"decompose": "order"}, "goes with controls or contrasts"),
    ],
)
def test_a_click_that_cannot_be_says_why(llm, prompts, owner, owner_client, fields, sentence):
    run = finish(start(atlas(2), user=owner))
    jobs = Job.objects.count()
    assert sentence in click(owner_client, run, **fields).content.decode()
    assert Run.objects.count() == 1 and Job.objects.count() == jobs


def test_the_missing_controls_are_decomposed_by_a_click(llm, prompts, owner, owner_client):
    model = atlas(4)
    noise(model, control="gaussian")
    run = finish(start(model, user=owner))
    html = page(owner_client, run)
    assert "Not decomposed yet: covariance, shuffled, column_shuffled" in html and 'value="controls"' in html
    response = click(owner_client, run, decompose="controls")
    job = Job.objects.get(title__startswith="Decompose more")
    assert response.redirect_chain[-1][0] == reverse("jobs:detail", args=[job.pk]) and job.created_by == owner


def test_a_run_without_prompts_has_no_such_panel(owner, owner_client):
    from labelapp.autolabel.services import baseline_run_start

    run = baseline_run_start(model=atlas(2), created_by=owner)
    assert "trusted" not in page(owner_client, run)
    assert "has no prompts" in click(owner_client, run, check="order").content.decode()
    with pytest.raises(CommandError, match="has no prompts; only a language model"):
        call_command("reliability", str(run.pk))


# The command


def test_the_command_says_the_price_asks_measures_and_tells(llm, prompts, capsys):
    run = finish(start(atlas(6)))
    with pytest.raises(CommandError, match="give --yes"):
        call_command("reliability", str(run.pk), "--check", "order")
    said = capsys.readouterr().out
    assert "6 directions" in said and "calls      12" in said and not Run.objects.filter(purpose="order").exists()
    call_command("reliability", str(run.pk), "--check", "order", "--directions", "4", "--yes")
    said = capsys.readouterr().out
    assert "Same verdict, rule both@1" in said and "1.000 (.510 to 1.000), n = 4 directions" in said
    call_command("reliability", str(run.pk), "--json")
    told = json.loads(capsys.readouterr().out)
    assert [it["check"] for it in told["checks"]] == [
        "order", "repeat", "wrong_label", "controls", "contrasts", "detection"
    ]  # fmt: skip
    order, repeat = told["checks"][:2]
    assert order["rows"][0]["value"] == 1.0 and order["rows"][1]["value"] is None and order["rows"][1]["note"]
    assert repeat["rows"] == [] and repeat["note"] == "Not asked yet."


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("999",), "no run 999"),
        (("RUN", "--check", "order", "--budget", "0"), "must be more than 0"),
        (("RUN", "--check", "order", "--budget", "1"), "is unknown"),
        (("RUN", "--check", "order", "--llm", "test:x"), "are for --check detection"),
        (("RUN", "--check", "order", "--decompose"), "goes with controls or contrasts"),
        (("RUN", "--check", "contrasts"), "decomposed yet"),
        (("RUN", "--check", "detection"), "2 store fewer than the 30 tokens"),
        (("RUN", "--check", "detection", "--detector", "poet"), "no detector prompt"),
        (("RUN", "--check", "detection", "--llm", "nobody:x"), "no provider 'nobody'"),
        (("RUN", "--check", "order", "--directions", "0"), "above 0 or all"),
        (("RUN", "--check", "poetry"), "invalid choice"),
    ],
)
def test_the_command_refuses_in_one_sentence(llm, prompts, words, sentence):
    run = finish(start(atlas(2)))
    asked = llm.seen()["counts"]["asked"]
    with pytest.raises(CommandError, match=sentence):
        call_command("reliability", *(str(run.pk) if word == "RUN" else word for word in words))
    assert Run.objects.count() == 1 and llm.seen()["counts"]["asked"] == asked


def test_detection_on_another_language_model(llm, prompts, capsys):
    detector_store()
    run = detection_run(llm, n=4)
    command = ("reliability", str(run.pk), "--check", "detection", "--detector", "picks", "--llm", "test:other-2")
    call_command(*command, "--yes")
    asked = Run.objects.get(kind="detection")
    assert (asked.llm, asked.judge.name) == ("other-2", "picks@1, test:other-2")
    assert "All tokens" in capsys.readouterr().out
    assert {call.llm for call in Call.objects.filter(prompt_version=asked.detector)} == {"other-2"}


# A real worker


def test_a_measurement_is_paused_and_resumed_by_a_worker(llm, prompts, llm_worker):  # noqa: F811
    llm_worker()
    run = start(atlas(60))
    wait_over(run)
    judged = Judgement.objects.count()
    llm.tell(latency=0.2)
    run.job.refresh_from_db()
    asked = measurement_start(measure_plan(run, Wanted(Run.Purpose.REPEAT)))
    wait_for(lambda: llm.seen()["answered"] >= 130)
    assert job_pause(asked.job, "Coffee.")
    wait_for(lambda: not Job.objects.filter(parent=asked.job, state=State.RUNNING).exists())
    assert 0 < asked.items.filter(state="done").count() < 60
    asked.job.refresh_from_db()
    assert job_resume(asked.job)
    wait_over(asked)
    assert llm.seen()["counts"]["asked"] == llm.seen()["answered"] == Call.objects.count() == 240
    assert asked.items.filter(state="done", verdict="interpretable").count() == 60
    assert Judgement.objects.count() == judged
