"""PPI regression against ppi-python and statsmodels, and the warning where the machine's error has a trend."""

import numpy as np
import pytest

from labelapp.statistics.trends import trend


def drawn(seed, error=0.0, n=150, size=1200):
    """A fraction that rises with depth; with `error` the machine says no too often at first, yes too often at last."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 24, size).astype(float)
    truth = rng.random(size) < 0.3 + 0.4 * x / 23
    told = np.where(rng.random(size) < 0.85, truth, ~truth)
    told = np.where(rng.random(size) < error, x > 11, told)
    places = rng.permutation(size)
    one, others = places[:n], places[n:]
    return truth[one].astype(float), told[one].astype(float), x[one], told[others].astype(float), x[others]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tuning", [None, 0.5, 1.0])
def test_as_ppi_python_has_it(seed, tuning):
    from ppi_py import ppi_ols_ci, ppi_ols_pointestimate

    h, f, x, f_others, x_others = drawn(seed)
    found = trend(h, f, x, f_others, x_others, tuning=tuning)
    middle = np.concatenate([x, x_others]).mean()
    design = [np.column_stack([np.ones(len(it)), it - middle]) for it in (x, x_others)]
    arguments = (design[0], h, f, design[1], f_others)
    # Its own λ is tuned a second time, at the estimate that the first tuning gave; a better λ changes nothing else.
    value = ppi_ols_pointestimate(*arguments, lam=found.slope.tuning, coord=1)
    low, high = ppi_ols_ci(*arguments, alpha=0.05, lam=found.slope.tuning, coord=1)
    if tuning is None:
        own = [float(it[1]) for it in ppi_ols_ci(*arguments, alpha=0.05, coord=1)]
        assert found.slope.interval == pytest.approx(own, abs=0.02 * found.slope.width)
    for place, estimate in enumerate((found.level, found.slope)):
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
            (value[place], low[place], high[place]), abs=1e-9
        )


def test_without_the_machine_it_is_least_squares():
    import statsmodels.api as sm

    h, f, x, f_others, x_others = drawn(7)
    found = trend(h, f, x, f_others, x_others, tuning=0.0)
    fit = sm.OLS(h, sm.add_constant(x)).fit()
    assert found.slope.value == pytest.approx(fit.params[1])
    # Equal but for the design's second moment, which is taken over all directions, not the labelled alone.
    assert found.slope.width == pytest.approx(2 * 1.96 * fit.get_robustcov_results("HC0").bse[1], rel=0.1)


def test_the_machine_narrows_it_and_it_finds_the_slope():
    found = [trend(*drawn(seed)) for seed in range(40)]
    alone = [trend(*drawn(seed), tuning=0.0) for seed in range(40)]
    assert np.mean([a.slope.width < b.slope.width for a, b in zip(found, alone, strict=True)]) == 1
    assert np.mean([it.slope.low <= 0.4 / 23 <= it.slope.high for it in found]) >= 0.85


def test_two_kinds_of_matrices():
    """MLP-in as 0 and MLP-out as 1: the slope is their difference."""
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 2, 1000).astype(float)
    truth = rng.random(1000) < 0.4 + 0.2 * kind
    told = np.where(rng.random(1000) < 0.9, truth, ~truth).astype(float)
    found = trend(truth[:200].astype(float), told[:200], kind[:200], told[200:], kind[200:])
    assert found.slope.low < 0.2 < found.slope.high


def test_an_error_that_depends_on_the_covariate_is_warned_of():
    warned = trend(*drawn(0, error=0.4, n=300))
    assert "more directions interpretable" in warned.warning and warned.error_slope > 0 and warned.error_p < 0.05
    assert warned.slope.low <= 0.4 / 23 <= warned.slope.high  # corrected for it all the same
    assert trend(*drawn(1)).warning == ""
    h, _, x, f_others, x_others = drawn(1)
    right = trend(h, h, x, f_others, x_others)
    assert right.warning == "" and right.error_p is None


def test_refusals():
    few = trend([1, 0], [1, 0], [1, 2], [1, 0], [1, 2])
    assert few.slope.value is None and "at least 20" in few.slope.why
    h, f, x, f_others, x_others = drawn(0)
    assert "do not differ" in trend(h, f, np.ones(len(x)), f_others, x_others).slope.why
    assert "do not differ" in trend(h, f, x, f_others, np.ones(len(x_others))).level.why
    with pytest.raises(ValueError, match="covariate"):
        trend(h, f, x[:-1], f_others, x_others)


def test_items_that_come_twice_are_worth_one():
    """Every label doubled, each pair a cluster: the interval of people alone is that of the single labels."""
    rng = np.random.default_rng(2)
    h, f, x = (rng.random(60) < 0.5).astype(float), (rng.random(60) < 0.5).astype(float), rng.random(60)
    others, elsewhere = (rng.random(500) < 0.5).astype(float), rng.random(500)
    once = trend(h, f, x, others, elsewhere, tuning=0.0)
    twice = trend(np.tile(h, 2), np.tile(f, 2), np.tile(x, 2), others, elsewhere, tuning=0.0, clusters=[*range(60)] * 2)
    naive = trend(np.tile(h, 2), np.tile(f, 2), np.tile(x, 2), others, elsewhere, tuning=0.0)
    assert twice.slope.value == pytest.approx(once.slope.value)
    # The Hessian is over all directions, of which there now are more.
    assert twice.slope.width == pytest.approx(once.slope.width, rel=0.05)
    assert twice.slope.width == pytest.approx(naive.slope.width * np.sqrt(2), rel=0.01)
    alone = trend(h, f, x, others, elsewhere, tuning=0.0, clusters=range(60))
    assert alone.slope.interval == pytest.approx(once.slope.interval)
