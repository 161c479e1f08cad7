"""The offline baseline: noise is rejected at the nominal rate, planted meaning is found."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from workers.weights import baseline as module
from workers.weights.baseline import Baseline
from workers.weights.baseline_settings import BaselineSettings
from workers.weights.checkpoint import open_checkpoint
from workers.weights.trained_tokens import label_of, trained_tokens, whole_word

CLUSTERS, SIZE, OTHERS, WIDTH = 40, 20, 2200, 32
WORDS = CLUSTERS * SIZE + OTHERS
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def clustered(seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Clusters of words among others, of unequal variance by coordinate and off centre; then unused bytes."""
    random = np.random.default_rng(seed)
    scale = np.linspace(3.0, 0.5, WIDTH)
    centres = np.repeat(random.normal(size=(CLUSTERS, WIDTH)), SIZE, axis=0)
    words = np.concatenate([centres + 0.4 * random.normal(size=centres.shape), random.normal(size=(OTHERS, WIDTH))])
    unused = 9.0 + 0.01 * random.normal(size=(13, WIDTH))
    names = [" " + "".join(letters) for letters in product(LETTERS, repeat=3)][:WORDS]
    stray = [bytes([byte]).decode("utf-8", "surrogateescape") for byte in (0xC0, 0xC1, *range(0xF5, 0x100))]
    return (np.concatenate([words * scale, unused]) + 1.5).astype(np.float32), names + stray


@pytest.fixture(scope="module")
def synthetic() -> tuple[np.ndarray, Baseline]:
    unembedding, words = clustered()
    return unembedding, Baseline(unembedding, words)


def noise(kind: str, unembedding: np.ndarray, n: int) -> np.ndarray:
    random = np.random.default_rng(7)
    width = unembedding.shape[1]
    if kind == "isotropic":
        return random.normal(size=(n, width))
    covariance = np.cov(unembedding.T.astype(np.float64))
    return random.multivariate_normal(np.zeros(width), covariance, size=n)


def rejected(baseline: Baseline, vectors: np.ndarray) -> float:
    verdicts = baseline.judge(vectors.astype(np.float32), range(len(vectors)))
    return float(np.mean([verdict.interpretable for verdict in verdicts]))


def assert_nominal(rate: float, ends: int) -> None:
    assert abs(rate - 0.05) < 3 * math.sqrt(0.05 * 0.95 / ends), rate


@pytest.mark.parametrize("kind", ["isotropic", "covariance"])
def test_noise_is_rejected_at_the_nominal_rate(synthetic: tuple[np.ndarray, Baseline], kind: str) -> None:
    unembedding, baseline = synthetic
    assert_nominal(rejected(baseline, noise(kind, unembedding, 1500)), 3000)


@pytest.mark.parametrize("kind", ["isotropic", "covariance"])
def test_noise_is_rejected_at_the_nominal_rate_on_the_demo_model(demo_folder: Path, kind: str) -> None:
    checkpoint = open_checkpoint(str(demo_folder))
    unembedding = checkpoint.unembedding().numpy()
    baseline = Baseline(unembedding, checkpoint.vocabulary())
    assert_nominal(rejected(baseline, noise(kind, unembedding, 300)), 600)


def test_an_isotropic_null_would_not_do(demo_folder: Path) -> None:
    """Why the null keeps the direction's profile: beside isotropic draws, covariance noise looks meaningful."""
    checkpoint = open_checkpoint(str(demo_folder))
    unembedding = checkpoint.unembedding().numpy()
    baseline = Baseline(unembedding, checkpoint.vocabulary(), draws=19)
    own, null = (
        [verdict.statistic for verdict in baseline.judge(noise(kind, unembedding, 150), range(150))]
        for kind in ("covariance", "isotropic")
    )
    # 31 % of 800 ends at a nominal 5 %; the design found 29 %.
    assert np.mean(np.array(own) >= np.quantile(null, 0.95)) > 0.2


def planted() -> tuple[np.ndarray, list[set[str]]]:
    """Directions half-way between a cluster's centre and anywhere, and the words of that cluster."""
    unembedding, words = clustered()
    rows = unembedding[: CLUSTERS * SIZE].reshape(CLUSTERS, SIZE, WIDTH)
    centres = rows.mean(1) - unembedding[:WORDS].mean(0)
    strays = np.random.default_rng(3).normal(size=centres.shape)
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (centres, strays)]
    groups = [{word.strip() for word in words[start : start + SIZE]} for start in range(0, CLUSTERS * SIZE, SIZE)]
    return (unit[0] + unit[1]).astype(np.float32), groups


def test_planted_meaning_is_found_and_named(synthetic: tuple[np.ndarray, Baseline]) -> None:
    vectors, groups = planted()
    verdicts = synthetic[1].judge(vectors, range(len(vectors)))[::2]
    found = [verdict.interpretable for verdict in verdicts]
    assert np.mean(found) > 0.5
    named = [set(v.label.split(", ")) <= group for v, group in zip(verdicts, groups, strict=True) if v.interpretable]
    assert np.mean(named) > 0.8


def coherence(vector: np.ndarray, centred: np.ndarray) -> float:
    """The statistic as it is defined, in float64."""
    unit = vector / np.linalg.norm(vector)
    tokens = centred[np.argsort(-centred @ unit)[:15]]
    left = tokens - np.outer(tokens @ unit, unit)
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    return float((left @ left.T)[np.triu_indices(15, 1)].mean())


@pytest.mark.parametrize(("draws", "alpha"), [(19, 0.5), (199, 0.05)])
def test_statistics_and_p_values_against_their_definition(draws: int, alpha: float) -> None:
    """One draw after the other: the own other end, then both ends of each flip, until p cannot reach alpha."""
    unembedding, words = clustered()
    kept = unembedding[trained_tokens(unembedding, words)].astype(np.float64)
    centred = kept - kept.mean(0)
    axes = np.linalg.eigh(np.cov(unembedding.T.astype(np.float64)))[1]
    vectors = np.concatenate([planted()[0][:4], noise("covariance", unembedding, 4)]).astype(np.float64)
    verdicts = iter(Baseline(unembedding, words, draws=draws, alpha=alpha).judge(vectors, range(8)))
    for seed, vector in enumerate(vectors):
        flips = [axes @ (signs * (axes.T @ vector)) for signs in module._signs(seed, 0, draws // 2, WIDTH)]
        for sign in (1, -1):
            own, verdict = coherence(sign * vector, centred), next(verdicts)
            assert verdict.statistic == pytest.approx(own, abs=1e-5)
            reached, made = 0, 0
            for draw in (-sign * vector, *(end for flip in flips for end in (flip, -flip))):
                made += 1
                reached += coherence(draw, centred) >= own - module.ROUNDING
                if 1 + reached > alpha * (1 + draws) + 1e-9:
                    break
            assert verdict.p_value == pytest.approx((1 + reached) / (1 + made))
            assert verdict.interpretable == (verdict.p_value <= alpha)


def test_a_verdict_depends_on_its_own_seed_alone(synthetic: tuple[np.ndarray, Baseline]) -> None:
    unembedding, baseline = synthetic
    vectors = np.concatenate([planted()[0][:6], noise("covariance", unembedding, 6)])
    together = baseline.judge(vectors, range(12))
    for index in reversed(range(12)):
        alone = baseline.judge(vectors[index : index + 1] * 3.0, [index])
        for ours, theirs in zip(alone, together[2 * index : 2 * index + 2], strict=True):
            assert (ours.sign, ours.p_value, ours.interpretable, ours.label) == (
                theirs.sign, theirs.p_value, theirs.interpretable, theirs.label,
            )  # fmt: skip
            assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-6)
    others = baseline.judge(vectors, range(100, 112))
    assert [v.p_value for v in others] != [v.p_value for v in together]


def test_a_flipped_vector_has_its_ends_exchanged(synthetic: tuple[np.ndarray, Baseline]) -> None:
    vectors = planted()[0][:20]
    ours, flipped = synthetic[1].judge(vectors, range(20)), synthetic[1].judge(-vectors, range(20))
    assert [v.sign for v in ours] == ["+", "-"] * 20
    for index in range(20):
        for end in (0, 1):
            one, other = ours[2 * index + end], flipped[2 * index + 1 - end]
            assert (one.interpretable, one.label) == (other.interpretable, other.label)
            assert one.statistic == pytest.approx(other.statistic, abs=1e-5)


def test_stopping_early_changes_no_verdict(
    synthetic: tuple[np.ndarray, Baseline], monkeypatch: pytest.MonkeyPatch
) -> None:
    unembedding, baseline = synthetic
    vectors = np.concatenate([planted()[0], noise("covariance", unembedding, 60)])
    early = baseline.judge(vectors, range(len(vectors)))
    monkeypatch.setattr(module, "_FIRST_ROUND", 99)
    in_one_round = baseline.judge(vectors, range(len(vectors)))
    assert [v.p_value for v in early] == [v.p_value for v in in_one_round]
    monkeypatch.setattr(baseline, "_hopeless", 10**9)
    complete = baseline.judge(vectors, range(len(vectors)))
    assert [v.interpretable for v in early] == [v.interpretable for v in complete]
    for ours, theirs in zip(early, complete, strict=True):
        assert theirs.p_value * 200 == pytest.approx(round(theirs.p_value * 200))
        assert ours.p_value == theirs.p_value or min(ours.p_value, theirs.p_value) > 0.05


def test_the_smallest_p_value_is_one_over_all_draws() -> None:
    unembedding, words = clustered()
    verdicts = Baseline(unembedding, words, draws=19, alpha=0.05).judge(planted()[0], range(CLUSTERS))
    assert min(v.p_value for v in verdicts) == pytest.approx(1 / 20)
    assert all(v.interpretable == (v.p_value <= 0.05 + 1e-9) for v in verdicts)
    assert any(v.interpretable for v in verdicts)


def test_only_interpretable_ends_have_a_label(synthetic: tuple[np.ndarray, Baseline]) -> None:
    verdicts = synthetic[1].judge(planted()[0], range(CLUSTERS))
    assert all(bool(verdict.label) == verdict.interpretable for verdict in verdicts)


def test_directions_that_are_an_axis_a_token_or_nothing(synthetic: tuple[np.ndarray, Baseline]) -> None:
    """Nothing divides by zero; an axis, whose flips are all itself, is no better than its null."""
    unembedding, baseline = synthetic
    axis = baseline._axes[:, 3].numpy()
    token = unembedding[40] - unembedding[:WORDS].mean(0)
    for vector in (axis, token, np.zeros(WIDTH)):
        verdicts = baseline.judge(np.array([vector]), [1])
        assert all(math.isfinite(v.statistic) and 0 < v.p_value <= 1 for v in verdicts)
    for verdict in baseline.judge(np.array([axis]), [1]):
        assert not verdict.interpretable


def test_nothing_to_judge(synthetic: tuple[np.ndarray, Baseline]) -> None:
    assert synthetic[1].judge(np.zeros((0, WIDTH), np.float32), []) == []
    with pytest.raises(ValueError, match="seeds"):
        synthetic[1].judge(np.zeros((2, WIDTH), np.float32), [1])


@pytest.mark.parametrize(
    "wrong", [{"draws": 100}, {"draws": 17}, {"alpha": 0.0}, {"alpha": 1.0}, {"top": 1}, {"top": WORDS}], ids=str
)
def test_settings_that_cannot_work(wrong: dict[str, float]) -> None:
    unembedding, words = clustered()
    with pytest.raises(ValueError, match=r"draws|tokens"):
        Baseline(unembedding, words, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="strings"):
        Baseline(unembedding, words[1:])


def test_parameters_fix_the_judge_and_not_the_model(synthetic: tuple[np.ndarray, Baseline]) -> None:
    unembedding, words = clustered(seed=1)
    parameters = synthetic[1].parameters()
    assert json.loads(json.dumps(parameters)) == parameters == BaselineSettings().parameters()
    assert Baseline(unembedding, words).parameters() == parameters
    for change in ({"top": 16}, {"draws": 201}, {"alpha": 0.1}):
        other = Baseline(unembedding, words, **change)  # type: ignore[arg-type]
        assert other.parameters() != parameters
        assert other.settings.arguments() == BaselineSettings().arguments() | change


# Tokens that the model hardly trained.


def test_tokens_that_no_text_holds_are_left_out_with_all_that_lie_beside_them() -> None:
    unembedding, words = clustered()
    unembedding[7] = unembedding[-1]  # a word that was never seen either
    kept = trained_tokens(unembedding, words)
    assert not kept[7] and not kept[-13:].any()
    assert kept[:WORDS].mean() > 0.98
    baseline = Baseline(unembedding, words)
    assert baseline.n_left_out == (~kept).sum()
    towards_unused = unembedding[-1] - unembedding.mean(0)
    tokens, _ = baseline._coherence.readouts(as_profile(baseline, towards_unused))
    shown = {int(baseline._token_ids[token]) for token in tokens[0, 0]}
    assert not shown & {7, *range(WORDS, len(words))}


def as_profile(baseline: Baseline, vector: np.ndarray):  # type: ignore[no-untyped-def]
    import torch

    return torch.nn.functional.normalize(torch.from_numpy(vector[None]) @ baseline._axes, dim=1)


def test_padding_rows_are_known_to_be_unused() -> None:
    unembedding, words = clustered()
    words[-13:] = [f"<unused {token}>" for token in range(len(words) - 13, len(words))]
    assert not trained_tokens(unembedding, words)[-13:].any()
    words[-13:] = [f"<unused {token}>" for token in range(13)]  # not the names of these rows
    assert trained_tokens(unembedding, words).all()


def test_the_demo_models_unseen_tokens(demo_folder: Path) -> None:
    checkpoint = open_checkpoint(str(demo_folder))
    words = checkpoint.vocabulary()
    kept = trained_tokens(checkpoint.unembedding().numpy(), words)
    by_word = dict(zip(words, kept, strict=True))
    assert not any(by_word[word] for word in ("\x00", "\udcff", "\udcc0", "A", "\udce4"))
    assert all(by_word[word] for word in (" the", " dog", ",", "ing", "ous", " christian", " oxygen"))
    assert 0.95 < kept.mean() < 0.99


@pytest.mark.parametrize("text", [" dog", " mother-in-law", " o'clock", "Dog", " élan", " Ärger"])
def test_whole_words(text: str) -> None:
    assert whole_word(text) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["dog", " at", "At", "DOG", "dOg", " a1c", " <b>", " -", " dog ", " d\x00g", "\udcc3", "", " foo--bar", "  dog"],
)
def test_what_is_no_whole_word(text: str) -> None:
    assert whole_word(text) is None


def test_labels() -> None:
    assert label_of(["ing", " dog", "Dog", " cat", ",", " Horse", " ox", " cow"]) == "dog, cat, Horse"
    assert label_of([" ,", ",", ";"]) == ",, ;"
    assert label_of(["\x00", "\udcc3", "\n", " "], words=4) == "\\x00, \\xc3, \\x0a,  "
