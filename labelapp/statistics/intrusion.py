"""Trials of intrusion tests and of label matching: drawn so that nothing but meaning can tell the answer.

An intrusion trial shows six tokens: five of a direction's best and an intruder (Chang et al. 2009, "Reading Tea
Leaves"). Six of the direction's own are drawn, one of them at random gives way to the intruder, and the intruder looks
as that one does. Only tokens for which such an intruder exists can be drawn. So, whatever the direction, the six look
as six of its own would, and each is equally often the intruder: who goes by looks finds it in one of six trials.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")
Ints = NDArray[np.int64]

TOP = 15  # ranks that own tokens and intruders come from
SHOWN = 6
INTRUSION_CHANCE = 1 / SHOWN
READOUTS = 4
MATCHING_CHANCE = 1 / READOUTS
DECILES = 10
BAND = (25.0, 75.0)  # percentiles of the signed score between which an intruder lies
MOST_SHARED = 2  # tokens that the readouts of one matching trial may have in common, two by two

TOO_FEW_OWN = f"have fewer than {SHOWN} different words among their first {TOP} tokens"
NO_INTRUDER = f"have fewer than {SHOWN} tokens for which there is an intruder that looks alike"
NO_READOUTS = f"find no {READOUTS - 1} other readouts nearby"
# Suffixes, the longest first, with how many letters must be left and what takes their place.
_SUFFIXES = (
    *((suffix, 3, "") for suffix in ("ingly", "ings", "edly", "ing")),
    *((suffix, 2, "y") for suffix in ("ied", "ies")),
    *((suffix, 4, "") for suffix in ("ers", "er")),
    *((suffix, 3, "") for suffix in ("ed", "es", "ly", "'s", "’s", "s")),
)
_LEAST_STEM = 3
_PREFIX = 4  # a stem that begins another one, with so many letters, is a piece of the same word


@dataclass(frozen=True, eq=False)
class Lexicon:
    """What can be seen of each token of a vocabulary, by id. Arrays are [vocab].

    usable: valid, visible text. profiles: equal for tokens of the same frequency decile, leading space, case and
    character class. lengths: in characters, without the spaces around. stems: see `stem`.
    """

    usable: NDArray[np.bool_]
    profiles: Ints
    lengths: Ints
    stems: Sequence[str]


@dataclass(frozen=True, eq=False)
class Donors:
    """Tokens that may intrude: those at the first ranks of other directions, one row for each; arrays are [rows]."""

    tokens: Ints
    directions: Ints  # ids
    vectors: Ints  # a number for each vector, so that the two ends of one have the same
    ranks: Ints  # from 1


@dataclass(frozen=True, eq=False)
class Ready:
    """An end of which trials can be drawn: its tokens with their ranks (from 1), and each one's intruders' rows."""

    tokens: Sequence[int]
    ranks: Sequence[int]
    intruders: Sequence[Ints]


@dataclass(frozen=True)
class IntrusionTrial:
    """Six token ids as they are shown, the intruder at `answer`; the ranks are those of `tokens`, the intruder's on
    the direction that it is of.
    """

    tokens: tuple[int, ...]
    answer: int
    ranks: tuple[int, ...]
    intruder_of: int


def lexicon_make(tokens: Sequence[str], frequency_ranks: ArrayLike | None = None) -> Lexicon:
    """The lexicon of a vocabulary; `frequency_ranks` [vocab] from 0, the most frequent first.

    Without them a token's id stands for its rank: byte-pair merges are learnt by frequency.
    """
    n = len(tokens)
    ranks = np.arange(n) if frequency_ranks is None else np.asarray(frequency_ranks)
    codes: dict[Hashable, int] = {}
    looks = [codes.setdefault(look(token), len(codes)) for token in tokens]
    return Lexicon(
        np.fromiter((is_visible(token) for token in tokens), bool, n),
        np.array(looks, np.int64) * DECILES + ranks * DECILES // max(n, 1),
        np.fromiter((len(token.strip()) for token in tokens), np.int64, n),
        [stem(token) for token in tokens],
    )


def is_visible(token: str) -> bool:
    """Valid text that a person can see: no halves of characters, no controls, not blank."""
    return bool(token.strip()) and token.isprintable() and "\ufffd" not in token


def look(token: str) -> tuple[bool, str, str]:
    """Leading space, character class and case: what of a token can be seen without reading it."""
    bare = token.strip()
    return token.startswith(" "), character_class(bare), _case(bare)


def character_class(text: str) -> str:
    """ "digits", "signs", "mixed", or of letters alone their script, as the Unicode name of the first one begins."""
    if text.isdigit():
        return "digits"
    if not any(character.isalnum() for character in text):
        return "signs"
    if not text.replace("'", "").replace("’", "").isalpha():
        return "mixed"
    first = next(character for character in text if character.isalpha())
    return unicodedata.name(first, "?").partition(" ")[0].lower()


def stem(token: str) -> str:
    """The same for a word's forms as far as simple suffixes go: " Running", "runs", " run" are "run"."""
    text = token.strip().casefold()
    for suffix, left, ending in _SUFFIXES:
        if text.endswith(suffix) and len(text) - len(suffix) >= left:
            text = text.removesuffix(suffix) + ending
            break
    if len(text) > _LEAST_STEM and text[-1] == text[-2]:
        text = text[:-1]
    return text.removesuffix("e") if len(text) > _LEAST_STEM else text


def shares_stem(one: str, other: str) -> bool:
    """Whether two stems are of the same word; one of four letters or more may be the beginning of the other."""
    short, long = sorted((one, other), key=len)
    return short == long or (len(short) >= _PREFIX and long.startswith(short))


def end_ready(
    own: Sequence[int],
    opposite: Sequence[int],
    scores: ArrayLike,
    vector: int,
    donors: Donors,
    lexicon: Lexicon,
) -> Ready | str:
    """What trials of an end are drawn from, or why there are none.

    own, opposite: the readouts of the two ends of the vector, best first; scores: [vocab], of every token on it (the
    sign does not matter); vector: its number among the donors', whose own rows are left out. An intruder lies between
    the 25th and the 75th percentile of the scores, in neither readout, is of the profile of the token that it replaces,
    as long up to one character, and shares no stem with anything in either readout.
    """
    values = np.asarray(scores, dtype=np.float64)
    chosen = _one_of_each_stem(own[:TOP], lexicon)
    if len(chosen) < SHOWN:
        return TOO_FEW_OWN
    low, high = np.percentile(values, BAND)
    at = values[donors.tokens]
    may = lexicon.usable[donors.tokens] & (low <= at) & (at <= high) & (donors.vectors != vector)
    may &= ~np.isin(donors.tokens, [*own, *opposite])
    taken = {lexicon.stems[token] for token in (*own, *opposite) if lexicon.usable[token]}
    found = _Strangers(np.flatnonzero(may), donors, lexicon, taken)
    pairs = [(token, rank, found.for_token(token)) for rank, token in chosen]
    tokens, ranks, rows = zip(*pairs, strict=True)
    places = [place for place, it in enumerate(rows) if len(it)]
    if len(places) < SHOWN:
        return NO_INTRUDER
    return Ready(*([it[place] for place in places] for it in (tokens, ranks, rows)))


def intrusion_draw(ready: Ready, donors: Donors, rng: Random) -> IntrusionTrial:
    """One trial: a token from each sixth of the ranks, one of them replaced, all shuffled.

    An intruder is as likely as it is frequent among the donors, since that is how a direction's own tokens come about.
    """
    m = len(ready.tokens)
    places = [_between(rng, part * m // SHOWN, (part + 1) * m // SHOWN) for part in range(SHOWN)]
    replaced = places[_between(rng, 0, SHOWN)]
    rows = ready.intruders[replaced]
    row = int(rows[_between(rng, 0, len(rows))])
    order = shuffled(places, rng)
    answer = order.index(replaced)
    tokens = [ready.tokens[place] for place in order]
    ranks = [ready.ranks[place] for place in order]
    tokens[answer], ranks[answer] = int(donors.tokens[row]), int(donors.ranks[row])
    return IntrusionTrial(tuple(tokens), answer, tuple(ranks), int(donors.directions[row]))


def matching_draw(own: Sequence[str], others: Sequence[Sequence[str]], rng: Random) -> tuple[list[int], int] | None:
    """The readouts of a matching trial as places in `others`, own as -1, in the order shown; and where own stands.

    No two readouts have more than two tokens in common, in whatever case. None where there are not three such.
    """
    words = [_words(own)]
    drawn = [-1]
    for place in shuffled(range(len(others)), rng):
        its = _words(others[place])
        if all(len(its & known) <= MOST_SHARED for known in words):
            words.append(its)
            drawn.append(place)
            if len(drawn) == READOUTS:
                order = shuffled(drawn, rng)
                return order, order.index(-1)
    return None


def shuffled(values: Sequence[T], rng: Random) -> list[T]:
    """In random order, by `Random.random` alone, whose sequence does not change between versions of Python."""
    return [value for _, _, value in sorted((rng.random(), place, value) for place, value in enumerate(values))]


class _Strangers:
    """The rows that may intrude, found by the token that is to be replaced."""

    def __init__(self, rows: Ints, donors: Donors, lexicon: Lexicon, taken: Collection[str]) -> None:
        self.rows, self.lexicon = rows, lexicon
        # As `shares_stem` has it, for all that is taken at once.
        self.taken = set(taken)
        self.begun = {it[:end] for it in taken for end in range(_PREFIX, len(it) + 1)}
        self.tokens = donors.tokens[rows]
        self.profiles, self.lengths = lexicon.profiles[self.tokens], lexicon.lengths[self.tokens]
        self._is_strange: dict[int, bool] = {}

    def for_token(self, token: int) -> Ints:
        alike = self.profiles == self.lexicon.profiles[token]
        alike &= np.abs(self.lengths - self.lexicon.lengths[token]) <= 1
        found = np.flatnonzero(alike)
        return self.rows[[place for place in found.tolist() if self.is_strange(int(self.tokens[place]))]]

    def is_strange(self, token: int) -> bool:
        known = self._is_strange.get(token)
        if known is None:
            its = self.lexicon.stems[token]
            beginnings = (its[:end] for end in range(_PREFIX, len(its) + 1))
            known = its not in self.taken and its not in self.begun and self.taken.isdisjoint(beginnings)
            self._is_strange[token] = known
        return known


def _one_of_each_stem(own: Sequence[int], lexicon: Lexicon) -> list[tuple[int, int]]:
    """(rank, token) of the usable tokens; of those that are one word's the best alone."""
    chosen: list[tuple[int, int]] = []
    for rank, token in enumerate(own, 1):
        its = lexicon.stems[token]
        if lexicon.usable[token] and not any(shares_stem(its, lexicon.stems[other]) for _, other in chosen):
            chosen.append((rank, token))
    return chosen


def _case(text: str) -> str:
    if text.islower():
        return "lower"
    if text.isupper():
        return "upper" if len(text) > 1 else "title"
    return "title" if text[:1].isupper() and text[1:].islower() else "mixed" if text != text.lower() else "none"


def _words(tokens: Sequence[str]) -> set[str]:
    return {token.strip().casefold() for token in tokens}


def _between(rng: Random, low: int, high: int) -> int:
    """low to high - 1, each as likely."""
    return low + int(rng.random() * (high - low))
