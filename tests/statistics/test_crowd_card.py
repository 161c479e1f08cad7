"""How people agree among themselves: against crowd-kit, the two-judge card, and values worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from labelapp.statistics.agreement import krippendorff_alpha
from labelapp.statistics.agreement_card import agreement_card
from labelapp.statistics.crowd_card import crowd_card


def test_worked_out_by_hand():
    """Items with 2 of 3, 3 of 3, 0 of 2 and 1 of 2 yes, and one that one person judged."""
    card = crowd_card([2, 3, 0, 1, 1], [3, 3, 2, 2, 1], "abcde")
    assert (card.n, card.verdicts, card.left_out) == (4, 10, 1)
    assert card.raw.value == pytest.approx((1 / 3 + 1 + 1 + 0) / 4)
    share = (2 / 3 + 1 + 0 + 1 / 2) / 4
    assert card.prevalence == pytest.approx(share)
    by_chance = 2 * share * (1 - share)
    assert card.ac1.value == pytest.approx((card.raw.value - by_chance) / (1 - by_chance))
    # D_o = (4/2 + 0 + 0 + 2/1) / 10, D_e = 2 · 6 · 4 / (10 · 9)
    assert card.alpha.value == pytest.approx(1 - (4 / 10) / (48 / 90))
    assert card.alpha.low is None and "at least 10" in card.alpha.why


def test_alpha_is_crowd_kits():
    from crowdkit.metrics.data import alpha_krippendorff

    rng = np.random.default_rng(3)
    said = [[None if rng.random() < 0.4 else bool(rng.random() < 0.6) for _ in range(60)] for _ in range(4)]
    rows = [(item, worker, it) for worker, row in enumerate(said) for item, it in enumerate(row) if it is not None]
    counts = [[row[item] for row in said if row[item] is not None] for item in range(60)]
    card = crowd_card([sum(it) for it in counts], [len(it) for it in counts], range(60))
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    several = frame[frame.groupby("task")["task"].transform("size") > 1]
    assert card.alpha.value == pytest.approx(alpha_krippendorff(several))
    assert card.alpha.value == pytest.approx(krippendorff_alpha(said))
    assert card.alpha.low < card.alpha.value < card.alpha.high and card.ac1.low < card.ac1.value < card.ac1.high


def test_two_people_on_every_item_are_the_two_judge_card():
    rng = np.random.default_rng(4)
    first = rng.random(90) < 0.6
    second = np.where(rng.random(90) < 0.8, first, ~first)
    vectors = [it // 2 for it in range(90)]
    two = agreement_card(first.tolist(), second.tolist(), vectors, resamples=4000)
    many = crowd_card(first.astype(int) + second, [2] * 90, vectors, resamples=4000)
    assert (many.n, many.clusters) == (two.n, two.clusters)
    for name in ("raw", "ac1", "alpha"):
        mine, theirs = getattr(many, name), getattr(two, name)
        assert mine.value == pytest.approx(theirs.value), name
        assert mine.high - mine.low == pytest.approx(theirs.high - theirs.low, rel=0.1), name
    assert many.prevalence == pytest.approx(two.prevalence)


def test_what_is_not_defined_is_none_with_its_sentence():
    nothing = crowd_card([1, 0], [1, 1], "ab")
    assert (nothing.n, nothing.left_out, nothing.alpha.value) == (0, 2, None) and "No two people" in nothing.raw.why
    same = crowd_card([2] * 12, [2] * 12, range(12))
    assert same.alpha.value is None and "only ever said the same" in same.alpha.why
    assert same.raw.value == 1 and same.raw.low < 1 and same.ac1.value == 1
    with pytest.raises(ValueError, match="how many said yes"):
        crowd_card([3], [2], "a")
