"""The four cells of labeler × verifier, and what is neither yes nor no."""

import pytest

from labelapp.judgements.rules import RULES, Answers, rule_for, verdicts_of


# In the order of RULES: labeler, verifier, both, both_specific; of a label that says something.
I, N, U = "interpretable", "not_interpretable", "unparsed"


@pytest.mark.parametrize(
    ("verdict", "verification", "expected"),
    [
        (I, "yes", [I, I, I, I]),
        (I, "no", [I, N, N, N]),
        (I, "unparsed", [I, U, U, U]),
        (I, None, [I, U, U, U]),
        (N, "yes", [N, I, N, N]),
        (N, "no", [N, N, N, N]),
        (N, "unparsed", [N, U, N, N]),
        (U, "yes", [U, I, U, U]),
        (U, "no", [U, N, U, U]),
        ("failed", None, ["failed", U, "failed", "failed"]),
        ("unsure", None, ["unsure", U, "unsure", "unsure"]),
    ],
)
def test_each_cell(verdict, verification, expected):
    answers = Answers(verdict, "animals", verification)
    assert [rule.verdict(answers) for rule in RULES.values()] == expected


def test_a_part_of_speech_is_not_specific():
    for label, expected in (("verbs", N), ("possessive pronouns", N), ("verbs of motion", I), ("", I)):
        answers = Answers(I, label, "yes")
        assert RULES["both"].verdict(answers) == I
        assert RULES["both_specific"].verdict(answers) == expected, label


def test_rules_with_a_verifier_apply_only_where_one_has_answered():
    assert verdicts_of(Answers(I, "verbs")) == {"labeler": I}
    assert list(verdicts_of(Answers(N, "", "no"))) == list(RULES)
    assert [rule.identifier for rule in RULES.values()] == ["labeler@1", "verifier@1", "both@1", "both_specific@1"]


def test_a_judge_without_a_verifier_is_scored_by_labeler():
    assert rule_for(has_verifier=False).identifier == "labeler@1"
    assert rule_for(has_verifier=True).identifier == "both@1"
