"""The card: intervals that keep a vector's two ends together, and text that changes only between the marks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from fixtures.demo_model import card, rates

DEMO = Path(card.HERE)


def test_independent_ends_get_wilsons_interval() -> None:
    found = np.random.default_rng(0).random((4000, 2)) < 0.1
    assert rates.design_effect(found) == pytest.approx(1, abs=0.05)
    rate = rates.rate_of(found, 1.0)
    low, high = proportion_confint(int(found.sum()), found.size, method="wilson")
    assert (rate.low, rate.high) == pytest.approx((low, high))
    assert rate.error == pytest.approx(math.sqrt(rate.share * (1 - rate.share) / 8000))


def test_ends_that_go_together_count_as_one() -> None:
    found = np.repeat(np.random.default_rng(0).random((4000, 1)) < 0.1, 2, axis=1)
    assert rates.design_effect(found) == pytest.approx(2)
    rate = rates.rate_of(found, rates.design_effect(found))
    low, high = proportion_confint(int(found[:, 0].sum()), 4000, method="wilson")
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=1e-4)


def test_the_standard_error_is_that_of_clusters() -> None:
    """Against the variance of the mean over vectors, which knows nothing of a design effect."""
    random = np.random.default_rng(3)
    both = random.random((6000, 1)) < 0.05
    found = both | (random.random((6000, 2)) < 0.05)
    clustered = found.mean(1).std() / math.sqrt(6000)
    assert rates.rate_of(found, rates.design_effect(found)).error == pytest.approx(clustered, rel=0.02)


@pytest.mark.parametrize("value", [False, True])
def test_all_or_none_found(value: bool) -> None:
    rate = rates.rate_of(np.full((30, 2), value), rates.design_effect(np.full((30, 2), value)))
    assert rate.share == float(value) and 0 <= rate.low <= rate.share <= rate.high <= 1 and rate.high - rate.low > 0.03


def test_a_column_is_cut_by_circuit_and_layer() -> None:
    judged = rates.Judged()
    judged.cells = {
        ("ov", 0): np.array([[True, False], [False, False]]),
        ("ov", 1): np.array([[True, True]]),
        ("qk", 0): np.array([[False, False]]),
    }
    assert judged.rate("ov", 0).found == 1 and judged.rate("ov").ends == 6
    assert judged.rate(None, 0).ends == 6 and judged.rate().found == 3


def test_only_what_stands_between_the_marks_changes() -> None:
    before = "# Card\n\n<!-- ends -->\nold\n<!-- /ends -->\n\nafter | \\1\n"
    after = card.replaced(before, "ends", "new \\1 \\g<2>\n")
    assert after == "# Card\n\n<!-- ends -->\n\nnew \\1 \\g<2>\n\n<!-- /ends -->\n\nafter | \\1\n"
    with pytest.raises(SystemExit, match="<!-- facts -->"):
        card.replaced(before, "facts", "new")


@pytest.mark.parametrize(("token", "shown"), [(" dog", "dog"), ("ing", "‥ing"), ("|", "‥\\|"), ("\x00", "‥\\\\x00")])
def test_tokens_in_a_cell(token: str, shown: str) -> None:
    assert card._shown(token) == shown


def test_noise_in_the_bundled_models_shape_is_found_at_the_nominal_rate() -> None:
    checkpoint, baseline = rates.opened(str(DEMO))
    found = rates.judged_cell(checkpoint, baseline, rates.Column("gaussian", control="gaussian"), "mlp_in", 2, 48)
    rate = rates.rate_of(found, rates.design_effect(found))
    assert found.shape == (48, 2) and abs(rate.share - 0.05) < 4 * math.sqrt(0.05 * 0.95 / found.size)


def test_the_bundled_card_speaks_of_the_bundled_weights() -> None:
    text = (DEMO / "README.md").read_text(encoding="utf-8")
    known = json.loads((DEMO / "training.json").read_text(encoding="utf-8"))
    assert known["digest"] in text and f"{known['log'][-1]['evaluation']:.3f}" in text
    for name in card.PARTS:
        assert f"<!-- {name} -->" in text and f"<!-- /{name} -->" in text
    assert 200 <= len((DEMO / "evaluation.txt").read_text(encoding="utf-8").splitlines()) <= 1000
    assert (DEMO / "model.safetensors").stat().st_size <= 30e6


def test_the_bundled_card_is_written_from_the_weights(tmp_path: Path) -> None:
    """The quick parts, made anew, are what the card says."""
    for part in ("facts", "vocabulary", "ends"):
        text = (DEMO / "README.md").read_text(encoding="utf-8")
        assert card.replaced(text, part, card.PARTS[part](DEMO, lambda _: None)) == text, part
