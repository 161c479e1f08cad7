"""The pages of runs, without a worker."""

import pytest
from django.urls import reverse

from labelapp.accounts.models import User
from labelapp.atlas.selection import MatrixSelection
from labelapp.autolabel.models import Run
from labelapp.autolabel.pages import runs_listed, selection_words
from labelapp.autolabel.services import baseline_run_start
from labelapp.jobs.models import Job
from tests.factories import DirectionFactory, MatrixFactory, machine_says

pytestmark = pytest.mark.django_db


@pytest.fixture
def matrix():
    matrix = MatrixFactory()
    for index in range(4):
        DirectionFactory(matrix=matrix, index=index)
    return matrix


def test_no_run_teaches(owner_client):
    html = owner_client.get("/runs/").content.decode()
    assert "No run yet" in html and "There is no model yet" in html


def test_the_baseline_is_started_from_the_page(matrix, owner, owner_client):
    response = owner_client.post("/runs/start/", {"model": matrix.model_id})
    run = Run.objects.get()
    assert response.url == reverse("autolabel:run", args=[run.pk])
    assert run.created_by == owner and run.model == matrix.model
    html = owner_client.get(response.url).content.decode()
    assert "offline baseline (no language model)" in html and "No worker is running" in html
    assert f'hx-get="{reverse("autolabel:progress", args=[run.pk])}?paused=0"' in html


def test_the_page_chooses_bases_and_controls(matrix, owner_client):
    noise = MatrixFactory(model=matrix.model, control="gaussian", control_seed=3, address="ov.0.0;gaussian.3")
    DirectionFactory(matrix=noise)
    fields = {"model": matrix.model_id, "circuits": "all", "layers": "all", "preprocessing": "raw", "basis": "svd"}
    response = owner_client.post("/runs/start/", {**fields, "control": "gaussian.3"})
    run = Run.objects.get()
    assert run.selection["controls"] == ["gaussian.3"] and run.job.children.get().total == 1
    assert "control gaussian.3" in owner_client.get(response.url).content.decode()
    refused = owner_client.post("/runs/start/", {**fields, "control": "noise"}, follow=True)
    assert "There is no control" in refused.content.decode() and Run.objects.count() == 1


def test_a_run_on_controls_is_counted_apart(matrix, owner_client):
    noise = MatrixFactory(model=matrix.model, control="gaussian", address="ov.0.0;gaussian")
    ends = [DirectionFactory(matrix=noise, index=index) for index in range(3)]
    own = baseline_run_start(model=matrix.model)
    controls = baseline_run_start(model=matrix.model, selection=MatrixSelection(controls=("gaussian",)))
    judge = machine_says(dict.fromkeys(matrix.directions.all(), "interpretable") | dict.fromkeys(ends, "failed"))
    Run.objects.update(judge=judge)
    counts = {row.run: row.counts for row in runs_listed(Run.objects.all(), User.objects.get())}
    assert (counts[own]["interpretable"], counts[own]["failed"]) == (4, 0)
    assert (counts[controls]["interpretable"], counts[controls]["failed"]) == (0, 3)


@pytest.mark.parametrize("model", ["", "x", "-1", "²", "999999", "9" * 30, "9" * 5000])
def test_an_unknown_model_starts_nothing(matrix, owner_client, model):
    assert owner_client.post("/runs/start/", {"model": model}).status_code == 404
    assert not Run.objects.exists() and not Job.objects.exists()


def test_nothing_to_judge_is_said_in_a_sentence(owner_client):
    empty = MatrixFactory().model
    response = owner_client.post("/runs/start/", {"model": empty.pk}, follow=True)
    assert "has judged every stored direction" in response.content.decode()
    assert not Run.objects.exists()


def test_verdicts_are_counted_by_circuit(matrix, owner, owner_client, outsider_client):
    run = baseline_run_start(model=matrix.model, created_by=owner)
    verdicts = ["interpretable", "interpretable", "not_interpretable", "failed"]
    judge = machine_says(dict(zip(matrix.directions.order_by("pk"), verdicts, strict=True)), source=run.source)
    Run.objects.update(judge=judge)
    for client in (owner_client, outsider_client):  # what machines say is everybody's
        html = client.get(reverse("autolabel:run", args=[run.pk])).content.decode()
        cells = [part.split("<")[0].strip() for part in html.split('<td class="num">')[1:]]
        assert cells == ["4", "2 · 66.7 %"] and "20.8 to 93.9" in html and "1 failed" in html
        assert client.get(reverse("autolabel:progress", args=[run.pk])).status_code == 200
    listed = owner_client.get("/runs/").content.decode()
    assert "1: offline" in listed or f"{run.pk}: offline" in listed


def test_methods(matrix, owner, owner_client):
    run = baseline_run_start(model=matrix.model, created_by=owner)
    for path in ("/runs/", f"/runs/{run.pk}/", f"/runs/{run.pk}/progress/"):
        assert owner_client.post(path).status_code == 405
    assert owner_client.get("/runs/start/").status_code == 405
    assert owner_client.get(f"/runs/{run.pk + 1}/").status_code == 404


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({}, "all circuits and layers"),
        ({"circuits": [], "layers": []}, "all circuits and layers"),
        ({"circuits": ["ov", "mlp_in"], "layers": [0, 3]}, "ov, mlp_in in layers 0, 3"),
        ({"layers": [2]}, "all circuits in layers 2"),
        ({"circuits": ["ov"]}, "ov"),
    ],
)
def test_selections_in_words(selection, words):
    assert selection_words(selection) == words
