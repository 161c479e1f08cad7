"""Audits of labels one by one; `tests/figures/test_report.py` has their counts on the released labels."""

import pytest

from labelapp.statistics.audits import AUDITS, SAME_LABEL_LEAST, Record
from labelapp.statistics.labels import label_of

YES, NO = "interpretable", "not_interpretable"


def record(answer, verification="yes", tokens=("a", "b"), verdict=None):
    verdict = verdict or (NO if "no shared" in answer else YES)
    return Record(tokens, verdict, label_of(answer) if verdict == YES else "", answer, verification)


def names(it, exemplars=()):
    """The audits that find one record."""
    return {name for name, audit in AUDITS.items() if audit.find([it], exemplars)}


SAID = "most of these words "
CERTAIN = ("truncated_certain", "truncated_function_word")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (SAID + "relate to war.", set()),
        (SAID + "relate to war. ", set()),
        (SAID + "relate to war", {"truncated"}),
        (SAID + "are nouns that can be", {"truncated", *CERTAIN}),
        (SAID + "relate to being part of the", {"truncated", *CERTAIN, "word_cap"}),
        (SAID + "relate to cats or", {"truncated", "truncated_function_word"}),
        (SAID + "relate to a lack of", {"truncated", "truncated_function_word"}),
        (SAID + "relate to Doing Something", {"truncated"}),
        (SAID + 'are synonyms for "bad', {"truncated", *CERTAIN}),
        (SAID + 'are synonyms for "bad"', {"truncated"}),
        (SAID + "are -ness words (a", {"truncated", *CERTAIN}),
        (SAID + "are related to a country or town somewhere", {"truncated"}),  # eleven words
        (SAID + "are verbs.", {"generic", "generic_strict"}),
        (SAID + "are Adverbs.", {"generic"}),
        (SAID + "are prepositions of place.", {"exemplar_echo"}),
        ("these words have no shared semantic meaning", {"null_accepted"}),
    ],
)
def test_what_each_audit_finds(answer, expected):
    assert names(record(answer)) == expected


def test_verifier_and_labeler():
    assert names(record("these words have no shared semantic meaning.", "no")) == {"contradiction"}
    assert names(record(SAID + "are animals.", "unparsed")) == {"unparsed"}
    assert names(record("these words have no shared semantic meaning.", "")) == set()  # nobody was asked


def test_an_answer_that_is_no_sentence_is_not_cut_short():
    """A structured answer has no final period, and lacks none."""
    assert names(Record(["a"], YES, "animals", '{"label": "animals"}', "yes")) == set()
    assert names(Record(["a"], "unparsed", "", "these words", "")) == set()
    assert names(Record(["a"], "failed")) == set()


def test_labels_against_a_lexicon():
    audit = AUDITS["lexicon_fails"]
    found = audit.find(
        [
            record(SAID + "are numbers.", tokens=["1", " 2", "three", "dog"]),
            record(SAID + "are numbers.", tokens=["1", "2", "cat", "dog"]),  # half is not most
            record(SAID + "are pronouns.", tokens=["the", "and", "he", " "]),
            record(SAID + "are animals.", tokens=["1"]),
        ],
        (),
    )
    assert found == {1: "2 of 4 are numbers", 2: "1 of 3 are pronouns"}


def test_the_same_label_on_many_directions_most_frequent_first():
    few = [record(SAID + "relate to war.")] * (SAME_LABEL_LEAST - 1)
    some = [record(SAID + "Relate to Art")] * SAME_LABEL_LEAST
    many = [record(SAID + "are verbs.")] * (SAME_LABEL_LEAST + 1)
    found = AUDITS["same_label"].find([*few, *some, *many], ())
    assert len(found) == len(some) + len(many)
    assert next(iter(found)) == len(few) + len(some) and found[len(few)] == f"on {SAME_LABEL_LEAST} directions"


def test_an_exemplar_among_the_items():
    exemplar = ("lost", "missed", "undone", "vanished", "feared")
    audit = AUDITS["exemplar_leak"]
    same = record("x", tokens=[" feared", "lost", " missed", "undone", " vanished", "beyond the exemplar's length"])
    near = record("x", tokens=["lost", "missed", "undone", "vanished", "dog"])
    far = record("x", tokens=["lost", "missed", "undone", "cat", "dog"])
    found = audit.find([same, near, far], [("a", "b"), exemplar])
    assert found == {
        0: "shares 5 of 5 tokens with the exemplar “lost, missed, undone, …”",
        1: "shares 4 of 5 tokens with the exemplar “lost, missed, undone, …”",
    }
    assert audit.find([same], ()) == {}
