"""The cluster bootstrap against the textbook's variance, and its refusals."""

import numpy as np
import pytest

from labelapp.statistics.estimation import Census
from labelapp.statistics.ppi import difference_estimate
from labelapp.statistics.resampling import bootstrap, cluster_sums, corrected_over_layers, over_layers


def test_sums_over_clusters():
    assert cluster_sums([[1, 2], [3, 4], [5, 6]], ["b", "a", "b"]).tolist() == [[6, 8], [3, 4]]
    with pytest.raises(ValueError, match="its cluster"):
        cluster_sums([[1, 2]], ["a", "b"])


def test_layers_as_a_sample():
    """Its width is that of the ratio's linearised variance over layers (Cochran 1977, eq. 6.10)."""
    rng = np.random.default_rng(5)
    counts = rng.integers(20, 40, 36)
    yes = rng.binomial(counts, rng.beta(6, 4, 36))
    found = over_layers(yes, counts, resamples=6000)
    share = yes.sum() / counts.sum()
    gap = yes - share * counts
    half = 1.959964 * np.sqrt(len(counts) * (gap**2).sum() / len(counts)) / counts.sum()
    assert found.value == pytest.approx(share) and found.n == counts.sum()
    assert found.width == pytest.approx(2 * half, rel=0.06)


def test_with_human_labels_it_is_the_difference_estimator():
    rng = np.random.default_rng(6)
    layers = np.repeat(np.arange(24), 60)
    truth = rng.random(1440) < rng.beta(8, 6, 24)[layers]
    told = np.where(rng.random(1440) < 0.85, truth, ~truth).astype(float)
    places = rng.choice(1440, 200, replace=False)
    found = corrected_over_layers(truth[places], told[places], layers[places], told, layers)
    census = difference_estimate(truth[places].astype(float), told[places], Census.of(told))
    assert found.value == pytest.approx(census.value)
    assert found.width > census.width  # layers differ, and these are a sample of them
    assert found.low < found.value < found.high


def test_refusals():
    few = over_layers([5, 6], [10, 10])
    assert few.value == 0.55 and few.low is None and "2 layers are too few" in few.why
    assert over_layers([0], [0]).value is None
    alike = over_layers([5] * 12, [10] * 12)
    assert alike.low is None and "same value" in alike.why
    rare = np.zeros((10, 2))
    rare[0] = 1
    assert "too few of one verdict" in bootstrap(rare, lambda it: np.where(it[:, 0] > 0, it[:, 1], np.nan))
    assert "at least 3" in corrected_over_layers([1], [1], ["a"], [1, 0], ["a", "b"]).why
    with pytest.raises(ValueError, match="does not have"):
        corrected_over_layers([1], [1], ["c"], [1, 0], ["a", "b"])


def test_the_same_seed_gives_the_same_interval():
    yes, counts = np.arange(12), np.full(12, 20)
    assert over_layers(yes, counts, seed=3) == over_layers(yes, counts, seed=3)
    assert over_layers(yes, counts, seed=3) != over_layers(yes, counts, seed=4)


def test_clusters_that_are_alike_may_be_drawn_by_their_number():
    """The interval is that of drawing each cluster by itself, resample by resample."""
    rng = np.random.default_rng(8)
    sums = np.column_stack([rng.random(60) < 0.3, np.ones(60)]).astype(float)
    found = bootstrap(sums, lambda it: it[:, 0] / it[:, 1], resamples=20_000)
    drawn = sums[rng.integers(0, 60, (20_000, 60)), 0].mean(axis=1)
    assert found == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1 / 60 + 1e-9)
