"""Agreement over repeated lists; alpha against its textbook example and against its definition by pairs."""

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.statistics.repeats import nominal_alpha, repeated_lists, repeats

# Krippendorff (2011), example C: four observers, twelve units, missing values left out. Nominal alpha is .743.
TEXTBOOK = [[1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4],
            [1, 1, 2, 1], [2, 2, 2, 2], [5, 5, 5], [1, 1], [3]]  # fmt: skip


def alpha_by_coincidences(units):
    """The definition by Krippendorff's matrix of coincidences."""
    o = Counter()
    for unit in units:
        for a, b in permutations(range(len(unit)), 2):
            o[unit[a], unit[b]] += 1 / (len(unit) - 1)
    n = sum(o.values())
    totals = Counter()
    for (a, _), count in o.items():
        totals[a] += count
    expected = sum(totals[a] * totals[b] for a in totals for b in totals if a != b) / (n - 1) if n > 1 else 0
    return 1 - sum(count for (a, b), count in o.items() if a != b) / expected if expected else None


def test_the_textbook_example():
    assert nominal_alpha(TEXTBOOK) == pytest.approx(0.743, abs=0.0005)


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=5), max_size=8))
def test_alpha_is_its_definition(units):
    expected = alpha_by_coincidences(units)
    found = nominal_alpha(units)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_the_same_tokens_in_another_order_are_one_list():
    groups = repeated_lists([["a", "b"], ["c"], ["b", "a"], ["c", "d"], ["b", "a"]])
    assert groups == [[0, 2, 4]]
    found = repeats(groups, [True, False, True, False, False])
    assert (found.sets, found.directions, found.pairs, found.agreement) == (1, 3, 3, pytest.approx(1 / 3))
    nothing = repeats([], [])
    assert (nothing.pairs, nothing.agreement, nothing.alpha) == (0, None, None)
