"""From judgements to one verdict a direction, and their table: worked out by hand."""

import pytest

from labelapp.review.tally import agrees, crossing, human_verdict

YES, NO, UNSURE = "interpretable", "not_interpretable", "unsure"


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([YES], YES),
        ([NO], NO),
        ([UNSURE], UNSURE),
        ([], UNSURE),
        ([YES, NO], "tie"),
        ([YES, NO, UNSURE], "tie"),
        ([YES, YES, NO], YES),
        ([NO, UNSURE, UNSURE], NO),
        ([NO, NO, YES, UNSURE], NO),
    ],
)
def test_the_human_verdict_is_the_majority_of_yes_and_no(verdicts, expected):
    assert human_verdict(verdicts) == expected


def test_a_table_worked_out_by_hand():
    people = {1: YES, 2: YES, 3: YES, 4: NO, 5: NO, 6: "tie", 7: UNSURE, 8: YES, 9: NO, 10: YES}
    machine = {1: YES, 2: YES, 3: NO, 4: NO, 5: YES, 6: YES, 7: NO, 8: "unparsed", 9: "failed"}
    found = crossing(people, machine)
    assert (found.both_yes, found.people_yes, found.machine_yes, found.both_no) == (2, 1, 1, 1)
    assert found.n == 5 and found.agreement == pytest.approx(0.6)
    # p_e = (3 · 3 + 2 · 2) / 25 = .52; (.6 - .52) / .48
    assert found.kappa == pytest.approx(1 / 6)
    assert found.left_out == [
        ("machine failed", 1),
        ("machine unparsed", 1),
        ("not judged by the machine", 1),
        ("people tied", 1),
        ("people unsure", 1),
    ]
    assert found.n + sum(n for _, n in found.left_out) == len(people)
    assert found.rows == [("yes", [(2, 20), (1, 10)]), ("no", [(1, 10), (1, 10)])]


def test_nothing_to_compare_is_undefined_and_not_perfect():
    found = crossing({}, {})
    assert (found.n, found.agreement, found.kappa) == (0, None, None)
    always = crossing({1: YES, 2: YES}, {1: YES, 2: YES})
    assert (always.agreement, always.kappa) == (1.0, None)


@pytest.mark.parametrize(
    ("people", "machines", "expected"),
    [
        (YES, [YES, YES], True),
        (YES, [YES, NO], False),
        (NO, [NO, "unparsed"], True),
        (NO, ["failed"], None),
        ("tie", [YES], None),
        (UNSURE, [NO], None),
        (YES, [], None),
    ],
)
def test_agreement_on_one_direction(people, machines, expected):
    assert agrees(people, machines) is expected
