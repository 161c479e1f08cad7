"""Shares over clusters, against values worked out by hand and statsmodels' cluster-robust regression."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.statistics.clusters import clustered_share, clustered_variance, interval_of
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


def test_singletons_are_nearly_wilsons():
    yes = [place % 3 == 0 for place in range(300)]
    found = clustered_share(yes, range(300))
    assert (found.low, found.high) == pytest.approx(wilson_interval(100, 300), abs=1e-3)


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


def test_every_item_needs_its_cluster():
    with pytest.raises(ValueError, match="needs its cluster"):
        clustered_share([True, False], [1])
