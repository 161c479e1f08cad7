"""Judges against a reference by kinds of clusters: by hand, and against scikit-learn, statsmodels and item by item."""

import numpy as np
import pytest
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar

from labelapp.statistics.agreement_card import agreement_card
from labelapp.statistics.clusters import clustered_share
from labelapp.statistics.contrasts import paired_judges
from labelapp.statistics.resampling import bootstrap
from labelapp.statistics.scoring import judge_scores, paired_scores


def kinds(rows):
    """Cluster by cluster to kinds with their frequencies."""
    found, counts = np.unique(np.asarray(rows), axis=0, return_counts=True)
    return found, counts


@pytest.fixture
def items():
    """300 vectors, of every third only one end; truth, two judges that lean on it, and the vector of each item."""
    rng = np.random.default_rng(5)
    vectors = np.array([v for v in range(300) for _ in range(1 if v % 3 == 0 else 2)])
    base = rng.random(300)[vectors]
    truth = base + 0.3 * rng.random(len(vectors)) > 0.6
    first = np.where(rng.random(len(vectors)) < 0.8, truth, rng.random(300)[vectors] > 0.5)
    second = np.where(rng.random(len(vectors)) < 0.6, truth, rng.random(300)[vectors] > 0.5)
    return truth, first, second, vectors


def cells_of(truth, judge, vectors):
    rows = np.zeros((vectors.max() + 1, 4))
    np.add.at(rows, (vectors, 2 * ~truth + ~judge), 1)
    return kinds(rows)


def test_by_hand():
    # One vector with both ends hit, one with a miss and a false alarm, two with one end that both call no.
    scores = judge_scores([[2, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], [1, 1, 2])
    assert (scores.n, scores.clusters, scores.table) == (6, 4, ((2, 1), (1, 2)))
    assert scores.accuracy.value == pytest.approx(4 / 6)
    assert scores.precision.value == scores.recall.value == pytest.approx(2 / 3)
    assert scores.kappa.value == pytest.approx(1 / 3)  # p_o = 2/3, p_e = 1/2
    assert scores.kappa.low is None and "4 clusters are too few" in scores.kappa.why


def test_scores_are_scikit_learns_and_intervals_those_of_the_items(items):
    truth, judge, _, vectors = items
    found = judge_scores(*cells_of(truth, judge, vectors))
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(truth, judge))
    assert found.precision.value == pytest.approx(metrics.precision_score(truth, judge))
    assert found.recall.value == pytest.approx(metrics.recall_score(truth, judge))
    assert found.kappa.value == pytest.approx(metrics.cohen_kappa_score(truth, judge))
    for coefficient, among, right in (
        (found.accuracy, np.ones(len(truth), bool), truth == judge),
        (found.precision, judge, truth),
        (found.recall, truth, judge),
    ):
        share = clustered_share(right[among], list(vectors[among]))
        assert (coefficient.low, coefficient.high) == pytest.approx((share.low, share.high))
    card = agreement_card(list(truth), list(judge), list(vectors))
    assert (found.kappa.low, found.kappa.high) == pytest.approx((card.kappa.low, card.kappa.high), abs=0.02)


def test_frequencies_stand_for_clusters_that_are_alike():
    rows = np.array([[1.0, 2.0]] * 30 + [[2.0, 2.0]] * 20 + [[0.0, 1.0]] * 50)

    def ratio(sums):
        return sums[:, 0] / sums[:, 1]

    apart = bootstrap(rows, ratio, resamples=20000)
    together = bootstrap(*[np.array([[1.0, 2.0], [2.0, 2.0], [0.0, 1.0]]), ratio], frequencies=[30, 20, 50],
                         resamples=20000)  # fmt: skip
    assert together == pytest.approx(apart, abs=0.01)


def test_one_item_a_cluster_is_the_paired_difference_without_clusters(items):
    truth, first, second, _ = items
    one, two = first == truth, second == truth
    rows = np.zeros((len(truth), 4))
    rows[np.arange(len(truth)), 2 * ~one + ~two] = 1
    found, alone = paired_scores(*kinds(rows)), paired_judges(one, two)
    assert (found.n, found.first_only, found.second_only) == (alone.n, alone.first_only, alone.second_only)
    assert found.difference == pytest.approx(alone.difference)
    # The variance over clusters is n / (n - 1) times that over items.
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-3)
    table = [[0, found.first_only], [found.second_only, 0]]
    assert found.p == pytest.approx(mcnemar(table, exact=True).pvalue) and found.p_clusters == found.p


def test_ends_that_go_together_make_the_interval_wider():
    alone = paired_scores([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]], [40, 20, 140])
    doubled = paired_scores([[0, 2, 0, 0], [0, 0, 2, 0], [2, 0, 0, 0]], [20, 10, 70])
    assert alone.difference == doubled.difference == pytest.approx(0.1)
    assert doubled.high - doubled.low > 1.3 * (alone.high - alone.low)
    assert doubled.p == alone.p and doubled.p_clusters == pytest.approx(
        mcnemar([[0, 20], [10, 0]], exact=True).pvalue
    )  # fmt: skip


def test_nothing_comparable_is_no_score():
    scores = judge_scores(np.empty((0, 4)), [])
    for it in (scores.accuracy, scores.precision, scores.recall, scores.kappa):
        assert it.value is None and it.why
    assert paired_scores(np.empty((0, 4)), []).difference is None
    never = judge_scores([[0, 1, 0, 0], [0, 0, 0, 1]], [9, 9])
    assert never.precision.value is None and "said yes to none" in never.precision.why
    assert never.recall.value == 0 and never.recall.high > 0.2
    assert judge_scores([[0, 0, 1, 0]], [3]).recall.value is None


def test_counts_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="needs its counts"):
        judge_scores([[1, 0, 0, 0]], [1, 2])


def test_intervals_cover():
    """1,000 times 60 vectors with two like ends: accuracy's and the difference's 95 % intervals hold at least 93 %."""
    rng = np.random.default_rng(1)
    p_first, p_second, hits, paired, n = 0.8, 0.7, 0, 0, 1000
    for _ in range(n):
        vectors = np.repeat(np.arange(60), 2)
        same = rng.random(60)[vectors] < 0.6  # both ends share their fate
        draw = np.where(same, rng.random(60)[vectors], rng.random(120))
        one = draw < p_first
        two = np.where(rng.random(120) < 0.7, draw, rng.random(120)) < p_second
        found = judge_scores(*cells_of(np.ones(120, bool), one, vectors))
        hits += found.accuracy.low <= p_first <= found.accuracy.high
        rows = np.zeros((60, 4))
        np.add.at(rows, (vectors, 2 * ~one + ~two), 1)
        difference = paired_scores(*kinds(rows))
        paired += difference.low <= p_first - p_second <= difference.high
    assert hits / n >= 0.93 and paired / n >= 0.93
