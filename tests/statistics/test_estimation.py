"""Intervals, against statsmodels and known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.statistics.estimation import (
    Census,
    clopper_pearson_interval,
    human_only,
    labels_needed,
    probabilities_checked,
    score_bounds,
    wilson_interval,
)

counts_of = st.integers(1, 10**4).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(2523, 4320, 0.5693, 0.5986), (65, 100, 0.55254, 0.73636), (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0)],
)
def test_known_answers(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_as_statsmodels_has_it(counts, confidence):
    from statsmodels.stats.proportion import proportion_confint

    expected = proportion_confint(*counts, alpha=1 - confidence, method="wilson")
    assert wilson_interval(*counts, confidence) == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_fraction_lies_inside_and_the_interval_inside_0_to_1(counts):
    low, high = wilson_interval(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


@pytest.mark.parametrize("arguments", [(0, 0), (-1, 5), (6, 5), (1, -1), (1, 2, 0.0), (1, 2, 1.0), (1, 2, 95)])
def test_bad_input(arguments):
    for interval in (wilson_interval, clopper_pearson_interval):
        with pytest.raises(ValueError, match=r"between|at least"):
            interval(*arguments)


@given(counts_of, st.floats(0.5, 0.999))
def test_clopper_pearson_as_statsmodels_has_it(counts, confidence):
    from statsmodels.stats.proportion import proportion_confint

    expected = proportion_confint(*counts, alpha=1 - confidence, method="beta")
    assert clopper_pearson_interval(*counts, confidence) == pytest.approx(expected, abs=1e-9)


def test_clopper_pearson_covers_what_it_says():
    """The exact coverage, summed over all counts, is never below 95 %."""
    from scipy.stats import binom

    for n in (5, 30):
        ends = [clopper_pearson_interval(k, n) for k in range(n + 1)]
        for p in np.linspace(0.01, 0.99, 99):
            assert sum(binom.pmf(k, n, p) for k, (low, high) in enumerate(ends) if low <= p <= high) >= 0.95


@given(counts_of, st.floats(0.5, 0.999))
def test_score_bounds_at_a_count_are_wilsons(counts, confidence):
    found = score_bounds(counts[0] / counts[1], counts[1], confidence)
    assert [float(it) for it in found] == pytest.approx(wilson_interval(*counts, confidence), abs=1e-12)


def test_score_bounds_without_uncertainty_have_no_width():
    assert [float(it) for it in score_bounds(0.3, np.inf)] == [0.3, 0.3]


@pytest.mark.parametrize(("correlation", "labels"), [(0.0, 375), (0.5, 281), (0.7, 191), (0.85, 104)])
def test_labels_needed_for_five_points(correlation, labels):
    """KNOWN_ANSWERS: ±5 points at prevalence .58."""
    assert labels_needed(0.05, 0.58, correlation) == labels


@pytest.mark.parametrize("arguments", [(0,), (1,), (0.05, 1.2), (0.05, 0.5, 1.0)])
def test_labels_needed_refuses(arguments):
    with pytest.raises(ValueError, match="between"):
        labels_needed(*arguments)


def test_people_alone():
    found = human_only([1] * 65 + [0] * 35)
    assert (found.value, *found.interval) == pytest.approx((0.65, 0.55254, 0.73636), abs=5e-6)
    assert (found.effective_n, found.gain) == (100, 1)
    nobody = human_only([])
    assert (nobody.value, nobody.interval, nobody.width, nobody.gain) == (None, None, None, None)
    assert "No person has judged" in nobody.why
    with pytest.raises(ValueError, match="unsure"):
        human_only([1, 0, 0.5])


def test_a_census_is_its_counts():
    assert Census.of([1, 0, 1, 1]) == Census.counted(3, 4) == Census(4, 0.75, 0.1875)
    for bad in ([], [1, np.nan], [[1]]):
        with pytest.raises(ValueError, match="census"):
            Census.of(bad)
    with pytest.raises(ValueError, match="no census"):
        Census.counted(5, 4)


@pytest.mark.parametrize("pi", [[0.5, 0.0], [0.5, 1.1], [0.5, np.nan]])
def test_an_item_without_a_probability_is_refused(pi):
    with pytest.raises(ValueError, match="disagreement queue"):
        probabilities_checked(pi, 2)
    with pytest.raises(ValueError, match="3 labels"):
        probabilities_checked([0.5, 0.5], 3)
