"""Draws: known answers, probabilities worked out exactly by another route, and frequencies over many seeds."""

from fractions import Fraction
from itertools import combinations, pairwise, product
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from labelapp.statistics.sampling import (
    allocate,
    grid_hits,
    inclusion_probabilities,
    proportional_to_weight,
    simple_random,
    stratified,
)

# Cochran, "Sampling Techniques" (1977), table 5.1: corn on farms of seven sizes.
FARMS = [394, 461, 391, 334, 169, 113, 148]
CORN = [8.3, 13.3, 15.1, 19.8, 24.5, 26.0, 35.2]
WEIGHTS = np.array([0.1, 0.5, 0.2, 0.4, 0.3, 0.5, 0.1, 0.25, 0.35, 4.0])
SEEDS = 4000


def frequencies(draw, population, seeds=SEEDS):
    counts = np.zeros(population)
    for seed in range(seeds):
        counts[draw(seed).units] += 1
    return counts / seeds


def assert_like(found, expected, seeds=SEEDS):
    """Within 4.5 standard errors each; the seeds are fixed, so the answer is always the same."""
    errors = np.sqrt(np.maximum(expected * (1 - expected), 1e-12) / seeds)
    assert (np.abs(found - expected) <= 4.5 * errors + 1e-12).all()


# Simple random


def test_a_simple_random_sample_takes_every_set_equally_often():
    sets = dict.fromkeys(combinations(range(5), 2), 0)
    for seed in range(SEEDS):
        sets[tuple(sorted(simple_random(5, 2, seed).units.tolist()))] += 1
    expected = 1 / comb(5, 2)
    assert_like(np.array(list(sets.values())) / SEEDS, np.full(10, expected))


def test_the_order_of_a_sample_is_random_too():
    firsts = np.zeros(4)
    for seed in range(SEEDS):
        firsts[simple_random(4, 4, seed).units[0]] += 1
    assert_like(firsts / SEEDS, np.full(4, 0.25))


def test_a_seed_draws_the_same_for_ever():
    """Python keeps the sequence of `random.Random(seed).random()`; these were read off it by hand."""
    # random.Random(7).random(): .3238, .1508, .6509, .0724, .5359, …: the three smallest are units 3, 1 and 0.
    assert sorted(simple_random(5, 3, 7).units.tolist()) == [0, 1, 3]
    assert simple_random(5, 3, 7).units.tolist() == simple_random(5, 3, 7).units.tolist()


# Strata


def test_each_stratum_gives_its_number_at_its_rate():
    strata = np.array([0, 1, 1, 0, 1, 1, 1, 2, 2, 0])
    sample = stratified(strata, [1, 3, 2], seed=5)
    assert np.bincount(strata[sample.units]).tolist() == [1, 3, 2]
    assert sample.probabilities.tolist() == [1 / 3, 0.6, 0.6, 1 / 3, 0.6, 0.6, 0.6, 1, 1, 1 / 3]
    assert_like(frequencies(lambda seed: stratified(strata, [1, 3, 2], seed), 10), sample.probabilities)


def test_the_queue_tells_nothing_of_the_strata():
    """The stratum of whoever stands first is as likely as its share of the sample."""
    strata = np.repeat([0, 1], [100, 10])
    firsts = sum(strata[stratified(strata, [5, 5], seed).units[0]] for seed in range(SEEDS))
    assert_like(np.array([firsts / SEEDS]), np.array([0.5]))


@pytest.mark.parametrize("allocation", [[0, 2], [3, 2], [2], [1, 1, 1]])
def test_a_stratum_without_a_chance_is_refused(allocation):
    with pytest.raises(ValueError, match=r"n must lie between 1 and|strata and"):
        stratified(np.array([0, 0, 1, 1]), allocation, seed=1)


# Allocation


def test_cochrans_farms():
    assert allocate(FARMS, 100) == [20, 23, 19, 17, 8, 6, 7]
    assert allocate(FARMS, 100, CORN) == [10, 18, 17, 19, 12, 9, 15]


def variance(sizes, deviations, taken):
    return sum(
        Fraction(size) ** 2 * Fraction(it) ** 2 * (Fraction(1, n) - Fraction(1, size))
        for size, it, n in zip(sizes, deviations, taken, strict=True)
    )


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 8)), min_size=1, max_size=4),
    st.integers(1, 2),
    st.floats(0, 1),
)
def test_no_other_numbers_give_a_smaller_variance(strata, least, share):
    """All allocations are tried, in exact arithmetic."""
    sizes, deviations = zip(*strata, strict=True)
    lowest = sum(min(least, size) for size in sizes)
    n = lowest + round(share * (sum(sizes) - lowest))
    found = allocate(sizes, n, deviations, least=least)
    assert sum(found) == n and all(min(least, size) <= it <= size for it, size in zip(found, sizes, strict=True))
    others = product(*(range(min(least, size), size + 1) for size in sizes))
    best = min(variance(sizes, deviations, it) for it in others if sum(it) == n)
    assert variance(sizes, deviations, found) == best


def test_what_never_varies_is_drawn_least():
    assert allocate([50, 50], 20, [0.0, 0.5]) == [2, 18]
    assert allocate([50, 10], 20, [0.0, 0.5]) == [10, 10], "what is left over goes there all the same"
    assert allocate([1, 50], 10) == [1, 9], "a stratum of one gives all it has"


@pytest.mark.parametrize("n", [3, 101])
def test_too_few_or_too_many_are_refused(n):
    with pytest.raises(ValueError, match="n must lie between 4 and 100"):
        allocate([50, 50], n)


# By weight


def test_probabilities_follow_the_weights():
    assert inclusion_probabilities(np.array([1, 2, 3, 4]), 2).tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8])
    # 3 · 10/16 > 1: it is certain, and the others share two places by 1, 2 and 3 of 6; then 2 · 3/6 = 1 is as well.
    assert inclusion_probabilities(np.array([1, 2, 3, 10]), 3).tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert inclusion_probabilities(np.array([1, 2, 3]), 3).tolist() == [1, 1, 1]


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.floats(0, 1))
def test_probabilities_sum_to_the_sample(weights, share):
    n = max(1, round(share * len(weights)))
    found = inclusion_probabilities(np.array(weights), n)
    assert found.sum() == pytest.approx(n) and (found > 0).all() and (found <= 1).all()
    free = found < 1
    ratios = found[free] / np.array(weights)[free]
    assert ratios == pytest.approx(ratios[0]) if len(ratios) else True


@pytest.mark.parametrize("weights", [[1.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_a_unit_that_could_never_be_drawn_is_refused(weights):
    with pytest.raises(ValueError, match="above 0"):
        inclusion_probabilities(np.array(weights), 1)


def test_the_grid_hits_each_interval_on_exactly_its_length_of_starts():
    """In exact arithmetic: between the breaks the hits do not change, so π is the length of the pieces that hit."""
    lengths = [Fraction(it, 20) for it in (3, 7, 19, 1, 12, 11, 7)]
    ends = [sum(lengths[: k + 1]) for k in range(len(lengths))]
    assert ends[-1] == 3
    breaks = sorted({Fraction(0), Fraction(1), *(end % 1 for end in ends)})
    found = [Fraction(0)] * len(lengths)
    for low, high in pairwise(breaks):
        hits = grid_hits(np.array([float(it) for it in lengths]), 3, float((low + high) / 2))
        assert len(set(hits.tolist())) == 3
        for place in hits:
            found[place] += high - low
    assert found == lengths


def test_every_unit_is_drawn_as_often_as_its_probability_says():
    sample = proportional_to_weight(WEIGHTS, 4, seed=0)
    assert sample.probabilities[9] == 1 and sample.probabilities.sum() == pytest.approx(4)

    def draw(seed):
        drawn = proportional_to_weight(WEIGHTS, 4, seed)
        assert len(set(drawn.units.tolist())) == 4
        return drawn

    assert_like(frequencies(draw, len(WEIGHTS)), sample.probabilities)


def test_weighting_by_the_probabilities_gives_the_population_back():
    """Of a population whose yes goes with its weight the plain share of the sample is wrong, the weighted one not."""
    weights = np.repeat([1.0, 4.0], 50)
    yes = np.repeat([0, 1], [60, 40])
    plain, weighted = [], []
    for seed in range(SEEDS):
        sample = proportional_to_weight(weights, 20, seed)
        said, chance = yes[sample.units], sample.probabilities[sample.units]
        plain.append(said.mean())
        weighted.append((said / chance).sum() / len(yes))
        if seed == 0:  # statsmodels weights alike
            assert DescrStatsW(said, 1 / chance).sum == pytest.approx(weighted[0] * len(yes))
    error = np.std(weighted) / sqrt(SEEDS)
    assert np.mean(weighted) == pytest.approx(0.4, abs=4 * error)
    low, high = proportion_confint(round(np.sum(plain) * 20), SEEDS * 20, alpha=1e-6, method="wilson")
    assert not low <= 0.4 <= high


def test_a_large_population_with_nearly_certain_units_gives_exactly_n():
    weights = np.random.default_rng(3).pareto(1.1, 20_000) + 1e-6
    sample = proportional_to_weight(weights, 5_000, seed=11)
    assert len(set(sample.units.tolist())) == 5_000
    assert (sample.probabilities > 0).all() and (sample.probabilities == 1).sum() > 100


@pytest.mark.parametrize("draw", [lambda n: simple_random(5, n, 1), lambda n: proportional_to_weight(np.ones(5), n, 1)])
@pytest.mark.parametrize("n", [0, 6])
def test_more_than_there_are_is_refused(draw, n):
    with pytest.raises(ValueError, match="between 1 and 5"):
        draw(n)
