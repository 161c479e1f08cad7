"""What people and machines say, direction by direction, side by side: a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judge, Judgement, Subject, Verification
from labelapp.judgements.rules import Answers, Rule, rule_for
from labelapp.labelling.blindness import directions_hidden_from
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.review.crossed import Listed
from labelapp.review.models import Adjudication
from labelapp.review.tally import Machine, agrees, crossing, human_verdict

ROWS_A_PAGE = 50
TOKENS_SHOWN = 6
FILTERS = ("", "agree", "disagree")


@dataclass(frozen=True)
class Opinion:
    """What stands of one judge on one direction; a machine's verdict is that of its rule."""

    direction_id: int
    judge: Judge
    verdict: str
    label: str
    blind: bool = True
    guidelines_version: int | None = None  # that a person judged under


@dataclass(frozen=True)
class Comparison:
    """All that stands on the directions of a project that at least one person judged in it, or on some of them.

    Its tables are what `crossed` counts in SQL.
    """

    people: dict[int, list[Opinion]]
    machines: dict[int, list[Opinion]]
    rules: dict[int, Rule]  # by machine judge

    @cached_property
    def human(self) -> dict[int, str]:
        return {
            direction: human_verdict(opinion.verdict for opinion in opinions)
            for direction, opinions in self.people.items()
        }

    @cached_property
    def tables(self) -> list[Machine]:
        """One for each machine, the oldest first."""
        judges: dict[int, Judge] = {}
        said: dict[int, dict[int, str]] = defaultdict(dict)
        for direction, opinions in self.machines.items():
            for opinion in opinions:
                judges[opinion.judge.pk] = opinion.judge
                said[opinion.judge.pk][direction] = opinion.verdict
        return [Machine(judges[pk], self.rules[pk], crossing(self.human, said[pk])) for pk in sorted(judges)]

    def agreement(self, direction: int) -> bool | None:
        return agrees(self.human[direction], (opinion.verdict for opinion in self.machines.get(direction, [])))


@dataclass(frozen=True)
class Row:
    """One direction beside what everybody says of it."""

    direction: Direction
    tokens: Sequence[str]
    people: Sequence[Opinion]
    machines: Sequence[Opinion]
    agreement: bool | None
    is_hidden: bool  # the person who looks is still to judge it blind
    is_exploration: bool  # chosen, not drawn: in no table
    adjudication: Adjudication | None = None


def projects_reviewed_by(user: User) -> QuerySet[Membership]:
    """The person's projects of directions as owner or reviewer, newest first."""
    rows = Membership.objects.filter(user=user, role__in=REVIEWING_ROLES, project__subject=Subject.DIRECTION)
    rows = rows.select_related("project")
    return rows.order_by("-project_id")


def comparison(
    project: Project, among: Collection[int] | None = None, verified: Container[int] | None = None
) -> Comparison:
    """Of all directions that people judged, or of those among these ids: two queries.

    `verified`: the machine judges with a verifier, where they are known already: among a few of a project's directions
    there may be none that the verifier answered.
    """
    here = Judgement.objects.filter(current=True)
    if among is not None:
        here = here.filter(direction__in=list(among))
    by_people = here.filter(source=project.source, judge__type=Judge.Type.PERSON)
    people = _group(
        Opinion(row.direction_id, row.judge, row.verdict, row.label, row.blind, row.guidelines_version)
        for row in by_people.select_related("judge").order_by("pk")
    )
    judged = Judgement.objects.filter(
        source=project.source, current=True, judge__type=Judge.Type.PERSON, direction=OuterRef("direction")
    )
    answers = Verification.objects.filter(judgement=OuterRef("pk")).order_by("-pk")  # the last one counts
    machine_rows = here.filter(Exists(judged), direction__items__project=project).exclude(judge__type=Judge.Type.PERSON)
    machine_rows = machine_rows.annotate(answer=Subquery(answers.values("answer")[:1]))
    rows = list(machine_rows.select_related("judge").order_by("pk"))
    if verified is None:
        verified = {row.judge_id for row in rows if row.answer is not None}
    rules = {row.judge_id: rule_for(has_verifier=row.judge_id in verified) for row in rows}
    latest = {(row.direction_id, row.judge_id): row for row in rows}  # a later run's answer counts
    machines = _group(
        Opinion(row.direction_id, row.judge, _scored(row, rules[row.judge_id], row.answer), row.label)
        for row in latest.values()
    )
    return Comparison(people, machines, rules)


def comparison_rows(
    project: Project, shown: Sequence[Listed], verified: Container[int], viewer: User | None
) -> list[Row]:
    """Listed directions, in this order, with what is said and decided on them: a fixed number of queries.

    What the viewer is still to judge blind is marked: of it the page shows no judgement (no viewer: nothing is).
    """
    ids = [it.direction_id for it in shown]
    if not ids:
        return []
    found = comparison(project, ids, verified)
    hidden = directions_hidden_from(viewer, ids) if viewer is not None else {}
    standing = Adjudication.objects.filter(item__project=project, item__direction__in=ids, current=True)
    decided = {it.item.direction_id: it for it in standing.select_related("by", "item")}
    rows = Direction.objects.filter(pk__in=ids).select_related("matrix__model").in_bulk()
    return [
        Row(
            rows[pk],
            rows[pk].tokens[:TOKENS_SHOWN],
            found.people[pk],
            found.machines.get(pk, []),
            found.agreement(pk),
            pk in hidden,
            is_exploration,
            decided.get(pk),
        )
        for pk, is_exploration in shown
        if pk in found.people  # else its last judgement was withdrawn a moment ago
    ]


def _scored(row: Judgement, rule: Rule, verification: str | None) -> str:
    return rule.verdict(Answers(row.verdict, row.label, verification))


def _group(opinions: Iterable[Opinion]) -> dict[int, list[Opinion]]:
    grouped: dict[int, list[Opinion]] = defaultdict(list)
    for opinion in opinions:
        grouped[opinion.direction_id].append(opinion)
    return dict(grouped)
