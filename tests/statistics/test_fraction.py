"""Which estimate is shown and why, what stands beside it, and what is refused."""

import numpy as np
import pytest

from labelapp.statistics.fraction import BIASED, TOO_SHORT, choice, fraction_estimate


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


def test_a_machine_that_failed_on_some_is_a_stratum_of_its_own():
    human, machine, census = drawn()
    machine[3] = None
    census = [*census[:-40], *[None] * 40]
    found = fraction_estimate(human, machine, census)
    assert found.recommended.method == "stratified Beta" and found.correlation is None
    gaps = {it.method: it for it in found.others}["PPI++"]
    assert gaps.value is None and "no verdict on some" in gaps.why


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
