"""Shares of several verdicts: known answers, statsmodels' Wilson interval, and a weighted mean by hand."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from labelapp.statistics.shares import shares

WORDS = ("same", "opposite", "none")


def test_equal_probabilities_give_wilsons_interval():
    values = ["same"] * 6 + ["opposite"] * 1 + ["none"] * 13
    found = dict(zip(WORDS, shares(values, [0.25] * 20, WORDS), strict=True))
    for word, k in (("same", 6), ("opposite", 1), ("none", 13)):
        share = found[word]
        assert (share.count, share.n, share.effective_n) == (k, 20, pytest.approx(20))
        assert share.value == pytest.approx(k / 20)
        assert (share.low, share.high) == pytest.approx(proportion_confint(k, 20, method="wilson"))
    # Wilson's interval of 6 in 20, computed by hand from his formula with z = 1.959964.
    assert (found["same"].low, found["same"].high) == pytest.approx((0.14547, 0.51897), abs=1e-4)


def test_unequal_probabilities_weigh():
    # Two items stand for ten each, four for one each: 20 of 24 are "same".
    found = shares(["same", "same", "none", "none", "none", "opposite"], [0.1, 0.1, 1, 1, 1, 1], WORDS)
    assert [share.value for share in found] == pytest.approx([20 / 24, 1 / 24, 3 / 24])
    assert [share.count for share in found] == [2, 1, 3]
    assert found[0].effective_n == pytest.approx(24**2 / (2 * 100 + 4 * 1))
    assert all(share.low < share.value < share.high for share in found)


def test_the_weighted_share_is_unbiased_and_its_interval_covers():
    """A population in which the likelier half is all "same": the plain share is far off, the weighted one is not."""
    draws, rng = 400, np.random.default_rng(5)
    pi = np.where(np.arange(2000) < 1000, 0.15, 0.05)
    truth = np.where(np.arange(2000) < 1000, rng.random(2000) < 0.8, rng.random(2000) < 0.2)
    values, covered, plain = [], 0, []
    for _ in range(draws):
        taken = rng.random(2000) < pi
        said = ["same" if it else "none" for it in truth[taken]]
        share = shares(said, pi[taken], WORDS)[0]
        values.append(share.value)
        plain.append(share.count / share.n)
        covered += share.low <= truth.mean() <= share.high
    assert abs(np.mean(values) - truth.mean()) < 0.005 < abs(np.mean(plain) - truth.mean())
    assert covered / draws >= 0.93


def test_bad_input_is_said():
    with pytest.raises(ValueError, match="no verdicts"):
        shares([], [], WORDS)
    with pytest.raises(ValueError, match="none of same, opposite, none"):
        shares(["other"], [1.0], WORDS)
    with pytest.raises(ValueError):
        shares(["same", "none"], [0.5], WORDS)
    with pytest.raises(ValueError):
        shares(["same"], [0.0], WORDS)
