"""The beta-binomial fit against scipy's distribution, known parameters, and its refusals."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import beta, betabinom

from labelapp.statistics.beta_binomial import beta_binomial


def trials(a, b, directions=300, each=6, seed=0):
    rng = np.random.default_rng(seed)
    n = rng.integers(2, each + 1, directions)
    return rng.binomial(n, rng.beta(a, b, directions)), n


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (0.5, 0.4), (8.0, 4.0)])
def test_the_fit_is_the_most_likely_of_scipys_distribution(a, b):
    right, n = trials(a, b)
    oracle = minimize(
        lambda it: -betabinom.logpmf(right, n, *np.exp(it)).sum(), [0.0, 0.0], method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000},
    )  # fmt: skip
    one, two = np.exp(oracle.x)
    found = beta_binomial(right, n, bar=0.58)
    assert found.mean == pytest.approx(one / (one + two), abs=1e-4)
    assert found.overdispersion == pytest.approx(1 / (one + two + 1), abs=1e-3)
    assert found.share == pytest.approx(beta.sf(0.58, one, two), abs=1e-3)


def test_the_intervals_cover_what_the_trials_were_made_with():
    share = beta.sf(0.58, 2, 2)
    found = [beta_binomial(*trials(2, 2, 120, seed=seed), bar=0.58) for seed in range(30)]
    assert np.mean([it.mean_interval[0] <= 0.5 <= it.mean_interval[1] for it in found]) >= 0.9
    assert np.mean([it.share_interval[0] <= share <= it.share_interval[1] for it in found]) >= 0.9
    assert np.mean([it.p_alike < 0.05 for it in found]) > 0.9


def test_directions_that_are_all_alike_have_no_interval_of_the_share():
    rng = np.random.default_rng(3)
    p = []
    for _ in range(40):
        found = beta_binomial(rng.binomial(4, 0.4, 80), np.full(80, 4), bar=0.58)
        p.append(found.p_alike)
        assert found.mean == pytest.approx(0.4, abs=0.1)
        if found.overdispersion < 1e-4:
            assert found.share_interval is None and "no more than by chance" in found.why
    assert np.mean(np.array(p) < 0.05) <= 0.12


def test_no_interval_says_everything():
    """Where directions differ hardly at all the share's interval is left out, and nothing overflows."""
    rng = np.random.default_rng(2)
    found = [beta_binomial(rng.binomial(3, 1 / 6, 60), np.full(60, 3), bar=7 / 12) for _ in range(40)]
    assert all(it.share_interval is None or it.share_interval[1] - it.share_interval[0] < 0.95 for it in found)
    assert all(it.share_interval is not None or "no more than by chance" in it.why for it in found)
    assert sum(it.share_interval is None for it in found) > 20


def test_refusals():
    few = beta_binomial([1] * 19, [2] * 19, bar=0.5)
    assert few.mean is None and "Fewer than 20" in few.why
    assert beta_binomial([1] * 40, [1] * 40, bar=0.5).share is None  # one trial each shows no spread
    alike = beta_binomial([3] * 40, [3] * 40, bar=0.5)
    assert alike.mean == 1 and alike.share is None and "ended alike" in alike.why
    for bad in (([3], [2], 0.5), ([1], [0], 0.5), ([1], [2], 1.0), ([1, 2], [2], 0.5)):
        with pytest.raises(ValueError, match="trials"):
            beta_binomial(*bad)
