"""What measurements draw: by content, seeded, and never what they must not."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.autolabel.asking import readout_seed
from labelapp.autolabel.drawing import Readout, flags, label_drawn, list_drawn, picks_counted, vectors_sample
from tests.factories import ODD_TOKENS
from workers.llm.rendering import token_shown

K = 4


def readout(number: int, *, model: int = 1, vector: int | None = None, word: str | None = None) -> Readout:
    name = word or f"word{number}x"
    return Readout(number, vector or number, model, [f" {name}{rank}" for rank in range(2 * K)])


def test_a_list_holds_the_next_tokens_and_as_many_of_others_at_the_same_ranks():
    others = [readout(number) for number in range(1, 30)]
    drawn = list_drawn(others[4], others, K, seed=0)
    assert len(drawn["list"]) == 2 * K and len(drawn["own"]) == K
    assert {drawn["list"][place] for place in drawn["own"]} == {f"word5x{rank}" for rank in range(K, 2 * K)}
    assert all(drawn["from"][place] == 5 for place in drawn["own"])
    strange = [place for place in range(2 * K) if place not in drawn["own"]]
    assert all(drawn["from"][place] != 5 and K < drawn["rank"][place] <= 2 * K for place in strange)
    for place in strange:
        assert drawn["list"][place] == f"word{drawn['from'][place]}x{drawn['rank'][place] - 1}"
    assert list_drawn(others[4], others, K, seed=0) == drawn, "the same seed, the same list"
    assert list_drawn(others[4], others, K, seed=1) != drawn


def test_lists_are_shuffled_without_a_favourite_place():
    others = [readout(number) for number in range(1, 400)]
    places = Counter(place for it in others[:200] for place in list_drawn(it, others, K, seed=2)["own"])
    assert set(places) == set(range(2 * K)) and max(places.values()) < 140 and min(places.values()) > 60


@given(
    st.lists(st.sampled_from([*ODD_TOKENS, " a", "A", " b", "c", " d", "e"]), min_size=2 * K, max_size=2 * K),
    st.integers(0, 9),
)
def test_no_other_token_looks_like_one_of_the_directions_own_first(tokens, seed):
    own = Readout(1, 1, 1, tokens)
    others = [
        own,
        *(readout(number) for number in range(2, 9)),
        Readout(90, 90, 1, [*ODD_TOKENS[:4], " A", "b", "C", " D"]),
    ]
    drawn = list_drawn(own, others, K, seed)
    first = {token_shown(token).casefold() for token in tokens}
    strange = [drawn["list"][place] for place in range(2 * K) if place not in drawn["own"]]
    assert not first & {token.casefold() for token in strange}
    assert len({token.casefold() for token in strange}) == K
    assert all(token.isprintable() and token_shown(token) == token for token in drawn["list"]), "shown as it is stored"


def test_another_model_and_the_same_vector_give_no_tokens():
    own = readout(1)
    assert list_drawn(own, [own], K, 0) is None
    assert list_drawn(own, [own, readout(2, model=2), readout(3, vector=1)], K, 0) is None
    assert list_drawn(own, [own, readout(4, word="word1x")], K, 0) is None, "the same tokens"
    assert list_drawn(own, [own, readout(5)], K, 0) is not None


def test_whole_words_are_told_from_the_tokens_themselves():
    own = Readout(1, 1, 1, ["a", "b", "c", "d", " dog", "oug", "Cat", " é"])
    other = Readout(2, 2, 1, ["x", "y", "z", "w", " house", "vat", "=1", " x"])
    drawn = list_drawn(own, [own, other], K, 0)
    assert {drawn["list"][place] for place in drawn["whole"]} == {"dog", "Cat", "house"}


def test_picks_are_counted():
    detail = {"list": ["a", "b", "c", "d"], "own": [0, 2], "whole": [1, 2]} | picks_counted([0, 2], (2, 1, 2))
    assert (detail["picks"], detail["hits"], detail["false_alarms"]) == ([1, 2], 1, 1)
    assert flags(detail) == [(True, False, False), (False, True, True), (True, True, True), (False, False, False)]


def test_a_wrong_label_is_another_vectors_and_other_words():
    others = [(1, "animals"), (1, "verbs"), (2, "Animals."), (3, "war"), (4, "food")]
    drawn = {label_drawn([f"t{number}"], 1, "animals", others, 0) for number in range(60)}
    assert drawn == {3, 4}
    assert label_drawn(["t"], 1, "animals", others[:3], 0) is None
    assert label_drawn(["t"], 1, "animals", [], 0) is None


@given(st.lists(st.integers(0, 12), max_size=40), st.integers(1, 12))
def test_a_sample_keeps_ends_together_and_the_order(vectors, most):
    rows = list(range(len(vectors)))
    chosen = vectors_sample(rows, vectors, most)
    assert chosen == sorted(chosen) and (len(rows) <= most) <= (chosen == rows)
    whole = Counter(vectors)
    taken = Counter(vectors[row] for row in chosen)
    assert all(taken[vector] == whole[vector] for vector in taken)
    assert len(chosen) <= most or len(taken) == 1
    assert vectors_sample(rows, vectors, None) == rows


@pytest.mark.parametrize("tokens", [ODD_TOKENS, ["a"], []])
def test_a_seed_is_the_contents(tokens):
    assert readout_seed(tokens, 1) == readout_seed(list(tokens), 1) != readout_seed(tokens, 2)
    assert 0 <= readout_seed(tokens, 1) < 2**63
