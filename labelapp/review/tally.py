"""From judgements to the comparison: one human and one machine verdict a direction, and their table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labelapp.judgements.models import TWO_VALUED, Verdict
from labelapp.statistics.agreement import cohens_kappa, contingency, raw_agreement

TIE = "tie"
MISSING = "not judged"


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

    @property
    def n(self) -> int:
        return self.both_yes + self.people_yes + self.machine_yes + self.both_no

    @property
    def rows(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """For the page: the people's verdict, and in each cell its count and its heat."""
        most = max(self.both_yes, self.people_yes, self.machine_yes, self.both_no, 1)
        cells = [("yes", [self.both_yes, self.people_yes]), ("no", [self.machine_yes, self.both_no])]
        return [(name, [(count, round(20 * count / most)) for count in counts]) for name, counts in cells]


def crossing(people: Mapping[int, str], machine: Mapping[int, str]) -> Crossing:
    """Both map a direction's id to a verdict; what is no yes or no on either side is left out and counted."""
    pairs = [(verdict, machine.get(direction, MISSING)) for direction, verdict in people.items()]
    table = contingency(*_columns(pair for pair in pairs if set(pair) <= set(TWO_VALUED)))
    (both_yes, people_yes), (machine_yes, both_no) = table.tolist()
    return Crossing(
        both_yes,
        people_yes,
        machine_yes,
        both_no,
        raw_agreement(table),
        cohens_kappa(table),
        _left_out(pairs),
    )


def agrees(people: str, machines: Iterable[str]) -> bool | None:
    """Whether every machine with a yes or no says what people say; None where nothing can be compared."""
    said = [verdict for verdict in machines if verdict in TWO_VALUED]
    if people not in TWO_VALUED or not said:
        return None
    return all(verdict == people for verdict in said)


def _columns(pairs: Iterable[tuple[str, str]]) -> tuple[list[bool], list[bool]]:
    kept = list(pairs)
    yes = Verdict.INTERPRETABLE
    return [people == yes for people, _ in kept], [machine == yes for _, machine in kept]


def _left_out(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for people, machine in pairs:
        if people not in TWO_VALUED:
            reason = "people tied" if people == TIE else "people unsure"
        elif machine not in TWO_VALUED:
            reason = f"machine {machine}" if machine != MISSING else "not judged by the machine"
        else:
            continue
        counts[reason] = counts.get(reason, 0) + 1
    return sorted(counts.items())
