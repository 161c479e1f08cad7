"""Agreement against values worked out by hand, scikit-learn and crowd-kit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from labelapp.statistics.agreement import (
    cohens_kappa,
    contingency,
    gwets_ac1,
    krippendorff_alpha,
    prevalence,
    raw_agreement,
)
from tests.statistics.test_repeats import TEXTBOOK

pairs_of = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def test_a_table_worked_out_by_hand():
    """Cohen's kappa of 20, 5; 10, 15: p_o = .7, p_e = .5 · .6 + .5 · .4 = .5, kappa = .4."""
    table = [[20, 5], [10, 15]]
    assert raw_agreement(table) == pytest.approx(0.7)
    assert cohens_kappa(table) == pytest.approx(0.4)


def test_high_agreement_at_an_uneven_prevalence_is_little_kappa():
    """90, 5; 5, 0: both say yes in 95 %, p_o = .9, p_e = .905, kappa = -.005 / .095."""
    assert cohens_kappa([[90, 5], [5, 0]]) == pytest.approx(-0.005 / 0.095)


def test_the_table_counts_pairs():
    table = contingency([True, True, False, False, True], [True, False, False, True, True])
    assert table.tolist() == [[2, 1], [1, 1]]
    three = contingency(["a", "b", "c", "a"], ["a", "c", "c", "b"], categories=("a", "b", "c"))
    assert three.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("table", "agreement"), [([[0, 0], [0, 0]], None), ([[7, 0], [0, 0]], 1.0), ([[0, 0], [0, 3]], 1.0)]
)
def test_what_is_not_defined_is_none(table, agreement):
    assert raw_agreement(table) == agreement
    assert cohens_kappa(table) is None


def test_opposite_constants_are_defined_and_zero():
    """One always says yes, the other always no: p_o = p_e = 0."""
    assert cohens_kappa([[0, 4], [0, 0]]) == 0
    assert raw_agreement([[0, 4], [0, 0]]) == 0


@pytest.mark.parametrize(("a", "b"), [([True], [True, False]), ([[True]], [[True]])])
def test_unequal_judges_are_refused(a, b):
    with pytest.raises(ValueError, match="same items"):
        contingency(a, b)


def test_a_verdict_outside_the_categories_is_refused():
    with pytest.raises(ValueError, match="none of"):
        contingency(["yes", "maybe"], ["yes", "no"], categories=("yes", "no"))


def test_what_is_no_table_is_refused():
    for table in ([1, 2], [[1, 2]], [[-1, 2], [3, 4]]):
        with pytest.raises(ValueError, match="square"):
            cohens_kappa(table)


@given(pairs_of)
def test_as_scikit_learn_has_it(pairs):
    a, b = (list(column) for column in zip(*pairs, strict=True))
    table = contingency(a, b)
    assert table.tolist() == confusion_matrix(a, b, labels=[True, False]).tolist()
    kappa = cohens_kappa(table)
    if kappa is None:
        assert len(set(a) | set(b)) == 1
    else:
        assert kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)


@given(pairs_of)
def test_the_order_of_the_judges_and_of_the_verdicts_does_not_matter(pairs):
    table = contingency(*zip(*pairs, strict=True))
    for other in (table.T, table[::-1, ::-1]):
        assert cohens_kappa(other) == cohens_kappa(table)
        assert raw_agreement(other) == raw_agreement(table)


def expected_table(rate, right=0.95, n=8_000_000):
    """Counts, as expected, of two judges who are right with probability `right`, each by itself."""
    yes, no = np.array([right, 1 - right]), np.array([1 - right, right])
    return np.round(n * (rate * np.outer(yes, yes) + (1 - rate) * np.outer(no, no)))


@pytest.mark.parametrize(("rate", "kappa", "ac1"), [(0.5, 0.81, 0.81), (0.95, 0.45, 0.89)])
def test_known_answers_by_prevalence(rate, kappa, ac1):
    """KNOWN_ANSWERS: two judges right with probability .95."""
    table = expected_table(rate)
    assert cohens_kappa(table) == pytest.approx(kappa, abs=0.005)
    assert gwets_ac1(table) == pytest.approx(ac1, abs=0.005)
    assert raw_agreement(table) == pytest.approx(0.905)
    assert prevalence(table) == pytest.approx(0.05 + 0.9 * rate)


def test_ac1_worked_out_by_hand():
    """Gwet (2008), table 5: 118, 5; 2, 0 of 125; p_o = .944, π = .972, p_e = .054432, AC1 = .94078."""
    assert gwets_ac1([[118, 5], [2, 0]]) == pytest.approx((0.944 - 0.054432) / (1 - 0.054432))
    assert gwets_ac1([[0, 0], [0, 0]]) is None
    assert gwets_ac1([[4, 0], [0, 0]]) == 1
    three = [[10, 1, 0], [1, 5, 1], [0, 1, 1]]  # shares .55, .35, .1: p_e = (.2475 + .2275 + .09) / 2
    assert gwets_ac1(three) == pytest.approx((0.8 - 0.2825) / (1 - 0.2825))
    with pytest.raises(ValueError, match="two categories"):
        gwets_ac1([[3]])


def test_alpha_of_judges_who_did_not_judge_all():
    width = max(map(len, TEXTBOOK))
    ratings = list(zip(*([*unit, *[None] * (width - len(unit))] for unit in TEXTBOOK), strict=True))
    assert krippendorff_alpha(ratings) == pytest.approx(0.743, abs=0.0005)
    assert krippendorff_alpha([[1, None], [None, 0]]) is None
    assert krippendorff_alpha([[1, 1], [1, None]]) is None
    with pytest.raises(ValueError, match="place for every item"):
        krippendorff_alpha([[1, 0], [1]])


def test_alpha_as_crowd_kit_has_it():
    from crowdkit.metrics.data import alpha_krippendorff
    from pandas import DataFrame

    rng = np.random.default_rng(3)
    ratings = [[None if rng.random() < 0.3 else int(rng.random() < 0.6) for _ in range(40)] for _ in range(4)]
    rows = [(item, judge, it) for judge, row in enumerate(ratings) for item, it in enumerate(row) if it is not None]
    oracle = alpha_krippendorff(DataFrame(rows, columns=["task", "worker", "label"]))
    assert krippendorff_alpha(ratings) == pytest.approx(oracle, abs=1e-9)
