"""Differences against statsmodels and scipy, and their refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.statistics.contrasts import net_of_control, paired_by_matrix, paired_judges, slice_difference
from labelapp.statistics.estimation import Estimate, human_only


def share(yes, n):
    return human_only([1] * yes + [0] * (n - yes))


NOBODY = share(0, 0)


@pytest.mark.parametrize(("first", "second"), [((56, 70), (48, 80)), ((0, 20), (3, 40)), ((9, 10), (10, 10))])
def test_two_slices_as_statsmodels_has_newcombes_interval(first, second):
    from statsmodels.stats.proportion import confint_proportions_2indep

    found = slice_difference(share(*first), share(*second))
    expected = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff")
    assert found.value == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert found.interval == pytest.approx(expected, abs=1e-9)


def test_newcombes_own_example():
    """Newcombe (1998), table II: 56/70 against 48/80 by method 10, .0524 to .3339."""
    assert slice_difference(share(56, 70), share(48, 80)).interval == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_net_of_a_control_that_is_known():
    """With c known the net is linear in p: (p − c)/(1 − c) at both ends."""
    fraction = Estimate("p", 100, 0.6, 0.5, 0.7)
    found = net_of_control(fraction, Estimate("c", 1000, 0.2, 0.2, 0.2))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.375, 0.625))
    untouched = net_of_control(fraction, Estimate("c", 1000, 0.0, 0.0, 0.0))
    assert (untouched.value, untouched.low, untouched.high) == pytest.approx((0.6, 0.5, 0.7))


def test_net_of_a_control_rate_as_simulation_has_it():
    """MOVER's ends are near the percentiles over draws of both shares from their large-sample distributions."""
    found = net_of_control(share(540, 900), share(60, 300))
    rng = np.random.default_rng(0)
    p, c = rng.normal(0.6, np.sqrt(0.24 / 900), 200_000), rng.normal(0.2, np.sqrt(0.16 / 300), 200_000)
    assert found.value == pytest.approx(0.5)
    assert found.interval == pytest.approx(np.quantile((p - c) / (1 - c), [0.025, 0.975]), abs=0.003)


def test_noise_that_passes_more_often_gives_a_negative_net():
    found = net_of_control(share(10, 100), share(20, 100))
    assert found.value == pytest.approx(-0.125) and found.low < found.value < found.high


def test_what_has_nothing_to_be_compared_with_is_none():
    for made in (slice_difference(share(3, 10), NOBODY), net_of_control(NOBODY, share(3, 10))):
        assert made.value is None and "No person has judged" in made.why
    assert "Every control passed" in net_of_control(share(3, 10), share(10, 10)).why
    bare = Estimate("p", 3, 0.5, why="Too few.")
    for made in (slice_difference(bare, share(3, 10)), net_of_control(bare, share(3, 10))):
        assert made.value is not None and made.low is None and made.why == "Too few."


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_mcnemar_as_statsmodels_has_it(pairs):
    from statsmodels.stats.contingency_tables import mcnemar

    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    found = paired_judges(first, second)
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    oracle = mcnemar([[0, b], [c, 0]], exact=True).pvalue if b + c else 1.0
    assert (found.first_only, found.second_only) == (b, c)
    assert found.p == pytest.approx(oracle)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert -1 <= found.low <= found.difference <= found.high <= 1


def test_the_paired_interval_is_walds_with_two_labels_added():
    first, second = [1] * 30 + [0] * 12 + [1] * 20 + [0] * 8, [1] * 30 + [1] * 12 + [0] * 20 + [0] * 8
    found = paired_judges(first, second)
    gap = np.concatenate([np.array(first) - np.array(second), [0.5, 0.5, -0.5, -0.5]])
    # Half a label in each cell: 0, 0, +1/2, −1/2 to the sum, +1/2 each to the sum of squares.
    n, total, squares = 72, gap.sum(), (gap[:70] ** 2).sum() + 1
    half = 1.959964 * np.sqrt(squares / n - (total / n) ** 2) / np.sqrt(n)
    assert (found.low, found.high) == pytest.approx((total / n - half, total / n + half), abs=1e-6)


def test_judges_without_a_common_item():
    nothing = paired_judges([], [])
    assert (nothing.difference, nothing.p) == (None, None) and "no item in common" in nothing.why
    with pytest.raises(ValueError, match="same items"):
        paired_judges([1], [1, 0])


def test_matrices_as_scipy_has_them():
    from scipy.stats import permutation_test, ttest_rel

    first, second = [0.6, 0.7, 0.55, 0.8, 0.62, 0.5, 0.71], [0.5, 0.66, 0.57, 0.6, 0.6, 0.41, 0.7]
    found = paired_by_matrix(first, second)
    expected = ttest_rel(first, second).confidence_interval(0.95)
    flips = permutation_test(
        (first, second), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples", vectorized=True
    )
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.p == pytest.approx(flips.pvalue)
    many = paired_by_matrix(np.linspace(0.4, 0.8, 30), np.linspace(0.3, 0.7, 30) + np.tile([0.05, -0.05], 15))
    assert many.p < 0.001 and many.low < 0.1 < many.high


def test_matrices_without_a_spread_or_a_pair():
    one = paired_by_matrix([0.5], [0.4])
    assert one.difference == pytest.approx(0.1) and one.low is None and "Fewer than two" in one.why
    assert paired_by_matrix([], []).difference is None
    alike = paired_by_matrix([0.5, 0.75], [0.25, 0.5])
    assert alike.low is None and "spread says nothing" in alike.why
    with pytest.raises(ValueError, match="both bases"):
        paired_by_matrix([0.5], [0.4, 0.3])
