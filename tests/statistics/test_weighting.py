"""Weighted estimates: unbiased over every possible sample, and as the textbooks have them where π is equal."""

from itertools import combinations

import numpy as np
import pytest

from labelapp.statistics.clusters import clustered_share
from labelapp.statistics.estimation import Census
from labelapp.statistics.ppi import ppi_mean
from labelapp.statistics.weighting import (
    fixed_size_variance,
    ipw_difference,
    ipw_difference_moments,
    ipw_human,
    post_stratified,
    post_stratified_moments,
    rogan_gladen,
    rogan_gladen_over,
)


def every_sample(size, n, seed):
    """All samples of n with unequal chances, their probabilities, and the inclusion probabilities that follow."""
    samples = list(combinations(range(size), n))
    chances = np.random.default_rng(seed).random(len(samples)) ** 3 + 0.02
    chances /= chances.sum()
    pi = np.array([sum(c for s, c in zip(samples, chances, strict=True) if i in s) for i in range(size)])
    return samples, chances, pi


@pytest.mark.parametrize("seed", range(3))
def test_the_difference_is_unbiased_over_every_sample(seed):
    samples, chances, pi = every_sample(8, 3, seed)
    rng = np.random.default_rng(seed)
    h, f = (rng.random(8) < 0.5).astype(float), rng.random(8)
    census = Census.of(f)
    values = [float(ipw_difference_moments(h[list(s)], f[list(s)], pi[list(s)], census)[0]) for s in samples]
    assert np.average(values, weights=chances) == pytest.approx(h.mean(), abs=1e-12)


def test_equal_probability_is_the_simple_random_sample():
    """Cochran (1977), eq. 2.15 and 2.20: s²/n (1 − n/N), unbiased over every sample."""
    y, n, size = np.array([1.0, 0, 1, 1, 0, 0, 1, 1, 0.5]), 4, 9
    pi = np.full(n, n / size)
    for places in ([0, 1, 2, 3], [4, 5, 6, 8]):
        drawn = y[places]
        expected = drawn.var(ddof=1) / n * (1 - n / size)
        assert float(fixed_size_variance(drawn, pi)) / size**2 == pytest.approx(expected)
    variances = [float(fixed_size_variance(y[list(s)], pi)) / size**2 for s in combinations(range(size), n)]
    means = [y[list(s)].mean() for s in combinations(range(size), n)]
    assert np.mean(variances) == pytest.approx(np.var(means))


def test_the_weighted_variance_is_near_the_true_one():
    """Over 4,000 samples of fixed size with π from .02 to .4 its mean is within 6 % of the spread of the estimates."""
    rng = np.random.default_rng(2)
    size, n = 600, 60
    h = (rng.random(size) < 0.4).astype(float)
    f = np.where(rng.random(size) < 0.7, h, rng.random(size) < 0.5)
    weight = np.exp(rng.normal(0, 0.6, size))
    pi = np.minimum(n * weight / weight.sum(), 0.9)
    u = rng.random((4000, size))
    drawn = np.argpartition(u / (1 - u) * (1 - pi) / pi, n, axis=1)[:, :n]
    value, variance = ipw_difference_moments(h[drawn], f[drawn], pi[drawn], Census.of(f))
    assert value.mean() == pytest.approx(h.mean(), abs=0.004)
    assert variance.mean() == pytest.approx(value.var(), rel=0.06)


def test_a_weighted_share_as_statsmodels_has_it():
    from statsmodels.stats.weightstats import DescrStatsW

    rng = np.random.default_rng(4)
    h, pi = (rng.random(50) < 0.3).astype(float), rng.uniform(0.05, 0.5, 50)
    found = ipw_human(h, pi)
    assert found.value == pytest.approx(DescrStatsW(h, weights=1 / pi).mean)
    assert found.low < found.value < found.high


def test_a_census_judged_whole_is_known():
    found = ipw_difference([1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1], Census.counted(3, 4))
    assert found.value == 0.75 and found.low is None


def test_what_has_no_probability_is_refused():
    for estimate in (
        lambda pi: ipw_human([1, 0], pi),
        lambda pi: ipw_difference([1, 0], [1, 0], pi, Census.counted(2, 9)),
    ):
        with pytest.raises(ValueError, match="disagreement queue"):
            estimate([0.1, 0.0])
    assert "at least 2" in ipw_human([1], [0.5]).why


def test_strata_by_hand():
    """W = .25, .75; shares 1/2 and 3/4; q = 2/4 and 4/6, n_s/N_s = .08 and 4/75."""
    found = post_stratified([1, 0, 1, 1, 1, 0], ["a", "a", "b", "b", "b", "b"], {"a": 25, "b": 75, "none": 0})
    variance = 0.0625 * 0.25 / 2 * (1 - 0.08) + 0.5625 * (2 / 9) / 4 * (1 - 4 / 75)
    assert found.value == pytest.approx(0.25 * 0.5 + 0.75 * 0.75)
    assert found.high - found.value == pytest.approx(1.959964 * variance**0.5, abs=1e-6)
    bare = post_stratified([1, 0], ["a", "a"], {"a": 25, "b": 75})
    assert bare.value is None and "in b" in bare.why
    with pytest.raises(ValueError, match="stratum"):
        post_stratified([1], ["c"], {"a": 25})
    at_once = post_stratified_moments(np.array([[1.0, 3]]), np.array([[2.0, 4]]), np.array([25.0, 75]))
    assert [float(it[0]) for it in at_once] == pytest.approx([found.value, variance])


def test_rogan_gladen():
    perfect = rogan_gladen(0.3, 1000, 40, 40, 60, 60)
    assert perfect.value == pytest.approx(0.3)
    assert perfect.high - perfect.value == pytest.approx(1.959964 * (0.3 * 0.7 / 1000) ** 0.5, abs=1e-6)
    # A true share of .2, Se .8 and Sp .9: the machine says yes to .2 · .8 + .8 · .1 = .24.
    assert rogan_gladen(0.24, 1000, 80, 100, 90, 100).value == pytest.approx(0.2)
    assert "no better than chance" in rogan_gladen(0.5, 100, 5, 10, 5, 10).why
    assert "only one of the two" in rogan_gladen(0.5, 100, 5, 10, 0, 0).why
    with pytest.raises(ValueError, match="calibration set"):
        rogan_gladen(0.5, 100, 11, 10, 5, 10)


def test_rogan_gladen_beyond_0_and_1_says_what_that_means():
    """By hand: Se .8, Sp .9. A machine's .05 makes (.05 − .1)/.7 = −.0714, its .9 makes (.9 − .1)/.7 = 1.143."""
    for share, value, word in ((0.05, -0.05 / 0.7, "Below 0"), (0.9, 0.8 / 0.7, "Above 1")):
        found = rogan_gladen(share, 1000, 80, 100, 90, 100)
        assert found.value == pytest.approx(value) and found.why.startswith(word)
    near = rogan_gladen(0.11, 1000, 80, 100, 90, 100)
    assert near.value > 0 > near.low and "leaves 0 to 1" in near.why
    assert rogan_gladen(0.4, 1000, 80, 100, 90, 100).why == ""


def test_rogan_gladen_wastes_what_a_random_sample_knows():
    """KNOWN_ANSWERS: about twice as wide as PPI++ on a random sample of the same census."""
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.58
    told = np.where(rng.random(4000) < 0.78, truth, ~truth)
    places = rng.choice(4000, 100, replace=False)
    h, f = truth[places].astype(float), told[places]
    yes, no = h == 1, h == 0
    far = rogan_gladen(told.mean(), 4000, int(f[yes].sum()), int(yes.sum()), int((~f[no]).sum()), int(no.sum()))
    near = ppi_mean(h, f, Census.of(told))
    assert 1.5 < far.width / near.width < 2.5


def test_rogan_gladen_over_vectors():
    """Where every end stands alone it is the formula; with each end twice, as exact and no more."""
    right_yes, right_no = [1] * 45 + [0] * 15, [1] * 30 + [0] * 10
    known = rogan_gladen(0.6, 1000, 45, 60, 30, 40)
    found = {
        times: rogan_gladen_over(
            clustered_share(np.repeat([1] * 600 + [0] * 400, times), np.repeat(range(1000), times).tolist()),
            clustered_share(np.repeat(right_yes, times), np.repeat(range(60), times).tolist()),
            clustered_share(np.repeat(right_no, times), np.repeat(range(40), times).tolist()),
        )
        for times in (1, 2)
    }
    assert (found[1].value, found[1].low, found[1].n) == pytest.approx((known.value, known.low, 100))
    assert found[2].value == pytest.approx(known.value)
    assert found[2].width / known.width == pytest.approx(1.0, rel=0.02)
    nothing = rogan_gladen_over(clustered_share([1], [0]), clustered_share([], []), clustered_share([1], [0]))
    assert nothing.value is None and "one error rate is unknown" in nothing.why
