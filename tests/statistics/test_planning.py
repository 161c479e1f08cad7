"""Labels needed: known answers, statsmodels, and simulation with ppi-python."""

import numpy as np
import pytest
from ppi_py import ppi_mean_ci
from scipy.stats import pearsonr
from statsmodels.stats.proportion import proportion_confint, samplesize_confint_proportion

from labelapp.statistics.estimation import labels_needed
from labelapp.statistics.planning import (
    FEWEST_PAIRS,
    labels_needed_wilson,
    labels_of_census,
    verdict_correlation,
    weighting_effect,
)


def correlated(rng, n, share, rho):
    """Two verdicts, both with this share of yes, whose correlation is rho."""
    both = share**2 + rho * share * (1 - share)
    u, v = rng.random(n), rng.random(n)
    human = u < share
    machine = np.where(human, v < both / share, v < (share - both) / (1 - share))
    return human.astype(float), machine.astype(float)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.58])
@pytest.mark.parametrize("half_width", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_without_a_machine_as_statsmodels(share, half_width, confidence):
    expected = samplesize_confint_proportion(share, half_width, alpha=1 - confidence, method="normal")
    assert labels_needed(half_width, share, confidence=confidence) == int(np.ceil(expected))


@pytest.mark.parametrize(("share", "half_width"), [(0.5, 0.05), (0.58, 0.1), (0.05, 0.03), (0.9, 0.08), (0.0, 0.05)])
def test_wilson_as_a_scan_with_statsmodels(share, half_width):
    for n in range(1, 2000):
        low, high = proportion_confint(share * n, n, method="wilson")
        if (high - low) / 2 <= half_width:
            break
    assert labels_needed_wilson(half_width, share) == n


def test_a_census_needs_fewer():
    """Cochran (1977), chapter 4: the blood groups of an island: 400 people, or 356 where only 3,200 live there."""
    assert labels_of_census(400, 3200) == 356
    assert labels_of_census(400, 10**9) == 400
    assert labels_of_census(400, 100) == 80
    assert labels_of_census(10**6, 100) == 100
    with pytest.raises(ValueError, match="cannot be"):
        labels_of_census(10, 0)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.85])
def test_so_many_labels_make_so_wide_an_interval(rho):
    """ppi-python's own interval on simulated verdicts is as wide as was asked for, and covers."""
    share, half_width, size = 0.58, 0.05, 60_000
    n = labels_needed(half_width, share, rho)
    rng = np.random.default_rng(11)
    halves, covered = [], 0
    for _ in range(300):
        human, machine = correlated(rng, size, share, rho)
        places = rng.choice(size, n, replace=False)
        rest = np.ones(size, bool)
        rest[places] = False
        low, high = ppi_mean_ci(human[places], machine[places], machine[rest], alpha=0.05)
        halves.append((high - low) / 2)
        covered += low <= share <= high
    assert np.mean(halves) == pytest.approx(half_width, rel=0.02)
    assert covered / 300 > 0.92


def test_a_finite_census_makes_so_wide_an_interval():
    """The spread of the mean of a sample without replacement is what the corrected number promises."""
    rng = np.random.default_rng(3)
    size, half_width = 1000, 0.05
    census = (np.arange(size) < 580).astype(float)
    n = labels_of_census(labels_needed(half_width, 0.58), size)
    means = [rng.choice(census, n, replace=False).mean() for _ in range(4000)]
    assert 1.959964 * np.std(means) == pytest.approx(half_width, rel=0.03)


def test_the_correlation_is_pearsons():
    rng = np.random.default_rng(1)
    human, machine = correlated(rng, 300, 0.4, 0.6)
    found = verdict_correlation(human, machine)
    assert found.value == pytest.approx(pearsonr(human, machine).statistic)
    assert found.low < found.value < found.high and found.n == found.clusters == 300


def test_weights_are_copies():
    rng = np.random.default_rng(2)
    human, machine = correlated(rng, 80, 0.5, 0.4)
    times = rng.integers(1, 4, 80)
    found = verdict_correlation(human, machine, weights=times)
    copied = np.repeat(np.arange(80), times)
    assert found.value == pytest.approx(pearsonr(human[copied], machine[copied]).statistic)
    assert found.low == pytest.approx(
        verdict_correlation(human[copied], machine[copied], clusters=copied.tolist()).low, abs=1e-9
    )


@pytest.mark.parametrize(("share", "rho"), [(0.5, 0.0), (0.58, 0.5), (0.3, 0.8)])
def test_its_interval_covers(share, rho):
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(600):
        found = verdict_correlation(*correlated(rng, 150, share, rho))
        covered += found.low <= rho <= found.high
    assert 0.92 <= covered / 600 <= 0.98


def test_two_ends_that_are_one_make_it_wider():
    rng = np.random.default_rng(6)
    human, machine = correlated(rng, 100, 0.5, 0.5)
    alone = verdict_correlation(human, machine)
    twice = verdict_correlation(np.tile(human, 2), np.tile(machine, 2), clusters=[*range(100), *range(100)])
    assert (twice.low, twice.high) == pytest.approx((alone.low, alone.high))
    assert twice.n == 200 and twice.clusters == 100


def test_what_cannot_be_known_is_said():
    few = verdict_correlation([1, 0] * 5, [1, 0] * 5)
    assert few.value is None and str(FEWEST_PAIRS) in few.why
    assert "same one thing" in verdict_correlation([1] * 30, [1, 0] * 15).why
    same = verdict_correlation([1, 0] * 15, [1, 0] * 15)
    assert same.value == pytest.approx(1) and same.low is None and "never differ" in same.why
    with pytest.raises(ValueError, match="weight"):
        verdict_correlation([1, 0] * 15, [1, 0] * 15, weights=[0] * 30)


def test_unequal_weights_cost_labels():
    assert weighting_effect([1, 1, 1]) == 1
    assert weighting_effect([1, 3]) == pytest.approx(2 * 10 / 16)
    with pytest.raises(ValueError, match="weight"):
        weighting_effect([])
