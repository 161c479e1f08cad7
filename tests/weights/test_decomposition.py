"""The factored and the Gram decompositions against full float64 ones, and the sign rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.weights import decomposition
from workers.weights.decomposition import sign_of_pairs, svd_of_blocks, svd_of_product, svd_of_side


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_spectrum(values: list[float], rows: int, columns: int) -> torch.Tensor:
    """A matrix [rows, columns] with these singular values and random singular vectors."""
    left = torch.linalg.qr(gaussian(rows, len(values), seed=11))[0]
    right = torch.linalg.qr(gaussian(columns, len(values), seed=12))[0]
    return (left * torch.tensor(values, dtype=torch.float64)) @ right.T


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_factored_svd_equals_the_svd_of_the_product(inner: int, d_in: int, d_out: int, seed: int) -> None:
    a, b = gaussian(d_in, inner, seed=seed), gaussian(inner, d_out, seed=seed + 1)
    svd = svd_of_product(a, b)
    reference = np.linalg.svd((a @ b).numpy(), full_matrices=False)[1][: len(svd.values)]
    k = len(svd.values)
    assert k == min(inner, d_in, d_out)
    np.testing.assert_allclose(svd.values.numpy(), reference, atol=1e-10 * max(1.0, reference[0]))
    eye = torch.eye(k, dtype=torch.float64)
    torch.testing.assert_close(svd.left @ svd.left.T, eye, atol=1e-10, rtol=0)
    torch.testing.assert_close(svd.right @ svd.right.T, eye, atol=1e-10, rtol=0)
    torch.testing.assert_close((svd.left.T * svd.values) @ svd.right, a @ b, atol=1e-9, rtol=1e-9)


def test_a_batch_of_heads_is_each_head_alone_and_k_cuts_the_vectors_only() -> None:
    a, b = gaussian(3, 20, 6, seed=1), gaussian(3, 6, 20, seed=2)
    batch = svd_of_product(a, b, 4)
    assert batch.values.shape == (3, 6)
    assert batch.left.shape == batch.right.shape == (3, 4, 20)
    for head in range(3):
        left, values, right = np.linalg.svd((a[head] @ b[head]).numpy())
        np.testing.assert_allclose(batch.values[head].numpy(), values[:6], rtol=1e-10)
        for ours, theirs in ((batch.left[head], left.T), (batch.right[head], right)):
            assert np.abs(np.abs((ours.numpy() * theirs[:4]).sum(1)) - 1).max() < 1e-9


def test_left_and_right_belong_together() -> None:
    """A pair whose two vectors had been given signs of their own would not map one to the other."""
    a, b = gaussian(20, 6, seed=3), gaussian(6, 20, seed=4)
    svd = svd_of_product(a, b)
    torch.testing.assert_close(svd.left @ a @ b, svd.values[:, None] * svd.right, atol=1e-10, rtol=1e-10)


def test_equal_singular_values_are_compared_by_their_span() -> None:
    product = with_spectrum([5.0, 2.0, 2.0, 2.0, 0.5], 16, 12)
    left, values, right = torch.linalg.svd(product)
    svd = svd_of_product(left[:, :5] * values[:5], right[:5])
    np.testing.assert_allclose(svd.values.numpy(), [5, 2, 2, 2, 0.5], rtol=1e-12)
    ours = svd.left[1:4].T @ svd.left[1:4]
    torch.testing.assert_close(ours, left[:, 1:4] @ left[:, 1:4].T, atol=1e-10, rtol=0)


def test_products_without_full_rank_still_give_orthonormal_vectors() -> None:
    a = gaussian(20, 6, seed=5)
    a[:, 3:] = 0
    svd = svd_of_product(a, gaussian(6, 18, seed=6))
    torch.testing.assert_close(svd.left @ svd.left.T, torch.eye(6, dtype=torch.float64), atol=1e-10, rtol=0)
    assert float(svd.values[3:].max()) < 1e-12


@pytest.mark.parametrize("shape", [(20, 70), (20, 20), (20, 9)])
def test_the_gram_route_equals_a_float64_svd(shape: tuple[int, int]) -> None:
    matrix = gaussian(*shape, seed=7)
    values, vectors = svd_of_side(matrix)
    left, reference, _ = np.linalg.svd(matrix.numpy(), full_matrices=False)
    np.testing.assert_allclose(values.numpy(), reference, rtol=1e-10)
    assert np.abs(np.abs((vectors.numpy() * left.T).sum(1)) - 1).max() < 1e-8
    assert svd_of_side(matrix, 5)[1].shape == (5, shape[0])


def test_a_steep_spectrum_keeps_its_vectors() -> None:
    """What a float32 Gram matrix loses: singular values down to 1e-4 of the largest."""
    matrix = with_spectrum([10.0 ** (-4 * n / 15) for n in range(16)], 16, 64)
    values, vectors = svd_of_side(matrix)
    left, reference, _ = np.linalg.svd(matrix.numpy(), full_matrices=False)
    np.testing.assert_allclose(values.numpy(), reference, rtol=1e-7)
    assert np.abs(np.abs((vectors.numpy() * left.T).sum(1)) - 1).max() < 1e-7


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=4, max_size=12).filter(any), st.randoms(use_true_random=False))
def test_the_sign_rule_is_odd(entries: list[int], random: object) -> None:
    """Whatever sign the routine returned, the rule gives the same vector; small integers make ties common."""
    vector = torch.tensor([entries], dtype=torch.float64)
    fixed = vector * sign_of_pairs(vector)[:, None]
    mirrored = -vector * sign_of_pairs(-vector)[:, None]
    assert torch.equal(fixed, mirrored)


def test_the_sign_rule_by_hand() -> None:
    pairs = torch.tensor([[0.1, 0.1, -0.9], [0.9, 0.1, 0.1], [0.6, -0.6, 0.1], [0.6, -0.6, 0.0], [-0.6, 0.6, 0.0]])
    # The long tail; the long tail; undecided by the largest entries but skewed; a tie: the first largest; the same.
    assert sign_of_pairs(pairs.double()).tolist() == [-1, 1, 1, 1, -1]


def test_the_sign_rule_looks_at_both_vectors_of_a_pair() -> None:
    left, right = torch.tensor([[0.5, 0.1]]).double(), torch.tensor([[-0.9, 0.1, 0.2]]).double()
    assert sign_of_pairs(left).item() == 1
    assert sign_of_pairs(left, right).item() == -1


def test_ties_survive_rounding() -> None:
    tie = torch.tensor([[0.3, -0.6, 0.6, -0.3]], dtype=torch.float64)
    noise = 1e-13 * gaussian(40, 4, seed=8)
    assert set(sign_of_pairs(tie + noise).tolist()) == {-1.0}


def test_what_comes_out_has_the_sign_of_the_rule() -> None:
    a, b = gaussian(3, 20, 6, seed=13), gaussian(3, 6, 18, seed=14)
    svd = svd_of_product(a, b)
    assert (sign_of_pairs(svd.left, svd.right) == 1).all()
    assert (sign_of_pairs(svd_of_side(gaussian(20, 30, seed=15))[1]) == 1).all()


def test_signs_do_not_hang_on_how_the_matrix_is_written() -> None:
    """Flipped or reordered hidden units are the same circuit, so the same signed directions."""
    a, b = gaussian(20, 6, seed=9), gaussian(6, 20, seed=10)
    flip = torch.tensor([1, -1, -1, 1, -1, 1], dtype=torch.float64)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    svd, other = svd_of_product(a, b), svd_of_product((a * flip)[:, order], (flip[:, None] * b)[order])
    torch.testing.assert_close(svd.left, other.left, atol=1e-9, rtol=0)
    torch.testing.assert_close(svd.right, other.right, atol=1e-9, rtol=0)
    side, mirrored = svd_of_side(a)[1], svd_of_side((a * flip)[:, order])[1]
    torch.testing.assert_close(side, mirrored, atol=1e-9, rtol=0)


def test_ill_conditioned_factors_take_the_careful_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns over nine orders of magnitude, beside a head that is well conditioned."""
    a, b = gaussian(2, 40, 6, seed=20), gaussian(2, 6, 30, seed=21)
    a[1] *= 10.0 ** -torch.arange(0, 9, 1.5, dtype=torch.float64)
    svd = svd_of_product(a, b)
    for head in range(2):
        reference = np.linalg.svd((a[head] @ b[head]).numpy())[1][:6]
        np.testing.assert_allclose(svd.values[head].numpy(), reference, rtol=1e-6)
        for vectors in (svd.left[head], svd.right[head]):
            torch.testing.assert_close(vectors @ vectors.T, torch.eye(6).double(), atol=1e-11, rtol=0)
    # The two ways agree where both are good.
    monkeypatch.setattr(decomposition, "CONDITION", 0.0)
    careful = svd_of_product(a[0], b[0])
    torch.testing.assert_close(careful.left, svd.left[0], atol=1e-11, rtol=0)
    torch.testing.assert_close(careful.values, svd.values[0], atol=0, rtol=1e-12)


@pytest.mark.parametrize("condition", [1e1, 1e2, 4e2])
def test_the_fast_way_loses_nothing_that_counts(condition: float) -> None:
    """At the worst condition that it is taken for."""
    values = np.geomspace(1, 1 / condition, 8).tolist()
    a, b = with_spectrum(values, 50, 8), with_spectrum(values, 8, 50)
    svd = svd_of_product(a, b)
    torch.testing.assert_close(svd.left @ svd.left.T, torch.eye(8).double(), atol=1e-9, rtol=0)
    reference = torch.linalg.svd(a @ b)
    torch.testing.assert_close(svd.values, reference.S[:8], atol=0, rtol=1e-9)
    torch.testing.assert_close((svd.left.T * svd.values) @ svd.right, a @ b, atol=1e-12, rtol=0)


@pytest.mark.parametrize("k", [1, 7, 15])
def test_a_few_vectors_are_the_first_of_all(k: int) -> None:
    matrix = gaussian(64, 100, seed=22)
    values, vectors = svd_of_side(matrix, k)
    all_values, all_vectors = svd_of_side(matrix)
    assert k < 64 // decomposition.FEW
    assert values.shape == (64,) and vectors.shape == (k, 64)
    torch.testing.assert_close(values, all_values, rtol=1e-12, atol=0)
    torch.testing.assert_close(vectors, all_vectors[:k], atol=1e-10, rtol=0)


def test_a_few_vectors_of_a_cluster_are_orthonormal() -> None:
    matrix = with_spectrum([3.0] * 6 + [1.0] * 14, 80, 60)
    values, vectors = svd_of_side(matrix, 12)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(12).double(), atol=1e-10, rtol=0)
    np.testing.assert_allclose(values[:21].numpy(), [3.0] * 6 + [1.0] * 14 + [0], atol=1e-6)
    residual = vectors @ (matrix @ matrix.T) - values[:12, None] ** 2 * vectors
    assert float(residual.abs().max()) < 1e-10


def test_where_the_iteration_fails_divide_and_conquer_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise np.linalg.LinAlgError("no convergence")

    matrix = gaussian(64, 100, seed=23)
    expected = svd_of_side(matrix, 5)[1]
    monkeypatch.setattr(decomposition, "_eigen_few", fails)
    torch.testing.assert_close(svd_of_side(matrix, 5)[1], expected, atol=1e-10, rtol=0)


def test_a_wide_matrix_in_blocks() -> None:
    matrix = gaussian(20, 70, seed=24)
    values, vectors = svd_of_blocks(iter(matrix.split(16, dim=1)), 70, 4)
    expected_values, expected = svd_of_side(matrix, 4)
    torch.testing.assert_close(values, expected_values)
    torch.testing.assert_close(vectors, expected, atol=1e-10, rtol=0)
