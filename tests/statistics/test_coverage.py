"""The coverage benchmark measures what is shown: its intervals are the estimators own, its samples have their π."""

import numpy as np
import pytest

from benchmarks.coverage import KINDS, Cell, census_of, intervals, joint, machine_rates, outcome_of, sample
from labelapp.statistics.estimation import Census
from labelapp.statistics.fraction import fraction_estimate


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize(("n", "prevalence"), [(30, 0.03), (60, 0.5), (400, 0.5)])
def test_its_intervals_are_what_the_functions_give(unequal, n, prevalence):
    rng = np.random.default_rng(n)
    cell = Cell(unequal, False, prevalence, 0.8, n)
    sizes = census_of(cell, machine_rates(prevalence, 0.8)[1], rng)
    pi = n * KINDS[:, 2] / (sizes @ KINDS[:, 2])
    kinds = np.array([np.repeat(np.arange(12), row) for row in sample(sizes, pi, cell, 5, rng)])
    h, f = KINDS[kinds, 0], KINDS[kinds, 1]
    census = Census.counted(int(sizes @ KINDS[:, 1]), int(sizes.sum()))
    found = intervals(h, f, pi[kinds], census, unequal)
    counts = {1: round(census.mean * census.size), 0: round((1 - census.mean) * census.size)}
    for row in range(5):
        made = fraction_estimate(h[row], f[row].tolist(), counts, pi=pi[kinds[row]] if unequal else None)
        named = {"recommended": made.recommended, **{it.method: it for it in made.others}}
        for name, (low, high) in found.items():
            if name in named and named[name].interval is not None:
                assert named[name].interval == pytest.approx((low[row], high[row]), abs=1e-8)


def test_its_samples_have_the_probabilities_that_they_claim():
    rng = np.random.default_rng(1)
    cell = Cell(True, False, 0.5, 0.0, 30)
    sizes = census_of(cell, 0.4, rng)
    pi = cell.n * KINDS[:, 2] / (sizes @ KINDS[:, 2])
    drawn = sample(sizes, pi, cell, 20_000, rng)
    assert (drawn.sum(axis=1) == 30).all() and sizes.sum() == 4320
    assert drawn.mean(axis=0) == pytest.approx(sizes * pi, rel=0.03)


def test_its_machines_have_the_correlation_that_they_claim():
    for prevalence, correlation in ((0.03, -0.3), (0.5, 0.8), (0.97, 0.0)):
        for rate in machine_rates(prevalence, correlation):
            table = joint(prevalence, correlation, np.array(rate))
            assert table.min() >= 0 and table.sum() == pytest.approx(1)
            spread = np.sqrt(prevalence * (1 - prevalence) * rate * (1 - rate))
            assert (table[0] - prevalence * rate) / spread == pytest.approx(correlation)


def test_a_cell_measures_every_estimator_with_three_machines():
    found = outcome_of(Cell(True, True, 0.5, 0.8, 50), 200, seed=0)
    assert len(found.covered) == 8 and all(len(it) == 3 for it in found.covered.values())
    assert found.coverage("recommended") > 0.9 and 0 < found.mean_width("recommended") < 1
