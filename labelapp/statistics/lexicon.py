"""Labels that a list of words can check: numbers, punctuation, single letters, pronouns, prepositions.

The lists are closed classes of English, and short on purpose: what is in none of them is counted against the label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labelapp.statistics.labels import label_words, word_set

NUMBER_WORDS = word_set("""
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands
    million millions billion billions trillion trillions dozen dozens first second third fourth fifth sixth seventh
    eighth ninth tenth half quarter
    """)
PRONOUNS = word_set("""
    i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself
    we us our ours ourselves they them their theirs themselves themself one oneself who whom whose which what that
    this these those somebody someone something anybody anyone anything nobody none nothing everybody everyone
    everything each either neither both all any some few many several such another other others whoever whomever
    whatever whichever thou thee thy thine ye y'all
    """)
PREPOSITIONS = word_set("""
    aboard about above across after against along amid amidst among amongst around as at atop before behind below
    beneath beside besides between beyond but by concerning considering despite down during except excluding following
    for from in inside into less like minus near notwithstanding of off on onto opposite out outside over past pending
    per plus regarding since than through throughout thru till to toward towards under underneath unlike until unto up
    upon versus via vs with within without
    """)
_ROMAN = re.compile(r"(?=[MDCLXVI])M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3})")
# Words that leave a label what it is; "relate to numbers" says less, and is not checked.
_FILLING = word_set("all the english common simple basic individual single of in")
# "Most of these words": a label fails where no more than half of the tokens are what it says.
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Lexicon:
    """A class of tokens that a list can tell, and the words by which labels name it."""

    name: str
    heads: frozenset[str]
    attributes: frozenset[str]
    holds: Callable[[str], bool]  # of a token without the spaces around it


def _is_number(token: str) -> bool:
    if any(character.isdigit() for character in token) or token.lower() in NUMBER_WORDS:
        return True
    return len(token) > 1 and _ROMAN.fullmatch(token) is not None


def _is_punctuation(token: str) -> bool:
    return bool(token) and not any(character.isalnum() for character in token)


def _is_letter(token: str) -> bool:
    return len(token) == 1 and token.isalpha()


LEXICONS = (
    Lexicon(
        "numbers",
        word_set("number numbers numeral numerals digit digits numeric numerical"),
        word_set("cardinal ordinal roman small large words"),
        _is_number,
    ),
    Lexicon("punctuation", frozenset(("punctuation", "punctuations")), frozenset(("mark", "marks")), _is_punctuation),
    Lexicon("single letters", frozenset(("letter", "letters")), frozenset(("alphabet", "latin")), _is_letter),
    Lexicon(
        "pronouns",
        frozenset(("pronoun", "pronouns")),
        # A narrower label ("possessive pronouns") holds only where the wider one does.
        word_set(
            "possessive personal indefinite definite singular plural feminine masculine first second third person"
        ),
        lambda token: token.lower() in PRONOUNS,
    ),
    Lexicon(
        "prepositions",
        frozenset(("preposition", "prepositions")),
        frozenset(("temporal", "spatial")),
        lambda token: token.lower() in PREPOSITIONS,
    ),
)


def lexicon_of(label: str) -> Lexicon | None:
    """The lexicon that can check a label: the label names its class, perhaps narrower, and nothing else."""
    words = set(label_words(label))
    for lexicon in LEXICONS:
        if words & lexicon.heads and words <= lexicon.heads | lexicon.attributes | _FILLING:
            return lexicon
    return None


def lexicon_share(lexicon: Lexicon, tokens: Sequence[str]) -> tuple[int, int]:
    """How many of the tokens are of the class, and how many there are (tokens of spaces alone are none)."""
    bare = [token.strip() for token in tokens]
    bare = [token for token in bare if token]
    return sum(map(lexicon.holds, bare)), len(bare)
