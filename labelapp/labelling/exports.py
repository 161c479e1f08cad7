"""A project as something to export."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Max

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.exchange.subjects import ExportError, Subject
from labelapp.labelling.models import Item, Membership, Project
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.labelling.subject_rows import subject_rows


def project_subject(slug: str, user: User | None) -> Subject:
    """For its owner and reviewers, who may see everybody's judgements, and for the command line. Raises ExportError."""
    project = Project.objects.filter(slug=slug).first()
    if project is None or (user is not None and not _may_export(project, user)):
        raise ExportError(f"There is no project {slug!r} that you may export; its owner and reviewers may.")

    now = project.guidelines.aggregate(version=Max("version"))["version"]

    def extras(direction_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        items = Item.objects.filter(project=project, direction_id__in=list(direction_ids))
        return {
            item.direction_id: {
                "project": project.slug,
                "item": item.opaque_id,
                "inclusion_probability": item.inclusion_probability,
                "exploration": item.exploration,
                # A judgement with a smaller `guidelines_version` was made under an older rubric.
                "guidelines_version_now": now,
                "design": project.design,
            }
            for item in items
        }

    return Subject(
        title=project.name,
        directions=Direction.objects.filter(items__project=project),
        sources=(project.source,),
        extras=extras,
        rows=None if project.is_of_directions else lambda: subject_rows(project),
    )


def projects_exportable(user: User) -> list[tuple[str, str]]:
    """Short name and name of the projects that a person may export, newest first."""
    found = Project.objects.filter(memberships__user=user, memberships__role__in=REVIEWING_ROLES)
    return list(found.order_by("-pk").distinct().values_list("slug", "name"))


def _may_export(project: Project, user: User) -> bool:
    return Membership.objects.filter(project=project, user=user, role__in=REVIEWING_ROLES).exists()
