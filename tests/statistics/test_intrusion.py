"""Trials: every condition as a property, on a vocabulary with all that a tokenizer can hold."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.statistics.intrusion import (
    BAND,
    MOST_SHARED,
    NO_INTRUDER,
    READOUTS,
    SHOWN,
    TOO_FEW_OWN,
    TOP,
    Donors,
    Ready,
    character_class,
    end_ready,
    intrusion_draw,
    is_visible,
    lexicon_make,
    look,
    matching_draw,
    shares_stem,
    shuffled,
    stem,
)
from tests.factories import ODD_TOKENS
from tests.support.words import vocabulary

WIDTH, VECTORS, DEEP = 24, 60, 20


WORDS = vocabulary()
LEXICON = lexicon_make(WORDS)


class World:
    """Random directions over a random unembedding: noise through and through."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.unembedding = rng.standard_normal((len(WORDS), WIDTH))
        self.vectors = rng.standard_normal((VECTORS, WIDTH))
        self.scores = self.unembedding @ self.vectors.T
        order = np.argsort(-self.scores, axis=0)
        self.ends = [(order[:DEEP, v].tolist(), order[::-1][:DEEP, v].tolist()) for v in range(VECTORS)]
        rows = [
            (token, 2 * v + end, v, rank)
            for v in range(VECTORS)
            for end in range(2)
            for rank, token in enumerate(self.ends[v][end][:TOP], 1)
        ]
        self.donors = Donors(*np.array(rows).T)

    def ready(self, v, end=0):
        own, opposite = self.ends[v][end], self.ends[v][1 - end]
        return end_ready(own, opposite, self.scores[:, v], v, self.donors, LEXICON)

    def trials(self, n):
        for v in range(VECTORS):
            for end in range(2):
                if isinstance(ready := self.ready(v, end), Ready):
                    for number in range(n):
                        yield v, end, intrusion_draw(ready, self.donors, Random(f"{v}:{end}:{number}"))


WORLD = World()
TRIALS = list(WORLD.trials(5))


def test_most_ends_have_trials():
    assert len({(v, end) for v, end, _ in TRIALS}) > VECTORS


@pytest.mark.parametrize("place", range(0, len(TRIALS), 7))
def test_every_condition_on_a_trial(place):
    v, end, trial = TRIALS[place]
    own, opposite = WORLD.ends[v][end], WORLD.ends[v][1 - end]
    intruder = trial.tokens[trial.answer]
    five = [token for at, token in enumerate(trial.tokens) if at != trial.answer]
    assert len(set(trial.tokens)) == SHOWN
    # Five of this end's first 15, by itself, with their ranks.
    assert all(token in own[:TOP] for token in five)
    assert all(
        own[rank - 1] == token for token, rank in zip(trial.tokens, trial.ranks, strict=True) if token != intruder
    )
    # Valid text that can be seen; one of each stem, case and space variant.
    shown = [WORDS[token] for token in trial.tokens]
    assert all(is_visible(word) for word in shown)
    assert len({word.strip().casefold() for word in shown}) == SHOWN
    stems = [stem(word) for word in shown]
    assert not any(shares_stem(a, b) for at, a in enumerate(stems) for b in stems[:at])
    # The intruder is among the first 15 of another vector's end.
    of = trial.intruder_of
    assert of // 2 != v and WORLD.ends[of // 2][of % 2][trial.ranks[trial.answer] - 1] == intruder
    assert trial.ranks[trial.answer] <= TOP
    # In the middle of the scores here, outside both ends, and of no word in them.
    low, high = np.percentile(WORLD.scores[:, v], BAND)
    assert low <= WORLD.scores[intruder, v] <= high
    assert intruder not in own and intruder not in opposite
    assert not any(
        shares_stem(stem(WORDS[intruder]), stem(WORDS[it])) for it in (*own, *opposite) if is_visible(WORDS[it])
    )
    # It looks as a token of this end that it could stand for.
    twins = [it for it in own[:TOP] if it not in five and _alike(it, intruder)]
    assert twins, "it replaces one of the end's own that looks the same"


def _alike(one, other):
    decile = len(WORDS) / 10
    return (
        look(WORDS[one]) == look(WORDS[other])
        and int(one / decile) == int(other / decile)
        and abs(len(WORDS[one].strip()) - len(WORDS[other].strip())) <= 1
    )


def test_own_tokens_are_spread_over_rank_and_drawn_anew():
    by_end = {}
    for v, end, trial in TRIALS:
        own = [rank for at, rank in enumerate(trial.ranks) if at != trial.answer]
        assert max(own) - min(own) >= 4
        by_end.setdefault((v, end), set()).add(frozenset(trial.tokens))
    assert np.mean([len(it) for it in by_end.values()]) > 4.5, "five trials of an end differ"
    used = Counter(rank for _, _, trial in TRIALS for at, rank in enumerate(trial.ranks) if at != trial.answer)
    assert set(used) == set(range(1, TOP + 1))


def test_the_intruder_is_anywhere():
    places = Counter(trial.answer for _, _, trial in TRIALS)
    expected = len(TRIALS) / SHOWN
    assert sum((places[at] - expected) ** 2 / expected for at in range(SHOWN)) < 20.5  # χ²₅ at .001


def test_a_seed_draws_the_same_again():
    ready = next(it for v in range(VECTORS) if isinstance(it := WORLD.ready(v), Ready))
    one, again, other = (intrusion_draw(ready, WORLD.donors, Random(seed)) for seed in ("a", "a", "b"))
    assert one == again != other


def test_ends_without_trials_say_why():
    own, opposite = WORLD.ends[0]
    alone = Donors(*(column[:0] for column in vars(WORLD.donors).values()))
    assert end_ready(own, opposite, WORLD.scores[:, 0], 0, alone, LEXICON) == NO_INTRUDER
    assert end_ready(own[:5], opposite, WORLD.scores[:, 0], 0, WORLD.donors, LEXICON) == TOO_FEW_OWN
    same = lexicon_make([" dog", "dog", "Dog", "DOGS", " dogs", "dogged"] * 400)
    assert end_ready(list(range(15)), [], WORLD.scores[:, 0], 0, WORLD.donors, same) == TOO_FEW_OWN
    mine = Donors(*(column[WORLD.donors.vectors == 0] for column in vars(WORLD.donors).values()))
    assert end_ready(own, opposite, WORLD.scores[:, 0], 0, mine, LEXICON) == NO_INTRUDER, "its own vector's other end"


def test_nothing_but_the_geometry_tells_the_intruder_in_noise():
    """In random geometry the right answer is chance for all that goes by looks, and for similarity of words as well.

    Similarity in the geometry itself is the direction, and finds it; with the direction taken out it is chance too.
    """
    trials = list(World(1).trials(8))
    world = World(1)
    n, chance = len(trials), 1 / SHOWN
    allowed = 4 * np.sqrt(chance * (1 - chance) / n)

    def rate(answer):
        return np.mean([answer(v, trial) == trial.answer for v, _, trial in trials])

    def odd_one_out(rows):
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return int((rows @ rows.T).sum(axis=1).argmin())

    def without_direction(v, trial):
        axis = world.vectors[v] / np.linalg.norm(world.vectors[v])
        rows = world.unembedding[list(trial.tokens)]
        return odd_one_out(rows - np.outer(rows @ axis, axis))

    def highest(value):
        tied = Random(3)
        return lambda _, trial: max(range(SHOWN), key=lambda at: (value(trial.tokens[at]), tied.random()))

    surface = {
        "length": lambda token: len(WORDS[token].strip()),
        "id": lambda token: token,
        "space": lambda token: WORDS[token].startswith(" "),
        "case": lambda token: WORDS[token].strip().islower(),
        "vowels": lambda token: sum(letter in "aeiou" for letter in WORDS[token]),
        "first letter": lambda token: ord(WORDS[token].strip()[0]),
    }
    for name, value in surface.items():
        for sign in (1, -1):
            found = rate(highest(lambda token, sign=sign, value=value: sign * value(token)))
            assert abs(found - chance) < allowed, (name, sign, found)
    assert abs(rate(without_direction) - chance) < allowed
    assert rate(lambda v, trial: odd_one_out(world.unembedding[list(trial.tokens)])) > 0.5


def test_looks():
    assert look(" Dog") == (True, "latin", "title") and look("dog") == (False, "latin", "lower")
    assert look("DOG")[2] == "upper" and look("dOg")[2] == "mixed" and look("I")[2] == "title"
    assert [character_class(it) for it in ("12", "!?", "a1", "дом", "犬", "don't")] == [
        "digits", "signs", "mixed", "cyrillic", "cjk", "latin",
    ]  # fmt: skip
    assert look(" 42") == (True, "digits", "none")
    assert [token for token in ODD_TOKENS if is_visible(token)] == [
        "<script>alert(1)</script>", "=cmd()", " dog", "dog", "é",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "forms",
    [
        ("run", " Running", "runs", "RUN"),
        ("make", "making", " makes", "MAKE"),
        ("fly", "flies", " fly"),
        ("hope", "hoped", "hopes", "hoping"),
        ("quick", " quickly"),
    ],
)
def test_forms_of_a_word_share_their_stem(forms):
    assert all(shares_stem(stem(a), stem(b)) for a in forms for b in forms)


def test_a_piece_shares_the_stem_of_its_word():
    assert shares_stem(stem(" anim"), stem("animals")) and shares_stem(stem("veter"), stem(" veterinary"))
    assert not shares_stem(stem("an"), stem("animals")) and not shares_stem(stem("dog"), stem("cat"))


@given(st.lists(st.text(max_size=8), max_size=40))
def test_any_vocabulary_has_a_lexicon(tokens):
    lexicon = lexicon_make(tokens)
    assert len(lexicon.usable) == len(lexicon.profiles) == len(lexicon.lengths) == len(lexicon.stems) == len(tokens)


def test_frequency_ranks_replace_token_ids():
    ids = lexicon_make(["aa", "bb"] * 10)
    ranks = lexicon_make(["aa", "bb"] * 10, list(range(20))[::-1])
    assert ids.profiles[0] != ids.profiles[19] and ids.profiles[0] == ranks.profiles[18]


def test_a_shuffle_is_a_permutation_and_every_order_comes():
    orders = Counter(tuple(shuffled([1, 2, 3], Random(seed))) for seed in range(600))
    assert len(orders) == 6 and min(orders.values()) > 60


def test_matching_shows_four_that_differ():
    readouts = [[f" w{at}x{n}" for n in range(10)] for at in range(12)]
    readouts[3] = [" W0X0", "w0x1", "w0x2", *readouts[3][3:]]  # three of the own's words, in another dress
    places = Counter()
    for seed in range(200):
        order, answer = matching_draw(readouts[0], readouts[1:], Random(seed))
        assert len(set(order)) == READOUTS and order[answer] == -1
        assert 2 not in order, "more than two tokens in common"
        places[answer] += 1
    assert min(places.values()) > 30
    assert matching_draw(readouts[0], readouts[1:3], Random(0)) is None
    assert matching_draw(readouts[0], [readouts[0]] * 9, Random(0)) is None
    assert MOST_SHARED == 2
