"""Whole layers, against products that are materialised in float64 from the saved model's own tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from workers.weights.checkpoint import Checkpoint, open_checkpoint
from workers.weights.engine import BASES, choose_device, decompose_layer, decompose_matrix
from workers.weights.errors import BadSelection
from workers.weights.results import MatrixResult
from workers.weights.spectrum import relative_gaps

ALL = ("ov", "mlp_in", "mlp_out")
WIDTH, HEADS = 24, 3


@pytest.fixture(scope="module")
def checkpoint(gpt2_folder: Path) -> Checkpoint:
    return open_checkpoint(str(gpt2_folder))


def materialised(folder: Path, layer: int, circuit: str, head: int | None) -> np.ndarray:
    """The matrix in float64, read by other code than the adapter's: axis 0 reads, axis 1 writes."""
    tensors = {name: tensor.astype(np.float64) for name, tensor in load_file(folder / "model.safetensors").items()}
    block = f"transformer.h.{layer}."
    if circuit == "mlp_in":
        return np.diag(tensors[block + "ln_2.weight"]) @ tensors[block + "mlp.c_fc.weight"]
    if circuit == "mlp_out":
        return tensors[block + "mlp.c_proj.weight"]
    assert head is not None
    own = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
    value = np.split(tensors[block + "attn.c_attn.weight"], 3, axis=1)[2][:, own]
    return np.diag(tensors[block + "ln_1.weight"]) @ value @ tensors[block + "attn.c_proj.weight"][own]


@pytest.mark.parametrize("layer", [0, 1])
def test_singular_values_and_vectors(checkpoint: Checkpoint, gpt2_folder: Path, layer: int) -> None:
    results = decompose_layer(checkpoint, layer, circuits=ALL, directions=5, top=4)
    assert [(r.circuit, r.layer, r.head) for r in results] == [
        *(("ov", layer, head) for head in range(HEADS)),
        ("mlp_in", layer, None),
        ("mlp_out", layer, None),
    ]
    for result in results:
        left, values, right = np.linalg.svd(materialised(gpt2_folder, layer, result.circuit, result.head))
        rank = 8 if result.circuit == "ov" else WIDTH
        assert result.rank == rank
        np.testing.assert_allclose(result.singular_values, values[:rank], rtol=1e-8)
        expected = {"read": left.T, "write": right}
        names = {"ov": ["read", "write"], "mlp_in": ["read"], "mlp_out": ["write"]}[result.circuit]
        assert [side.side for side in result.sides] == names
        for side in result.sides:
            cosines = (side.vectors * expected[side.side][:5]).sum(1)
            np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-5)
            assert side.vectors.dtype == np.float32 and side.vectors.shape == (5, WIDTH)


def test_read_and_write_of_one_head_share_their_sign(checkpoint: Checkpoint, gpt2_folder: Path) -> None:
    for result in decompose_layer(checkpoint, 0, circuits=["ov"], top=3):
        read, write = result.side("read").vectors, result.side("write").vectors
        mapped = read @ materialised(gpt2_folder, 0, "ov", result.head)
        np.testing.assert_allclose(mapped, result.singular_values[:, None] * write, atol=1e-4)


def test_readouts_belong_to_the_stored_vectors(checkpoint: Checkpoint) -> None:
    unembedding = checkpoint.unembedding().numpy().astype(np.float64)
    for result in decompose_layer(checkpoint, 1, circuits=ALL, directions=6, top=7):
        for side in result.sides:
            scores = side.vectors.astype(np.float64) @ unembedding.T
            for end, sign in enumerate((1, -1)):
                best = np.argsort(-sign * scores, axis=1, kind="stable")[:, :7]
                np.testing.assert_array_equal(side.token_ids[:, end], best)
                expected = np.take_along_axis(sign * scores, best, 1)
                np.testing.assert_allclose(side.scores[:, end], expected, atol=1e-5)
            np.testing.assert_allclose(side.score_mean, scores.mean(1), atol=1e-5)
            np.testing.assert_allclose(side.score_std, scores.std(1), rtol=1e-4)


def test_gaps_and_blocks_are_those_of_the_whole_spectrum(checkpoint: Checkpoint) -> None:
    """The last direction that is asked for forms a block with the next one, which is not."""
    values = decompose_layer(checkpoint, 0, circuits=["mlp_in"], top=3)[0].singular_values
    above, below = relative_gaps(values)
    k = int(np.nanargmin(below)) + 1
    (result,) = decompose_layer(
        checkpoint, 0, circuits=["mlp_in"], directions=k, top=3, block_threshold=float(below[k - 1])
    )
    np.testing.assert_array_equal(result.gap_above, above[:k])
    np.testing.assert_array_equal(result.gap_below, below[:k])
    assert result.block.tolist() == [-1] * (k - 1) + [0]


def test_directions_none_takes_all_and_too_many_take_what_there_is(checkpoint: Checkpoint) -> None:
    for directions in (None, 1000):
        ov, mlp = decompose_layer(checkpoint, 0, circuits=["ov", "mlp_out"], heads=[1], directions=directions, top=2)
        assert len(ov.side("write").vectors) == 8 and len(mlp.side("write").vectors) == WIDTH
        gram = mlp.side("write").vectors @ mlp.side("write").vectors.T
        np.testing.assert_allclose(gram, np.eye(WIDTH), atol=1e-5)


def test_some_heads_are_the_same_as_among_all(checkpoint: Checkpoint) -> None:
    whole = decompose_layer(checkpoint, 1, circuits=["ov"], top=5)
    some = decompose_layer(checkpoint, 1, circuits=["ov"], heads=[2, 0], top=5)
    assert [result.head for result in some] == [0, 2]
    for ours, theirs in zip(some, (whole[0], whole[2]), strict=True):
        assert_same(ours, theirs)


def test_the_same_twice_and_with_the_unembedding_passed(gpt2_folder: Path) -> None:
    first = decompose_layer(open_checkpoint(str(gpt2_folder)), 0, circuits=ALL, top=5)
    again = open_checkpoint(str(gpt2_folder))
    second = decompose_layer(again, 0, circuits=ALL, top=5, unembedding=again.unembedding())
    for ours, theirs in zip(first, second, strict=True):
        assert_same(ours, theirs)


def assert_same(ours: MatrixResult, theirs: MatrixResult) -> None:
    np.testing.assert_array_equal(ours.singular_values, theirs.singular_values)
    for side, other in zip(ours.sides, theirs.sides, strict=True):
        np.testing.assert_array_equal(side.vectors, other.vectors)
        np.testing.assert_array_equal(side.token_ids, other.token_ids)
        np.testing.assert_allclose(side.scores, other.scores, rtol=1e-6)


def test_results_are_handed_out_as_they_are_made(checkpoint: Checkpoint) -> None:
    seen: list[MatrixResult] = []
    results = decompose_layer(checkpoint, 0, circuits=ALL, top=3, on_matrix=seen.append)
    assert all(one is other for one, other in zip(seen, results, strict=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"layer": 2},
        {"layer": -1},
        {"circuits": ["mlp_gate"]},
        {"circuits": ["embed"]},
        {"layer": None},
        {"basis": "fourier"},
        {"control": "pink"},
        {"preprocessing": "cooked"},
        {"basis": "rotated", "basis_seed": -1},
        {"device": "abacus"},
        {"device": "cuda:99"},
        {"device": "meta"},
        {"circuits": []},
        {"heads": [3]},
        {"heads": []},
        {"directions": 0},
        {"top": 0},
        {"top": 61},
    ],
    ids=str,
)
def test_what_the_model_does_not_have_gets_a_sentence(checkpoint: Checkpoint, wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"layer": 0, "circuits": ["ov"], "top": 3} | wrong
    layer = arguments.pop("layer")
    with pytest.raises(BadSelection, match=r"^[A-Z0-9].*\.$"):
        decompose_layer(checkpoint, layer, **arguments)  # type: ignore[arg-type]


def test_the_demo_model_end_to_end(demo_folder: Path) -> None:
    """Real weights: ends that anybody would name stand among the first."""
    checkpoint = open_checkpoint(str(demo_folder))
    words = checkpoint.vocabulary()
    found = decompose_layer(checkpoint, 3, circuits=["ov"], directions=32, top=10)
    ends = [
        {words[token] for token in end} for head in found for vector in head.side("write").token_ids for end in vector
    ]
    for kind in (
        {" knife", " chisel", " razor", " shears", " sickle", " hatchet", " scissors", " scythe"},
        {" monday", " sunday", " friday", " saturday", " january", " february", " easter"},
        {" planet", " orbit", " star", " stars", " moon", " planets", " astronomy"},
    ):
        assert max(len(end & kind) for end in ends) >= 5
    assert max(head.rank for head in found) == checkpoint.info.d_head


def test_every_circuit_of_a_layer_and_those_of_none(checkpoint: Checkpoint) -> None:
    layer = decompose_layer(checkpoint, 0, circuits=["mlp_out", "qk", "ov", "mlp_in"], directions=3, top=2)
    places = [(result.circuit, result.layer, result.head) for result in layer]
    assert places == [
        *((c, 0, h) for c in ("ov", "qk") for h in range(HEADS)),
        ("mlp_in", 0, None),
        ("mlp_out", 0, None),
    ]
    assert [side.side for side in layer[3].sides] == ["query", "key"]
    none = decompose_layer(checkpoint, None, circuits=["unembed", "embed"], directions=3, top=2)
    assert [(result.circuit, result.layer, result.head) for result in none] == [
        ("embed", None, None),
        ("unembed", None, None),
    ]


@pytest.mark.parametrize("circuit", ["embed", "unembed"])
def test_the_embeddings_singular_vectors(checkpoint: Checkpoint, circuit: str) -> None:
    result = decompose_matrix(checkpoint, circuit, directions=None, top=4)
    table = checkpoint.unembedding().numpy().astype(np.float64)  # this model's are tied
    _, values, right = np.linalg.svd(table, full_matrices=False)
    np.testing.assert_allclose(result.singular_values, values, rtol=1e-8)
    cosines = (result.sides[0].vectors * right).sum(1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-5)
    assert result.layer is None and result.head is None and result.rank == WIDTH


def test_one_matrix_is_the_one_of_its_layer(checkpoint: Checkpoint) -> None:
    layer = decompose_layer(checkpoint, 1, circuits=["ov", "mlp_in"], top=5)
    assert_same(decompose_matrix(checkpoint, "ov", 1, 2, top=5), layer[2])
    assert_same(decompose_matrix(checkpoint, "mlp_in", 1, top=5), layer[3])
    for circuit, head in (("ov", None), ("mlp_in", 0), ("embed", 0)):
        with pytest.raises(BadSelection, match=r"head.*\.$"):
            decompose_matrix(checkpoint, circuit, 1, head, top=5)


def test_folded_weights_are_read_out_with_the_folded_unembedding(checkpoint: Checkpoint) -> None:
    (result,) = decompose_layer(checkpoint, 0, circuits=["mlp_out"], directions=4, top=6, preprocessing="folded")
    assert result.preprocessing == "folded"
    table = checkpoint.unembedding(preprocessing="folded").numpy().astype(np.float64)
    scores = result.side("write").vectors @ table.T
    np.testing.assert_array_equal(result.side("write").token_ids[:, 0], np.argsort(-scores, axis=1)[:, :6])
    assert result.rank == WIDTH - 1  # a centred matrix
    np.testing.assert_allclose(result.side("write").vectors.sum(1), 0, atol=1e-5)


def test_results_say_how_they_were_made(checkpoint: Checkpoint) -> None:
    (result,) = decompose_layer(
        checkpoint, 0, circuits=["mlp_in"], directions=4, top=2,
        preprocessing="folded", basis="neuron", basis_seed=3, control="shuffled", control_seed=8,
    )  # fmt: skip
    made = (result.preprocessing, result.basis, result.basis_seed, result.control, result.control_seed)
    assert made == ("folded", "neuron", 3, "shuffled", 8)


def test_the_device_is_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert (choose_device(), choose_device("cpu")) == ("cpu", "cpu")
    with pytest.raises(BadSelection, match=r"no device 'cuda'.*choose auto or cpu\.$"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert (choose_device(), choose_device("cpu"), choose_device("cuda:0")) == ("cuda", "cpu", "cuda:0")
    with pytest.raises(BadSelection, match=r"no device 'cuda:1'"):
        choose_device("cuda:1")


def test_on_cuda_it_is_the_same(checkpoint: Checkpoint) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA")
    for basis in BASES:
        here, there = (
            decompose_layer(checkpoint, 0, circuits=[*ALL, "qk"], top=7, basis=basis, device=device)
            for device in ("cpu", "cuda")
        )
        for ours, theirs in zip(here, there, strict=True):
            np.testing.assert_allclose(ours.singular_values, theirs.singular_values, rtol=1e-9)
            for side, twin in zip(ours.sides, theirs.sides, strict=True):
                np.testing.assert_allclose(side.vectors, twin.vectors, atol=1e-6)
                np.testing.assert_array_equal(side.token_ids, twin.token_ids)
