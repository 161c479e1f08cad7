"""`show` of a matrix, and the vectors behind a key in a file."""

import json
from io import StringIO

import numpy as np
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from safetensors.numpy import load_file, save

from labelapp.atlas.files import file_write
from labelapp.atlas.models import Direction
from tests.atlas.results import matrix_result

pytestmark = pytest.mark.django_db


def show(key, *arguments):
    out, err = StringIO(), StringIO()
    call_command("show", key, *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def vectors(matrix):
    """Files with the vectors of both sides, this matrix the second of three stacked heads."""
    places, arrays = {}, {}
    for side in matrix_result(n=8).sides:
        stacked = np.zeros((3, 9, 8), np.float32)
        stacked[1, :8] = side.vectors
        arrays[side.side] = side.vectors
        name = file_write(f"vectors/show-{side.side}.safetensors", save({"vectors": stacked}))
        places[side.side] = {"file": name, "row": 1}
    matrix.vectors = places
    matrix.save()
    return arrays


def test_a_matrix(matrix):
    text, _ = show("tiny/ov.0.0")
    first = Direction.objects.get(matrix=matrix, side="write", index=0, sign="-")
    assert text.startswith("tiny/ov.0.0  rank 8, 8 vectors stored\n")
    assert "blocks of near-equal singular values (relative gap at most 0.000977): 1 to 2" in text
    assert text.index("write side") < text.index("read side")
    assert f"0-     {first.singular_value:.2f}  ·{first.tokens[0].strip()} " in text
    assert text.count("\n") == 5 + 2 * 2 * 8 + 1 + 1


def test_a_matrix_as_json(matrix):
    record = json.loads(show("tiny/ov.0.0", "--json")[0])
    assert (record["key"], record["rank"], record["n_vectors"], record["top"]) == ("tiny/ov.0.0", 8, 8, 20)
    assert record["blocks"] == [[1, 2]] and record["sides"] == ["write", "read"]
    assert record["singular_values"] == sorted(record["singular_values"], reverse=True)
    assert [it["key"] for it in record["directions"][:2]] == ["tiny/ov.0.0/0+", "tiny/ov.0.0/0-"]
    assert record["directions"][-1]["key"] == "tiny/ov.0.0:read/7-" and len(record["directions"]) == 32
    assert len(record["directions"][0]["first_tokens"]) == 8


@pytest.mark.parametrize(("key", "turn"), [("tiny/ov.0.0/3+", 1), ("tiny/ov.0.0/3-", -1), ("tiny/ov.0.0:read/3-", -1)])
def test_the_vector_of_every_side_turned_to_the_keys_sign(vectors, tmp_path, key, turn):
    out, err = show(key, "--json", "--vectors", str(tmp_path / "out.npz"))
    assert json.loads(out)["key"] == key and "write [8], read [8]" in err
    with np.load(tmp_path / "out.npz") as arrays:
        assert set(arrays) == {"read", "write"}
        for side in arrays:
            assert arrays[side].dtype == np.float32
            assert np.array_equal(arrays[side], turn * vectors[side][3])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sign", "+-")
def test_what_is_read_is_written_by_the_models_own_weights(tmp_path, sign):
    """read · W_V · W_O = σ · write, for either end: row vectors, ln_1's gain on W_V's input."""
    folder = settings.BASE_DIR / "fixtures" / "demo_model"
    call_command(
        "decompose", str(folder), "--name", "demo", "--circuits", "ov", "--layers", "0", "--directions", "3",
        stdout=StringIO(),
    )  # fmt: skip
    out, _ = show(f"demo/ov.0.2/1{sign}", "--json", "--vectors", str(tmp_path / "out.npz"))
    weights = {name.removeprefix("transformer."): it for name, it in load_file(folder / "model.safetensors").items()}
    width, head = len(weights["h.0.ln_1.weight"]), slice(2 * 64, 3 * 64)
    w_v = weights["h.0.ln_1.weight"][:, None] * weights["h.0.attn.c_attn.weight"][:, 2 * width :][:, head]
    with np.load(tmp_path / "out.npz") as arrays:
        written = arrays["read"] @ w_v @ weights["h.0.attn.c_proj.weight"][head]
        assert np.allclose(written, json.loads(out)["singular_value"] * arrays["write"], atol=1e-4)


def test_all_vectors_of_a_matrix(vectors, tmp_path):
    show("tiny/ov.0.0", "--vectors", str(tmp_path / "all"))
    with np.load(tmp_path / "all") as arrays:  # the name as it was given
        assert {side: arrays[side].shape for side in arrays} == {"write": (8, 8), "read": (8, 8)}
        assert np.array_equal(arrays["read"], vectors["read"])


def test_a_file_is_replaced_whole_or_not_at_all(vectors, tmp_path, monkeypatch):
    target = tmp_path / "out.npz"
    target.write_text("older")
    show("tiny/ov.0.0/3+", "--vectors", str(target))
    before = target.read_bytes()

    def fails(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labelapp.atlas.records.np.savez", fails)
    with pytest.raises(CommandError, match=r"No space left on device\. Nothing was changed"):
        show("tiny/ov.0.0/3+", "--vectors", str(target))
    assert target.read_bytes() == before and [it.name for it in tmp_path.iterdir()] == ["out.npz"]


def test_where_it_cannot_be_written_there_is_a_sentence(vectors, tmp_path):
    for path in (tmp_path / "none" / "out.npz", tmp_path):
        with pytest.raises(CommandError, match=r"cannot be written: .*\. Nothing was changed"):
            show("tiny/ov.0.0/3+", "--vectors", str(path))
    assert list(tmp_path.iterdir()) == []


def test_readouts_without_vectors(matrix, tmp_path):
    for places in ({}, {side: {"file": "vectors/gone", "row": 0} for side in ("read", "write")}):
        matrix.vectors = places
        matrix.save()
        with pytest.raises(CommandError, match=r"vectors of tiny/ov\.0\.0 are not in the file storage"):
            show("tiny/ov.0.0/3+", "--vectors", str(tmp_path / "out.npz"))
    assert show("tiny/ov.0.0/3+")[0].startswith("tiny/ov.0.0/3+")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("tiny", "not a direction's key"),
        ("tiny/vo.0.0", "not a circuit"),
        ("tiny/ov.0", "needs head"),
        ("other/ov.0.0", "no model 'other'"),
    ],
)
def test_what_is_not_there(matrix, key, sentence):
    with pytest.raises(CommandError, match=sentence):
        show(key)
