"""Intervals, against statsmodels and known answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.statistics.estimation import wilson_interval


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
    with pytest.raises(ValueError, match=r"between|at least"):
        wilson_interval(*arguments)
