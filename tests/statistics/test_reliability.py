"""Repeat agreement against values worked out by hand, scikit-learn's kappa and statsmodels' standard error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from labelapp.statistics.reliability import agreement, label_agreement

looks = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60)


def pairs(yes_yes, yes_no, no_yes, no_no):
    cells = [(True, True)] * yes_yes + [(True, False)] * yes_no + [(False, True)] * no_yes + [(False, False)] * no_no
    return [a for a, _ in cells], [b for _, b in cells]


def test_worked_out_by_hand():
    """20, 5; 10, 15: agreement .7 and kappa .4 (as in test_agreement)."""
    first, second = pairs(20, 5, 10, 15)
    found = agreement(first, second, range(50))
    assert found.share.value == pytest.approx(0.7) and found.share.n == 50
    assert found.kappa == pytest.approx(0.4)


def test_the_interval_of_kappa_is_that_of_statsmodels_where_clusters_are_of_one():
    from statsmodels.stats.inter_rater import cohens_kappa

    table = (20, 5, 10, 15)
    expected = cohens_kappa(np.array(table).reshape(2, 2))
    found = agreement(*pairs(*table), range(50))
    se = (found.kappa_high - found.kappa_low) / (2 * 1.959964)
    assert se == pytest.approx(expected.std_kappa * np.sqrt(50 / 49), rel=1e-6)


def test_both_ends_of_a_vector_are_one_observation():
    first, second = pairs(20, 5, 10, 15)
    single = agreement(first, second, range(50))
    double = agreement(np.repeat(first, 2), np.repeat(second, 2), [place // 2 for place in range(100)])
    assert double.kappa == pytest.approx(single.kappa)
    assert (double.kappa_low, double.kappa_high) == pytest.approx((single.kappa_low, single.kappa_high))
    # of items that are alone it is Wilson's own, of clusters with a variance for m - 1
    assert double.share.low == pytest.approx(single.share.low, abs=0.002)


@given(looks)
def test_as_scikit_learn_has_it(found_pairs):
    first, second = zip(*found_pairs, strict=True)
    found = agreement(first, second, range(len(first)))
    assert found.share.value == pytest.approx(np.mean(np.equal(first, second)))
    if found.kappa is None:
        assert len({*first, *second}) == 1
    else:
        assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
        assert found.kappa_low is None or -1 <= found.kappa_low <= found.kappa <= found.kappa_high <= 1


def test_what_is_not_defined_is_none():
    nothing = agreement([], [], [])
    assert (nothing.share.value, nothing.kappa) == (None, None)
    alone = agreement([True] * 5, [True] * 5, range(5))
    assert alone.share.value == 1 and alone.kappa is None, "chance would agree always"
    perfect = agreement([True, False] * 5, [True, False] * 5, range(10))
    assert perfect.kappa == 1 and perfect.kappa_low is None, "nothing varies"


def test_labels_are_compared_as_they_stand_and_by_their_key():
    found = label_agreement(["animals", "Animals.", "verbs", "war"], ["animals", "animals", "nouns", "War"], range(4))
    assert found.exact.value == 0.25 and found.normalised.value == 0.75
    assert label_agreement([], [], []).exact.value is None
    with pytest.raises(ValueError, match="zip"):
        label_agreement(["a"], [], [0])
