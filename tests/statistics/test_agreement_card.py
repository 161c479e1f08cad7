"""The agreement card: all coefficients together, intervals over vectors, refusals in sentences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.statistics.agreement import cohens_kappa, gwets_ac1, krippendorff_alpha
from labelapp.statistics.agreement_card import ac1s, agreement_card, agreement_card_counted, alphas, kappas
from labelapp.statistics.estimation import wilson_interval
from tests.statistics.released import released, simulated_humans


def judged(yes_yes, yes_no, no_yes, no_no):
    pairs = [(True, True)] * yes_yes + [(True, False)] * yes_no + [(False, True)] * no_yes + [(False, False)] * no_no
    return [a for a, _ in pairs], [b for _, b in pairs]


@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_many_tables_at_once_as_one_by_one(cells):
    table = [[cells[0], cells[1]], [cells[2], cells[3]]]
    for at_once, alone in ((kappas, cohens_kappa(table)), (ac1s, gwets_ac1(table)), (alphas, alpha_of(cells))):
        found = float(at_once(np.array([cells], dtype=float))[0])
        assert (None if np.isnan(found) else found) == (None if alone is None else pytest.approx(alone, abs=1e-9))


def alpha_of(cells):
    return krippendorff_alpha(judged(*cells))


def test_the_card_of_the_released_labels():
    """KNOWN_ANSWERS: C against the simulated human on the 100, kappa .56967."""
    labeler, verifier = released()
    human, places = simulated_humans(labeler, verifier)
    card = agreement_card(human[places].tolist(), (labeler & verifier)[places].tolist())
    assert (card.n, card.clusters, card.left_out) == (100, 100, 0)
    assert card.table == ((49, 16), (5, 30))
    assert card.kappa.value == pytest.approx(0.56967, abs=5e-6)
    assert card.raw.value == pytest.approx(0.79)
    assert (card.raw.low, card.raw.high) == pytest.approx(wilson_interval(79, 100))
    assert card.prevalence == pytest.approx(0.595)
    assert card.yes_shares == (pytest.approx(0.65), pytest.approx(0.54))
    for it in (card.kappa, card.alpha, card.ac1):
        assert it.low < it.value < it.high


def test_the_bootstrap_is_as_wide_as_the_large_sample_formula():
    """Fleiss, Cohen and Everitt's standard error of kappa (1969), from statsmodels."""
    from statsmodels.stats.inter_rater import cohens_kappa as oracle

    found = agreement_card(*judged(120, 30, 25, 125), resamples=4000)
    expected = oracle(np.array([[120, 30], [25, 125]]))
    assert found.kappa.value == pytest.approx(expected.kappa)
    assert found.kappa.high - found.kappa.low == pytest.approx(2 * 1.96 * expected.std_kappa, rel=0.06)


def test_two_ends_that_say_the_same_are_one_observation():
    one, two = judged(30, 6, 8, 26)
    alone = agreement_card(one, two)
    doubled = agreement_card(one * 2, two * 2, [*range(70), *range(70)])
    assert doubled.n == 140 and doubled.clusters == 70
    assert (doubled.kappa.low, doubled.kappa.high) == pytest.approx((alone.kappa.low, alone.kappa.high))
    assert (doubled.raw.low, doubled.raw.high) == pytest.approx((alone.raw.low, alone.raw.high))


def test_what_only_one_judged_is_left_out_and_counted():
    one, two = judged(20, 5, 5, 20)
    card = agreement_card([*one, None, True, None], [*two, False, None, None])
    assert (card.n, card.left_out) == (50, 2)


def test_refusals_are_sentences():
    nothing = agreement_card([True, None], [None, False])
    assert (nothing.n, nothing.raw.value, nothing.kappa.value, nothing.prevalence) == (0, None, None, None)
    assert "no direction in common" in nothing.kappa.why and nothing.yes_shares == (None, None)
    same = agreement_card(*judged(40, 0, 0, 0))
    assert same.kappa.value is None and "only ever said the same" in same.kappa.why
    assert same.raw.value == 1 and same.raw.low < 0.95
    few = agreement_card(*judged(3, 1, 1, 3))
    assert few.kappa.value == pytest.approx(0.5) and few.kappa.low is None and "at least 10" in few.kappa.why
    perfect = agreement_card(*judged(20, 0, 0, 20))
    assert perfect.kappa.value == 1 and perfect.kappa.low is None and "resampling cannot say" in perfect.kappa.why
    with pytest.raises(ValueError, match="same items"):
        agreement_card([True], [True, False])


def test_from_counts_of_vectors_it_is_the_same_card():
    """A database counts kinds of vectors; the draws are those over the directions one by one."""
    rng = np.random.default_rng(8)
    first = rng.random(240) < 0.55
    second = np.where(rng.random(240) < 0.75, first, ~first)
    vectors = [it // 2 if it < 160 else it for it in range(240)]
    ends = {}
    for vector, a, b in zip(vectors, first, second, strict=True):
        ends.setdefault(vector, [0, 0, 0, 0])[2 * (not a) + (not b)] += 1
    kinds, alike = np.unique(list(ends.values()), axis=0, return_counts=True)
    assert agreement_card_counted(kinds, alike) == agreement_card(first.tolist(), second.tolist(), vectors)
    million = agreement_card_counted(kinds, alike * 10_000)
    assert million.n == 2_400_000 and million.kappa.high - million.kappa.low < 0.005
    with pytest.raises(ValueError, match="its frequency"):
        agreement_card_counted([[1, 0, 0, 0]], [1, 2])
