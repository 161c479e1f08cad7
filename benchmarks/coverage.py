"""What the recommended 95 % interval covers, and how wide it is beside those of the other estimators.

`./tea bench coverage` draws samples of people's labels from a census of 4,320 directions, again and again, for each
cell of n × prevalence × correlation of machine and human truth × equal or unequal π × exact or noisy raters.

- Estimand: the census's mean of the verdict that a rater is expected to give. Exact raters say the truth; noisy ones
  err in 5 % of their verdicts, each by itself.
- A machine of a given correlation may say yes too often or too seldom. Each cell is run with three machines, whose
  rates of yes span what the correlation allows (within 1.2 of the prevalence's log odds where it can). An estimator's
  coverage in a cell is its lowest over the three, its width the mean over them: it has to hold whatever the bias.
- Unequal π: sizes 1, 2 and 4, and directions with a meaning more often large (.2, .3, .5; the others .5, .3, .2);
  samples of fixed size n by rejection (Hájek 1964), π in proportion to size.
- Where an estimator says nothing, its interval is 0 to 1. Intervals are cut off at 0 and 1 before their width is taken.
- The best of a cell is the narrowest of the others that covers 93 % or more there. Under unequal π only those that use
  π are compared: the formulas for equal π are biased there, and where one covers, n is too small to show it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from benchmarks.harness import Bench
from labelapp.statistics.corrected import CORRECTED, beta_bounds, beta_moments, weighted_value
from labelapp.statistics.estimation import Census, Floats, normal_quantile, score_bounds
from labelapp.statistics.fraction import choice
from labelapp.statistics.ppi import DIFFERENCE, PPI_ONE, PPI_PLUS, difference_moments, ppi_moments
from labelapp.statistics.weighting import (
    HAJEK,
    HORVITZ_THOMPSON,
    POST_STRATIFIED,
    ipw_difference_moments,
    ipw_human_moments,
    post_stratified_moments,
)

DIRECTIONS = 4320
LABELS = (30, 50, 100, 400)
PREVALENCES = (0.03, 0.5, 0.97)
CORRELATIONS = (-0.3, 0.0, 0.8)
NOISE = 0.05
SIZES = (1.0, 2.0, 4.0)
KINDS = np.array([(truth, machine, size) for truth in (1, 0) for machine in (1, 0) for size in SIZES])
"""Truth, machine's verdict and size of every kind of direction."""
SIZE_SHARES = {True: (0.2, 0.3, 0.5), False: (0.5, 0.3, 0.2)}
ENOUGH, WIDEST = 0.93, 1.1
HUMAN = "human only (Wilson)"
CHUNK = 1000
Z = normal_quantile(0.95)
Bounds = tuple[Floats, Floats]


@dataclass(frozen=True)
class Cell:
    unequal: bool
    noisy: bool
    prevalence: float
    correlation: float
    n: int

    @property
    def design(self) -> str:
        return f"{'unequal' if self.unequal else 'equal'} π, {'noisy' if self.noisy else 'exact'} raters"


@dataclass(frozen=True)
class Outcome:
    """By estimator: coverage with each machine, and mean width with each."""

    covered: dict[str, list[float]]
    width: dict[str, list[float]]

    def coverage(self, name: str) -> float:
        return min(self.covered[name])

    def mean_width(self, name: str) -> float:
        return float(np.mean(self.width[name]))

    @property
    def rivals(self) -> list[str]:
        """The others that are made for the cell's design."""
        weighted = [it for it in self.covered if it in (HAJEK, HORVITZ_THOMPSON)]
        return weighted or [it for it in self.covered if it != "recommended"]

    @property
    def best(self) -> str | None:
        """The narrowest of the others that covers enough."""
        enough = [it for it in self.rivals if self.coverage(it) >= ENOUGH]
        return min(enough, key=self.mean_width) if enough else None

    @property
    def ratio(self) -> float | None:
        return self.mean_width("recommended") / self.mean_width(self.best) if self.best else None

    @property
    def ratios_by_machine(self) -> Iterator[float]:
        """The same against the narrowest that covers with one machine, be it by the luck of its bias."""
        for place in range(3):
            enough = [self.width[it][place] for it in self.rivals if self.covered[it][place] >= ENOUGH]
            if enough:
                yield self.width["recommended"][place] / min(enough)


def run(bench: Bench) -> None:
    parser = argparse.ArgumentParser(prog="./tea bench coverage")
    parser.add_argument("--repeats", type=int, default=2000, help="samples for each cell and machine (2000)")
    repeats = parser.parse_args(list(bench.arguments)).repeats
    bench.libraries += ["numpy", "scipy"]
    cells = [Cell(*it) for it in product((False, True), (False, True), PREVALENCES, CORRELATIONS, LABELS)]
    outcomes = {cell: outcome_of(cell, repeats, seed) for seed, cell in enumerate(cells)}
    report(bench, outcomes, repeats)


def outcome_of(cell: Cell, repeats: int, seed: int) -> Outcome:
    covered: dict[str, list[float]] = {}
    width: dict[str, list[float]] = {}
    for number, rate in enumerate(machine_rates(cell.prevalence, cell.correlation)):
        rng = np.random.default_rng((seed, number))
        sizes = census_of(cell, rate, rng)
        pi = cell.n * KINDS[:, 2] / (sizes @ KINDS[:, 2])
        share = sizes @ KINDS[:, 0] / DIRECTIONS
        target = share * (1 - NOISE) + (1 - share) * NOISE if cell.noisy else share
        census = Census.counted(int(sizes @ KINDS[:, 1]), DIRECTIONS)
        counts = sample(sizes, pi, cell, repeats, rng)
        wrong = rng.binomial(counts, NOISE) if cell.noisy else np.zeros_like(counts)
        # Samples alike in all that matters give the same intervals, and are reckoned once.
        rows, often = np.unique(np.concatenate([counts - wrong, wrong], axis=1), axis=0, return_counts=True)
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            kinds = np.array([np.repeat(np.arange(2 * len(KINDS)), row) for row in part])
            truth, f, _ = KINDS[kinds % len(KINDS)].transpose(2, 0, 1)
            h = np.where(kinds < len(KINDS), truth, 1 - truth)
            found = intervals(h, f, pi[kinds % len(KINDS)], census, cell.unequal)
            weight = often[start : start + CHUNK] / repeats
            for name, (low, high) in found.items():
                for kept in (covered, width):
                    if number == len(kept.setdefault(name, [])):
                        kept[name].append(0.0)
                covered[name][-1] += float(weight @ ((low <= target) & (target <= high)))
                width[name][-1] += float(weight @ (np.minimum(high, 1) - np.maximum(low, 0)))
    return Outcome(covered, width)


def machine_rates(prevalence: float, correlation: float) -> list[float]:
    """Three rates of yes that a machine with this correlation may have, in log odds at 10, 50 and 90 % of the range."""
    rates = np.linspace(0.001, 0.999, 1997)
    table = joint(prevalence, correlation, rates)
    possible = rates[(table >= 0).all(axis=0)]
    near = possible[np.abs(log_odds(possible) - log_odds(np.array(prevalence))) <= 1.2]
    span = log_odds(near if len(near) > 1 else possible)
    return [float(1 / (1 + np.exp(-(span[0] + (span[-1] - span[0]) * place)))) for place in (0.1, 0.5, 0.9)]


def log_odds(share: Floats) -> Floats:
    result: Floats = np.log(share / (1 - share))
    return result


def joint(prevalence: float, correlation: float, rate: Floats) -> Floats:
    """The shares of truth × machine: yes/yes, yes/no, no/yes, no/no, [4, ...]."""
    spread = np.sqrt(prevalence * (1 - prevalence) * rate * (1 - rate))
    both = prevalence * rate + correlation * spread
    return np.array([both, prevalence - both, rate - both, 1 - prevalence - rate + both])


def census_of(cell: Cell, rate: float, rng: np.random.Generator) -> np.ndarray:
    """How many directions there are of each of KINDS."""
    shares = joint(cell.prevalence, cell.correlation, np.array(rate))
    counts = np.round(shares * DIRECTIONS).astype(int)
    counts[3] = DIRECTIONS - counts[:3].sum()
    if not cell.unequal:
        return np.array([[it, 0, 0] for it in counts]).ravel()
    return np.array([rng.multinomial(it, SIZE_SHARES[place < 2]) for place, it in enumerate(counts)]).ravel()


def sample(sizes: np.ndarray, pi: Floats, cell: Cell, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """How many of each of KINDS are in samples of n, [repeats, kinds]: at random, or with unequal π by rejection.

    Poisson samples of another size than n are rejected (Hájek 1964); what is left has inclusion probabilities within a
    tenth of a per cent of π.
    """
    if not cell.unequal:
        return rng.multivariate_hypergeometric(sizes, cell.n, size=repeats)
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < repeats:
        drawn = rng.binomial(sizes, pi, size=(20 * repeats, len(sizes)))
        kept.append(drawn[drawn.sum(axis=1) == cell.n])
    return np.concatenate(kept)[:repeats]


def intervals(h: Floats, f: Floats, pi: Floats, census: Census, unequal: bool) -> dict[str, Bounds]:
    """Every estimator's interval for each row of h, f and π, [repeats, n]."""
    n, yes, said = h.shape[1], h.sum(1), f.sum(1)
    sizes = np.array([1 - census.mean, census.mean]) * census.size
    agreed = (h * f).sum(1)
    found = {
        HUMAN: score_bounds(yes / n, n),
        PPI_PLUS: normal(*ppi_moments(h, f, census)[:2]),
        PPI_ONE: normal(*ppi_moments(h, f, census, 1.0)[:2]),
        DIFFERENCE: normal(*difference_moments(h, f, census)[:2]),
        POST_STRATIFIED: normal(
            *post_stratified_moments(
                np.stack([yes - agreed, agreed], -1), np.stack([n - said, said], -1), np.broadcast_to(sizes, (1, 2))
            )
        ),
    }
    if unequal:
        found[HAJEK] = normal(*ipw_human_moments(h, pi))
        found[HORVITZ_THOMPSON] = normal(*ipw_difference_moments(h, f, pi, census))
    found["recommended"] = recommended(h, f, pi, census, found[DIFFERENCE], unequal)
    return found


def recommended(h: Floats, f: Floats, pi: Floats, census: Census, difference: Bounds, unequal: bool) -> Bounds:
    """What `fraction.fraction_estimate` would show of each sample."""
    shares = np.array([1 - census.mean, census.mean])
    strata = f.astype(np.intp)
    moments = beta_moments(h, strata, pi, shares)
    value = weighted_value(h, strata, pi, shares)
    value = np.where(np.isnan(value), moments.mean, value)
    low, high = beta_bounds(moments.mean, moments.effective_n, h.shape[1] - 2)
    low, high = np.minimum(low, value), np.maximum(high, value)
    beta = np.array([choice(h.shape[1], it, equal=not unequal)[0] == CORRECTED for it in value])
    return np.where(beta, low, difference[0]), np.where(beta, high, difference[1])


def normal(value: Floats, variance: Floats) -> Bounds:
    half = Z * np.sqrt(np.maximum(variance, 0))
    silent = ~np.isfinite(value) | ~(variance > 0)
    return np.where(silent, 0.0, value - half), np.where(silent, 1.0, value + half)


def report(bench: Bench, outcomes: dict[Cell, Outcome], repeats: int) -> None:
    bench.note(
        f"{repeats} samples for each of {len(outcomes)} cells and 3 machines. Each entry: lowest coverage of the "
        "recommended interval in per cent over the machines / its width over that of the best of the others; – where "
        "none of the others covers 93 %."
    )
    designs = list(dict.fromkeys(cell.design for cell in outcomes))
    rows = {(it.prevalence, it.correlation, it.n): it for it in outcomes}
    by_place = {(cell.design, cell.prevalence, cell.correlation, cell.n): it for cell, it in outcomes.items()}
    bench.table(
        ["prevalence", "ρ", "n", *designs],
        [
            [f"{place[0]:g}", f"{place[1]:g}", place[2], *(entry(by_place[design, *place]) for design in designs)]
            for place in rows
        ],
    )
    names = list(dict.fromkeys(name for outcome in outcomes.values() for name in outcome.covered))
    bench.note("All estimators: in how many cells each covers 93 %, its lowest coverage, how often it is the best.")
    bench.table(
        ["estimator", *(f"{it}: covers, lowest" for it in designs), "best of the others in"],
        [[name, *(summary(outcomes, name, design) for design in designs), bests(outcomes, name)] for name in names],
    )
    ratios = [it.ratio for it in outcomes.values() if it.ratio is not None]
    alone = sum(it.ratio is None for it in outcomes.values())
    single = [ratio for it in outcomes.values() for ratio in it.ratios_by_machine]
    above = sum(it > WIDEST for it in single)
    bench.note(
        f"In {alone} cells none of the others covers 93 %. Were each machine a cell of its own, an estimator could be "
        f"best by the luck that it has no bias with this machine: the ratio would then be above {WIDEST} in {above} of "
        f"{len(single)}, and {max(single):.2f} at most."
    )
    bench.at_least("coverage_lowest", min(it.coverage("recommended") for it in outcomes.values()), "share", ENOUGH)
    bench.at_most("width_over_best", max(ratios), "x", WIDEST)
    bench.at_least("repeats", repeats, "samples", 1000)


def entry(outcome: Outcome) -> str:
    ratio = "–" if outcome.ratio is None else f"{outcome.ratio:.2f}"
    return f"{100 * outcome.coverage('recommended'):.1f} / {ratio}"


def summary(outcomes: dict[Cell, Outcome], name: str, design: str) -> str:
    shares = [it.coverage(name) for cell, it in outcomes.items() if cell.design == design and name in it.covered]
    return f"{sum(it >= ENOUGH for it in shares)} of {len(shares)}, {100 * min(shares):.0f} %" if shares else "–"


def bests(outcomes: dict[Cell, Outcome], name: str) -> str:
    return "" if name == "recommended" else str(sum(it.best == name for it in outcomes.values()))
