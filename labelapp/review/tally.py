"""From judgements to the comparison: one human and one machine verdict a direction, and their table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from labelapp.judgements.models import TWO_VALUED, Judge, Verdict
from labelapp.judgements.rules import Rule
from labelapp.statistics.agreement import cohens_kappa, raw_agreement

if TYPE_CHECKING:  # it brings scipy, which the web process starts without
    from labelapp.statistics.agreement_card import AgreementCard

TIE = "tie"
MISSING = "not judged"
RESAMPLES = 1000  # of a page's intervals, of which there may be twenty
# Of each kind of vector its ends by cell (both yes, the first alone, the second alone, both no), and how many are so.
Kinds = tuple[tuple[tuple[int, ...], int], ...]


@lru_cache(maxsize=256)  # some 10 ms each; the same counts are shown again and again
def card_of(kinds: Kinds) -> AgreementCard:
    """The agreement of two judges, its intervals over vectors."""
    from labelapp.statistics.agreement_card import agreement_card_counted

    return agreement_card_counted([cells for cells, _ in kinds], [n for _, n in kinds], resamples=RESAMPLES)


def human_verdict(verdicts: Iterable[str]) -> str:
    """The majority of the yes and no among people's verdicts: `interpretable`, `not_interpretable`, or `tie`.

    Unsure ones have no vote; where there are no others, `unsure`.
    """
    votes = [verdict for verdict in verdicts if verdict in TWO_VALUED]
    if not votes:
        return Verdict.UNSURE
    yes = votes.count(Verdict.INTERPRETABLE)
    if 2 * yes == len(votes):
        return TIE
    return Verdict.INTERPRETABLE if 2 * yes > len(votes) else Verdict.NOT_INTERPRETABLE


@dataclass(frozen=True)
class Crossing:
    """People × one machine over the directions that people judged, and what was left out of it, by reason."""

    both_yes: int
    people_yes: int  # and the machine no
    machine_yes: int  # and the people no
    both_no: int
    agreement: float | None
    kappa: float | None
    left_out: Sequence[tuple[str, int]]
    kinds: Kinds = field(default=(), compare=False)  # of vectors; they add up to the four cells

    @cached_property
    def card(self) -> AgreementCard:
        """The people are its first judge."""
        return card_of(self.kinds)

    @property
    def n(self) -> int:
        return self.both_yes + self.people_yes + self.machine_yes + self.both_no

    @property
    def rows(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """For the page: the people's verdict, and in each cell its count and its heat."""
        most = max(self.both_yes, self.people_yes, self.machine_yes, self.both_no, 1)
        cells = [("yes", [self.both_yes, self.people_yes]), ("no", [self.machine_yes, self.both_no])]
        return [(name, [(count, round(20 * count / most)) for count in counts]) for name, counts in cells]


@dataclass(frozen=True)
class Pair:
    """Two machines on the directions that both said yes or no to; the older is the first."""

    first: Judge
    second: Judge
    kinds: Kinds

    @cached_property
    def card(self) -> AgreementCard:
        return card_of(self.kinds)


@dataclass(frozen=True)
class Machine:
    """One machine judge with the rule that scores it, and its table with the people."""

    judge: Judge
    rule: Rule
    crossing: Crossing


def crossing(people: Mapping[int, str], machine: Mapping[int, str]) -> Crossing:
    """Both map a direction's id to a verdict; what is no yes or no on either side is left out and counted."""
    return crossing_counted(Counter((verdict, machine.get(pk, MISSING)) for pk, verdict in people.items()))


def crossing_counted(counts: Mapping[tuple[str, str], int], kinds: Kinds = ()) -> Crossing:
    """The same from how often people said the one and the machine the other; with the kinds of vectors for its card."""
    table = [[counts.get((people, machine), 0) for machine in TWO_VALUED] for people in TWO_VALUED]
    (both_yes, people_yes), (machine_yes, both_no) = table
    return Crossing(
        both_yes,
        people_yes,
        machine_yes,
        both_no,
        raw_agreement(table),
        cohens_kappa(table),
        _left_out(counts),
        kinds,
    )


def agrees(people: str, machines: Iterable[str]) -> bool | None:
    """Whether every machine with a yes or no says what people say; None where nothing can be compared."""
    said = [verdict for verdict in machines if verdict in TWO_VALUED]
    if people not in TWO_VALUED or not said:
        return None
    return all(verdict == people for verdict in said)


def _left_out(counts: Mapping[tuple[str, str], int]) -> list[tuple[str, int]]:
    reasons: Counter[str] = Counter()
    for (people, machine), n in counts.items():
        if people not in TWO_VALUED:
            reasons["people tied" if people == TIE else "people unsure"] += n
        elif machine not in TWO_VALUED:
            reasons[f"machine {machine}" if machine != MISSING else "not judged by the machine"] += n
    return sorted(reasons.items())
