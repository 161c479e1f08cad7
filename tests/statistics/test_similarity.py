"""Within-matrix similarity against its definition by pairs and against every permutation."""

from itertools import combinations

import numpy as np
import pytest

from labelapp.statistics.similarity import within_matrix


def by_pairs(vectors, matrices):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = {
        same: [unit[i] @ unit[j] for i, j in combinations(range(len(unit)), 2) if (matrices[i] == matrices[j]) is same]
        for same in (True, False)
    }
    return np.mean(cosines[True]), np.mean(cosines[False])


def test_means_over_pairs():
    rng = np.random.default_rng(0)
    vectors, matrices = rng.normal(size=(12, 5)), ["a"] * 3 + ["b"] * 5 + ["c"] * 4
    found = within_matrix(vectors, matrices)
    within, across = by_pairs(vectors, matrices)
    assert (found.within, found.across) == pytest.approx((within, across))
    assert found.difference == pytest.approx(within - across)
    assert (found.directions, found.matrices) == (12, 3)
    unit = vectors[:3] / np.linalg.norm(vectors[:3], axis=1, keepdims=True)
    assert found.by_matrix[0] == pytest.approx(np.mean([unit[i] @ unit[j] for i, j in combinations(range(3), 2)]))


def test_p_is_the_share_of_all_permutations():
    rng = np.random.default_rng(3)
    vectors, matrices = rng.normal(size=(7, 3)), list("aaabbbb")
    vectors[:3] += 0.8
    seen = np.subtract(*by_pairs(vectors, matrices))
    # Which three of seven make the first matrix is all that a permutation changes.
    dealt = [[*first, *(set(range(7)) - set(first))] for first in combinations(range(7), 3)]
    every = [np.subtract(*by_pairs(vectors[order], matrices)) for order in dealt]
    expected = np.mean([it >= seen - 1e-9 for it in every])
    assert within_matrix(vectors, matrices, draws=1999).p == pytest.approx(expected, abs=0.03)


def test_a_common_concept_is_found_and_noise_is_not():
    rng = np.random.default_rng(1)
    matrices = np.repeat(np.arange(20), 8)
    concept = rng.normal(size=(20, 16))[matrices]
    assert within_matrix(rng.normal(size=(160, 16)) + 0.5 * concept, matrices).p < 0.01
    p = [within_matrix(rng.normal(size=(40, 8)), np.repeat(np.arange(8), 5), draws=199).p for _ in range(30)]
    assert 0.3 < np.mean(p) < 0.7 and min(p) >= 1 / 200


def test_what_all_matrices_of_a_layer_share_is_no_concept_of_one():
    rng = np.random.default_rng(2)
    layers = np.repeat(np.arange(2), 40)
    matrices = np.repeat(np.arange(16), 5)
    vectors = rng.normal(size=(80, 10)) + 1.5 * rng.normal(size=(2, 10))[layers]
    assert within_matrix(vectors, matrices).p < 0.01
    assert within_matrix(vectors, matrices, strata=layers).p > 0.05


def test_refusals():
    alone = within_matrix([[1.0, 0], [0, 1]], ["a", "a"])
    assert alone.within is None and alone.difference is None and "two matrices" in alone.why
    assert within_matrix([[1.0, 0], [0, 1]], ["a", "b"]).p is None
    with pytest.raises(ValueError, match="zeros"):
        within_matrix([[0.0, 0], [0, 1]], ["a", "b"])
    with pytest.raises(ValueError, match="its matrix"):
        within_matrix([[1.0, 0]], ["a", "b"])
