"""The offline baseline over stored directions: real vectors, real draws."""

from collections import Counter
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import MatrixSelection
from labelapp.atlas.selectors import vectors_read, vocabulary_read
from labelapp.autolabel.models import Run
from labelapp.autolabel.services import baseline_run_start, direction_seed
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import Job, State
from labelapp.jobs.services import JobError
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import judgement_withdraw, summaries_verify
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory
from workers.weights.baseline import Baseline
from workers.weights.baseline_settings import BaselineSettings
from workers.weights.checkpoint import open_checkpoint

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


@pytest.mark.django_db(transaction=True)
def test_controls_and_folded_matrices_are_judged_where_they_are_named_the_latter_in_their_own_unembedding():
    arguments = ["decompose", DEMO, "--name", "demo", "--layers", "1", "--circuits", "ov", "--directions", "3"]
    call_command(*arguments, "--preprocessing", "raw,folded", "--control", "none,gaussian", stdout=StringIO())
    call_command("decompose", DEMO, "--name", "demo", "--circuits", "unembed", "--directions", "2", stdout=StringIO())
    model = Model.objects.get()

    def judged():
        rows = Judgement.objects.values_list("direction__matrix__preprocessing", "direction__matrix__control")
        return Counter(rows)

    call_command("baseline", "demo", "--circuits", "ov", stdout=StringIO())
    assert judged() == {("raw", ""): 48}
    call_command("baseline", "demo", "--preprocessing", "folded", "--control", "none,gaussian", stdout=StringIO())
    assert judged() == {("raw", ""): 48, ("folded", ""): 48, ("folded", "gaussian"): 48}
    call_command("baseline", "demo", "--circuits", "unembed", stdout=StringIO())
    assert judged()["raw", ""] == 52, "what belongs to no layer is judged too"

    judgement = Judgement.objects.filter(direction__matrix__preprocessing="folded", direction__sign="+").first()
    direction = judgement.direction
    vectors = vectors_read(direction.matrix, direction.side)[direction.index : direction.index + 1]
    verdicts = {}
    for preprocessing in ("raw", "folded"):
        unembedding = open_checkpoint(DEMO).unembedding(preprocessing=preprocessing).numpy()
        baseline = Baseline(unembedding, vocabulary_read(model.folder), **BaselineSettings().arguments())
        verdicts[preprocessing], _ = baseline.judge(vectors, [direction_seed(direction)])
    assert judgement.evidence["statistic"] == pytest.approx(verdicts["folded"].statistic, abs=1e-6)
    assert judgement.evidence["statistic"] != pytest.approx(verdicts["raw"].statistic, abs=1e-6)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["other"], "no model 'other'"), (["tiny", "--basis", "pca"], "no basis 'pca'"), (["tiny"], "decompose it first")],
)
def test_the_command_says_what_cannot_be(arguments, sentence):
    ModelFactory(name="tiny")
    with pytest.raises(CommandError, match=sentence):
        call_command("baseline", *arguments)


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
