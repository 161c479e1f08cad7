"""Shares over clusters, against values worked out by hand and statsmodels' cluster-robust regression."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.statistics.clusters import clustered_share, clustered_variance, interval_of, share_of_pairs
from labelapp.statistics.estimation import wilson_interval

items_of = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=4, max_size=80)


def test_worked_out_by_hand():
    """Four vectors with both ends, which always agree, two of them yes: the effective sample size is that of vectors
    less one. p = .5, cluster sums ± 1/8, variance 4/3 · 4/64 = 1/12, n_eff = .25 · 12 = 3."""
    found = clustered_share([1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 2, 2, 3, 3, 4, 4])
    assert (found.yes, found.n, found.clusters, found.value) == (4, 8, 4, 0.5)
    assert (found.low, found.high) == pytest.approx(wilson_interval(1.5, 3))
    apart = wilson_interval(4, 8)
    assert found.low < apart[0] and found.high > apart[1], "longer than if the ends were independent"


@given(items_of)
def test_the_variance_is_that_of_cluster_robust_regression(items):
    import statsmodels.api as sm

    yes, clusters = np.array([it[0] for it in items], dtype=float), np.array([it[1] for it in items])
    m = len(set(clusters.tolist()))
    if m < 2:
        return
    codes = np.unique(clusters, return_inverse=True)[1]
    model = sm.OLS(yes, np.ones(len(yes)))
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False})
    ours = clustered_variance((yes - yes.mean()) / len(yes), codes, m)
    assert ours == pytest.approx(float(fit.cov_params()[0, 0]) * m / (m - 1), abs=1e-12)


@given(items_of)
def test_the_share_lies_in_its_interval_which_is_never_shorter_than_wilsons(items):
    found = clustered_share([it[0] for it in items], [it[1] for it in items])
    low, high = wilson_interval(found.yes, found.n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low >= high - low - 1e-9


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.floats(0.2, 5.0)), min_size=6, max_size=60))
def test_a_weighted_share_is_weighted_least_squares(items):
    """Hájek's ratio and its variance over clusters are those of statsmodels' weighted regression on a constant."""
    import statsmodels.api as sm

    yes, weights = (np.array([it[place] for it in items], dtype=float) for place in (0, 2))
    clusters = [it[1] for it in items]
    found = clustered_share(yes, clusters, weights)
    model = sm.WLS(yes, np.ones(len(yes)), weights=weights)
    codes = np.unique(clusters, return_inverse=True)[1]
    m = len(set(clusters))
    assert found.value == pytest.approx(float(model.fit().params[0])) and found.clusters == m
    assert 0 <= found.low <= found.value <= found.high <= 1
    if m < 2 or not 0 < yes.mean() < 1:
        return
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False})
    variance = float(fit.cov_params()[0, 0]) * m / (m - 1)
    kish = weights.sum() ** 2 / (weights**2).sum()
    p = found.value
    expected = kish if variance * kish <= p * (1 - p) else max(p * (1 - p) / variance, 1.0)
    assert found.effective_n == pytest.approx(expected, rel=1e-6)


def test_weights_that_are_equal_change_nothing():
    yes, clusters = [1, 1, 0, 1, 0, 0, 1, 0], [0, 0, 1, 1, 2, 2, 3, 3]
    plain, weighted = clustered_share(yes, clusters), clustered_share(yes, clusters, [3.0] * 8)
    assert (plain.value, plain.low, plain.high) == pytest.approx((weighted.value, weighted.low, weighted.high))
    none = [False] * 8
    assert clustered_share(none, clusters, [3.0] * 8).high == pytest.approx(clustered_share(none, clusters).high)
    assert clustered_share([], [], []).value is None
    for bad in ([1.0] * 7, [0.0] * 8):
        with pytest.raises(ValueError, match="weight above 0"):
            clustered_share(yes, clusters, bad)


def test_singletons_are_wilsons():
    yes = [place % 3 == 0 for place in range(300)]
    found = clustered_share(yes, range(300))
    assert (found.low, found.high) == pytest.approx(wilson_interval(100, 300), abs=1e-12)


def test_where_nothing_varies_the_clusters_are_counted():
    found = clustered_share([False] * 20, [place // 2 for place in range(20)])
    assert found.value == 0 and (found.low, found.high) == pytest.approx(wilson_interval(0, 10))
    assert interval_of(0.5, 40, 1, None) == pytest.approx(wilson_interval(0.5, 1)), "one cluster says little"


def test_nothing_is_none_and_not_zero():
    found = clustered_share([], [])
    assert (found.n, found.value, found.low, found.high) == (0, None, None, None)


def test_the_intervals_cover_where_ends_go_together():
    """Of 400 samples of 60 vectors whose ends agree with probability .8, some 95 % cover the truth of .3; Wilson's
    own intervals over ends cover clearly fewer."""
    rng = np.random.default_rng(5)
    covered = naive = 0
    for _ in range(400):
        first = rng.random(60) < 0.3
        second = np.where(rng.random(60) < 0.8, first, rng.random(60) < 0.3)
        yes = np.stack([first, second], axis=1).ravel()
        found = clustered_share(yes, [place // 2 for place in range(120)])
        covered += found.low <= 0.3 <= found.high
        low, high = wilson_interval(int(yes.sum()), 120)
        naive += low <= 0.3 <= high
    assert covered >= 0.92 * 400 > naive


pairs_of = st.lists(st.tuples(st.booleans(), st.sampled_from([None, False, True])), min_size=1, max_size=40)


@given(pairs_of)
def test_counts_of_pairs_say_the_same_as_the_items(vectors):
    """Each vector has a first end, and a second unless that is None."""
    items = [(end, place) for place, ends in enumerate(vectors) for end in ends if end is not None]
    pairs = [first + second for first, second in vectors if second is not None]
    counts = (pairs.count(2), pairs.count(1), pairs.count(0))
    found = share_of_pairs(sum(yes for yes, _ in items), len(items), counts)
    other = clustered_share([yes for yes, _ in items], [place for _, place in items])
    assert (found.yes, found.n, found.clusters) == (other.yes, other.n, other.clusters)
    assert (found.value, found.low, found.high) == pytest.approx((other.value, other.low, other.high))


def test_pairs_by_hand():
    """40 vectors: 10 with both ends yes, 20 with one, 10 with none, p = .5: Σ (y - 1)² = 20, so the variance is
    20 / 80² · 40 / 39 and the effective n .25 / that, 78: the ends of a vector are independent, as it were."""
    low, high = wilson_interval(39, 78)
    found = share_of_pairs(40, 80, (10, 20, 10))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, low, high))
    always = share_of_pairs(40, 80, (20, 0, 20))  # one observation for each vector, and m / (m - 1)
    assert (always.low, always.high) == pytest.approx(wilson_interval(19.5, 39))


@pytest.mark.parametrize("agreement", [0.0, 0.5, 0.9])
def test_the_interval_of_pairs_is_a_bootstraps_over_vectors(agreement):
    """As wide as the percentiles of 4,000 resamples of 2,000 vectors, within 4 %: neither wider nor narrower."""
    rng = np.random.default_rng(11)
    first = rng.random(2000) < 0.4
    second = np.where(rng.random(2000) < agreement, first, rng.random(2000) < 0.4)
    yes = first.astype(int) + second
    drawn = rng.multinomial(2000, [np.mean(yes == it) for it in (2, 1, 0)], size=4000)
    low, high = np.quantile((2 * drawn[:, 0] + drawn[:, 1]) / 4000, [0.025, 0.975])
    found = share_of_pairs(int(yes.sum()), 4000, tuple(int((yes == it).sum()) for it in (2, 1, 0)))
    assert found.high - found.low == pytest.approx(high - low, rel=0.04)


def test_pairs_that_cannot_be_are_refused():
    for yes, n, pairs in ((1, 4, (1, 0, 0)), (3, 3, (0, 1, 0)), (0, 0, (0, 0, 1))):
        with pytest.raises(ValueError, match="cannot hold"):
            share_of_pairs(yes, n, pairs)
    assert share_of_pairs(0, 0, (0, 0, 0)).value is None


def test_every_item_needs_its_cluster():
    with pytest.raises(ValueError, match="needs its cluster"):
        clustered_share([True, False], [1])
