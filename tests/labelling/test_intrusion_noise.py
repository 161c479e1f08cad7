"""On Gaussian noise of the demo model nothing that can be seen of six tokens tells the intruder."""

from functools import lru_cache
from random import Random

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from labelapp.statistics.intrusion import (
    INTRUSION_CHANCE,
    SHOWN,
    TOP,
    Donors,
    IntrusionTrial,
    Ready,
    end_ready,
    intrusion_draw,
    lexicon_make,
    look,
)
from labelapp.statistics.precision import precision
from tests.weights.conftest import DEMO
from workers.weights.checkpoint import open_checkpoint
from workers.weights.engine import decompose_matrix

LAYERS, VECTORS, PER_END = (0, 1, 2, 3), 40, 8


@pytest.fixture(scope="module")
def geometry():
    """The demo model's words and unembedding, and Gaussian controls: vectors [160, width], their readouts, layers."""
    checkpoint = open_checkpoint(str(DEMO))
    sides = [
        decompose_matrix(checkpoint, "mlp_in", layer, directions=VECTORS, top=TOP, control="gaussian").side("read")
        for layer in LAYERS
    ]
    vectors, ids = (np.concatenate([getattr(side, name) for side in sides]) for name in ("vectors", "token_ids"))
    return list(checkpoint.vocabulary()), checkpoint.unembedding().numpy() @ vectors.T, ids[:, :, :TOP]


@pytest.fixture(scope="module")
def noise(geometry):
    """(words, trials as (end, vector, trial)): both ends of each vector, four trials each."""
    words, scores, ids = geometry
    return words, trials_of(words, scores, ids)


@pytest.fixture(scope="module")
def spelt_anew(geometry):
    """The same where every word has got the place of another one that looks alike: no spelling goes with a place."""
    words, scores, ids = geometry
    profiles, rng, anew = lexicon_make(words).profiles, np.random.default_rng(0), list(words)
    for profile in np.unique(profiles):
        places = np.flatnonzero(profiles == profile)
        for place, other in zip(places, rng.permutation(places), strict=True):
            anew[place] = words[other]
    return anew, trials_of(anew, scores, ids)


def trials_of(words, scores, ids):
    n = len(ids)
    layers, number = np.repeat(LAYERS, VECTORS), np.repeat(np.arange(n), 2 * TOP)
    ends = np.repeat(np.arange(2 * n), TOP)
    rows = np.stack([ids.reshape(-1), ends, number, np.tile(np.arange(1, TOP + 1), 2 * n)])
    lexicon, trials = lexicon_make(words), []
    for vector in range(n):
        donors = Donors(*rows[:, np.abs(layers[number] - layers[vector]) <= 2])
        for end in range(2):
            own, opposite = ids[vector, end].tolist(), ids[vector, 1 - end].tolist()
            ready = end_ready(own, opposite, scores[:, vector], vector, donors, lexicon)
            if isinstance(ready, Ready):
                trials += [
                    (2 * vector + end, vector, intrusion_draw(ready, donors, Random(f"{vector}:{end}:{at}")))
                    for at in range(PER_END)
                ]
    return trials


@lru_cache(maxsize=20_000)
def grams(word):
    text = f"^{word.strip().casefold()}$"
    return {text[at : at + size] for size in (2, 3) for at in range(len(text) - size + 1)}


def similarity(words, trial):
    """Of each token the mean share of letter groups that it has in common with the others."""
    sets = [grams(words[token]) for token in trial.tokens]
    return [
        np.mean([len(one & other) / len(one | other) for at, other in enumerate(sets) if at != place])
        for place, one in enumerate(sets)
    ]


def features(words, trial):
    """[6, features]: what can be seen of each token, and how it stands among the others."""
    shown = [words[token] for token in trial.tokens]
    bare = [word.strip() for word in shown]
    looks = [look(word) for word in shown]
    alone = [
        [
            np.log1p(token),
            token / len(words),
            len(word),
            word.islower(),
            word[:1].isupper(),
            word.isalpha(),
            text.startswith(" "),
            sum(letter in "aeiou" for letter in word) / len(word),
            ord(word[0]) / 128,
            ord(word[-1]) / 128,
        ]
        for token, text, word in zip(trial.tokens, shown, bare, strict=True)
    ]
    among = [[looks.count(it), alike] for it, alike in zip(looks, similarity(words, trial), strict=True)]
    values = np.hstack([np.array(alone, float), np.array(among, float)])
    centred = values - values.mean(axis=0)
    return np.hstack([centred, np.abs(centred)])


def learnt(words, trials):
    """Precision of a classifier that learns from half of the vectors what intruders look like, on the other half.

    Each half is learnt from in turn, so that all trials are asked: what one half teaches varies a good deal.
    """
    picked = {}
    for half in range(2):
        learns = [trial for _, vector, trial in trials if vector % 2 == half]
        x = np.concatenate([features(words, trial) for trial in learns])
        y = np.concatenate([np.arange(SHOWN) == trial.answer for trial in learns])
        scale = x.std(axis=0) + 1e-9
        model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000).fit(x / scale, y)
        for _, vector, trial in trials:
            if vector % 2 != half:
                picked[id(trial)] = int(model.decision_function(features(words, trial) / scale).argmax())
    return found(trials, lambda trial: picked[id(trial)])


def found(trials, answer):
    ends, vectors, its = zip(*trials, strict=True)
    return precision([answer(trial) == trial.answer for trial in its], ends, vectors, INTRUSION_CHANCE)


def near_chance(result):
    return result.low <= INTRUSION_CHANCE <= result.high and result.high - result.low < 0.09


def test_most_ends_of_noise_can_be_tested(noise):
    _, trials = noise
    assert len({end for end, _, _ in trials}) > 0.9 * 2 * VECTORS * len(LAYERS)


def test_who_guesses_and_who_takes_a_fixed_place(noise):
    _, trials = noise
    guess = Random(0)
    assert near_chance(found(trials, lambda _: int(guess.random() * SHOWN)))
    assert all(near_chance(found(trials, lambda _, place=place: place)) for place in (0, SHOWN - 1))


def test_who_goes_by_likeness_of_words(noise, spelt_anew):
    """What is alike in spelling is a little alike in the model's embedding as well, which noise shows too."""
    words, trials = spelt_anew
    assert near_chance(found(trials, lambda trial: int(np.argmin(similarity(words, trial)))))
    assert near_chance(found(trials, lambda trial: int(np.argmax(similarity(words, trial)))))
    words, trials = noise
    assert found(trials, lambda trial: int(np.argmin(similarity(words, trial)))).value < INTRUSION_CHANCE + 0.05


def test_who_has_learnt_what_intruders_look_like(noise, spelt_anew):
    """Where spelling goes with no place, nothing can be learnt; else no more than what spelling tells."""
    assert near_chance(learnt(*spelt_anew))
    assert learnt(*noise).value < INTRUSION_CHANCE + 0.05


def test_the_same_learner_finds_intruders_that_are_drawn_carelessly(noise):
    """So the test above could fail: from anywhere in the vocabulary an intruder is told by its looks."""
    words, trials = noise
    usable = np.flatnonzero(lexicon_make(words).usable)
    draw = np.random.default_rng(0)
    careless = [
        (
            end,
            vector,
            IntrusionTrial(
                tuple(
                    int(draw.choice(usable)) if place == trial.answer else token
                    for place, token in enumerate(trial.tokens)
                ),
                trial.answer,
                trial.ranks,
                trial.intruder_of,
            ),
        )
        for end, vector, trial in trials
    ]
    assert learnt(words, careless).low > INTRUSION_CHANCE
