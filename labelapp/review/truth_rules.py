"""The rules by which a ground-truth set is chosen: from what stands on a project's items to its entries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Verdict
from labelapp.labelling.models import Project
from labelapp.review.aggregation import aggregation_last
from labelapp.review.models import Adjudication, Entry, Proposal
from labelapp.statistics.labels import label_key

LEAST_PEOPLE = 2
MOST_PEOPLE = 1000
LEAST_POSTERIOR = 0.5


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
    proposals: Mapping[int, Proposal] = field(default_factory=dict)


@dataclass(frozen=True)
class TruthRule:
    """A named, versioned rule. `people` is how many must agree; `posterior` is what an aggregation's verdict passes.

    `aggregation` names the aggregation, such as "dawid_skene:7". What a rule does not ask for is None.
    """

    name: str
    people: int | None = None
    posterior: float | None = None
    aggregation: str | None = None
    version: int = 1

    def as_json(self) -> dict[str, Any]:
        """As it is stored and hashed; `truth_rule_of` reads it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def says(self) -> str:
        return KINDS[self.name].says.format(**asdict(self))

    def choose(self, standing: Standing, direction: int) -> Chosen | None:
        return KINDS[self.name].choose(standing, direction, self)


@dataclass(frozen=True)
class RuleKind:
    name: str
    title: str
    says: str
    needs: str  # the field that a rule of this kind has to have; empty where none
    choose: Callable[[Standing, int, TruthRule], Chosen | None]


def truth_rule(
    name: str, people: int | None = None, posterior: float | None = None, project: Project | None = None
) -> TruthRule:
    """A rule, of its arguments only with those that it asks for; `aggregated` takes the project's last aggregation.

    Raises GroundTruthError where there is no such rule, or what it asks for is missing or impossible.
    """
    if name not in KINDS:
        raise GroundTruthError(f"There is no rule {name!r}; there is {', '.join(KINDS)}.")
    needs = KINDS[name].needs
    if needs == "posterior":
        return _aggregated_rule(name, posterior, project)
    if not needs:
        return TruthRule(name)
    if people is None or not LEAST_PEOPLE <= people <= MOST_PEOPLE:
        raise GroundTruthError(f"The rule {name} needs how many people must agree, at least {LEAST_PEOPLE}.")
    return TruthRule(name, people)


def truth_rule_of(stored: Mapping[str, Any]) -> TruthRule:
    """What `as_json` made."""
    return TruthRule(**stored)


def standing_of(project: Project, rule: TruthRule) -> Standing:
    """All that people say, which is as much as people can say, and what the rule's aggregation proposes."""
    decisions = Adjudication.objects.filter(item__project=project, current=True)
    people: dict[int, list[Judgement]] = defaultdict(list)
    rows = Judgement.objects.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    for row in rows.only("pk", "direction", "verdict", "label", "blind").order_by("pk"):
        people[row.direction_id].append(row)
    proposals = {}
    if rule.aggregation is not None:
        made = Proposal.objects.filter(aggregation=int(rule.aggregation.partition(":")[2]), item__project=project)
        proposals = {it.item.direction_id: it for it in made.select_related("item")}
    return Standing({it.item.direction_id: it for it in decisions.select_related("item")}, people, proposals)


def _aggregated_rule(name: str, posterior: float | None, project: Project | None) -> TruthRule:
    if posterior is None or not LEAST_POSTERIOR <= posterior < 1:
        raise GroundTruthError(f"The rule {name} needs a posterior to pass, at least {LEAST_POSTERIOR} and below 1.")
    last = aggregation_last(project) if project is not None else None
    if last is None:
        raise GroundTruthError("Nothing is aggregated in this project yet; aggregate its people's judgements first.")
    return TruthRule(name, posterior=posterior, aggregation=last.proposal_name)


def _aggregated(standing: Standing, direction: int, rule: TruthRule) -> Chosen | None:
    proposal = standing.proposals.get(direction)
    if proposal is None or proposal.verdict not in TWO_VALUED or proposal.posterior <= (rule.posterior or 0):
        return None
    votes = [it for it in standing.people.get(direction, ()) if it.verdict == proposal.verdict]
    label = _common_label(votes) if votes else ""
    return Chosen(proposal.verdict, label, Entry.Origin.AGGREGATED, len(votes))


def _adjudicated(standing: Standing, direction: int, rule: TruthRule) -> Chosen | None:
    decision = standing.adjudications.get(direction)
    if decision is None or decision.verdict not in TWO_VALUED:
        return None
    return Chosen(decision.verdict, decision.label, Entry.Origin.ADJUDICATED, 1, decision.pk)


def _agreed(standing: Standing, direction: int, rule: TruthRule) -> Chosen | None:
    """All yes and no are the same, and so many of them were given blind; who is unsure has no vote."""
    votes = [it for it in standing.people.get(direction, ()) if it.verdict in TWO_VALUED]
    if len({it.verdict for it in votes}) != 1 or sum(it.blind for it in votes) < (rule.people or 0):
        return None
    return Chosen(votes[0].verdict, _common_label(votes), Entry.Origin.AGREED, len(votes))


def _adjudicated_else_agreed(standing: Standing, direction: int, rule: TruthRule) -> Chosen | None:
    """A decision counts before what people agree on, also where the decision is that nobody can be sure."""
    if direction in standing.adjudications:
        return _adjudicated(standing, direction, rule)
    return _agreed(standing, direction, rule)


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
        RuleKind("adjudicated", "Adjudicated", "a reviewer decided yes or no", "", _adjudicated),
        RuleKind(
            "agreed",
            "Agreed by people",
            "at least {people} people judged it blind, and nobody's yes or no differs",
            "people",
            _agreed,
        ),
        RuleKind(
            "adjudicated_else_agreed",
            "Adjudicated, else agreed",
            "a reviewer decided yes or no, "
            "else at least {people} people judged it blind and nobody's yes or no differs",
            "people",
            _adjudicated_else_agreed,
        ),
        RuleKind(
            "aggregated",
            "Aggregated from people",
            "the aggregation {aggregation} of people's judgements has a posterior above {posterior}",
            "posterior",
            _aggregated,
        ),
    )
}
