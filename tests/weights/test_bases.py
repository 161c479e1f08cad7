"""The other bases: what they span, what they maximise, and that a seed gives them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition._factor_analysis import _ortho_rotation

from workers.weights.bases import cut, varimax_criterion, varimax_rotation
from workers.weights.checkpoint import Checkpoint, open_checkpoint
from workers.weights.circuits import Factors
from workers.weights.engine import decompose_layer, decompose_matrix
from workers.weights.errors import BadSelection
from workers.weights.results import MatrixResult
from workers.weights.streams import Stream


@pytest.fixture(scope="module")
def checkpoint(gpt2_folder: Path) -> Checkpoint:
    return open_checkpoint(str(gpt2_folder))


def in_basis(checkpoint: Checkpoint, basis: str, seed: int = 0, **options: object) -> MatrixResult:
    """``ov.0.1``, of which there are eight vectors, in some basis."""
    return decompose_matrix(checkpoint, "ov", 0, 1, basis=basis, basis_seed=seed, top=3, **options)


def product(result: MatrixResult, checkpoint: Checkpoint) -> np.ndarray:
    from workers.weights.circuits import factors

    found = factors(checkpoint, result.circuit, result.layer, heads=[result.head])
    return (found.left[0] @ found.right[0]).numpy()


@pytest.mark.parametrize("basis", ["rotated", "varimax"])
@pytest.mark.parametrize("n", [5, None])
def test_the_same_span_orthonormal_and_turned_alike_on_both_sides(
    checkpoint: Checkpoint, basis: str, n: int | None
) -> None:
    plain, turned = (in_basis(checkpoint, name, directions=n) for name in ("svd", basis))
    for side in ("read", "write"):
        ours, theirs = (result.side(side).vectors.astype(np.float64) for result in (turned, plain))
        np.testing.assert_allclose(ours @ ours.T, np.eye(n or 8), atol=1e-6)
        np.testing.assert_allclose(ours.T @ ours, theirs.T @ theirs, atol=1e-6)
    rotations = [turned.side(side).vectors @ plain.side(side).vectors.T for side in ("read", "write")]
    np.testing.assert_allclose(rotations[0], rotations[1], atol=1e-6)
    assert np.abs(rotations[0] - np.eye(n or 8)).max() > 0.1


@pytest.mark.parametrize("basis", ["rotated", "varimax"])
def test_the_value_of_a_turned_vector_is_what_the_matrix_makes_of_its_length(
    checkpoint: Checkpoint, basis: str
) -> None:
    result = in_basis(checkpoint, basis, directions=5)
    matrix = product(result, checkpoint)
    forth = np.linalg.norm(result.side("read").vectors @ matrix, axis=1)
    back = np.linalg.norm(result.side("write").vectors @ matrix.T, axis=1)
    np.testing.assert_allclose(result.singular_values, forth, rtol=1e-5)
    np.testing.assert_allclose(result.singular_values, back, rtol=1e-5)
    assert (np.diff(result.singular_values) <= 0).all()
    assert result.rank == 8 and (result.block == -1).all()
    assert np.isnan(result.gap_above).all() and np.isnan(result.gap_below).all()


@pytest.mark.parametrize("basis", ["rotated", "neuron"])
def test_a_seed_gives_the_same_again_and_another_gives_another(checkpoint: Checkpoint, basis: str) -> None:
    first, again, other = (in_basis(checkpoint, basis, seed, directions=4) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.side("read").vectors, again.side("read").vectors)
    assert (first.basis_seed, other.basis_seed) == (1, 2)
    assert not np.array_equal(first.side("read").vectors, other.side("read").vectors)


def test_every_head_and_layer_has_a_rotation_of_its_own(checkpoint: Checkpoint) -> None:
    rotations = [
        turned.side("read").vectors @ plain.side("read").vectors.T
        for layer in (0, 1)
        for plain, turned in zip(
            decompose_layer(checkpoint, layer, circuits=["ov"], top=1),
            decompose_layer(checkpoint, layer, circuits=["ov"], top=1, basis="rotated"),
            strict=True,
        )
    ]
    for number, one in enumerate(rotations):
        assert all(np.abs(np.abs(one) - np.abs(other)).max() > 0.1 for other in rotations[:number])


# Varimax


def simple_structure(d: int, k: int, seed: int = 0) -> np.ndarray:
    """Orthonormal columns with few large entries each."""
    random = np.random.default_rng(seed)
    loadings = random.normal(size=(d, k)) * 0.01
    for column in range(k):
        loadings[column * (d // k) : (column + 1) * (d // k), column] += random.normal(size=d // k)
    return np.linalg.qr(loadings)[0]


@pytest.mark.parametrize("seed", range(5))
def test_varimax_is_scikit_learns(seed: int) -> None:
    loadings = np.linalg.qr(np.random.default_rng(seed).normal(size=(40, 4)))[0]
    theirs = _ortho_rotation(loadings, method="varimax", tol=1e-13, max_iter=5000)
    ours = loadings @ varimax_rotation(loadings).T
    assert varimax_criterion(ours) == pytest.approx(varimax_criterion(theirs.T), rel=1e-9)
    np.testing.assert_allclose(ours, theirs.T, atol=1e-4)


def test_varimax_finds_the_structure_that_a_rotation_hid() -> None:
    simple = simple_structure(60, 5)
    hidden = simple @ Stream("any").rotation(5)
    rotation = varimax_rotation(hidden)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(5), atol=1e-12)
    cosines = np.abs((hidden @ rotation.T).T @ simple)
    np.testing.assert_allclose(np.sort(cosines.max(1)), 1, atol=0.02)
    assert sorted(cosines.argmax(1)) == list(range(5))


def test_no_turn_of_two_columns_makes_the_criterion_larger() -> None:
    """A maximum: every plane rotation makes it smaller, whatever the routine that found it."""
    loadings = np.linalg.qr(np.random.default_rng(3).normal(size=(30, 4)))[0]
    best = loadings @ varimax_rotation(loadings).T
    for one in range(4):
        for other in range(one):
            for angle in np.linspace(-0.05, 0.05, 11):
                turn = np.eye(4)
                turn[[one, other], [one, other]] = np.cos(angle)
                turn[one, other], turn[other, one] = np.sin(angle), -np.sin(angle)
                assert varimax_criterion(best @ turn) <= varimax_criterion(best) + 1e-12


def test_varimax_raises_the_criterion_of_both_sides_together(checkpoint: Checkpoint) -> None:
    plain, turned = (in_basis(checkpoint, basis) for basis in ("svd", "varimax"))
    both = [np.concatenate([side.vectors.T for side in result.sides]) for result in (plain, turned)]
    assert varimax_criterion(both[1]) > varimax_criterion(both[0])


# Neurons


def units_of(checkpoint: Checkpoint) -> np.ndarray:
    from workers.weights.circuits import factors

    return factors(checkpoint, "mlp_in", 1).left[0].numpy()


def test_all_neurons_as_they_stand_the_largest_first(checkpoint: Checkpoint) -> None:
    result = decompose_matrix(checkpoint, "mlp_in", 1, basis="neuron", directions=None, top=3)
    weights = units_of(checkpoint)
    assert result.neurons is not None and sorted(result.neurons) == list(range(40))
    own = weights[:, result.neurons].T
    np.testing.assert_allclose(result.singular_values, np.linalg.norm(own, axis=1), rtol=1e-12)
    assert (np.diff(result.singular_values) <= 0).all()
    expected = own / np.linalg.norm(own, axis=1, keepdims=True)
    np.testing.assert_allclose(result.side("read").vectors, expected, atol=1e-6)


def test_a_sample_of_neurons_is_within_a_larger_one(checkpoint: Checkpoint) -> None:
    few, more = (
        decompose_matrix(checkpoint, "mlp_in", 1, basis="neuron", basis_seed=4, directions=n, top=3) for n in (6, 20)
    )
    assert few.neurons is not None and more.neurons is not None
    assert len(few.neurons) == 6 and set(few.neurons) < set(more.neurons)
    assert set(few.neurons) != set(np.argsort(-np.linalg.norm(units_of(checkpoint), axis=0))[:6])


def test_the_units_of_a_head_are_the_terms_of_its_product(checkpoint: Checkpoint) -> None:
    result = in_basis(checkpoint, "neuron", directions=None)
    read, write = result.side("read").vectors, result.side("write").vectors
    np.testing.assert_allclose((read.T * result.singular_values) @ write, product(result, checkpoint), atol=1e-5)


def test_neurons_of_equal_size_come_by_number_and_dead_ones_last() -> None:
    matrix = torch.zeros(1, 3, 5, dtype=torch.float64)
    for unit, size in ((0, 1.0), (1, 2.0), (3, 2.0)):
        matrix[0, unit % 3, unit] = size
    dead = cut(Factors("mlp_in", 0, [None], matrix, None, ("read",)), "neuron", None, [Stream()])
    assert dead.neurons is not None and dead.neurons[0].tolist() == [1, 3, 0, 2, 4]
    assert dead.values[0].tolist() == [2, 2, 1, 0, 0] and dead.ranks == [3]
    assert torch.equal(dead.sides[0][0, 3:], torch.zeros(2, 3, dtype=torch.float64))


def test_tokens_are_the_units_of_the_embeddings(checkpoint: Checkpoint) -> None:
    result = decompose_matrix(checkpoint, "unembed", basis="neuron", directions=None, top=3)
    rows = checkpoint.unembedding().numpy()[result.neurons]
    np.testing.assert_allclose(
        result.side("read").vectors, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6
    )


def test_an_unknown_basis_gets_a_sentence(checkpoint: Checkpoint) -> None:
    with pytest.raises(BadSelection, match=r"no basis 'fourier'; choose among svd, neuron, rotated, varimax\.$"):
        in_basis(checkpoint, "fourier")
