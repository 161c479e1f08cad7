"""Does somebody still look, or press the same key? Long runs of one answer, one answer alone, too fast answers.

The indices are those for careless answers in surveys: the longest string of one answer (Johnson 2005, "Ascertaining
the validity of individual protocols from web-based personality inventories"; Meade and Craig 2012, "Identifying
careless responses in survey data", Psychological Methods 17) and less than two seconds an item (Huang, Curran, Keeney,
Poposki and DeShon 2012, "Detecting and deterring insufficient effort responding to surveys").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import exp, log

import numpy as np

from labelapp.statistics.estimation import Floats

IMPROBABLE = 0.001
"""A pattern that is rarer than this by chance is worth a look: of a thousand people one is warned of in vain."""
FEWEST = 20
"""Answers below which nothing is said."""
FAST_SECONDS = 2.0
FAST_SHARE = 0.5


@dataclass(frozen=True)
class Straight:
    """What looks like pressing one key; `warnings` are sentences, none where nothing does."""

    n: int
    longest: int  # run of one answer
    answer: Hashable  # which one
    probability: float | None  # of a run as long somewhere, the answers being independent at the person's own rates
    fast: float | None  # share of the timed answers that took less than FAST_SECONDS
    warnings: Sequence[str]


def straight(
    answers: Sequence[Hashable], seconds: Sequence[float | None], others: dict[Hashable, float] | None = None
) -> Straight:
    """A person's answers in the order of time, with the seconds that each took (None where it was not timed).

    others: how often others give each answer on the same items, which tells whether one answer alone is odd; None where
    nobody else judged them. Raises ValueError where the lengths differ.
    """
    if len(answers) != len(seconds):
        raise ValueError(f"Each answer needs its seconds, or None: {len(answers)} answers, {len(seconds)} times.")
    n = len(answers)
    longest, answer = longest_run(answers)
    timed = [it for it in seconds if it is not None]
    fast = sum(it < FAST_SECONDS for it in timed) / len(timed) if len(timed) >= FEWEST else None
    if n < FEWEST:
        return Straight(n, longest, answer, None, fast, ())
    counts = Counter(answers)
    probability = run_probability(n, longest, [count / n for count in counts.values()])
    warnings = []
    if probability < IMPROBABLE:
        warnings.append(
            f"{longest} times the same answer in a row: at this person's own rates so long a run comes with "
            f"probability {_written(probability)}."
        )
    if len(counts) == 1 and others is not None:
        chance = one_answer_probability(n, others.get(answer, 0.0))
        if chance < IMPROBABLE:
            warnings.append(
                f"Only ever the same answer in {n}, where others on these items give it in "
                f"{others.get(answer, 0.0):.0%}."
            )
    if fast is not None and fast > FAST_SHARE:
        warnings.append(f"{fast:.0%} of the answers took less than {FAST_SECONDS:g} seconds.")
    return Straight(n, longest, answer, probability, fast, tuple(warnings))


def longest_run(answers: Sequence[Hashable]) -> tuple[int, Hashable]:
    """The length of the longest run of equal answers, the first of several, and which answer; (0, None) of none."""
    runs = [(len(list(group)), value) for value, group in groupby(answers)]
    return max(runs, key=lambda it: it[0]) if runs else (0, None)


def run_probability(n: int, length: int, shares: Sequence[float]) -> float:
    """The probability that n independent answers hold a run of `length` or more equal ones.

    shares: [k], how probable each answer is; they sum to 1. Exact, the Markov-chain embedding of Fu and Koutras
    (1994), "Distribution theory of runs", Journal of the American Statistical Association 89. With s_k(m) the
    probability that a run of answer k begins at the m-th and none before it was so long, and q_k(m) that among the
    first m there is no such run and the m-th is k,

        s_k(1) = p_k,   s_k(m) = p_k Σ_{i ≠ k} q_i(m − 1),   q_k(m) = Σ_{j = 0}^{length − 2} s_k(m − j) p_k^j,

    a run is first complete at the (m + length − 1)-th answer with probability Σ_k s_k(m) p_k^(length − 1), and these
    are summed up to n. Raises ValueError for shares that are none.
    """
    p = np.asarray(shares, dtype=np.float64)
    if p.ndim != 1 or not len(p) or (p < 0).any() or abs(p.sum() - 1) > 1e-9:
        raise ValueError("The shares of the answers must not be negative, and sum to 1.")
    if not 1 <= length <= n:
        return 0.0 if length > n else 1.0
    complete = p ** (length - 1)
    begun: list[Floats] = []  # s(1), s(2), …
    open_ = np.zeros_like(p)  # q(m − 1)
    found = 0.0
    for m in range(1, n - length + 2):
        begun.append(p.copy() if m == 1 else p * (open_.sum() - open_))
        found += float(begun[-1] @ complete)
        over = begun[m - length] * complete if m >= length else 0.0  # s(m − length + 1), a run that is complete now
        open_ = p * open_ + begun[-1] - over
    return min(1.0, found)


def one_answer_probability(n: int, share: float) -> float:
    """share^n: that n independent answers are all the one which others give that often."""
    return exp(n * log(share)) if share > 0 else 0.0


def _written(probability: float) -> str:
    return f"{probability:.1g}" if probability >= 1e-12 else "below 1e-12"
