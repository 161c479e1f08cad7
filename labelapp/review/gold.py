"""A ground-truth set as gold: known verdicts with which a project's people are checked."""

from __future__ import annotations

from django.db.models import QuerySet

from labelapp.accounts.models import User
from labelapp.labelling.checks.services import GoldAdded, GoldRow, gold_add
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.selectors import OWNING_ROLES
from labelapp.review.models import GroundTruth


def truth_as_gold(*, truth: GroundTruth, project: Project, user: User | None = None) -> GoldAdded:
    """Take a set's verdicts and labels over as gold of a project; `user` None stands for the command line.

    Nobody is left out of meeting them but those who decided otherwise: a set rests on several people, or on a review.
    Raises LabellingError.
    """
    rows = truth.entries.order_by("pk").values_list("direction_id", "verdict", "label")
    origin = f"ground truth {truth} of {truth.project.slug}"
    return gold_add(project=project, rows=[GoldRow(*row) for row in rows], origin=origin)


def projects_for_gold(user: User) -> QuerySet[Project]:
    """The opened projects that a person owns, newest first."""
    owned = Membership.objects.filter(user=user, role__in=OWNING_ROLES).values("project")
    return Project.objects.filter(pk__in=owned).exclude(state=Project.State.DRAFT).order_by("-pk")
