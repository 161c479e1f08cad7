"""Which estimate is shown and why, what stands beside it, and what is refused."""

import numpy as np
import pytest

from labelapp.statistics.estimation import Census
from labelapp.statistics.fraction import BIASED, OPEN_AS_NO, TOO_SHORT, choice, fraction_estimate
from labelapp.statistics.ppi import difference_estimate, ppi_mean
from labelapp.statistics.weighting import post_stratified


def drawn(n=250, share=0.55, size=3000, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < share
    told = np.where(rng.random(size) < 0.85, truth, ~truth).astype(int)
    places = rng.choice(size, n, replace=False)
    return truth[places].astype(int), told[places].tolist(), told.tolist()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n": 200, "share": 0.1}, "finite-census difference"),
        ({"n": 200, "share": 0.9, "finite": False}, "PPI++"),
        ({"n": 199, "share": 0.5}, "stratified Beta"),
        ({"n": 5000, "share": 0.09}, "stratified Beta"),
        ({"n": 5000, "share": None}, "stratified Beta"),
        ({"n": 5000, "share": 0.5, "equal": False}, "stratified Beta"),
        ({"n": 5000, "share": 0.5, "clustered": True}, "stratified Beta"),
    ],
)
def test_the_rule(arguments, name):
    found, why = choice(**arguments)
    assert found == name and why.endswith(".")


def test_all_stand_side_by_side():
    found = fraction_estimate(*drawn())
    assert found.recommended.method == "finite-census difference"
    assert {it.method for it in found.others} == {
        "stratified Beta", "human only (Wilson)", "post-stratified", "PPI++", "PPI, λ = 1",
    }  # fmt: skip
    assert all(it.low < it.value < it.high and not it.why for it in found.others)
    assert (found.n, found.n_census, found.estimand) == (250, 3000, "this census of directions")
    assert found.recommended.gain == pytest.approx(1 / (1 - found.correlation**2) / (1 - 250 / 3000), rel=0.02)
    beta = next(it for it in found.others if it.method == "stratified Beta")
    assert beta.width == pytest.approx(found.recommended.width, rel=0.05)
    assert fraction_estimate(*drawn(), finite=False).recommended.method == "PPI++"


def test_a_small_sample_says_that_normal_intervals_are_too_short():
    found = fraction_estimate(*drawn(40))
    assert found.recommended.method == "stratified Beta" and "40 labels, fewer than 200" in found.why
    notes = {it.method: it.why for it in found.others}
    assert notes["PPI++"] == TOO_SHORT and notes["human only (Wilson)"] == ""


def test_unequal_probabilities_are_weighted_and_the_rest_is_marked():
    human, machine, census = drawn()
    pi = np.where(np.arange(250) % 2, 0.05, 0.2)
    found = fraction_estimate(human, machine, census, pi=pi)
    notes = {it.method: it.why for it in found.others}
    assert found.recommended.method == "stratified Beta" and "unequal probability" in found.why
    assert notes["PPI++"] == notes["human only (Wilson)"] == BIASED
    assert notes["IPW difference (Horvitz-Thompson)"] == notes["IPW human only (Hájek)"] == ""
    with pytest.raises(ValueError, match="disagreement queue"):
        fraction_estimate(human, machine, census, pi=np.zeros(250))


def test_both_ends_of_a_vector_are_kept_together():
    human, machine, census = drawn()
    found = fraction_estimate(human, machine, census, clusters=np.arange(250) // 2)
    assert found.recommended.method == "stratified Beta" and "ends" in found.why
    alone = fraction_estimate(human, machine, census, clusters=range(250))
    assert alone.recommended.method == "finite-census difference"


def by_method(found):
    return {it.method: it for it in (found.recommended, *found.others)}


def test_a_machine_that_failed_on_some_is_a_stratum_of_its_own():
    """In the other formulas its open answers count as no: any prediction makes a valid correction."""
    human, machine, census = drawn()
    machine[3] = None
    census = [*census[:-40], *[None] * 40]
    found = fraction_estimate(human, machine, census)
    assert found.recommended.method == "stratified Beta" and "stratum of its own" in found.why
    as_no = fraction_estimate(human, [int(it == 1) for it in machine], [int(it == 1) for it in census])
    for name in ("PPI++", "PPI, λ = 1", "finite-census difference"):
        one, other = by_method(found)[name], by_method(as_no)[name]
        assert (one.value, one.low, one.high) == (other.value, other.low, other.high) and OPEN_AS_NO in one.why
    assert found.correlation == as_no.correlation


def test_open_answers_that_nobody_labelled_join_the_no():
    human, machine, census = drawn()
    census = [*census[:-9], *["failed"] * 5, *["unsure"] * 4]
    made = by_method(fraction_estimate(human, machine, census))["post-stratified"]
    sizes = {1: census.count(1), 0: census.count(0) + 9}
    joined = post_stratified(human, machine, sizes)
    assert (made.value, made.low) == pytest.approx((joined.value, joined.low))


@pytest.mark.parametrize("unequal", [False, True])
def test_every_interval_keeps_the_ends_of_a_vector_together(unequal):
    """Vectors whose two ends always agree, in people's and in the machine's verdicts, are worth half the labels: each
    interval is √2 as wide as if its ends were alone, Wilson's up to m / (m - 1)."""
    human, machine, census = drawn(300)
    human, machine = np.repeat(human, 2), np.repeat(machine, 2).tolist()
    pi = np.repeat(np.where(np.arange(300) % 3, 0.1, 0.3), 2) if unequal else None
    both = by_method(fraction_estimate(human, machine, census, pi=pi, clusters=np.arange(600) // 2))
    alone = by_method(fraction_estimate(human, machine, census, pi=pi))
    both["human only (Wilson)"] = both.pop("human only (Wilson, vectors)")
    assert set(both) == set(alone) and len(both) == (8 if unequal else 6)
    for name, it in both.items():
        assert it.value == pytest.approx(alone[name].value, abs=1e-9)
        assert it.width / alone[name].width == pytest.approx(np.sqrt(2), rel=0.01), name


def test_the_intervals_over_vectors_are_a_bootstraps():
    """Ends that agree in part: the PPI++ and difference intervals are as wide as percentiles of 2,000 resamples of
    whole vectors, within 6 %."""
    rng = np.random.default_rng(8)
    truth = np.repeat(rng.random(1500) < 0.55, 2)
    truth = np.where(rng.random(3000) < 0.2, rng.random(3000) < 0.55, truth)
    wrong = np.repeat(rng.random(1500) < 0.15, 2)
    told = np.where(wrong, ~truth, truth).astype(int)
    vectors = rng.choice(1500, 150, replace=False)
    ends = np.stack([2 * vectors, 2 * vectors + 1], 1)
    found = by_method(
        fraction_estimate(truth[ends].ravel(), told[ends].ravel().tolist(), told.tolist(), clusters=np.arange(300) // 2)
    )
    census = Census.of(told)
    drawn_again = rng.integers(0, 150, (2000, 150))
    made = [(truth[ends[it]].ravel().astype(float), told[ends[it]].ravel()) for it in drawn_again]
    for name, estimate in (("PPI++", ppi_mean), ("finite-census difference", difference_estimate)):
        low, high = np.quantile([estimate(h, f, census).value for h, f in made], [0.025, 0.975])
        rest = np.sqrt(1 - 300 / 3000) if name != "PPI++" else 1.0
        assert found[name].width == pytest.approx((high - low) * rest, rel=0.06), name


def test_too_few_labels_are_refused_with_a_sentence():
    found = fraction_estimate([1, 0, 1], [1, 0, 1], [1, 0] * 50)
    assert found.recommended.value is None and found.others == []
    assert "at least 10" in found.why and found.why == found.recommended.why


def test_a_machine_that_is_always_right_on_the_labels_is_not_believed_too_far():
    """50 labels without a disagreement: the normal intervals have no width, the recommended one does."""
    machine = [1] * 5 + [0] * 45
    found = fraction_estimate(machine, machine, [1] * 100 + [0] * 900)
    silent = {it.method: it for it in found.others}
    assert silent["finite-census difference"].low is None
    assert 0.03 < found.recommended.width < 0.2 and found.recommended.low < 0.1 < found.recommended.high


def test_input_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="disagree"):
        fraction_estimate([1, 0], [1], [1, 0, 1])


def test_a_census_may_be_counts():
    human, machine, census = drawn(60)
    assert fraction_estimate(human, machine, {0: census.count(0), 1: census.count(1)}) == fraction_estimate(
        human, machine, census
    )
