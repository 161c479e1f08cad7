"""Calibration and operating points against scikit-learn."""

import numpy as np
import pytest

from labelapp.statistics.estimation import clopper_pearson_interval, wilson_interval
from labelapp.statistics.operating import reliability_curve, sensitivity_at


def answers(n=400, seed=0):
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.beta(2, 1, n), 2)
    return confidence, (rng.random(n) < confidence**1.5).astype(float)


def test_the_curve_as_scikit_learn_has_it():
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import brier_score_loss

    confidence, h = answers()
    confidence = np.clip(confidence + 0.003, 0, 1)  # off the edges, which belong to the upper bin here
    found = reliability_curve(confidence, h)
    shares, means = calibration_curve(h, confidence, n_bins=10)
    filled = [it for it in found.bins if it.n]
    assert [it.share for it in filled] == pytest.approx(shares)
    assert [it.confidence for it in filled] == pytest.approx(means)
    assert found.brier == pytest.approx(brier_score_loss(h, confidence))
    assert sum(it.n for it in found.bins) == found.n == 400


def test_bins_by_hand():
    found = reliability_curve([0.0, 0.5, 0.6, 1.0, *[0.7] * 12], [0, 1, 0, 1, *[1] * 9, *[0] * 3], bins=2)
    assert [(it.n, it.share) for it in found.bins] == [(1, 0.0), (15, 11 / 15)]
    assert found.bins[0].low is None
    assert (found.bins[1].low, found.bins[1].high) == wilson_interval(11, 15)
    assert found.expected_error == pytest.approx(15 / 16 * abs(10.5 / 15 - 11 / 15))


def test_a_curve_of_nothing_is_none():
    found = reliability_curve([], [])
    assert (found.brier, found.expected_error) == (None, None) and "No direction has both" in found.why
    for bad in (([1.2], [1]), ([0.5], [1, 0])):
        with pytest.raises(ValueError, match="confidence from 0 to 1"):
            reliability_curve(*bad)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
def test_the_operating_point_is_on_the_roc_curve(seed, ties):
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(seed)
    scores, controls = rng.normal(1.2, 1, 150), rng.normal(0, 1, 90)
    if ties:
        scores, controls = np.round(scores), np.round(controls)
    found = sensitivity_at(scores, controls)
    false, true, _ = roc_curve([1] * 150 + [0] * 90, [*scores, *controls], drop_intermediate=False)
    assert found.sensitivity == pytest.approx(true[false <= 0.05].max())
    assert found.false_positives == pytest.approx(false[false <= 0.05].max()) and found.false_positives <= 0.05


def test_the_interval_allows_for_the_threshold_too():
    rng = np.random.default_rng(9)
    few = sensitivity_at(rng.normal(1, 1, 300), rng.normal(0, 1, 40))
    exact = clopper_pearson_interval(round(few.sensitivity * 300), 300)
    assert few.low < exact[0] < exact[1] < few.high
    perfect = sensitivity_at([5.0] * 30, rng.normal(0, 1, 40))
    assert perfect.sensitivity == 1 and perfect.low == pytest.approx(clopper_pearson_interval(30, 30)[0])


def test_the_interval_covers_the_true_sensitivity():
    """Normal scores one apart: at 5 % of the controls, Φ(1 − 1.645) = .2595 of the directions pass."""
    rng = np.random.default_rng(4)
    inside = 0
    for seed in range(200):
        found = sensitivity_at(rng.normal(1, 1, 120), rng.normal(0, 1, 120), resamples=400, seed=seed)
        inside += found.low <= 0.2595 <= found.high
    assert inside >= 0.9 * 200


def test_too_few_controls_are_refused():
    found = sensitivity_at([1.0, 2.0], [0.0] * 19)
    assert found.sensitivity is None and "19 controls are too few" in found.why
    assert "No direction" in sensitivity_at([], [0.0] * 40).why
    for bad in (([np.nan], [0.0] * 40, 0.05), ([1.0], [0.0] * 40, 0.0)):
        with pytest.raises(ValueError, match=r"not a number|rate"):
            sensitivity_at(*bad)


def test_a_bins_interval_keeps_the_ends_of_a_vector_together():
    """Twelve vectors whose ends always agree, four of them yes: Wilson's interval at 11, the vectors less one."""
    human = np.repeat([1] * 4 + [0] * 8, 2)
    (found,) = [it for it in reliability_curve([0.35] * 24, human, clusters=np.arange(24) // 2).bins if it.n]
    assert (found.low, found.high) == pytest.approx(wilson_interval(11 / 3, 11))
    (alone,) = [it for it in reliability_curve([0.35] * 24, human).bins if it.n]
    assert (alone.low, alone.high) == pytest.approx(wilson_interval(8, 24))


def test_sensitivity_keeps_the_ends_of_a_vector_together():
    """Each end twice is worth each end once; as in a bootstrap that draws whole vectors and controls' vectors."""
    rng = np.random.default_rng(2)
    scores, noise = rng.beta(3, 2, 120), rng.beta(2, 3, 200)
    once = sensitivity_at(scores, noise)
    doubled = {"clusters": np.arange(240) // 2, "control_clusters": np.arange(400) // 2}
    twice = sensitivity_at(np.repeat(scores, 2), np.repeat(noise, 2), **doubled)
    assert twice.sensitivity == once.sensitivity
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), abs=0.015)
    alone = sensitivity_at(np.repeat(scores, 2), np.repeat(noise, 2))
    assert alone.high - alone.low < 0.8 * (twice.high - twice.low)
    again = []
    for _ in range(2000):
        drawn = np.sort(rng.choice(noise, 200))
        again.append((rng.choice(scores, 120) > drawn[189]).mean())
    low, high = np.quantile(again, [0.025, 0.975])
    assert twice.high - twice.low == pytest.approx(high - low, rel=0.1)
