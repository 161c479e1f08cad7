"""Reads for the comparison of people and machines: a fixed number of queries, however large the project."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from django.db.models import Exists, OuterRef, QuerySet

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judge, Judgement, Subject, Verification
from labelapp.judgements.rules import Answers, Rule, rule_for
from labelapp.labelling.blindness import directions_hidden_from
from labelapp.labelling.models import Item, Membership, Project
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.review.models import Adjudication
from labelapp.review.tally import Crossing, agrees, crossing, human_verdict

ROWS_A_PAGE = 50
IDS_A_QUERY = 10_000  # SQLite takes so many parameters, and three times as many
TOKENS_SHOWN = 6
FILTERS = {"": None, "agree": True, "disagree": False}


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
class Machine:
    """One machine judge with the rule that scores it, and its table with the people."""

    judge: Judge
    rule: Rule
    crossing: Crossing


@dataclass(frozen=True)
class Comparison:
    """All that stands on the directions of a project that at least one person judged in it."""

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

    def without(self, hidden: Container[int]) -> Comparison:
        """The same without some directions: a table with them would tell what is hidden of them."""
        people = {pk: said for pk, said in self.people.items() if pk not in hidden}
        machines = {pk: said for pk, said in self.machines.items() if pk not in hidden}
        return Comparison(people, machines, self.rules)

    def direction_ids(self, wanted: bool | None, *, hidden: Container[int] = ()) -> list[int]:
        """In order; all of them, or those on which people and machines agree (True) or do not (False).

        A hidden one is in neither of these: its place there would tell what is hidden.
        """
        return [
            pk for pk in sorted(self.people) if wanted is None or (pk not in hidden and self.agreement(pk) is wanted)
        ]

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
    adjudication: Adjudication | None = None


def projects_reviewed_by(user: User) -> QuerySet[Membership]:
    """The person's projects of directions as owner or reviewer, newest first."""
    rows = Membership.objects.filter(user=user, role__in=REVIEWING_ROLES, project__subject=Subject.DIRECTION)
    rows = rows.select_related("project")
    return rows.order_by("-project_id")


def comparison(project: Project) -> Comparison:
    """Four queries."""
    by_people = Judgement.objects.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    people = _group(
        Opinion(row.direction_id, row.judge, row.verdict, row.label, row.blind, row.guidelines_version)
        for row in by_people.select_related("judge").order_by("pk")
    )
    judged = by_people.filter(direction=OuterRef("direction"))
    machine_rows = Judgement.objects.filter(Exists(judged), current=True, direction__items__project=project).exclude(
        judge__type=Judge.Type.PERSON
    )
    rows = list(machine_rows.select_related("judge").order_by("pk"))
    answers = _verifications(machine_rows)
    with_verifier = {row.judge_id for row in rows if row.pk in answers}
    rules = {row.judge_id: rule_for(has_verifier=row.judge_id in with_verifier) for row in rows}
    latest = {(row.direction_id, row.judge_id): row for row in rows}  # a later run's answer counts
    machines = _group(
        Opinion(row.direction_id, row.judge, _scored(row, rules[row.judge_id], answers.get(row.pk)), row.label)
        for row in latest.values()
    )
    return Comparison(people, machines, rules)


def comparison_rows(project: Project, found: Comparison, ids: Sequence[int], *, hidden: Container[int]) -> list[Row]:
    """The directions with these ids, in this order, with what is decided on them.

    Of the hidden ones the page shows no judgement.
    """
    standing = Adjudication.objects.filter(item__project=project, item__direction__in=list(ids), current=True)
    decided = {it.item.direction_id: it for it in standing.select_related("by", "item")}
    rows = Direction.objects.filter(pk__in=list(ids)).select_related("matrix__model").in_bulk()
    return [
        Row(
            rows[pk],
            rows[pk].tokens[:TOKENS_SHOWN],
            found.people[pk],
            found.machines.get(pk, []),
            found.agreement(pk),
            pk in hidden,
            decided.get(pk),
        )
        for pk in ids
    ]


def hidden_from(user: User, found: Comparison) -> set[int]:
    """The compared directions that the person is still to judge blind, in this project or another."""
    ids = sorted(found.people)
    return {
        pk
        for start in range(0, len(ids), IDS_A_QUERY)
        for pk in directions_hidden_from(user, ids[start : start + IDS_A_QUERY])
    }


def items_total(project: Project) -> int:
    return Item.objects.filter(project=project).count()


def _verifications(rows: QuerySet[Judgement]) -> dict[int, str]:
    """The last answer of a verifier to each of these judgements."""
    answers = Verification.objects.filter(judgement__in=rows.values("pk")).order_by("pk")
    return dict(answers.values_list("judgement_id", "answer"))


def _scored(row: Judgement, rule: Rule, verification: str | None) -> str:
    return rule.verdict(Answers(row.verdict, row.label, verification))


def _group(opinions: Iterable[Opinion]) -> dict[int, list[Opinion]]:
    grouped: dict[int, list[Opinion]] = defaultdict(list)
    for opinion in opinions:
        grouped[opinion.direction_id].append(opinion)
    return dict(grouped)
