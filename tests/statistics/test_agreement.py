"""Agreement against values worked out by hand, scikit-learn, and the released labels."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from labelapp.statistics.agreement import cohens_kappa, contingency, raw_agreement

RELEASED = Path(__file__).resolve().parents[3] / "shared" / "data" / "gpt3-labels"
pairs_of = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def test_a_table_worked_out_by_hand():
    """Cohen's kappa of 20, 5; 10, 15: p_o = .7, p_e = .5 · .6 + .5 · .4 = .5, kappa = .4."""
    table = [[20, 5], [10, 15]]
    assert raw_agreement(table) == pytest.approx(0.7)
    assert cohens_kappa(table) == pytest.approx(0.4)


def test_high_agreement_at_an_uneven_prevalence_is_little_kappa():
    """90, 5; 5, 0: both say yes in 95 %, p_o = .9, p_e = .905, kappa = -.005 / .095."""
    assert cohens_kappa([[90, 5], [5, 0]]) == pytest.approx(-0.005 / 0.095)


def test_the_table_counts_pairs():
    table = contingency([True, True, False, False, True], [True, False, False, True, True])
    assert table.tolist() == [[2, 1], [1, 1]]
    three = contingency(["a", "b", "c", "a"], ["a", "c", "c", "b"], categories=("a", "b", "c"))
    assert three.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("table", "agreement"), [([[0, 0], [0, 0]], None), ([[7, 0], [0, 0]], 1.0), ([[0, 0], [0, 3]], 1.0)]
)
def test_what_is_not_defined_is_none(table, agreement):
    assert raw_agreement(table) == agreement
    assert cohens_kappa(table) is None


def test_opposite_constants_are_defined_and_zero():
    """One always says yes, the other always no: p_o = p_e = 0."""
    assert cohens_kappa([[0, 4], [0, 0]]) == 0
    assert raw_agreement([[0, 4], [0, 0]]) == 0


@pytest.mark.parametrize(("a", "b"), [([True], [True, False]), ([[True]], [[True]])])
def test_unequal_judges_are_refused(a, b):
    with pytest.raises(ValueError, match="same items"):
        contingency(a, b)


def test_a_verdict_outside_the_categories_is_refused():
    with pytest.raises(ValueError, match="none of"):
        contingency(["yes", "maybe"], ["yes", "no"], categories=("yes", "no"))


def test_what_is_no_table_is_refused():
    for table in ([1, 2], [[1, 2]], [[-1, 2], [3, 4]]):
        with pytest.raises(ValueError, match="square"):
            cohens_kappa(table)


@given(pairs_of)
def test_as_scikit_learn_has_it(pairs):
    a, b = (list(column) for column in zip(*pairs, strict=True))
    table = contingency(a, b)
    assert table.tolist() == confusion_matrix(a, b, labels=[True, False]).tolist()
    kappa = cohens_kappa(table)
    if kappa is None:
        assert len(set(a) | set(b)) == 1
    else:
        assert kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)


@given(pairs_of)
def test_the_order_of_the_judges_and_of_the_verdicts_does_not_matter(pairs):
    table = contingency(*zip(*pairs, strict=True))
    for other in (table.T, table[::-1, ::-1]):
        assert cohens_kappa(other) == cohens_kappa(table)
        assert raw_agreement(other) == raw_agreement(table)


def test_the_golden_value_on_the_released_labels():
    """KNOWN_ANSWERS: C against the simulated H on the 100 drawn directions, kappa .56967."""
    if not RELEASED.is_dir():
        pytest.skip(f"the released labels are not here ({RELEASED}); they are not ours to include")
    labeler, verifier = _released()
    assert (labeler.sum(), verifier.sum(), (labeler & verifier).sum()) == (3638, 3042, 2523)
    likely = np.where(verifier, np.where(labeler, 0.80, 0.10), 0.35)
    human = np.random.default_rng(7).random(4320) < likely
    drawn = np.random.default_rng(23).choice(4320, 100, replace=False)
    assert human.sum() == 2506 and drawn[:5].tolist() == [1128, 543, 403, 2788, 3684]
    table = contingency(human[drawn], (labeler & verifier)[drawn])
    assert table.tolist() == [[49, 16], [5, 30]]
    assert cohens_kappa(table) == pytest.approx(0.56967, abs=5e-6)
    assert raw_agreement(table) == pytest.approx(0.79)


def _released():
    """Labeler and verifier as booleans over the 4,320 directions: size, in or out, layer, index."""
    labeler, verifier = [], []
    for size, layers in (("small", 12), ("medium", 24), ("large", 36)):
        for end in ("in", "out"):
            stem = f"verifier_mlp_{end}_gpt2_{size}"
            said = _texts(f"{stem}_svd_prompts_outputs.json", layers)
            checked = _texts(f"{stem}_verifier_svd_prompts_outputs.json", layers)
            labeler += [_names_a_meaning(text) for text in said]
            verifier += [text.strip().lower().startswith("yes") for text in checked]
    return np.array(labeler), np.array(verifier)


def _texts(name, layers):
    found = json.loads(next(RELEASED.rglob(name)).read_text())
    return [found[f"layer_{i}"][f"singval_{j}"]["out_text"] for i in range(layers) for j in range(30)]


def _names_a_meaning(text):
    words = text.lower()
    return not any(none in words for none in ("no shared semantic meaning", "no semantic meaning"))
