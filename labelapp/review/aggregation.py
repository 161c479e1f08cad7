"""Aggregation of what people say, by a job: a proposed verdict for each item, a confusion matrix for each person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction

from labelapp.accounts.models import User
from labelapp.jobs.models import ACTIVE, State
from labelapp.jobs.services import job_create
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement
from labelapp.labelling.models import Item, Project
from labelapp.review.models import Aggregation, Proposal

AGGREGATE_TASK = "workers.tasks.export.votes_aggregate"
_ROWS = 1000


class AggregationError(ValueError):
    """An aggregation that cannot be; the message says why in one sentence."""


@dataclass(frozen=True)
class Vote:
    """One standing yes or no of a person."""

    item_id: int
    judge_id: int
    verdict: str


# By the true verdict, with which probability a person says which.
Confusion = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Aggregated:
    """What a method makes of votes: of each item the posterior of a yes, of each judge the confusion."""

    yes: Mapping[int, float]
    confusions: Mapping[int, Confusion]


def votes_of(project: Project) -> list[Vote]:
    """People's standing yes and no in a project; unsure is no vote. One query."""
    rows = Judgement.objects.filter(
        source=project.source,
        current=True,
        judge__type=Judge.Type.PERSON,
        verdict__in=TWO_VALUED,
        direction__items__project=project,
    )
    return [Vote(*row) for row in rows.order_by("pk").values_list("direction__items__pk", "judge_id", "verdict")]


def aggregation_start(*, project: Project, method: str, user: User) -> Aggregation:
    """Enqueue one; where the same is at work already, that one is returned. Raises AggregationError."""
    if method not in Aggregation.Method.values:
        raise AggregationError(f"There is no method {method[:40]!r}; there is {', '.join(Aggregation.Method.values)}.")
    if not votes_of(project):
        raise AggregationError(f"Nobody has said yes or no in {project} yet, so there is nothing to aggregate.")
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        active = Aggregation.objects.filter(project=project, method=method, job__state__in=ACTIVE).first()
        if active is not None:
            return active
        title = f"Aggregate {project} by {Aggregation.Method(method).label}"
        job = job_create(title=title, task=AGGREGATE_TASK, params={}, created_by=user, total=1)
        aggregation = Aggregation.objects.create(project=project, method=method, job=job, created_by=user)
        job.params = {"aggregation": aggregation.pk}
        job.save(update_fields=["params"])
    return aggregation


def aggregation_write(aggregation: Aggregation, votes: Sequence[Vote], found: Aggregated) -> None:
    """Store what was found, in the transaction that ends the job."""
    judges = Judge.objects.in_bulk(list(found.confusions))
    annotators = [
        {
            "judge": pk,
            "name": judges[pk].name,
            "n": sum(vote.judge_id == pk for vote in votes),
            "confusion": found.confusions[pk],
        }
        for pk in sorted(found.confusions)
    ]
    Aggregation.objects.filter(pk=aggregation.pk).update(annotators=annotators)
    kept = set(Item.objects.filter(project=aggregation.project_id).values_list("pk", flat=True))
    Proposal.objects.bulk_create(
        (Proposal(aggregation=aggregation, item_id=pk, yes=yes) for pk, yes in found.yes.items() if pk in kept),
        batch_size=_ROWS,
    )


def aggregation_last(project: Project) -> Aggregation | None:
    """The last one that is done: what it proposes is shown, and what a rule may take."""
    done = Aggregation.objects.filter(project=project, job__state=State.DONE)
    return done.select_related("created_by").order_by("-pk").first()


def proposal_of(item: Item) -> Proposal | None:
    """What the project's last aggregation says of an item."""
    last = aggregation_last(item.project)
    return None if last is None else last.proposals.filter(item=item).select_related("aggregation").first()
