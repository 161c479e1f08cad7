from __future__ import annotations

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
