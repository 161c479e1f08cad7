"""Model precision: counts by hand, its interval against clusters, its refusals."""

import numpy as np
import pytest

from labelapp.statistics.beta_binomial import beta_binomial
from labelapp.statistics.clusters import clustered_share
from labelapp.statistics.precision import NOTHING, TOO_FEW, precision

CHANCE = 1 / 6


def test_by_hand():
    found = precision([True, False, True, True], ["a+", "a+", "a-", "b+"], ["a", "a", "a", "b"], CHANCE)
    assert (found.right, found.trials, found.ends, found.vectors, found.value) == (3, 4, 3, 2, 0.75)
    assert (found.low, found.high, found.why) == (None, None, TOO_FEW)
    assert found.meaning.share is None and "Fewer than 20" in found.meaning.why


def test_nothing():
    found = precision([], [], [], CHANCE)
    assert (found.value, found.trials, found.why, found.meaning) == (None, 0, NOTHING, None)
    with pytest.raises(ValueError, match="cluster"):
        precision([True], ["a"], [], CHANCE)


def test_the_interval_is_over_vectors_and_the_share_over_ends():
    rng = np.random.default_rng(1)
    rate = rng.beta(1, 1, 80)
    right = [bool(rng.random() < rate[end]) for end in range(80) for _ in range(6)]
    ends = [end for end in range(80) for _ in range(6)]
    vectors = [end // 2 for end in ends]
    found = precision(right, ends, vectors, CHANCE)
    share = clustered_share(right, vectors)
    assert (found.value, found.low, found.high) == (np.mean(right), share.low, share.high)
    assert found.high - found.low > 1.5 * 2 * 1.96 * np.sqrt(0.25 / 480), "wider than if trials were independent"
    k = np.reshape(right, (80, 6)).sum(axis=1)
    assert found.meaning == beta_binomial(k, np.full(80, 6), 7 / 12)
    low, high = found.meaning.share_interval
    assert low < np.mean(rate > 7 / 12) < high


def test_who_guesses_is_covered():
    """Of 60 tests of chance alone the 95 % interval holds 1/6 in about 57."""
    rng = np.random.default_rng(2)
    ends = [end for end in range(60) for _ in range(3)]
    held = 0
    for _ in range(60):
        found = precision(list(rng.random(180) < CHANCE), ends, [end // 2 for end in ends], CHANCE)
        held += found.low <= CHANCE <= found.high
    assert held >= 52
