"""The recommended interval: what it is where it reduces to a known one, and that it covers."""

import numpy as np
import pytest
from scipy.stats import beta, t

from labelapp.statistics.corrected import (
    beta_bounds,
    beta_moments,
    design_effect,
    stratified_beta,
    weighted_value,
)
from labelapp.statistics.estimation import clopper_pearson_interval


def test_one_stratum_is_jeffreys_widened():
    """Beta(k + 1/2, n − k + 1/2) has mean μ and size n + 1; (z/t)² shrinks it, part of a label goes to either side."""
    k, n = 7, 40
    found = stratified_beta([1] * k + [0] * (n - k), ["all"] * n, {"all": 10**9})
    mean = (k + 0.5) / (n + 1)
    size = (n + 1) * (1.959963985 / t.ppf(0.975, n - 1)) ** 2
    shift = 0.25 + 0.19 * (1 - 4 * mean * (1 - mean))
    low = beta.ppf(0.025, mean * size - shift, (1 - mean) * size + shift)
    high = beta.ppf(0.975, mean * size + shift, (1 - mean) * size - shift)
    assert found.value == k / n
    assert found.interval == pytest.approx((low, high), abs=1e-6)
    assert found.effective_n == pytest.approx(n + 2, rel=1e-6)


@pytest.mark.parametrize("k", [0, 1, 10, 25, 50])
def test_it_lies_about_clopper_and_pearsons(k):
    """Neither much wider nor as narrow as a normal interval; the share itself is always within it."""
    found = stratified_beta([1] * k + [0] * (50 - k), ["all"] * 50, {"all": 10**9})
    exact = clopper_pearson_interval(k, 50)
    assert found.low <= k / 50 <= found.high
    assert 0.8 < found.width / (exact[1] - exact[0]) < 1.02


def test_the_estimate_is_weighted_within_strata():
    """Stratum a: weights 2, 4, share 1/3; b: weights 10, 10, share 1/2; W = .3, .7."""
    found = stratified_beta([1, 0, 1, 0], ["a", "a", "b", "b"], {"a": 30, "b": 70}, pi=[0.5, 0.25, 0.1, 0.1])
    assert found.value == pytest.approx(0.3 / 3 + 0.7 / 2)


def test_moments_by_hand():
    """One stratum, weights 2 and 4 (π .5, .25), h = 1, 0: pseudo-labels of weight 4, two halves."""
    h, pi = np.array([1.0, 0.0]), np.array([0.5, 0.25])
    found = beta_moments(h, np.zeros(2, dtype=np.intp), pi, np.array([1.0]))
    mean = (2 + 2) / (6 + 4)
    seen = 4 * 0.5 * (1 - mean) ** 2 + 16 * 0.75 * mean**2
    variance = (seen + 16 / 2 * ((1 - mean) ** 2 + mean**2)) / 100 * 3 / 4
    assert float(found.mean) == pytest.approx(mean)
    assert float(found.effective_n) == pytest.approx(mean * (1 - mean) / variance)
    population = beta_moments(h, np.zeros(2, dtype=np.intp), pi, np.array([1.0]), finite=False)
    assert float(population.effective_n) < float(found.effective_n)


def test_a_census_judged_whole_has_no_width():
    found = stratified_beta([1, 0, 1, 1], ["a"] * 4, {"a": 4})
    assert (found.value, found.low, found.high, found.effective_n) == (0.75, 0.75, 0.75, None)


def test_a_stratum_without_a_label_widens():
    sizes = {"yes": 50, "no": 950}
    without = stratified_beta([0] * 38 + [1] * 2, ["no"] * 40, sizes)
    with_it = stratified_beta([0] * 38 + [1] * 2, ["no"] * 38 + ["yes"] * 2, sizes)
    assert without.width > with_it.width
    assert without.value == pytest.approx(0.05 * 0.5 + 0.95 * 2.5 / 41)


def test_rows_at_once_as_one_by_one():
    rng = np.random.default_rng(0)
    h, strata = (rng.random((6, 30)) < 0.3).astype(float), rng.integers(0, 2, (6, 30))
    pi, shares = rng.uniform(0.01, 0.4, (6, 30)), np.array([0.4, 0.6])
    at_once = beta_moments(h, strata, pi, shares)
    values = weighted_value(h, strata, pi, shares)
    low, high = beta_bounds(at_once.mean, at_once.effective_n, 28)
    for row in range(6):
        alone = stratified_beta(h[row], strata[row].tolist(), {0: 400, 1: 600}, pi=pi[row])
        expected = (values[row], min(low[row], values[row]), max(high[row], values[row]), at_once.effective_n[row])
        assert (alone.value, alone.low, alone.high, alone.effective_n) == pytest.approx(expected)


def test_ends_of_one_vector_count_once():
    h, strata = [1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1], [1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0]
    alone = stratified_beta(h * 5, strata * 5, {0: 5000, 1: 5000})
    pairs = stratified_beta(h * 5, strata * 5, {0: 5000, 1: 5000}, clusters=[i % 30 for i in range(60)])
    apart = stratified_beta(h * 5, strata * 5, {0: 5000, 1: 5000}, clusters=range(60))
    assert apart == alone
    assert pairs.effective_n < alone.effective_n and pairs.value == alone.value


def test_the_design_effect_by_hand():
    same = np.array([0.5, 0.5, -0.5, -0.5])
    assert design_effect(same, np.ones(4), ["a", "a", "b", "b"]) == pytest.approx(2)
    assert design_effect(same, np.ones(4), ["a", "b", "a", "b"]) == 1  # ends that differ gain nothing
    assert design_effect(np.zeros(4), np.ones(4), ["a", "a", "b", "b"]) == 1
    with pytest.raises(ValueError, match="cluster"):
        design_effect(same, np.ones(4), ["a"])


def test_refusals():
    assert "too few for 2 strata" in stratified_beta([1, 0], [1, 0], {0: 5, 1: 5}).why
    for bad in (([1], [2], {1: 5}), ([1, 0], [1], {1: 5}), ([1, 0, 1], [1, 1, 1], {1: 2})):
        with pytest.raises(ValueError, match=r"stratum|more than"):
            stratified_beta(*bad)


@pytest.mark.parametrize(
    ("share", "n", "least"),
    [
        (0.2, 30, 0.93),
        (0.5, 30, 0.93),
        (0.03, 100, 0.93),
        (0.97, 100, 0.93),
        # The machine says yes four times too often, and three of 30 labels have a meaning: as docs/statistics.md says.
        (0.03, 30, 0.89),
    ],
)
def test_it_covers_with_a_machine_that_is_right_in_nine_of_ten(share, n, least):
    """1,000 samples each; benchmarks/coverage.py has the whole grid."""
    rng = np.random.default_rng(int(1000 * share) + n)
    truth = np.arange(4000) < 4000 * share
    told = np.where(rng.random(4000) < 0.9, truth, ~truth).astype(np.intp)
    drawn = np.array([rng.choice(4000, n, replace=False) for _ in range(1000)])
    shares = np.array([1 - told.mean(), told.mean()])
    found = beta_moments(truth[drawn].astype(float), told[drawn], np.full(n, n / 4000), shares)
    low, high = beta_bounds(found.mean, found.effective_n, n - 2)
    assert ((low <= share) & (share <= high)).mean() >= least
