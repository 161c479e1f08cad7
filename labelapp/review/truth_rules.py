"""The rules by which a ground-truth set is chosen: from what stands on a project's items to its entries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Verdict
from labelapp.labelling.models import Project
from labelapp.review.models import Adjudication, Entry
from labelapp.statistics.labels import label_key

LEAST_PEOPLE = 2
MOST_PEOPLE = 1000


class GroundTruthError(ValueError):
    """A ground-truth set that cannot be; the message says why in one sentence."""


@dataclass(frozen=True)
class Chosen:
    """What a rule makes of one direction."""

    verdict: str
    label: str
    origin: str
    n_people: int
    adjudication_id: int | None = None


@dataclass(frozen=True)
class Standing:
    """What stands on a project's items, by direction."""

    adjudications: Mapping[int, Adjudication]
    people: Mapping[int, Sequence[Judgement]]  # oldest first


@dataclass(frozen=True)
class TruthRule:
    """A named, versioned rule; `people` is how many must agree, None where nobody need."""

    name: str
    people: int | None = None
    version: int = 1

    def as_json(self) -> dict[str, Any]:
        """As it is stored and hashed; `truth_rule_of` reads it."""
        return {"name": self.name, "version": self.version, **({"people": self.people} if self.people else {})}

    @property
    def says(self) -> str:
        return KINDS[self.name].says.format(people=self.people)

    def choose(self, standing: Standing, direction: int) -> Chosen | None:
        return KINDS[self.name].choose(standing, direction, self.people or 0)


@dataclass(frozen=True)
class RuleKind:
    name: str
    title: str
    says: str
    needs_people: bool
    choose: Callable[[Standing, int, int], Chosen | None]


def truth_rule(name: str, people: int | None = None) -> TruthRule:
    """Raises GroundTruthError where there is no such rule, or the number of people is missing or impossible."""
    if name not in KINDS:
        raise GroundTruthError(f"There is no rule {name!r}; there is {', '.join(KINDS)}.")
    if not KINDS[name].needs_people:
        return TruthRule(name)
    if people is None or not LEAST_PEOPLE <= people <= MOST_PEOPLE:
        raise GroundTruthError(f"The rule {name} needs how many people must agree, at least {LEAST_PEOPLE}.")
    return TruthRule(name, people)


def truth_rule_of(stored: Mapping[str, Any]) -> TruthRule:
    """What `as_json` made."""
    return TruthRule(stored["name"], stored.get("people"), stored["version"])


def standing_of(project: Project) -> Standing:
    """Two queries: what people say is as much as people can say."""
    decisions = Adjudication.objects.filter(item__project=project, current=True)
    people: dict[int, list[Judgement]] = defaultdict(list)
    rows = Judgement.objects.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    for row in rows.only("pk", "direction", "verdict", "label", "blind").order_by("pk"):
        people[row.direction_id].append(row)
    return Standing({it.item.direction_id: it for it in decisions.select_related("item")}, people)


def _adjudicated(standing: Standing, direction: int, people: int) -> Chosen | None:
    decision = standing.adjudications.get(direction)
    if decision is None or decision.verdict not in TWO_VALUED:
        return None
    return Chosen(decision.verdict, decision.label, Entry.Origin.ADJUDICATED, 1, decision.pk)


def _agreed(standing: Standing, direction: int, people: int) -> Chosen | None:
    """All yes and no are the same, and so many of them were given blind; who is unsure has no vote."""
    votes = [it for it in standing.people.get(direction, ()) if it.verdict in TWO_VALUED]
    if len({it.verdict for it in votes}) != 1 or sum(it.blind for it in votes) < people:
        return None
    return Chosen(votes[0].verdict, _common_label(votes), Entry.Origin.AGREED, len(votes))


def _adjudicated_else_agreed(standing: Standing, direction: int, people: int) -> Chosen | None:
    """A decision counts before what people agree on, also where the decision is that nobody can be sure."""
    if direction in standing.adjudications:
        return _adjudicated(standing, direction, people)
    return _agreed(standing, direction, people)


def _common_label(votes: Sequence[Judgement]) -> str:
    """The label that most gave, of equally frequent ones the first; of a no there is none."""
    labels = [it.label for it in votes if it.label]
    if not labels or votes[0].verdict != Verdict.INTERPRETABLE:
        return ""
    (most, _), *_ = Counter(map(label_key, labels)).most_common(1)
    return next(it for it in labels if label_key(it) == most)


KINDS = {
    kind.name: kind
    for kind in (
        RuleKind("adjudicated", "Adjudicated", "a reviewer decided yes or no", False, _adjudicated),
        RuleKind(
            "agreed",
            "Agreed by people",
            "at least {people} people judged it blind, and nobody's yes or no differs",
            True,
            _agreed,
        ),
        RuleKind(
            "adjudicated_else_agreed",
            "Adjudicated, else agreed",
            "a reviewer decided yes or no, "
            "else at least {people} people judged it blind and nobody's yes or no differs",
            True,
            _adjudicated_else_agreed,
        ),
    )
}
