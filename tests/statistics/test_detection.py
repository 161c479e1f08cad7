"""The detection score against a value worked out by hand, scikit-learn's and statsmodels'."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from labelapp.statistics.detection import CHANCE, detection

tokens_of = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5)), min_size=6, max_size=90)


def test_worked_out_by_hand():
    """Two lists of 2 + 2: 3 of 4 own tokens found, 1 of 4 others picked: (3/4 + 3/4) / 2."""
    own = [1, 1, 0, 0, 1, 1, 0, 0]
    picked = [1, 1, 0, 0, 1, 0, 1, 0]
    found = detection(own, picked, [7, 7, 7, 7, 8, 8, 8, 8])
    assert (found.hits, found.own, found.false_alarms, found.others, found.clusters) == (3, 4, 1, 4, 2)
    assert found.score == 0.75 and found.low < 0.75 < found.high


@given(tokens_of)
def test_as_scikit_learn_has_it(tokens):
    own, picked, lists = (np.array(column) for column in zip(*tokens, strict=True))
    found = detection(own, picked, lists.tolist())
    if own.all() or not own.any():
        assert found.score is None and found.low is None, "with one kind alone there is no score"
        return
    assert found.score == pytest.approx(balanced_accuracy_score(own, picked))
    assert 0 <= found.low <= found.score <= found.high <= 1


def test_the_interval_rests_on_the_variance_of_cluster_robust_regression():
    """The score is the mean of two coefficients: of right answers among own tokens and among others."""
    import statsmodels.api as sm

    from labelapp.statistics.estimation import wilson_interval

    rng = np.random.default_rng(3)
    lists = np.repeat(np.arange(40), 10)
    ability = np.repeat(rng.random(40), 10)
    own = rng.random(400) < 0.4
    picked = np.where(rng.random(400) < ability, own, rng.random(400) < 0.5)
    found = detection(own, picked, lists.tolist())
    design = np.stack([own, ~own], axis=1).astype(float)
    fit = sm.OLS((own == picked).astype(float), design).fit(
        cov_type="cluster", cov_kwds={"groups": lists, "use_correction": False}
    )
    variance = float(fit.cov_params().sum()) / 4 * 40 / 39
    n = found.score * (1 - found.score) / variance
    assert n < 400
    assert (found.low, found.high) == pytest.approx(wilson_interval(found.score * n, n))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_who_guesses_is_at_chance(share):
    rng = np.random.default_rng(11)
    own = np.tile([True, False], 3000)
    found = detection(own, rng.random(6000) < share, np.repeat(np.arange(600), 10).tolist())
    assert found.low <= CHANCE <= found.high


def test_a_perfect_judge_scores_one_and_its_interval_counts_lists():
    own = np.tile([True, False], 20)
    found = detection(own, own, [place // 4 for place in range(40)])
    assert found.score == 1 and found.high == 1 and 0.6 < found.low < 0.8


def test_bad_input():
    with pytest.raises(ValueError, match="either picked or not"):
        detection([True], [True, False], [1])
    with pytest.raises(ValueError, match="needs its cluster"):
        detection([True, False], [True, False], [1])
