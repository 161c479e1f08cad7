"""Variants of a model's matrices, from the command line through the tasks to what is stored: real weights."""

import itertools
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from labelapp.atlas.keys import matrix_key_parse
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selectors import direction_get, matrix_find, matrix_get, unembedding_read, vectors_read
from labelapp.atlas.services import LAYER_TASK, block_threshold_set, matrix_request
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import Job, State
from workers.weights.checkpoint import open_checkpoint
from workers.weights.engine import decompose_matrix

pytestmark = pytest.mark.django_db(transaction=True)
DEMO = "fixtures/demo_model"
SMALL = ["--layers", "1", "--directions", "6", "--top", "5"]


def decompose(*arguments: str) -> None:
    call_command("decompose", DEMO, "--name", "demo", *SMALL, *arguments, stdout=StringIO())


def addresses() -> set[str]:
    return set(Matrix.objects.values_list("address", flat=True))


def test_every_variant_is_stored_as_the_engine_computes_it():
    """The vectors too: of all these variants no two may share a file."""
    decompose("--circuits", "ov,mlp_out", "--preprocessing", "raw,folded", "--basis", "svd,neuron.2,rotated")
    decompose("--circuits", "ov,mlp_out", "--control", "gaussian,gaussian.3,column_shuffled")
    places = ["ov.1.0", "ov.1.1", "ov.1.2", "ov.1.3", "mlp_out.1"]
    variants = ["", ";neuron.2", ";rotated", ";folded", ";folded;neuron.2", ";folded;rotated",
                ";gaussian", ";gaussian.3", ";column_shuffled"]  # fmt: skip
    assert addresses() == {f"{place}{variant}" for place, variant in itertools.product(places, variants)}

    checkpoint = open_checkpoint(DEMO)
    for variant in variants:
        key = matrix_key_parse(f"demo/ov.1.2{variant}")
        stored = matrix_get(key)
        result = decompose_matrix(checkpoint, "ov", 1, 2, directions=6, top=5, **vars(key.variant))
        assert np.allclose(stored.singular_values, result.singular_values, atol=1e-6)
        assert stored.neurons == (None if result.neurons is None else result.neurons.tolist())
        for side in result.sides:
            assert np.allclose(vectors_read(stored, side.side), side.vectors, atol=1e-5), (variant, side.side)
            ends = Direction.objects.filter(matrix=stored, side=side.side).order_by("index", "sign")
            assert [it.token_ids for it in ends] == side.token_ids.reshape(-1, 5).tolist()


def test_folded_readouts_are_those_of_the_folded_unembedding():
    decompose("--circuits", "mlp_out", "--preprocessing", "folded")
    direction = direction_get("demo/mlp_out.1/2-;folded")
    folder = direction.matrix.model.folder
    folded = unembedding_read(folder, "folded")
    assert not np.allclose(folded, unembedding_read(folder), atol=1e-2)
    assert np.allclose(folded, open_checkpoint(DEMO).unembedding(preprocessing="folded").numpy())
    scores = folded @ -vectors_read(direction.matrix, "write")[2]
    assert direction.token_ids == np.argsort(-scores, kind="stable")[:5].tolist()
    assert np.allclose(direction.scores, np.sort(scores)[::-1][:5], atol=1e-5)


def test_what_is_stored_of_a_variant_is_not_done_again():
    decompose("--circuits", "ov", "--control", "gaussian")
    before = dict(Direction.objects.values_list("pk", "scores"))
    n_jobs = Job.objects.filter(task=LAYER_TASK).count()
    decompose("--circuits", "ov", "--control", "gaussian")
    assert Job.objects.filter(task=LAYER_TASK).count() == n_jobs
    decompose("--circuits", "ov", "--control", "none,gaussian")
    assert Job.objects.filter(task=LAYER_TASK).count() == n_jobs + 1
    assert before.items() <= dict(Direction.objects.values_list("pk", "scores")).items()


def test_all_directions_and_all_units():
    call_command("decompose", DEMO, "--name", "demo", "--circuits", "ov,mlp_in", "--layers", "1", "--directions", "all",
                 "--top", "3", "--basis", "svd,neuron", stdout=StringIO())  # fmt: skip
    model = Model.objects.get()
    numbers = dict(Matrix.objects.values_list("address", "n_vectors"))
    assert numbers["ov.1.0"] == numbers["ov.1.0;neuron"] == model.d_head
    assert (numbers["mlp_in.1"], numbers["mlp_in.1;neuron"]) == (model.d_model, model.d_mlp)
    units = Matrix.objects.get(address="mlp_in.1;neuron")
    assert sorted(units.neurons) == list(range(model.d_mlp))
    assert units.singular_values == sorted(units.singular_values, reverse=True)


def test_a_rotation_of_another_number_of_vectors_is_refused_before_anything_is_done():
    decompose("--circuits", "ov", "--basis", "rotated")
    n_jobs = Job.objects.filter(task=LAYER_TASK).count()
    wider = ["--circuits", "ov", "--layers", "0,1", "--directions", "7", "--basis"]
    with pytest.raises(CommandError, match=r"ov.1.0;rotated is stored with 6 vectors.*--directions 6.*rotated\.1"):
        decompose(*wider, "rotated")
    assert Job.objects.filter(task=LAYER_TASK).count() == n_jobs
    decompose(*wider, "rotated.1")
    assert Matrix.objects.get(address="ov.0.0;rotated.1").n_vectors == 7


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--device", "cuda:7"], "no device 'cuda:7' that can be used here; choose auto or cpu"),
        (["--device", "gpu"], "no device 'gpu'; choose auto, cpu or cuda"),
        (["--basis", "pca"], "no basis 'pca'; choose among svd, neuron"),
        (["--basis", "varimax.2"], "nothing in varimax is random"),
        (["--control", "noise"], "no control 'noise'"),
        (["--preprocessing", "cooked"], "no preprocessing 'cooked'"),
        (["--directions", "many"], "give a number or all"),
        (["--block-threshold", "1.5"], "a relative gap lies from 0 to below 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(arguments, sentence):
    with pytest.raises(CommandError, match=sentence) as raised:
        decompose(*arguments)
    assert "\n" not in str(raised.value)
    assert not Matrix.objects.exists()


# On demand


@pytest.mark.parametrize("address", ["ov.1.2:read/3-;folded", "mlp_in.1/0+;neuron.4", "ov.1.0/5+;rotated;gaussian.2"])
def test_show_computes_what_is_missing(address):
    decompose("--circuits", "mlp_out")
    out = StringIO()
    call_command("show", f"demo/{address}", stdout=out)
    assert f"demo/{address}" in out.getvalue()


def test_a_variant_is_computed_as_far_as_the_matrix_itself():
    decompose("--circuits", "ov")
    key = matrix_key_parse("demo/ov.1.3;covariance")
    model = Model.objects.get()
    assert job_wait(matrix_request(model=model, key=key)).state == State.DONE
    found = matrix_find(model, key)
    assert (found.n_vectors, found.top) == (6, 5)


def test_what_belongs_to_no_layer_is_computed_on_demand_too():
    decompose("--circuits", "mlp_out")
    call_command("show", "demo/unembed/0+", stdout=StringIO())
    assert "unembed" in addresses()


# Blocks


def test_the_block_threshold_brackets_what_is_stored_anew():
    decompose("--circuits", "mlp_in", "--control", "none,gaussian", "--basis", "svd,neuron")
    model = Model.objects.get()
    jobs = Job.objects.filter(task=LAYER_TASK).count()
    tokens = dict(Direction.objects.values_list("pk", "token_ids"))
    for threshold in (0.05, 0.2, 0.0):
        decompose("--circuits", "mlp_in", "--control", "none,gaussian", "--basis", "svd,neuron",
                  "--block-threshold", str(threshold))  # fmt: skip
        for control in ("", "gaussian"):
            wanted = decompose_matrix(
                open_checkpoint(DEMO), "mlp_in", 1, directions=6, top=5, control=control, block_threshold=threshold
            ).block
            stored = Direction.objects.filter(matrix__basis="svd", matrix__control=control, sign="+").order_by("index")
            blocks = [-1 if block is None else block for block in stored.values_list("block", flat=True)]
            assert blocks == wanted.tolist(), (control, threshold)
    assert not Direction.objects.filter(matrix__basis="neuron").exclude(block=None).exists()
    assert Job.objects.filter(task=LAYER_TASK).count() == jobs
    assert dict(Direction.objects.values_list("pk", "token_ids")) == tokens
    model.refresh_from_db()
    assert model.block_threshold == 0.0
    assert block_threshold_set(model, 0.0) == 0


def test_the_models_threshold_holds_for_what_is_computed_later():
    decompose("--circuits", "mlp_in", "--block-threshold", "0.2")
    decompose("--circuits", "mlp_out")
    wanted = decompose_matrix(open_checkpoint(DEMO), "mlp_out", 1, directions=6, top=5, block_threshold=0.2).block
    stored = Direction.objects.filter(matrix__circuit="mlp_out", sign="+").order_by("index")
    blocks = [-1 if block is None else block for block in stored.values_list("block", flat=True)]
    assert blocks == wanted.tolist() and max(blocks) >= 0
