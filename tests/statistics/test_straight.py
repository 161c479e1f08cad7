"""Long runs: known answers from the literature, and an oracle that counts every sequence."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from labelapp.statistics.straight import (
    FAST_SECONDS,
    longest_run,
    one_answer_probability,
    run_probability,
    straight,
)


def enumerated(n, length, shares):
    """Every sequence of n answers, one by one, in exact fractions."""
    total = Fraction(0)
    for answers in product(range(len(shares)), repeat=n):
        if longest_run(answers)[0] >= length:
            weight = Fraction(1)
            for answer in answers:
                weight *= shares[answer]
            total += weight
    return total


def chained(n, length, shares):
    """The Markov chain itself, its whole transition matrix to the n-th power: (answer, run so far) and an end."""
    k, width = len(shares), length - 1
    matrix = np.zeros((k * width + 1, k * width + 1))
    matrix[-1, -1] = 1
    for answer in range(k):
        for run in range(width):
            state = answer * width + run
            for nextone in range(k):
                if nextone != answer:
                    matrix[state, nextone * width] += shares[nextone]
                elif run + 1 < width:
                    matrix[state, answer * width + run + 1] += shares[answer]
                else:
                    matrix[state, -1] += shares[answer]
    start = np.zeros(k * width + 1)
    start[[answer * width for answer in range(k)]] = shares
    return (start @ np.linalg.matrix_power(matrix, n - 1))[-1]


def test_two_hundred_tosses_of_a_coin():
    """Schilling (1990), "The longest run of heads", College Mathematics Journal 21: a run of six or more, heads or
    tails, comes in 96.5 % of 200 tosses."""
    assert run_probability(200, 6, [0.5, 0.5]) == pytest.approx(0.965, abs=5e-4)


def test_small_cases_by_hand():
    assert run_probability(2, 2, [0.5, 0.5]) == 0.5
    assert run_probability(3, 2, [0.5, 0.5]) == 0.75  # all but 010 and 101
    assert run_probability(3, 3, [0.5, 0.5]) == 0.25
    assert run_probability(4, 5, [0.5, 0.5]) == 0
    assert run_probability(1, 1, [0.2, 0.8]) == 1
    assert run_probability(5, 3, [1.0]) == 1


@pytest.mark.parametrize("shares", [[Fraction(1, 2), Fraction(1, 2)], [Fraction(1, 5), Fraction(4, 5)],
                                    [Fraction(1, 10), Fraction(3, 10), Fraction(6, 10)]])  # fmt: skip
def test_against_every_sequence(shares):
    n = 8 if len(shares) == 3 else 11
    for length in range(1, n + 1):
        expected = float(enumerated(n, length, shares))
        assert run_probability(n, length, [float(it) for it in shares]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "length", "shares"), [(300, 15, [0.6, 0.3, 0.1]), (1000, 40, [0.8, 0.2]),
                                                     (60, 20, [0.5, 0.5])])  # fmt: skip
def test_against_the_chains_matrix(n, length, shares):
    assert run_probability(n, length, shares) == pytest.approx(chained(n, length, shares), rel=1e-9)


def test_shares_that_are_none():
    for shares in ([], [0.5, 0.6], [-0.1, 1.1]):
        with pytest.raises(ValueError, match="shares"):
            run_probability(10, 2, shares)


def test_who_looks_is_not_warned_of():
    rng = np.random.default_rng(5)
    warned = 0
    for _ in range(200):
        answers = rng.choice(["yes", "no", "unsure"], size=150, p=[0.55, 0.4, 0.05]).tolist()
        warned += bool(straight(answers, rng.gamma(4, 2, 150).tolist()).warnings)
    assert warned <= 1  # one of a thousand


def test_a_run_that_is_no_chance():
    answers = ["yes", "no"] * 30 + ["yes"] * 25
    found = straight(answers, [6.0] * len(answers))
    assert (found.n, found.longest, found.answer) == (85, 25, "yes")
    assert found.probability == pytest.approx(run_probability(85, 25, [55 / 85, 30 / 85]))
    assert found.probability < 0.001 and "25 times the same answer in a row" in found.warnings[0]


def test_one_answer_alone_is_judged_by_what_others_say():
    answers, seconds = ["yes"] * 40, [6.0] * 40
    assert straight(answers, seconds).warnings == ()  # nobody to compare with
    assert straight(answers, seconds, {"yes": 0.95}).warnings == ()
    (warning,) = straight(answers, seconds, {"yes": 0.6}).warnings
    assert "others on these items give it in 60%" in warning
    assert one_answer_probability(40, 0.6) == pytest.approx(0.6**40)
    assert one_answer_probability(40, 0.0) == 0


def test_answers_that_come_too_fast():
    answers = ["yes", "no"] * 15
    found = straight(answers, [FAST_SECONDS / 2] * 20 + [9.0] * 10)
    assert found.fast == pytest.approx(2 / 3) and "67% of the answers" in found.warnings[0]
    assert straight(answers, [9.0] * 30).fast == 0
    assert straight(answers, [None] * 30).fast is None  # not timed


def test_of_few_answers_nothing_is_said():
    found = straight(["yes"] * 19, [0.5] * 19, {"yes": 0.1})
    assert found.probability is None and found.warnings == () and found.longest == 19
    assert straight([], []).longest == 0
    with pytest.raises(ValueError, match="seconds"):
        straight(["yes"], [])
