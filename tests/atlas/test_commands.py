"""`decompose` and `show` as a newcomer uses them; no worker listens here, so the work is done in the foreground."""

import errno
import json
import re
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selectors import direction_get, unembedding_read, vectors_read, vocabulary_read
from labelapp.atlas.services import Extent, layer_job_create
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import Job

pytestmark = pytest.mark.django_db(transaction=True)
DEMO = "fixtures/demo_model"
SMALL = ["--circuits", "ov,mlp_in,mlp_out", "--layers", "0", "--directions", "3", "--top", "5"]


def decompose(*arguments: str) -> str:
    out = StringIO()
    call_command("decompose", *arguments, stdout=out)
    return out.getvalue()


def show(key: str, *arguments: str) -> str:
    out = StringIO()
    call_command("show", key, *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return Path(shutil.copytree(DEMO, tmp_path / "model"))


def test_decompose_and_show():
    assert "Decomposed" in decompose(DEMO, "--name", "demo", *SMALL)
    assert set(Matrix.objects.values_list("address", flat=True)) == {
        "ov.0.0", "ov.0.1", "ov.0.2", "ov.0.3", "mlp_in.0", "mlp_out.0",
    }  # fmt: skip
    record = json.loads(show("demo/ov.0.2:read/1-", "--json"))
    assert record["key"] == "demo/ov.0.2:read/1-"
    assert len(record["tokens"]) == len(record["scores"]) == 5
    assert record["scores"] == sorted(record["scores"], reverse=True)
    assert 0 <= record["gap_above"] <= 1 and record["gap_below"] is not None
    assert "singular value" in show("demo/mlp_in.0/0+")


def test_what_is_stored_fits_together():
    decompose(DEMO, "--name", "demo", *SMALL)
    direction = direction_get("demo/ov.0.3/2-")
    model = direction.matrix.model
    vector = vectors_read(direction.matrix, "write")[2]
    scores = unembedding_read(model.folder) @ -vector
    assert np.isclose(np.linalg.norm(vector), 1, atol=1e-5)
    assert direction.token_ids == np.argsort(-scores, kind="stable")[:5].tolist()
    assert np.allclose(direction.scores, np.sort(scores)[::-1][:5], atol=1e-5)
    assert np.isclose(direction.score_mean, scores.mean(), atol=1e-5)
    assert np.isclose(direction.score_deviation, scores.std(), atol=1e-5)
    assert direction.tokens == [vocabulary_read(model.folder)[token] for token in direction.token_ids]


def test_the_second_time_nothing_is_done_and_a_wider_one_keeps_the_ids():
    decompose(DEMO, "--name", "demo", *SMALL)
    before = dict(Direction.objects.values_list("matrix__address", "pk"))
    decompose(DEMO, "--name", "demo", *SMALL)
    assert Direction.objects.count() == (4 * 2 + 2) * 3 * 2
    decompose(DEMO, "--name", "demo", "--layers", "0", "--directions", "5", "--top", "8", "--circuits", "mlp_in")
    assert (
        before.items()
        <= dict(Direction.objects.filter(pk__in=before.values()).values_list("matrix__address", "pk")).items()
    )
    wider = direction_get("demo/mlp_in.0/4+")
    assert len(wider.tokens) == 8 and len(vectors_read(wider.matrix, "read")) == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no/such-model-anywhere"], "no/such-model-anywhere"),
        (["x" * 5000], "xxx"),
        (["m\udcff"], r"m\\udcff"),
        ([DEMO, "--circuits", "ov,qv"], "no circuit 'qv'"),
        ([DEMO, "--layers", "4-9"], "no layer 9"),
        ([DEMO, "--layers", "five"], "'five' is not a layer"),
        ([DEMO, "--directions", "0"], "at least 1"),
        ([DEMO, "--top", "-3"], "at least 1"),
    ],
)
def test_bad_input_gets_one_sentence_and_changes_nothing(arguments, sentence, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CommandError, match=sentence) as raised:
        decompose(*arguments)
    assert "\n" not in str(raised.value)
    assert not Model.objects.exists() and not Matrix.objects.exists()


def test_a_folder_without_weights(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(CommandError, match="safetensors"):
        decompose(str(checkpoint))
    assert not Model.objects.exists()


def test_an_unsupported_architecture_is_named_with_the_supported_ones(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "model_type": "t5", "architectures": ["T5Model"]}))
    with pytest.raises(CommandError, match=r"t5.*gpt2"):
        decompose(str(checkpoint))
    assert not Model.objects.exists()


@pytest.fixture
def hub(httpserver, tmp_path, monkeypatch):
    """A server in the hub's place, and an empty cache."""
    from huggingface_hub import constants

    address = httpserver.url_for("").rstrip("/")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return httpserver


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "GatedRepo", "Access to 'some/model' is restricted: accept its terms"),
        (401, "RepoNotFound", "Hugging Face has no model 'some/model' that you may read; check the name"),
        (404, "RepoNotFound", "Hugging Face has no model 'some/model' that you may read; check the name"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_on_the_command_line_and_in_the_job(hub, status, code, sentence, owner):
    hub.expect_request(re.compile("/.*")).respond_with_data("no", status=status, headers={"X-Error-Code": code})
    with pytest.raises(CommandError, match=sentence) as raised:
        decompose("some/model")
    assert "\n" not in str(raised.value)
    assert Job.objects.get(parent=None).error == str(raised.value)
    assert not Model.objects.exists()


@pytest.mark.parametrize(
    "full", [OSError(errno.ENOSPC, "No space left on device"), OperationalError("database or disk is full")]
)
@pytest.mark.parametrize("at", ["model_files_write", "vectors_write"])
def test_a_full_disk_is_said_and_what_is_stored_stays(at, full, monkeypatch):
    decompose(DEMO, "--name", "demo", "--circuits", "mlp_in", "--layers", "1", "--directions", "2", "--top", "3")

    def refuse(*arguments, **options):
        raise full

    monkeypatch.setattr(f"workers.tasks.weights.{at}", refuse)
    with pytest.raises(CommandError, match="The disk is full") as raised:
        decompose(DEMO, "--name", "demo", *SMALL)
    assert "\n" not in str(raised.value) and "free some space" in str(raised.value)
    assert list(Matrix.objects.values_list("address", flat=True)) == ["mlp_in.1"]
    monkeypatch.undo()
    decompose(DEMO, "--name", "demo", *SMALL)
    assert Matrix.objects.count() == 7


def test_a_truncated_file(checkpoint):
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(CommandError, match=r"model\.safetensors"):
        decompose(str(checkpoint))
    assert not Model.objects.exists()


def test_weights_that_changed_since_are_refused(checkpoint):
    decompose(str(checkpoint), "--name", "mine", *SMALL)
    weights = bytearray((checkpoint / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (checkpoint / "model.safetensors").write_bytes(weights)
    decompose(str(checkpoint), "--name", "mine", *SMALL)
    first, second = Model.objects.order_by("pk")
    assert (first.slug, second.slug) == ("mine", f"mine@{second.revision}")
    assert str(second.matrices.first().key).startswith(f"mine@{second.revision}/")
    assert show(f"mine@{second.revision}/mlp_in.0/0+")


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("demo", "not a direction's key"),
        ("demo/ov.0.0/0", "not a direction's key"),
        ("demo/qv.0/0+", "not a circuit"),
        ("other/ov.0.0/0+", "no model 'other'"),
        ("demo/ov.6.0/0+", "layers 0 to 5, not 6"),
        ("demo/ov.0.0/3+", "directions 0 to 2, not 3"),
    ],
)
def test_show_says_what_is_missing(key, sentence):
    decompose(DEMO, "--name", "demo", *SMALL)
    with pytest.raises(CommandError, match=sentence):
        show(key)


def test_weights_that_are_replaced_are_not_stored_under_the_old_name(checkpoint):
    decompose(str(checkpoint), "--name", "mine", *SMALL)
    weights = bytearray((checkpoint / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (checkpoint / "model.safetensors").write_bytes(weights)
    model = Model.objects.get()
    job = layer_job_create(model=model, layer=3, addresses=["mlp_in.3"], extent=Extent())
    assert "changed since" in job_wait(job).error
    assert not Matrix.objects.filter(layer=3).exists()
