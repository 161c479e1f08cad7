"""The four cells of labeler × verifier, and what is neither yes nor no."""

import pytest

from labelapp.judgements.rules import RULES, Answers, rule_for, verdicts_of

# In the order of RULES: labeler, verifier, both, both_specific; of a label that says something.
YES, NO, OPEN = "interpretable", "not_interpretable", "unparsed"


@pytest.mark.parametrize(
    ("verdict", "verification", "expected"),
    [
        (YES, "yes", [YES, YES, YES, YES]),
        (YES, "no", [YES, NO, NO, NO]),
        (YES, "unparsed", [YES, OPEN, OPEN, OPEN]),
        (YES, None, [YES, OPEN, OPEN, OPEN]),
        (NO, "yes", [NO, YES, NO, NO]),
        (NO, "no", [NO, NO, NO, NO]),
        (NO, "unparsed", [NO, OPEN, NO, NO]),
        (OPEN, "yes", [OPEN, YES, OPEN, OPEN]),
        (OPEN, "no", [OPEN, NO, OPEN, OPEN]),
        ("failed", None, ["failed", OPEN, "failed", "failed"]),
        ("unsure", None, ["unsure", OPEN, "unsure", "unsure"]),
    ],
)
def test_each_cell(verdict, verification, expected):
    answers = Answers(verdict, "animals", verification)
    assert [rule.verdict(answers) for rule in RULES.values()] == expected


def test_a_part_of_speech_is_not_specific():
    for label, expected in (("verbs", NO), ("possessive pronouns", NO), ("verbs of motion", YES), ("", YES)):
        answers = Answers(YES, label, "yes")
        assert RULES["both"].verdict(answers) == YES
        assert RULES["both_specific"].verdict(answers) == expected, label


def test_rules_with_a_verifier_apply_only_where_one_has_answered():
    assert verdicts_of(Answers(YES, "verbs")) == {"labeler": YES}
    assert list(verdicts_of(Answers(NO, "", "no"))) == list(RULES)
    assert [rule.identifier for rule in RULES.values()] == ["labeler@1", "verifier@1", "both@1", "both_specific@1"]


@pytest.mark.parametrize("verdict", [NO, OPEN, "failed"])
def test_what_the_labeler_settles_needs_no_verifier_but_a_judge_that_has_one(verdict):
    """A verifier is asked about labels alone: where there is none, `both` is the labeler's word."""
    asked_elsewhere = verdicts_of(Answers(verdict, "", None, has_verifier=True))
    assert asked_elsewhere == {"labeler": verdict, "both": verdict, "both_specific": verdict}
    assert verdicts_of(Answers(verdict)) == {"labeler": verdict}
    assert verdicts_of(Answers(YES, "animals", None, has_verifier=True)) == {"labeler": YES}, "a yes waits for it"


def test_a_judge_without_a_verifier_is_scored_by_labeler():
    assert rule_for(has_verifier=False).identifier == "labeler@1"
    assert rule_for(has_verifier=True).identifier == "both@1"
