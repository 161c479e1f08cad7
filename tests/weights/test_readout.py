from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.weights import readout
from workers.weights.readout import read_out


def by_brute_force(vectors: np.ndarray, unembedding: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and scores [n, 2, top]: a full sort by score, then by token id."""
    scores = vectors @ unembedding.T
    tokens = np.arange(len(unembedding))
    ids = [[np.lexsort((tokens, -sign * row))[:top] for sign in (1, -1)] for row in scores]
    picked = [
        [sign * row[best] for sign, best in zip((1, -1), ends, strict=True)]
        for row, ends in zip(scores, ids, strict=True)
    ]
    return np.array(ids), np.array(picked)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_ties_are_broken_by_token_id(data: st.DataObject) -> None:
    """Small integers: exact in float32, and full of ties, inside the readout and at its edge."""
    n, d, vocabulary = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40))
    top = data.draw(st.integers(1, vocabulary))
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    vectors = random.integers(-2, 3, size=(n, d)).astype(np.float32)
    unembedding = random.integers(-2, 3, size=(vocabulary, d)).astype(np.float32)
    ours = read_out(torch.from_numpy(vectors), torch.from_numpy(unembedding), top)
    ids, scores = by_brute_force(vectors, unembedding, top)
    np.testing.assert_array_equal(ours.token_ids, ids)
    np.testing.assert_array_equal(ours.scores, scores)
    assert ours.token_ids.dtype == np.int32 and ours.scores.dtype == np.float32


def test_scores_mean_and_deviation_over_the_vocabulary() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(7, 16)).astype(np.float32)
    unembedding = (random.normal(size=(500, 16)) + 3).astype(np.float32)
    ours = read_out(torch.from_numpy(vectors), torch.from_numpy(unembedding), 9)
    scores = vectors.astype(np.float64) @ unembedding.astype(np.float64).T
    np.testing.assert_allclose(ours.score_mean, scores.mean(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.score_std, scores.std(1), rtol=1e-4)
    ids, expected = by_brute_force(vectors.astype(np.float64), unembedding.astype(np.float64), 9)
    np.testing.assert_array_equal(ours.token_ids, ids)
    np.testing.assert_allclose(ours.scores, expected, rtol=1e-5, atol=1e-5)
    assert (np.diff(ours.scores, axis=2) <= 0).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    vectors = torch.from_numpy(random.integers(-3, 4, size=(50, 5)).astype(np.float32))
    unembedding = torch.from_numpy(random.integers(-3, 4, size=(300, 5)).astype(np.float32))
    whole = read_out(vectors, unembedding, 12)
    monkeypatch.setattr(readout, "BLOCK_BYTES", 1)
    parts = read_out(vectors, unembedding, 12)
    for name in ("token_ids", "scores", "score_mean", "score_std"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def in_exact_order(vectors: np.ndarray, unembedding: np.ndarray, top: int) -> np.ndarray:
    """Ids [n, 2, top] by the exact score rounded to float32, then by id: sums by Python, for a few tokens."""
    scores = np.array(
        [[math.fsum(row * token) for token in unembedding.astype(float)] for row in vectors.astype(float)]
    )
    rounded, tokens = scores.astype(np.float32), np.arange(len(unembedding))
    return np.array([[np.lexsort((tokens, -sign * row))[:top] for sign in (1, -1)] for row in rounded])


def crowded(d: int, vocabulary: int, seed: int) -> np.ndarray:
    """Tokens of which many are equal, and many differ in a last digit only."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(vocabulary // 10, d)).astype(np.float32)
    tokens = rows[random.integers(0, len(rows), vocabulary)]
    return np.where(random.random(tokens.shape) < 0.02, np.nextafter(tokens, np.float32(9)), tokens)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("top", [5, 40])
def test_the_order_is_that_of_exact_scores_where_float32_cannot_tell(seed: int, top: int) -> None:
    unembedding = crowded(48, 300, seed)
    vectors = np.random.default_rng(seed + 100).normal(size=(6, 48)).astype(np.float32)
    ours = read_out(torch.from_numpy(vectors), torch.from_numpy(unembedding), top)
    np.testing.assert_array_equal(ours.token_ids, in_exact_order(vectors, unembedding, top))
    assert (np.diff(ours.scores, axis=2) <= 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_product_with_other_rounding_gives_the_same_readout(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another machine would make it: every score is off by up to what float32 sums are off."""
    unembedding, random = crowded(64, 3000, seed), np.random.default_rng(seed)
    vectors = random.normal(size=(20, 64)).astype(np.float32)
    whole = read_out(torch.from_numpy(vectors), torch.from_numpy(unembedding), 12)

    class Elsewhere(torch.Tensor):
        def __matmul__(self, other: torch.Tensor) -> torch.Tensor:
            scores = torch.Tensor(self) @ other
            size = self.norm(dim=1, keepdim=True) * other.norm(dim=0).max()
            noise = torch.from_numpy(random.uniform(-1, 1, scores.shape)).float()
            return (scores + noise * size * 8 * 2.0**-24).as_subclass(torch.Tensor)

    noisy = torch.from_numpy(vectors).as_subclass(Elsewhere)
    there = read_out(noisy, torch.from_numpy(unembedding), 12)
    np.testing.assert_array_equal(there.token_ids, whole.token_ids)


@pytest.mark.parametrize("parallel", [False, True])
def test_float32_products_stay_within_the_error_that_is_allowed_for(parallel: bool) -> None:
    random = torch.Generator().manual_seed(0)
    unembedding = torch.randn(3000, 1024, generator=random)
    vectors = torch.randn(50, 1024, generator=random)
    if parallel:  # the worst case: all terms of a score have one sign
        unembedding, vectors = unembedding.abs(), vectors.abs()
    error = (vectors @ unembedding.T - vectors.double() @ unembedding.double().T).abs()
    unit = math.sqrt(1024) * 2.0**-24 * vectors.norm(dim=1)[:, None] * unembedding.norm(dim=1)
    assert float((error / unit).max()) < readout.ERROR / 3


def test_thousands_of_equal_tokens_at_the_edge() -> None:
    unembedding = torch.zeros(6000, 4)
    unembedding[5000] = torch.tensor([2.0, 0, 0, 0])
    ours = read_out(torch.eye(4)[:2], unembedding, 5)
    assert ours.token_ids[0].tolist() == [[5000, 0, 1, 2, 3], [0, 1, 2, 3, 4]]
    assert ours.token_ids[1].tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("top", [1, 3, 12])
def test_groups_find_what_a_full_sort_finds(top: int) -> None:
    """Enough tokens for them to be looked for in groups, with ties across the groups; 9,973 has no divisor."""
    random = np.random.default_rng(5)
    vectors = random.integers(-9, 10, size=(30, 6)).astype(np.float32)
    unembedding = random.integers(-9, 10, size=(9973, 6)).astype(np.float32)
    assert len(unembedding) >= 2 * readout.GROUPS_PER_CANDIDATE * (top + readout.SLACK)
    ours = read_out(torch.from_numpy(vectors), torch.from_numpy(unembedding), top)
    ids, scores = by_brute_force(vectors, unembedding, top)
    np.testing.assert_array_equal(ours.token_ids, ids)
    np.testing.assert_array_equal(ours.scores, scores)


def test_what_is_kept_of_an_unembedding_is_forgotten_when_it_changes() -> None:
    unembedding, vectors = torch.ones(30, 3), torch.eye(3)
    read_out(vectors, unembedding, 2)
    unembedding.mul_(5)
    np.testing.assert_allclose(read_out(vectors, unembedding, 2).score_mean, 5)


def test_a_notebooks_lower_precision_does_not_reach_the_scores() -> None:
    vectors, unembedding = torch.randn(20, 64), torch.randn(200, 64)
    whole = read_out(vectors, unembedding, 9)
    torch.set_float32_matmul_precision("medium")
    try:
        lower = read_out(vectors, unembedding, 9)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    np.testing.assert_array_equal(whole.token_ids, lower.token_ids)
    np.testing.assert_allclose(whole.scores, lower.scores, rtol=1e-5)
