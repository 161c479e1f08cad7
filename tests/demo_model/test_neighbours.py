"""What tokens have in common, and texts in the order of their neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition._factor_analysis import _ortho_rotation

from fixtures.demo_model import neighbours, words
from tests.demo_model.test_training import ANIMALS, METALS, small_corpus


def test_words_that_stand_together_start_near_one_another() -> None:
    tokenizer = words.train_tokenizer(small_corpus().training, 340)
    ids = words.packed(tokenizer, small_corpus().training)
    rows = neighbours.neighbourhoods(ids, 340, 8)
    assert np.allclose((rows**2).mean(1), 1, atol=1e-5)

    known = rows[[tokenizer.token_to_id(words.SPACE + word) for word in (*ANIMALS, *METALS)]]
    centred = known - known.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = centred @ centred.T
    assert cosines[:10, :10].mean() > 0.4 and cosines[10:, 10:].mean() > 0.4 and cosines[:10, 10:].mean() < -0.4


def test_neighbours_are_counted_within_a_text_and_by_distance() -> None:
    ids = np.array([0, 1, 2, 3, 0, 1, 4], dtype=np.uint16)
    together = neighbours._together(ids, 5).toarray()
    expected = np.zeros((5, 5))
    for one, other, weight in ((1, 2, 1.0), (2, 3, 1.0), (1, 3, 0.5), (1, 4, 1.0)):
        expected[one, other] = expected[other, one] = weight
    assert np.allclose(together, expected)


@pytest.fixture
def topics() -> np.ndarray:
    """Rows that each lie on few of six axes."""
    random = np.random.default_rng(3)
    return (random.exponential(size=(400, 6)) * (random.random((400, 6)) < 0.2)).astype(np.float32)


def test_varimax_finds_the_axes_that_rows_lie_on(topics: np.ndarray) -> None:
    mixing, _ = np.linalg.qr(np.random.default_rng(4).standard_normal((6, 6)))
    found = neighbours.varimax((topics @ mixing).astype(np.float32))
    likeness = np.corrcoef(found.T, topics.T)[:6, 6:]
    assert sorted(likeness.argmax(1)) == list(range(6)) and likeness.max(1).min() > 0.98, "also the sign is theirs"
    assert np.allclose(found @ found.T, topics @ topics.T, atol=1e-3), "a rotation"


def test_varimax_is_scikit_learns(topics: np.ndarray) -> None:
    mixed = topics @ np.linalg.qr(np.random.default_rng(4).standard_normal((6, 6)))[0]
    found, theirs = neighbours.varimax(mixed.astype(np.float32)), _ortho_rotation(mixed, "varimax", tol=1e-9).T

    def criterion(rows: np.ndarray) -> float:
        return float((rows**2).var(0).sum())

    assert criterion(found) == pytest.approx(criterion(theirs), rel=1e-3) and criterion(found) > 1.2 * criterion(mixed)
