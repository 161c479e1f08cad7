"""What each control keeps, what it breaks, and that no two share their random numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from workers.weights.checkpoint import Checkpoint, open_checkpoint
from workers.weights.circuits import Factors
from workers.weights.controls import control_factors, covariance_root
from workers.weights.engine import decompose_layer
from workers.weights.errors import BadSelection
from workers.weights.results import CONTROLS
from workers.weights.streams import Stream

WIDTH, INNER, HEADS = 30, 12, 2


def heads(seed: int = 0) -> Factors:
    """Two heads whose coordinates differ much in size."""
    random = np.random.default_rng(seed)
    sizes = np.exp(random.normal(size=WIDTH))
    left = torch.from_numpy(random.normal(size=(HEADS, WIDTH, INNER)) * sizes[:, None])
    right = torch.from_numpy(random.normal(size=(HEADS, INNER, WIDTH)) * sizes)
    return Factors("ov", 3, [0, 1], left, right, ("read", "write"))


def mlp(rows: int, columns: int, seed: int = 0) -> Factors:
    matrix = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, rows, columns)))
    return Factors("mlp_in", 3, [None], matrix, None, ("read",))


def controlled(factors: Factors, control: str, seed: int = 0, *, weights: str = "ab") -> Factors:
    root = np.eye(factors.left.shape[1]) if control == "covariance" else None
    return control_factors(factors, control, seed, weights_hash=weights, covariance_root=root)


def both(factors: Factors) -> list[np.ndarray]:
    assert factors.right is not None
    return [factors.left.numpy(), factors.right.mT.numpy()]


def sorted_rows(array: np.ndarray) -> np.ndarray:
    return np.sort(array, axis=-1)


@pytest.mark.parametrize("control", CONTROLS)
def test_shapes_types_and_names_stay(control: str) -> None:
    real, noise = heads(), controlled(heads(), control)
    assert (noise.circuit, noise.layer, noise.heads, noise.sides) == ("ov", 3, [0, 1], ("read", "write"))
    for ours, theirs in zip(both(noise), both(real), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == np.float64
        assert np.abs(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]) < 0.9
    wide = Factors("embed", None, [None], torch.ones(1, 4, 9), None, ("write",))
    assert controlled(wide, control).left.dtype == torch.float32


def test_shuffled_keeps_the_entries_of_each_factor() -> None:
    for ours, theirs in zip(both(controlled(heads(), "shuffled")), both(heads()), strict=True):
        for head in range(HEADS):
            np.testing.assert_array_equal(sorted_rows(ours[head].ravel()), sorted_rows(theirs[head].ravel()))
            assert not np.array_equal(sorted_rows(ours[head]), sorted_rows(theirs[head]))


def test_column_shuffled_keeps_the_entries_of_each_residual_coordinate() -> None:
    for ours, theirs in zip(both(controlled(heads(), "column_shuffled")), both(heads()), strict=True):
        np.testing.assert_array_equal(sorted_rows(ours), sorted_rows(theirs))
        moved = (ours != theirs).mean()
        assert moved > 0.8


def test_column_shuffled_gives_every_coordinate_an_order_of_its_own() -> None:
    numbers = torch.arange(8.0, dtype=torch.float64).expand(1, 50, 8)
    orders = controlled(Factors("mlp_in", 0, [None], numbers, None, ("read",)), "column_shuffled").left[0]
    assert len({tuple(row) for row in orders.tolist()}) > 40


def test_gaussian_has_the_mean_square_of_each_factor_and_is_normal() -> None:
    real = mlp(200, 300)
    real = Factors("mlp_in", 3, [None], real.left * 7 + 2, None, ("read",))
    noise = controlled(real, "gaussian").left[0].numpy()
    size = np.sqrt((real.left.numpy() ** 2).mean())
    assert np.sqrt((noise**2).mean()) == pytest.approx(size, rel=0.02)
    assert abs(noise.mean()) < 4 * size / np.sqrt(noise.size)
    assert stats.kstest(noise.ravel() / size, "norm").pvalue > 0.001


@pytest.mark.parametrize("shape", [(20, 40), (40, 20)])
@pytest.mark.parametrize("rank", [20, 13, 0])
def test_gaussian_has_the_rank_of_the_factor(shape: tuple[int, int], rank: int) -> None:
    random = np.random.default_rng(1)
    left, right = random.normal(size=(shape[0], rank)), random.normal(size=(rank, shape[1]))
    real = torch.from_numpy(left @ right)[None] if rank else torch.zeros(1, *shape, dtype=torch.float64)
    noise = controlled(Factors("mlp_in", 3, [None], real, None, ("read",)), "gaussian").left[0].numpy()
    assert np.linalg.matrix_rank(noise) == rank
    assert (noise**2).mean() == pytest.approx((real.numpy() ** 2).mean(), rel=0.25, abs=1e-12)


def test_covariance_has_the_unembeddings_along_the_residual_axis() -> None:
    random = np.random.default_rng(2)
    unembedding = torch.from_numpy(random.normal(size=(500, 6)) @ random.normal(size=(6, 6)) + 5)
    root = covariance_root(unembedding)
    target = np.cov(unembedding.numpy().T, bias=True)
    np.testing.assert_allclose(root @ root, target, rtol=1e-9)
    np.testing.assert_allclose(root, root.T)
    real = Factors("ov", 0, [0], torch.ones(1, 6, 20000).double(), torch.ones(1, 20000, 6).double(), ("read", "write"))
    noise = control_factors(real, "covariance", 0, weights_hash="ab", covariance_root=root)
    for ours in both(noise):
        assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(np.ones((6, 20000))))
        found = np.cov(ours[0], bias=True)
        np.testing.assert_allclose(found / np.trace(found), target / np.trace(target), atol=0.02)


def test_no_two_share_their_noise() -> None:
    """Heads, layers, seeds, weights, circuits and the two factors: correlations of independent normal numbers."""
    real = mlp(40, 40)
    samples = [controlled(real, "gaussian", seed, weights=weights).left for seed in (0, 1) for weights in ("ab", "cd")]
    samples.append(controlled(Factors("mlp_in", 4, [None], real.left, None, ("read",)), "gaussian").left)
    samples.append(controlled(Factors("mlp_gate", 3, [None], real.left, None, ("read",)), "gaussian").left)
    square = real.left.expand(3, 40, 40)
    ov = controlled(Factors("ov", 3, [0, 1, 7], square, square, ("read", "write")), "gaussian")
    assert ov.right is not None
    rows = np.stack([sample.numpy().ravel() for sample in (*samples, *ov.left, *ov.right)])
    correlations = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(correlations).max() < 5 / np.sqrt(1600)


@pytest.mark.parametrize("control", ["gaussian", "shuffled", "column_shuffled"])
def test_a_head_alone_gets_the_noise_that_it_gets_among_others(control: str) -> None:
    whole, real = controlled(heads(), control), heads()
    assert real.right is not None and whole.right is not None
    alone = controlled(Factors("ov", 3, [1], real.left[1:], real.right[1:], ("read", "write")), control)
    assert alone.right is not None
    assert torch.equal(alone.left[0], whole.left[1]) and torch.equal(alone.right[0], whole.right[1])


def test_an_unknown_control_gets_a_sentence() -> None:
    with pytest.raises(BadSelection, match=r"no control 'pink'; choose among gaussian, .*\.$"):
        controlled(heads(), "pink")


# Streams: values worked out from PCG64's own bits


def test_streams_are_made_of_the_bits_that_numpy_promises_to_keep() -> None:
    import hashlib
    import json

    name = ("ab", "ov", 3, None)
    entropy = int(hashlib.sha256(json.dumps(name).encode()).hexdigest(), 16)
    bits = np.random.PCG64(entropy).random_raw(6)
    uniform = (bits >> np.uint64(11)) / 2.0**53
    radius, angle = np.sqrt(-2 * np.log(1 - uniform[:3])), 2 * np.pi * uniform[3:]
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()[:5]
    np.testing.assert_allclose(Stream(*name).normal(5), expected, rtol=1e-14)
    np.testing.assert_array_equal(Stream(*name).orders(1, 6)[0], np.argsort(bits))
    # SeedSequence and PCG64 themselves, as numpy 1.17 to 2.4 have them.
    assert int(np.random.PCG64(0).random_raw()) == 11749869230777074271


def test_streams_are_normal_uniform_orders_and_uniform_rotations() -> None:
    assert stats.kstest(Stream("n").normal(20000), "norm").pvalue > 0.001
    first = Stream("o").orders(6000, 3)
    counts = np.unique(first @ [9, 3, 1], return_counts=True)[1]
    assert len(counts) == 6 and stats.chisquare(counts).pvalue > 0.001
    rotation = Stream("r").rotation(50)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(50), atol=1e-12)
    traces = [np.trace(Stream("t", seed).rotation(3)) for seed in range(3000)]  # Haar: mean 0, variance 1
    assert abs(np.mean(traces)) < 0.08 and np.var(traces) == pytest.approx(1, abs=0.1)


# Through the engine


@pytest.fixture(scope="module")
def checkpoint(gpt2_folder: Path) -> Checkpoint:
    return open_checkpoint(str(gpt2_folder))


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_pass_through_the_same_pipeline(checkpoint: Checkpoint, control: str) -> None:
    circuits = ["ov", "qk", "mlp_in", "mlp_out"]
    real = decompose_layer(checkpoint, 0, circuits=circuits, top=4)
    noise = decompose_layer(checkpoint, 0, circuits=circuits, top=4, control=control, control_seed=2)
    again = decompose_layer(checkpoint, 0, circuits=["mlp_in"], top=4, control=control, control_seed=2)[0]
    for ours, theirs in zip(noise, real, strict=True):
        assert (ours.circuit, ours.head, ours.rank) == (theirs.circuit, theirs.head, theirs.rank)
        assert (ours.control, ours.control_seed, theirs.control) == (control, 2, "")
        assert np.linalg.norm(ours.singular_values) == pytest.approx(np.linalg.norm(theirs.singular_values), rel=0.7)
        assert not np.allclose(ours.singular_values, theirs.singular_values, rtol=1e-3)
    np.testing.assert_array_equal(again.side("read").vectors, noise[-2].side("read").vectors)
    (embed,) = decompose_layer(checkpoint, None, circuits=["embed"], top=4, control=control)
    assert embed.layer is None and embed.rank == 24


def test_the_readout_of_a_control_is_the_models_own(checkpoint: Checkpoint) -> None:
    (noise,) = decompose_layer(checkpoint, 0, circuits=["mlp_in"], top=1, control="shuffled", directions=3)
    scores = noise.side("read").vectors @ checkpoint.unembedding().numpy().T
    np.testing.assert_array_equal(noise.side("read").token_ids[:, 0, 0], scores.argmax(1))
