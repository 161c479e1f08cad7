"""What can be said of a label by its words alone: pure functions of text."""

from __future__ import annotations

import re

# "most of these words are animals." names its meaning behind these two words.
_LEAD = re.compile(r"\bthese words\b", re.IGNORECASE)
_COPULA = re.compile(r"(?:are|is)\s+(?=\S)", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+(?:-[a-z]+)*|-[a-z]+|[^a-z\s,]+")


def word_set(text: str) -> frozenset[str]:
    """A list of words as it is read best: with nothing but spaces and line breaks between them."""
    return frozenset(text.split())


# A label is generic where it names nothing but parts of speech (or the affixes that make them) ...
PARTS_OF_SPEECH = word_set("""
    noun nouns verb verbs adjective adjectives adverb adverbs pronoun pronouns preposition prepositions
    conjunction conjunctions article articles determiner determiners interjection interjections
    affix affixes prefix prefixes suffix suffixes
    """)
# ... with at most one of their usual attributes before them, and joined by "and" and "or".
ATTRIBUTES = word_set("""
    possessive personal indefinite definite singular plural proper common feminine masculine first second third person
    positive negative -ly
    """)
_JOINED = frozenset(("and", "or"))


def label_of(answer: str) -> str:
    """The words of a labeler's answer that name the meaning, as one line: what stands behind "these words".

    "most of these words are verbs." gives "verbs"; "most of these words relate to war" keeps its relation and gives
    "relate to war", since a relation to pronouns, say, is no pronoun. Without "these words" it is the whole answer.
    """
    parts = _LEAD.split(answer, maxsplit=1)
    text = " ".join(parts[-1].split())
    if len(parts) == 2:
        text = _COPULA.sub("", text, count=1) if _COPULA.match(text) else text
    return text.rstrip(" .")


def label_key(label: str) -> str:
    """Equal for labels that differ in case, spaces or a final period alone."""
    return " ".join(label.casefold().split()).rstrip(" .")


def label_words(label: str) -> list[str]:
    """The words of a label in lower case, "-ly" and "mother-in-law" as one; other signs than commas stand as words."""
    return _WORDS.findall(label.lower().rstrip(" ."))


def is_generic(label: str) -> bool:
    """Whether a label is merely a part of speech: "verbs", "possessive pronouns", "prefixes or suffixes".

    Every word of it is in PARTS_OF_SPEECH or ATTRIBUTES or is "and" or "or", and one at least is in the first.
    "verbs of motion", "superlatives" and "positive words" are not generic.
    """
    words = set(label_words(label))
    return words <= PARTS_OF_SPEECH | ATTRIBUTES | _JOINED and bool(words & PARTS_OF_SPEECH)
