"""A person's projects as they are listed."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from labelapp.accounts.models import User
from labelapp.judgements.models import Judgement
from labelapp.labelling.models import Item, Membership, Project
from labelapp.labelling.selectors import JUDGING_ROLES, REVIEWING_ROLES, projects_of


@dataclass(frozen=True)
class ListedProject:
    project: Project
    role: str
    done: int  # by this person
    total: int

    @property
    def may_judge(self) -> bool:
        return self.role in JUDGING_ROLES and self.project.state == Project.State.OPEN

    @property
    def may_review(self) -> bool:
        return self.role in REVIEWING_ROLES

    @property
    def is_draft(self) -> bool:
        return self.project.state == Project.State.DRAFT

    @property
    def is_finished(self) -> bool:
        return self.done >= self.total


def projects_listed(user: User) -> list[ListedProject]:
    """Four queries, however many projects."""
    projects = list(projects_of(user))
    roles = dict(Membership.objects.filter(user=user).values_list("project_id", "role"))
    totals = dict(
        Item.objects.filter(project__in=projects).order_by().values_list("project_id").annotate(n=Count("pk"))
    )
    mine = Judgement.every.filter(judge__user=user, current=True, source__in=[project.source for project in projects])
    done = dict(mine.order_by().values_list("source").annotate(n=Count("pk")))
    return [
        ListedProject(project, roles[project.pk], done.get(project.source, 0), totals.get(project.pk, 0))
        for project in projects
    ]
