"""Writes on the atlas: nothing doubled, nothing lost, nothing overwritten that judgements point at."""

from dataclasses import replace

import pytest

from labelapp.atlas.keys import MatrixKey
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selectors import NotStoredError
from labelapp.atlas.services import (
    LAYER_TASK,
    Extent,
    decompose_start,
    layer_jobs_create,
    matrix_request,
    model_register,
)
from labelapp.atlas.storing import ADDRESS_FIELDS, READOUT_FIELDS
from labelapp.jobs.models import Job, State
from labelapp.jobs.services import JobError, job_create
from tests.atlas.results import INFO, VOCABULARY, matrix_result, store
from tests.factories import MatrixFactory, ModelFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return model_register(INFO)


def ends(matrix):
    return {(row.side, row.index, row.sign): row for row in Direction.objects.filter(matrix=matrix).order_by("pk")}


# Models


def test_a_model_is_registered_once(model):
    assert model_register(INFO) == model
    assert Model.objects.count() == 1
    assert (model.slug, model.is_default, model.circuits) == ("tiny", True, ["ov", "mlp_in", "mlp_out"])


def test_weights_that_moved_are_found_again(model):
    model_register(replace(INFO, source="/elsewhere"))
    assert Model.objects.get().source == "/elsewhere"


def test_other_weights_under_the_same_name_and_revision_are_refused(model):
    with pytest.raises(JobError, match="other weights"):
        model_register(replace(INFO, weights_hash="0" * 64, source="/elsewhere"))
    assert Model.objects.get().source == "/models/tiny"


def test_a_second_revision_keeps_the_first_as_default(model):
    second = model_register(replace(INFO, revision="def5678", weights_hash="0" * 64))
    assert (second.slug, second.is_default) == ("tiny@def5678", False)
    assert Model.objects.get(is_default=True) == model


# Matrices


def test_a_matrix_is_stored_with_both_ends_of_both_sides(model):
    matrix = store(model, matrix_result(n=4, top=5))
    matrix.refresh_from_db()
    found = ends(matrix)
    assert str(matrix.key) == "tiny/ov.0.0"
    assert len(found) == 4 * 2 * 2
    end = found["write", 1, "-"]
    assert str(end.key) == "tiny/ov.0.0/1-"
    assert end.tokens == [VOCABULARY[token] for token in end.token_ids]
    assert end.scores == sorted(end.scores, reverse=True)
    assert (found["write", 0, "+"].gap_above, found["write", 0, "+"].block) == (None, None)
    assert end.block == 0
    assert end.score_mean == -found["write", 1, "+"].score_mean


def test_storing_twice_doubles_nothing(model):
    matrix = store(model, matrix_result())
    before = {key: row.pk for key, row in ends(matrix).items()}
    assert store(model, matrix_result()) == matrix
    assert {key: row.pk for key, row in ends(matrix).items()} == before
    assert Matrix.objects.count() == 1


def test_a_matrix_is_extended_and_its_directions_keep_their_ids(model):
    matrix = store(model, matrix_result(n=8, top=5))
    before = {key: row.pk for key, row in ends(matrix).items()}
    longer = matrix_result(n=8, top=9, seed=1)
    store(model, longer)
    after = ends(matrix)
    assert {key: after[key].pk for key in before} == before
    assert {len(row.tokens) for row in after.values()} == {9}
    matrix.refresh_from_db()
    assert (matrix.n_vectors, matrix.top) == (8, 9)


def test_from_8_vectors_to_16(model):
    matrix = store(model, matrix_result(n=8))
    before = {key: row.pk for key, row in ends(matrix).items()}
    values = matrix_result(n=8).singular_values
    more = matrix_result(n=16)
    store(model, replace(more, singular_values=[*values, *values / 10]))
    after = ends(matrix)
    assert len(after) == 16 * 2 * 2
    assert {key: after[key].pk for key in before} == before
    matrix.refresh_from_db()
    assert (matrix.n_vectors, matrix.vectors["read"]["file"]) == (16, "ov-16")


@pytest.mark.parametrize(("n", "top"), [(2, 5), (8, 2), (2, 9)])
def test_a_smaller_result_changes_nothing(model, n, top):
    matrix = store(model, matrix_result(n=8, top=5))
    before = {key: (row.pk, row.tokens) for key, row in ends(matrix).items()}
    store(model, matrix_result(n=n, top=top, seed=5))
    assert {key: (row.pk, row.tokens) for key, row in ends(matrix).items()} == before
    matrix.refresh_from_db()
    assert (matrix.n_vectors, matrix.top) == (8, 5)


def test_every_column_of_a_direction_is_written(model):
    """They are written by a statement of our own: a new field must be added to it."""
    columns = {field.name for field in Direction._meta.concrete_fields} - {"id"}
    assert columns == {*ADDRESS_FIELDS, *READOUT_FIELDS}


def test_tokens_that_hold_anything_come_back(model):
    tokens = ['"', "\\", "\x00", "é", "\udcff", "]", ",", "<script>", *VOCABULARY[8:]]
    matrix = store(model, matrix_result(n=2, top=30), tokens=tokens)
    for row in Direction.objects.filter(matrix=matrix):
        assert row.tokens == [tokens[token] for token in row.token_ids]


def test_bases_and_controls_are_matrices_of_their_own(model):
    plain = matrix_result()
    store(model, plain)
    store(model, replace(plain, basis="rotated", basis_seed=3, control="shuffled", control_seed=7))
    assert {row.address for row in Matrix.objects.all()} == {"ov.0.0", "ov.0.0;rotated.3;shuffled.7"}
    stored = Matrix.objects.get(basis="rotated")
    assert (stored.basis_seed, stored.control, stored.control_seed) == (3, "shuffled", 7)
    assert str(stored.key) == "tiny/ov.0.0;rotated.3;shuffled.7"


def test_a_rotation_of_more_vectors_is_another_and_does_not_take_the_place_of_one(model):
    matrix = store(model, replace(matrix_result(n=4, top=5), basis="rotated"))
    store(model, replace(matrix_result(n=8, top=5), basis="rotated"))
    matrix.refresh_from_db()
    assert (matrix.n_vectors, matrix.directions.count()) == (4, 16)
    store(model, replace(matrix_result(n=4, top=9), basis="rotated"))
    matrix.refresh_from_db()
    assert matrix.top == 9


# Jobs


def test_what_belongs_to_no_layer_is_a_job_of_its_own():
    model = ModelFactory(n_layers=2, n_heads=2, d_head=4)
    parent = job_create(title="all")
    circuits = ["mlp_in", "embed", "unembed"]
    assert layer_jobs_create(parent=parent, model=model, circuits=circuits, layers=[1], extent=Extent()) == 2
    wanted = [
        (job.params["layer"], job.params["addresses"]) for job in Job.objects.filter(parent=parent).order_by("pk")
    ]
    assert wanted == [(1, ["mlp_in.1"]), (None, ["embed", "unembed"])]


def test_a_missing_matrix_is_asked_for_once(model):
    key = MatrixKey("tiny", "ov", 1, 0)
    first = matrix_request(model=model, key=key)
    assert matrix_request(model=model, key=key) == first
    assert Job.objects.get() == first
    assert (first.task, first.params["addresses"], first.params["layer"]) == (LAYER_TASK, ["ov.1.0"], 1)


def test_after_the_end_it_may_be_asked_for_again(model):
    key = MatrixKey("tiny", "ov", 1, 0)
    first = matrix_request(model=model, key=key)
    Job.objects.update(state=State.FAILED)
    assert matrix_request(model=model, key=key) != first


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (MatrixKey("tiny", "ov", 2, 0), "layers 0 to 1, not 2"),
        (MatrixKey("tiny", "ov", 0, 2), "heads 0 to 1, not 2"),
        (MatrixKey("tiny", "qk", 0, 0), "no circuit qk"),
        (MatrixKey("tiny", "ov", 2, 0, preprocessing="folded"), "layers 0 to 1, not 2"),
    ],
)
def test_what_a_model_does_not_have_is_not_asked_for(model, key, sentence):
    with pytest.raises(NotStoredError, match=sentence):
        matrix_request(model=model, key=key)
    assert not Job.objects.exists()


def test_a_sweep_leaves_out_what_is_stored_and_never_asks_for_less():
    model = ModelFactory(n_layers=2, n_heads=2, d_head=4)
    for layer in (0, 1):
        for head in (0, 1):
            MatrixFactory(model=model, layer=layer, head=head, n_vectors=4, top=10)
    Matrix.objects.filter(layer=1, head=1).update(n_vectors=3, top=12)
    parent = job_create(title="all")
    assert layer_jobs_create(parent=parent, model=model, circuits=["ov"], layers=[0, 1], extent=Extent(64, 10)) == 1
    job = Job.objects.exclude(pk=parent.pk).get()
    assert job.params["addresses"] == ["ov.1.1"]
    assert (job.params["directions"], job.params["top"]) == (64, 12)


def test_a_decomposition_starts_as_a_parent_with_its_first_part(tmp_path):
    parent = decompose_start(source=str(tmp_path), name="GPT2 Medium")
    part = Job.objects.get(parent=parent)
    assert (part.params["source"], part.params["name"]) == (str(tmp_path), "gpt2-medium")
