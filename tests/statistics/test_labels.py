"""What a label says by its words alone."""

import pytest

from labelapp.statistics.labels import is_generic, label_key, label_of
from labelapp.statistics.lexicon import LEXICONS, lexicon_of, lexicon_share


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("most of these words are verbs.", "verbs"),
        ("Most of These Words  are\n animals", "animals"),
        ("most of these words relate to war.", "relate to war"),
        ("these words are all pronouns.", "all pronouns"),
        ("these words area.", "area"),
        ("animals", "animals"),
        ("", ""),
        ("most of these words", ""),
        ("these words are these words.", "these words"),
    ],
)
def test_the_label_is_what_stands_behind_these_words(answer, label):
    assert label_of(answer) == label


@pytest.mark.parametrize(
    ("label", "generic"),
    [
        ("verbs", True),
        ("Nouns.", True),
        ("possessive pronouns", True),
        ("prefixes or suffixes", True),
        ("prepositions, articles", True),
        ("-ly adverbs", True),
        ("positive adjectives", True),
        ("first person plural pronouns", True),
        ("superlatives", False),
        ("positive", False),
        ("verbs of motion", False),
        ('verbs meaning "to stop', False),
        ("relate to pronouns", False),
        ("either prepositions or", False),
        ("-ing", False),
        ("", False),
        ("and", False),
        ("nouns 2", False),
    ],
)
def test_a_generic_label_holds_parts_of_speech_and_their_attributes_alone(label, generic):
    assert is_generic(label) is generic


def test_labels_are_the_same_up_to_case_spaces_and_the_period():
    assert label_key(" Relate to  War. ") == label_key("relate to war") != label_key("related to war")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("numbers", "numbers"),
        ("roman numerals", "numbers"),
        ("punctuation marks", "punctuation"),
        ("letters of the alphabet", "single letters"),
        ("possessive pronouns", "pronouns"),
        ("prepositions", "prepositions"),
        ("numbers or letters", None),
        ("relate to numbers", None),
        ("numbers in baseball", None),
        ("animals", None),
        ("", None),
    ],
)
def test_which_lexicon_checks_a_label(label, name):
    found = lexicon_of(label)
    assert (found and found.name) == name


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("numbers", [" 12", "7th", "Seven", "XIV", " 3.5"], ["I", "tens of", "dog", ""]),
        ("punctuation", [",", " —", "()", '"'], ["a.", "1", " ", "\x00a"]),
        ("single letters", [" a", "Z", "é"], ["ab", "1", ",", ""]),
        ("pronouns", [" They", "hers"], ["the", "dog"]),
        ("prepositions", [" of", "WITH"], ["the", "preposition"]),
    ],
)
def test_what_a_lexicon_holds(name, yes, no):
    (lexicon,) = [it for it in LEXICONS if it.name == name]
    assert lexicon_share(lexicon, yes) == (len(yes), len(yes))
    bare = [token for token in no if token.strip()]
    assert lexicon_share(lexicon, bare) == (0, len(bare))
