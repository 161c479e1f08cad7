"""The exploration queue: directions that are worth a look, beside the sample and apart from every estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db import transaction
from django.db.models import Max

from labelapp.accounts.models import User
from labelapp.judgements.models import TWO_VALUED, Judge
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.machine import Said, answers_of, uncertainty
from labelapp.labelling.models import Item, Project
from labelapp.labelling.projects.design import design_from_json
from labelapp.labelling.projects.drawing import people_said, population_of
from labelapp.labelling.projects.services import items_add
from labelapp.statistics.sampling import simple_random

UNCERTAIN, DISAGREE = "uncertain", "disagree"
CRITERIA = {
    UNCERTAIN: "the machine is least sure",
    DISAGREE: "people and machine disagree",
}
EMPTY = {
    UNCERTAIN: "The machine judge has judged nothing of the selection that is not in the project already.",
    DISAGREE: (
        "There is nothing outside the sample on which people, in projects that you own or review, and this machine "
        "disagree; those of the sample stand under Review."
    ),
}


def exploration_add(*, project: Project, user: User, criterion: str, judge: Judge, n: int) -> int:
    """Put up to n units outside the sample into the project's exploration queue; returns how many.

    Those come first on which the machine is least sure, or on which people (in projects that the user owns or
    reviews) and it disagree, it being most sure. They are shuffled, come after the sample, have no inclusion
    probability, and readouts at least as long as the sample's. Raises LabellingError where there are none, or the
    project is not opened or was not drawn from a selection.
    """
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=project.pk)
        if project.state == Project.State.DRAFT:
            raise LabellingError(f"{project.name} is not open yet; the exploration queue stands beside its sample.")
        units = _worth_a_look(project, user, criterion, judge)[:n]
        if not units:
            raise LabellingError(EMPTY[criterion])
        last = project.items.aggregate(last=Max("position"))["last"]
        first = 0 if last is None else last + 1
        order = simple_random(len(units), len(units), seed=first).units
        items_add(project, [units[place] for place in order.tolist()], first=first)
    return len(units)


def _worth_a_look(project: Project, user: User, criterion: str, judge: Judge) -> Sequence[tuple[int, ...]]:
    design = design_from_json(project.design)
    if not project.is_of_directions:
        raise LabellingError("Machines judge directions, so there is nothing that one is unsure about here.")
    if design is None:
        raise LabellingError(f"{project.name} was not drawn from a selection, so there is nothing beside its sample.")
    # A readout that is shorter than those of the sample would tell itself from them.
    directions = design.selection.directions().filter(matrix__top__gte=project.tokens_shown)
    taken = set(Item.objects.filter(project=project).values_list("direction_id", flat=True))
    said = answers_of(judge, directions)
    if not directions.exists() or not said:
        return []
    score: Callable[[int], float | None]
    if criterion == UNCERTAIN:

        def score(pk: int) -> float | None:
            return uncertainty(said[pk]) if pk in said else None
    else:
        people = people_said(directions, user)

        def score(pk: int) -> float | None:
            return _disagreement(people.get(pk), said.get(pk))

    units = population_of(directions, both_ends=project.ends == Project.Ends.BOTH).units
    scored = [
        (max(scores), place)
        for place, unit in enumerate(units)
        if taken.isdisjoint(unit) and (scores := [it for pk in unit if (it := score(pk)) is not None])
    ]
    return [units[place] for _, place in sorted(scored, key=lambda it: (-it[0], it[1]))]


def _disagreement(people: str | None, said: Said | None) -> float | None:
    """How sure the machine is of the contrary; None where they agree, or one of them said nothing."""
    if people is None or said is None or said.under_rule not in TWO_VALUED or said.under_rule == people:
        return None
    return 1 - uncertainty(said)
