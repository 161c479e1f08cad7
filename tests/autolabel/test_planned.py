"""Runs of language models from the page: the form, the estimate by a job, the start, and what is refused."""

import threading

import pytest
from django.conf import settings
from django.db import connection

from labelapp.atlas.models import Model
from labelapp.autolabel.models import Call, ModelPrice, PlannedRun, PromptVersion, Run, RunItem
from labelapp.autolabel.planned import planned_start
from labelapp.autolabel.prompts import prompt_get
from labelapp.autolabel.runs import RunError
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import Job, State
from labelapp.jobs.selectors import job_progress
from labelapp.judgements.models import Judgement
from tests.autolabel.conftest import KEY, atlas
from tests.factories import DirectionFactory, MatrixFactory, cast_project
from workers.llm.prices import dollars

NEW = "/runs/new/"


def fields(model=None, **changes) -> dict[str, str]:
    """What the form posts, for a model or (subject="project:…") a project."""
    given = {
        "subject": f"model:{model.pk}" if model else "",
        "labeler": str(prompt_get("plain", "labeler").pk),
        "verifier": str(prompt_get("check", "verifier").pk),
        "provider": "test",
        "llm": "tiny-1",
        "price_in": "2",
        "price_out": "8",
    }
    return given | changes


def plan(client, *args, **changes) -> PlannedRun:
    response = client.post(NEW, fields(*args, **changes))
    assert response.status_code == 302, response.content.decode()
    return PlannedRun.objects.get(pk=int(response.url.strip("/").rpartition("/")[2]))


def estimated(planned: PlannedRun) -> PlannedRun:
    progress = job_wait(planned.job)
    assert progress.state == State.DONE, progress.error
    planned.refresh_from_db()
    return planned


@pytest.mark.django_db
@pytest.mark.parametrize("environment", [{}, {"TEALEAVES_LLM_X_COLOUR": "red"}])
def test_without_a_provider_the_page_teaches(monkeypatch, owner_client, environment):
    monkeypatch.setattr(settings, "LLM_ENVIRONMENT", environment)
    html = owner_client.get(NEW).content.decode()
    assert "OPENAI_API_KEY" in html and "TEALEAVES_LLM_&lt;NAME&gt;_URL" in html
    assert ("TEALEAVES_LLM_X_COLOUR is unknown" in html) == bool(environment)
    assert owner_client.post(NEW, {}).status_code == 422


@pytest.mark.django_db
def test_the_form_offers_what_there_is_and_shows_no_key(llm, prompts, owner, owner_client, outsider_client):
    model, project = atlas(2), cast_project(owner)
    html = owner_client.get(f"{NEW}?model={model.slug}").content.decode()
    assert f'<option value="model:{model.pk}" selected>' in html and f'value="project:{project.slug}"' in html
    assert "plain@1" in html and "check@1" in html and ">test</option>" in html
    assert KEY not in html and llm.url not in html
    assert project.slug not in outsider_client.get(NEW).content.decode()


@pytest.mark.django_db(transaction=True)
def test_planned_estimated_started_and_done(llm, prompts, owner, owner_client):
    planned = plan(owner_client, atlas(8), budget="0.5")
    page = f"/runs/planned/{planned.pk}/"
    html = owner_client.get(page).content.decode()
    assert f'hx-get="{page}progress/"' in html and "No worker is running" in html and "Start the run" not in html
    early = owner_client.post(f"{page}start/", follow=True)
    assert "not known yet" in early.content.decode() and not Run.objects.exists()
    planned = estimated(planned)
    assert llm.seen()["counts"] == {}, "an estimate asks nobody"
    assert planned.estimate["directions"] == 8 and planned.estimate["calls"] == 16
    html = owner_client.get(page).content.decode()
    cost, most = planned.estimate["cost"], planned.estimate["most"]
    assert f"about {dollars(cost)}, at most {dollars(most)}" in html and "Start the run" in html
    assert "$2.00 for a million tokens in, $8.00 out" in html and "$0.50; the run pauses" in html
    response = owner_client.post(f"{page}start/")
    run = Run.objects.get()
    assert response.url == f"/runs/{run.pk}/"
    assert (run.budget, run.price_input, run.created_by) == (500_000_000, 2_000_000_000, owner)
    # The button once more, and the page by the way back.
    assert owner_client.post(f"{page}start/").url == owner_client.get(page).url == response.url
    assert Run.objects.count() == 1
    job_wait(run.job)
    assert Judgement.objects.filter(source=run.source).count() == 8
    run.refresh_from_db()
    assert 0 < run.spent <= most


@pytest.mark.django_db(transaction=True)
def test_what_was_answered_before_is_counted_apart(llm, prompts, owner_client):
    model = atlas(4)
    first = planned_start(estimated(plan(owner_client, model)))
    job_wait(first.job)
    again = estimated(plan(owner_client, model))
    assert (again.estimate["calls"], again.estimate["stored"], again.estimate["cost"]) == (0, 8, 0)
    html = owner_client.get(f"/runs/planned/{again.pk}/").content.decode()
    assert "0 calls, about $0.00" in html and "8 more are answered already" in html


@pytest.mark.django_db(transaction=True)
def test_two_starts_at_once_start_one_run(llm, prompts, owner_client):
    planned = estimated(plan(owner_client, atlas(40)))
    barrier, started = threading.Barrier(2), []

    def press() -> None:
        try:
            barrier.wait(30)
            started.append(planned_start(planned).pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert started == [Run.objects.get().pk] * 2
    assert RunItem.objects.count() == 40


@pytest.mark.django_db(transaction=True)
def test_an_estimate_waits_for_a_worker(llm, prompts, worker, owner_client):
    worker.kill()
    planned = plan(owner_client, atlas(4))
    assert job_progress(planned.job_id).state == State.QUEUED
    worker.start()
    assert estimated(planned).estimate["calls"] == 8


@pytest.mark.django_db(transaction=True)
def test_a_selection_is_narrowed_down(llm, prompts, owner, owner_client):
    model = atlas(8)
    noise = MatrixFactory(model=model, control="gaussian", control_seed=3, address="ov.0.9;gaussian.3")
    DirectionFactory(matrix=noise)
    narrow = estimated(plan(owner_client, model, circuits="ov", layers="0", indices="0-1", sides="write"))
    assert narrow.estimate["directions"] == 4
    assert estimated(plan(owner_client, model, control="gaussian.3")).estimate["directions"] == 1
    assert estimated(plan(owner_client, model, control="all")).estimate["directions"] == 9
    job_wait(planned_start(narrow).job)
    assert estimated(plan(owner_client, model, not_judged="on")).estimate["directions"] == 4
    project = cast_project(owner, n=3)
    of_project = estimated(plan(owner_client, subject=f"project:{project.slug}", verifier=""))
    assert (of_project.estimate["directions"], of_project.verifier) == (3, None)
    assert planned_start(of_project).selection["project"] == project.slug


@pytest.mark.django_db
def test_the_price_known_given_or_unknown(llm, prompts, owner, owner_client):
    model = atlas(2)
    asked = owner_client.post(NEW, fields(model, price_in="", price_out=""))
    assert asked.status_code == 422 and "What test:tiny-1 costs is not known; give its price" in asked.content.decode()
    unknown = plan(owner_client, model, price_in="", price_out="", price_unknown="on")
    assert unknown.price_input is None and not ModelPrice.objects.exists()
    plan(owner_client, model)
    given = ModelPrice.objects.get()
    assert (given.input, given.output, given.given_by) == (2_000_000_000, 8_000_000_000, owner)
    assert plan(owner_client, model, price_in="", price_out="").price_output == 8_000_000_000
    said = owner_client.get("/runs/price/?provider=test&llm=tiny-1").content.decode()
    assert "$2.00 for a million tokens in and $8.00 out" in said and '<option value="tiny-1">' in said
    assert "is not known" in owner_client.get("/runs/price/?provider=test&llm=other").content.decode()
    assert "may be known" in owner_client.get("/runs/price/?provider=nobody&llm=").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"subject": ""}, "Choose a model or a project."),
        ({"subject": "model:999999"}, "There is no such model or project"),
        ({"subject": "project:secret"}, "There is no such model or project"),
        ({"budget": "0"}, "&#x27;0&#x27; is no amount of money above 0"),
        ({"budget": "lots"}, "&#x27;lots&#x27; is no amount of money"),
        ({"budget": "1", "price_in": "", "price_out": "", "price_unknown": "on"}, "a budget cannot be kept"),
        ({"price_out": ""}, "A price has two parts"),
        ({"price_in": "cheap"}, "&#x27;cheap&#x27; is no amount of money"),
        ({"price_unknown": "on"}, "not both"),
        ({"circuits": "mlp_out"}, "There is nothing to ask about"),
        ({"indices": "3-1"}, "run backwards"),
        ({"sides": "upper"}, "There is no side &#x27;upper&#x27;"),
        ({"layers": "9"}, "layer 9"),
        ({"control": "noise"}, "There is no control"),
        ({"labeler": "0"}, "There is no such labeler prompt"),
        ({"labeler": "check"}, "There is no such labeler prompt"),
        ({"verifier": "plain"}, "There is no such verifier prompt"),
        ({"provider": "nobody"}, "There is no such provider"),
        ({"provider": "replay", "llm": "/etc/passwd"}, "There is no such provider"),
        ({"llm": " "}, "Name the language model"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence_and_what_was_typed_is_kept(
    llm, prompts, owner_client, changes, sentence
):
    model = atlas(2)
    changes = {
        name: str(PromptVersion.objects.get(name=value).pk) if value in ("plain", "check") else value
        for name, value in changes.items()
    }
    response = owner_client.post(NEW, fields(model, **{"indices": "0-7", **changes}))
    html = response.content.decode().partition("<dialog")[0]
    assert response.status_code == 422 and sentence in html
    assert f'value="{changes.get("indices", "0-7")}"' in html and html.count('role="alert"') == 1
    assert not PlannedRun.objects.exists() and not Job.objects.exists() and not ModelPrice.objects.exists()


@pytest.mark.django_db
def test_change_it_brings_back_what_was_typed(llm, prompts, owner_client, outsider_client):
    planned = plan(owner_client, atlas(8), indices="0-1", budget="0.25")
    html = owner_client.get(f"{NEW}?plan={planned.pk}").content.decode()
    assert 'value="0-1"' in html and 'value="0.25"' in html and 'value="tiny-1"' in html
    assert f'<a href="/runs/planned/{planned.pk}/">' in owner_client.get("/runs/").content.decode()
    assert outsider_client.get(f"{NEW}?plan={planned.pk}").status_code == 404
    for odd in ("x", "-1", "²", "9" * 5000):
        assert 'value="0-1"' not in owner_client.get(f"{NEW}?plan={odd}").content.decode()
    assert f"/runs/planned/{planned.pk}/" not in outsider_client.get("/runs/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_another_starts_nothing_and_nobody_is_led_to_the_sign_in(llm, prompts, client, owner_client, outsider_client):
    planned = estimated(plan(owner_client, atlas(2)))
    page = f"/runs/planned/{planned.pk}/"
    for path, method in ((page, "get"), (f"{page}progress/", "get"), (f"{page}start/", "post")):
        assert getattr(outsider_client, method)(path).status_code == 404
        assert "/account/" in getattr(client, method)(path).url
    assert not Run.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_changed_since_the_estimate_is_said_at_the_start(llm, prompts, monkeypatch, owner_client):
    planned = estimated(plan(owner_client, atlas(2)))
    Model.objects.update(name="renamed")  # a name is no part of a selection
    monkeypatch.setattr(settings, "LLM_ENVIRONMENT", {})
    refused = owner_client.post(f"/runs/planned/{planned.pk}/start/", follow=True)
    assert "There is no provider &#x27;test&#x27;" in refused.content.decode()
    assert not Run.objects.exists() and not Call.objects.exists()


@pytest.mark.django_db
def test_a_plan_is_not_started_before_its_estimate(llm, prompts, owner_client):
    with pytest.raises(RunError, match="wait for its estimate"):
        planned_start(plan(owner_client, atlas(2)))
