"""Audits of machine labels: what can be seen to be wrong with them without asking anybody.

Pure functions over records: a readout's tokens, what the labeler answered, what the verifier answered. Each audit has
a definition in one sentence, which pages and documents show as it stands here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labelapp.statistics.labels import is_generic, label_key, word_set
from labelapp.statistics.lexicon import LEAST_SHARE, PREPOSITIONS, lexicon_of, lexicon_share

YES, NO, UNPARSED = "yes", "no", "unparsed"
MEANING, NO_MEANING = "interpretable", "not_interpretable"

CAP_WORDS = 10
STRICT = frozenset(("nouns", "verbs", "adjectives"))
# The answer of a labeler's exemplar in the post's prompt: "most of these words are prepositions".
ECHO = "preposition"
# Chosen so that the count on the released labels is the published one (71): a few articles, prepositions and forms of
# "be", without "of", "or" and "to", in which cut answers end as often. ANY_FUNCTION_WORDS is the plain reading.
FUNCTION_WORDS = word_set("a the in on at by for is are be")
ANY_FUNCTION_WORDS = PREPOSITIONS | word_set("""
    a an the this that these those some any no not every each other another such its their his her our your my
    and or nor but so yet if because while when where whether which who whom whose what how as
    am is are was were be been being do does did have has had having can could will would shall should may might must to
    """)
SAME_LABEL_LEAST = 10
LEAK_SHARE = 0.8
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("“", "”"))


@dataclass(frozen=True)
class Record:
    """One direction and what two machines answered on it.

    `verdict` is what the labeler's answer was read as (interpretable, not_interpretable, unparsed, failed), `label`
    its words, `answer` its raw text; `verification` is yes, no or unparsed, and empty where no verifier was asked.
    """

    tokens: Sequence[str]
    verdict: str
    label: str = ""
    answer: str = ""
    verification: str = ""

    @property
    def is_sentence(self) -> bool:
        """Whether the labeler named a meaning in a sentence, which has an end that can be missing."""
        return self.verdict == MEANING and "these words" in self.answer.lower()


# What an audit finds: places in the records, each with a few words on what was seen there, or none.
Found = dict[int, str]


@dataclass(frozen=True)
class Audit:
    """`find(records, exemplars)` returns what it finds; `exemplars` are the token lists that the prompts held."""

    name: str
    title: str
    definition: str
    find: Callable[[Sequence[Record], Sequence[Sequence[str]]], Found]
    in_report: bool = True  # one of those whose counts on the released labels are known


def truncated(record: Record) -> bool:
    return record.is_sentence and not record.answer.rstrip().endswith(".")


def truncated_certain(record: Record) -> bool:
    return truncated(record) and (_is_open(record.answer) or _last_word(record.answer) in FUNCTION_WORDS)


def truncated_function_word(record: Record) -> bool:
    return truncated(record) and (_is_open(record.answer) or _last_word(record.answer) in ANY_FUNCTION_WORDS)


def word_cap(record: Record) -> bool:
    return truncated(record) and len(record.answer.split()) == CAP_WORDS


def generic(record: Record) -> bool:
    return record.verdict == MEANING and is_generic(record.label)


def generic_strict(record: Record) -> bool:
    return record.verdict == MEANING and label_key(record.label) in STRICT


def null_accepted(record: Record) -> bool:
    return record.verdict == NO_MEANING and record.verification == YES


def contradiction(record: Record) -> bool:
    return record.verdict == NO_MEANING and record.verification == NO


def exemplar_echo(record: Record) -> bool:
    return record.verdict == MEANING and ECHO in record.label.lower()


def unparsed(record: Record) -> bool:
    return record.verification == UNPARSED


def lexicon_fails(records: Sequence[Record], exemplars: Sequence[Sequence[str]] = ()) -> Found:
    """Labels that name a class which a list of words can check, where no more than half of the tokens are in it."""
    found = {}
    for place, record in enumerate(records):
        lexicon = lexicon_of(record.label) if record.verdict == MEANING else None
        if lexicon is None:
            continue
        fitting, n = lexicon_share(lexicon, record.tokens)
        if n and fitting <= LEAST_SHARE * n:
            found[place] = f"{fitting} of {n} are {lexicon.name}"
    return found


def same_label(records: Sequence[Record], exemplars: Sequence[Sequence[str]] = ()) -> Found:
    """Labels that at least SAME_LABEL_LEAST directions share, case and a final period apart, most frequent first."""
    keys = [label_key(record.label) if record.verdict == MEANING else "" for record in records]
    counts = Counter(key for key in keys if key)
    shared = [(-counts[key], key, place) for place, key in enumerate(keys) if key and counts[key] >= SAME_LABEL_LEAST]
    return {place: f"on {counts[key]} directions" for _, key, place in sorted(shared)}


def exemplar_leak(records: Sequence[Record], exemplars: Sequence[Sequence[str]]) -> Found:
    """Readouts of which an exemplar of the prompts holds nearly all tokens: LEAK_SHARE of the distinct ones."""
    lists = [(exemplar, _bare(exemplar)) for exemplar in exemplars]
    anywhere = set().union(*(bare for _, bare in lists))
    found = {}
    for place, record in enumerate(records):
        if anywhere.isdisjoint(_bare(record.tokens)):  # nearly every readout, told in one step
            continue
        for exemplar, bare in lists:
            tokens = _bare(record.tokens[: len(exemplar)])
            shared = len(tokens & bare)
            if tokens and shared >= LEAK_SHARE * max(len(tokens), len(bare)):
                found[place] = f"shares {shared} of {len(bare)} tokens with the exemplar “{', '.join(exemplar[:3])}, …”"
                break
    return found


def _each(test: Callable[[Record], bool]) -> Callable[[Sequence[Record], Sequence[Sequence[str]]], Found]:
    return lambda records, exemplars: {place: "" for place, record in enumerate(records) if test(record)}


AUDITS: Mapping[str, Audit] = {
    audit.name: audit
    for audit in (
        Audit(
            "truncated",
            "Cut short",
            "The labeler names a meaning in a sentence without a final period.",
            _each(truncated),
        ),
        Audit(
            "truncated_certain",
            "Cut short for certain",
            "As cut short, and the answer ends in a function word "
            f"({', '.join(sorted(FUNCTION_WORDS))}) or within an open quotation or bracket.",
            _each(truncated_certain),
        ),
        Audit(
            "truncated_function_word",
            "Cut short at any function word",
            "As cut short, and the answer ends in any article, determiner, preposition, conjunction or auxiliary verb, "
            "or within an open quotation or bracket.",
            _each(truncated_function_word),
            in_report=False,
        ),
        Audit(
            "word_cap",
            "At the word cap",
            f"As cut short, and the answer has exactly {CAP_WORDS} words, as where the model was allowed no more.",
            _each(word_cap),
        ),
        Audit(
            "generic",
            "Merely a part of speech",
            "The label holds only names of parts of speech or affixes, their usual attributes, “and” and “or”.",
            _each(generic),
        ),
        Audit(
            "generic_strict",
            "Just nouns, verbs or adjectives",
            "The label is exactly “nouns”, “verbs” or “adjectives”.",
            _each(generic_strict),
        ),
        Audit(
            "null_accepted",
            "Nothing found, and accepted",
            "The labeler finds no shared meaning, and the verifier says yes to that.",
            _each(null_accepted),
        ),
        Audit(
            "contradiction",
            "Nothing found, and refused",
            "The labeler finds no shared meaning, and the verifier says no to that.",
            _each(contradiction),
        ),
        Audit(
            "exemplar_echo",
            "Echo of an exemplar",
            f"The label holds “{ECHO}”, the answer of an exemplar in the post's prompt.",
            _each(exemplar_echo),
        ),
        Audit("unparsed", "Verifier not readable", "The verifier answers neither yes nor no.", _each(unparsed)),
        Audit(
            "exemplar_leak",
            "Exemplar among the items",
            f"An exemplar of the prompts and the readout share {100 * LEAK_SHARE:.0f} % or more of their tokens.",
            exemplar_leak,
            in_report=False,
        ),
        Audit(
            "lexicon_fails",
            "Label against a lexicon",
            "The label says numbers, punctuation, single letters, pronouns or prepositions, and no more than half of "
            "the tokens are that by the platform's lists.",
            lexicon_fails,
            in_report=False,
        ),
        Audit(
            "same_label",
            "Same label on many directions",
            f"The label, case and a final period apart, stands on {SAME_LABEL_LEAST} or more directions.",
            same_label,
            in_report=False,
        ),
    )
}


def _last_word(answer: str) -> str:
    words = answer.lower().split()
    return words[-1] if words else ""


def _is_open(answer: str) -> bool:
    """Whether a quotation or bracket is opened and never closed."""
    return answer.count('"') % 2 == 1 or any(answer.count(left) > answer.count(right) for left, right in _PAIRS)


def _bare(tokens: Sequence[str]) -> set[str]:
    """Distinct tokens without the spaces around them, which prompts and released readouts have lost."""
    return {token.strip() for token in tokens} - {""}
