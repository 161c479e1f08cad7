"""Who may open review's pages, and of which projects: those of directions."""

from __future__ import annotations

from collections.abc import Collection

from django.http import Http404

from labelapp.accounts.models import User
from labelapp.labelling import selectors
from labelapp.labelling.models import Project


def project_get_for(user: User, slug: str, roles: Collection[str]) -> Project:
    """As labelling's; raises Http404 too for a project of pairs or matrices, which no machine judges."""
    project = selectors.project_get_for(user, slug, roles)
    if not project.is_of_directions:
        raise Http404(f"{project.name} is not of directions; what was said in it stands among its results.")
    return project
