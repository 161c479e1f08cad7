"""The offline baseline over stored directions: real vectors, real draws."""

import pytest
from django.core.management import call_command

from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import MatrixSelection
from labelapp.autolabel.models import Run
from labelapp.autolabel.services import baseline_run_start, direction_seed
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import Job, State
from labelapp.jobs.services import JobError
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import judgement_withdraw, summaries_verify
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory
from workers.weights.baseline_settings import BaselineSettings

DEMO = "fixtures/demo_model"
FEW = BaselineSettings(draws=39)


def decompose(layers: str) -> Model:
    call_command("decompose", DEMO, "--name", "demo", "--layers", layers, "--directions", "3", "--top", "5")
    return Model.objects.get()


def finish(run: Run) -> None:
    progress = job_wait(run.job)
    assert progress.state == State.DONE, progress.error


@pytest.mark.django_db(transaction=True)
def test_a_run_judges_each_stored_direction_once():
    model = decompose("0-1")
    run = baseline_run_start(model=model, settings=FEW)
    finish(run)
    assert Judgement.objects.count() == Direction.objects.count() == 2 * (4 * 2 + 2) * 3 * 2
    assert set(Judgement.objects.values_list("source", flat=True)) == {run.source}
    for judgement in Judgement.objects.all():
        significant = judgement.evidence["p_value"] <= FEW.alpha
        assert (judgement.verdict == "interpretable") == significant
        assert significant or judgement.label == ""
    assert summaries_verify() == []
    assert run.judge.is_person is False and "no language model" in run.judge.name


@pytest.mark.django_db(transaction=True)
def test_a_verdict_does_not_depend_on_what_else_is_judged():
    model = decompose("0-1")
    finish(baseline_run_start(model=model, settings=FEW))
    before = dict(Judgement.objects.values_list("direction", "evidence"))
    chosen = Judgement.objects.filter(direction__matrix__layer=1).order_by("?")[:7]
    for judgement in chosen:
        judgement_withdraw(judgement)
    again = baseline_run_start(model=model, settings=FEW)
    finish(again)
    assert Job.objects.filter(parent=again.job).count() == 1, "only the layer with something to judge"
    redone = Judgement.objects.filter(source=again.source, current=True)
    assert redone.count() == 7
    for judgement in redone:
        assert judgement.evidence == pytest.approx(before[judgement.direction_id], abs=1e-6)


@pytest.mark.django_db
def test_nothing_to_judge_is_said():
    model = ModelFactory()
    with pytest.raises(JobError, match="decompose it first"):
        baseline_run_start(model=model)
    MatrixFactory(model=model)
    with pytest.raises(JobError, match="judged every stored direction"):
        baseline_run_start(model=model)
    with pytest.raises(JobError, match=r"control gaussian.*decompose it first"):
        baseline_run_start(model=model, selection=MatrixSelection(controls=("gaussian",)))
    assert not Run.objects.exists() and not Job.objects.exists()


@pytest.mark.django_db
def test_both_ends_of_a_vector_have_one_seed_and_other_vectors_others():
    matrix = MatrixFactory()
    plus, minus = (DirectionFactory(matrix=matrix, index=1, sign=sign) for sign in "+-")
    others = [DirectionFactory(matrix=matrix, index=2), DirectionFactory(matrix=matrix, index=1, side="read")]
    seeds = {direction_seed(direction) for direction in others}
    assert direction_seed(plus) == direction_seed(minus)
    assert len(seeds | {direction_seed(plus)}) == 3


@pytest.mark.django_db
def test_a_second_press_starts_no_second_run_and_the_list_shows_a_fresh_one(owner_client):
    model = ModelFactory()
    DirectionFactory(matrix=MatrixFactory(model=model))
    run = baseline_run_start(model=model)
    assert baseline_run_start(model=model) == run
    assert Run.objects.count() == 1
    assert owner_client.get("/runs/").status_code == 200


@pytest.mark.django_db
def test_the_list_takes_a_fixed_number_of_queries(owner_client, django_assert_max_num_queries):
    for _ in range(5):
        model = ModelFactory()
        DirectionFactory(matrix=MatrixFactory(model=model))
        baseline_run_start(model=model)
    with django_assert_max_num_queries(12):
        owner_client.get("/runs/")
