"""The four cells of labeler × verifier, and what is neither yes nor no."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelapp.judgements.rules import RULES, Answers, rule_for

RELEASED = Path(__file__).resolve().parents[3] / "shared" / "data" / "gpt3-labels"


@pytest.mark.parametrize(
    ("verdict", "verification", "labeler", "both"),
    [
        ("interpretable", "yes", "interpretable", "interpretable"),
        ("interpretable", "no", "interpretable", "not_interpretable"),
        ("interpretable", "unparsed", "interpretable", "unparsed"),
        ("interpretable", None, "interpretable", "unparsed"),
        ("not_interpretable", "yes", "not_interpretable", "not_interpretable"),
        ("not_interpretable", "no", "not_interpretable", "not_interpretable"),
        ("unparsed", "yes", "unparsed", "unparsed"),
        ("failed", None, "failed", "failed"),
        ("unsure", None, "unsure", "unsure"),
    ],
)
def test_each_cell(verdict, verification, labeler, both):
    answers = Answers(verdict, "a label", verification)
    assert RULES["labeler"].verdict(answers) == labeler
    assert RULES["both"].verdict(answers) == both


def test_a_judge_without_a_verifier_is_scored_by_labeler():
    assert rule_for(has_verifier=False).identifier == "labeler@1"
    assert rule_for(has_verifier=True).identifier == "both@1"


@pytest.mark.skipif(not RELEASED.is_dir(), reason="the released GPT-3 labels are not beside the project")
def test_the_released_labels_give_the_known_counts():
    answers = [
        Answers(
            # The parsing is the post's; the platform's own parser comes with the prompts.
            "interpretable" if "no shared semantic" not in row["response"].lower() else "not_interpretable",
            verification={"yes": "yes", "no": "no"}.get(row["verifier_response"].strip().lower(), "unparsed"),
        )
        for path in sorted((RELEASED / "json_data").glob("*.json"))
        for layer in json.loads(path.read_text()).values()
        for row in layer.values()
    ]
    yes = {
        name: int(np.sum([rule.verdict(answer) == "interpretable" for answer in answers]))
        for name, rule in RULES.items()
    }
    assert len(answers) == 4320
    assert yes == {"labeler": 3638, "both": 2523}
