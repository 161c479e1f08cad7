"""Numbers in words."""

from labelapp.figures.kinds.resemblance import sentence
from labelapp.figures.words import p_words
from labelapp.statistics.similarity import DRAWS, WithinMatrix


def test_a_p_at_the_floor_of_its_draws_is_at_most_that():
    least = 1 / (1 + DRAWS)
    assert p_words(least, least) == "p ≤ 0.0005" and p_words(2 * least, least) == "p = 0.001"
    assert p_words(0.0004) == "p = 0.0004" and p_words(None) == "p not known"


def test_resemblance_says_so_and_that_it_has_no_interval():
    found = WithinMatrix(40, 4, 0.4, 0.1, 1 / (1 + DRAWS), [])
    text = sentence("tiny", found, by_layer=True)
    assert "p ≤ 0.0005, one-sided, 1,999 draws" in text and "no interval" in text and "40 vectors" in text
