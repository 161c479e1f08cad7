"""Prediction-powered and regression estimates against ppi-python and statsmodels."""

import numpy as np
import pytest

from labelapp.statistics.estimation import Census
from labelapp.statistics.ppi import difference_estimate, difference_moments, ppi_mean, ppi_moments


def drawn(seed, n=120, size=900, machine=0.8):
    """Human verdicts on n of `size` directions, and a machine that says the same with probability `machine`."""
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < 0.6
    told = np.where(rng.random(size) < machine, truth, rng.random(size) < 0.4).astype(float)
    places = rng.permutation(size)
    return truth[places[:n]].astype(float), told[places[:n]], told[places[n:]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "machine"), [(40, 0.0), (40, 0.7), (300, 0.95)])
@pytest.mark.parametrize("tuning", [None, 0.0, 0.4, 1.0])
def test_as_ppi_python_has_it(seed, n, machine, tuning):
    from ppi_py import ppi_mean_ci, ppi_mean_pointestimate

    h, f, others = drawn(seed, n, machine=machine)
    found = ppi_mean(h, f, Census.of(np.concatenate([f, others])), tuning=tuning)
    low, high = ppi_mean_ci(h, f, others, alpha=0.05, lam=found.tuning)
    value = ppi_mean_pointestimate(h, f, others, lam=found.tuning)
    assert (found.value, found.low, found.high) == pytest.approx([float(it[0]) for it in (value, low, high)], abs=1e-9)
    # Where it tunes λ itself it divides by a variance with ddof 1, here 900/899 of ours.
    if tuning is None:
        own = ppi_mean_ci(h, f, others, alpha=0.05)
        assert found.interval == pytest.approx([float(it[0]) for it in own], abs=2e-4)


def test_confidences_serve_as_well_as_verdicts():
    from ppi_py import ppi_mean_ci

    rng = np.random.default_rng(1)
    h = (rng.random(80) < 0.5).astype(float)
    f, others = np.clip(0.5 * h + 0.4 * rng.random(80), 0, 1), rng.random(700)
    found = ppi_mean(h, f, Census.of(np.concatenate([f, others])))
    oracle = ppi_mean_ci(h, f, others, alpha=0.05, lam=found.tuning)
    assert found.interval == pytest.approx([float(it[0]) for it in oracle], abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_difference_estimator_is_least_squares_at_the_census_mean(seed):
    import statsmodels.api as sm

    h, f, others = drawn(seed)
    census = Census.of(np.concatenate([f, others]))
    found = difference_estimate(h, f, census)
    fit = sm.OLS(h, sm.add_constant(f)).fit()
    assert found.value == pytest.approx(float(fit.predict([[1.0, census.mean]])[0]), abs=1e-12)
    assert found.tuning == pytest.approx(fit.params[1])
    half = 1.959964 * np.sqrt(fit.mse_resid / len(h) * (1 - len(h) / census.size))
    assert found.interval == pytest.approx((found.value - half, found.value + half), abs=1e-6)
    assert found.effective_n == pytest.approx(found.value * (1 - found.value) / (half / 1.959964) ** 2, rel=1e-5)


def test_rows_at_once_as_one_by_one():
    rows = [drawn(seed, 50) for seed in range(8)]
    census = Census.of(np.concatenate(rows[0][1:]))
    h, f = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    for moments in (ppi_moments, difference_moments):
        at_once = moments(h, f, census)
        for place in range(8):
            assert [it[place] for it in at_once] == pytest.approx(
                [float(it) for it in moments(h[place], f[place], census)]
            )


def test_a_machine_that_always_says_the_same_adds_nothing():
    h = np.array([1.0] * 30 + [0.0] * 30)
    f = np.ones(60)
    for estimate in (ppi_mean, difference_estimate):
        found = estimate(h, f, Census.counted(500, 500))
        assert (found.value, found.tuning) == (0.5, 0.0)


def test_what_cannot_be_said_is_none_with_a_sentence():
    few = ppi_mean([1, 0], [1, 0], Census.counted(5, 10))
    assert few.value is None and "at least 3" in few.why
    assert "at least 3" in difference_estimate([1, 0], [1, 0], Census.counted(5, 10)).why
    whole = ppi_mean([1, 0, 1, 1], [1, 0, 1, 1], Census.counted(3, 4))
    assert whole.value is None and "nothing to infer" in whole.why
    alike = difference_estimate([1, 1, 1, 0], [1, 1, 1, 0], Census.counted(70, 100))
    assert alike.value == pytest.approx(0.7) and alike.low is None and "no uncertainty" in alike.why
    with pytest.raises(ValueError, match="same items"):
        ppi_mean([1, 0, 1], [1, 0], Census.counted(5, 10))
