"""What the pages of a project's settings, guidelines and members show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Max, Min, Q
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.judgements.models import Judge, Judgement
from labelapp.judgements.visibility import count_is_shown
from labelapp.labelling.blindness import directions_to_judge
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Guidelines, Invitation, Membership, Project
from labelapp.labelling.projects.design import Design, design_from_json
from labelapp.labelling.projects.drawing import Cell
from labelapp.labelling.projects.services import project_plan

VERSIONS_SHOWN = 20
INVITATIONS_SHOWN = 50


@dataclass(frozen=True)
class Preview:
    """What a draft would draw, or why it cannot."""

    population: int = 0
    n: int = 0
    cells: Sequence[Cell] = ()
    problem: str = ""


@dataclass(frozen=True)
class Drawn:
    """How an opened project's items were drawn."""

    words: str
    selection: str
    machine: str
    population: int
    cells: Sequence[Cell]
    n_sample: int
    n_exploration: int
    least: float | None  # of the inclusion probabilities
    most: float | None
    are_cells_hidden: bool = False  # they count a machine's verdicts, and the viewer is still to judge some blind


@dataclass(frozen=True)
class Version:
    """One version of the guidelines with how many standing judgements were made under it."""

    guidelines: Guidelines
    n_judgements: int


def preview(project: Project) -> Preview:
    try:
        plan = project_plan(project)
    except (LabellingError, LookupError) as error:
        return Preview(problem=str(error))
    return Preview(len(plan.population), plan.n, plan.cells)


def drawn(project: Project, viewer: User) -> Drawn:
    """Two queries, three where a machine made the strata."""
    design = design_from_json(project.design)
    counts = project.items.aggregate(
        sample=Count("pk", filter=Q(exploration=False)),
        exploration=Count("pk", filter=Q(exploration=True)),
        least=Min("inclusion_probability"),
        most=Max("inclusion_probability"),
    )
    stored = project.design
    cells = [Cell(**cell) for cell in stored.get("cells", [])]
    return Drawn(
        words=design.words
        if design
        else f"{stored.get('kind', 'unknown')}, seed {stored.get('seed')}".replace("_", " "),
        selection=design.selection.words if design else "",
        machine=_machine_name(design),
        population=stored.get("population", 0),
        cells=cells,
        are_cells_hidden=design is not None and design.needs_machine and _tell_too_much(project, viewer, cells),
        n_sample=counts["sample"],
        n_exploration=counts["exploration"],
        least=counts["least"],
        most=counts["most"],
    )


def versions(project: Project) -> list[Version]:
    """The latest versions of the guidelines, newest first; two queries."""
    standing = Judgement.every.filter(source=project.source, current=True, judge__type=Judge.Type.PERSON)
    rows = standing.order_by().values_list("guidelines_version").annotate(n=Count("pk"))
    under = dict(rows)
    newest = project.guidelines.select_related("created_by").order_by("-version")[:VERSIONS_SHOWN]
    return [Version(guidelines, under.get(guidelines.version, 0)) for guidelines in newest]


def members(project: Project) -> list[Membership]:
    """Owners first, then by name; one query."""
    order = {role: place for place, role in enumerate(Membership.Role.values)}
    rows = project.memberships.select_related("user")
    return sorted(rows, key=lambda it: (order[it.role], it.user.username))


@dataclass(frozen=True)
class ListedInvitation:
    invitation: Invitation
    state: str

    @property
    def is_usable(self) -> bool:
        return self.state == "open"


def invitations(project: Project) -> list[ListedInvitation]:
    """Newest first; one query."""
    rows = project.invitations.select_related("created_by").order_by("-pk")[:INVITATIONS_SHOWN]
    return [ListedInvitation(row, _invitation_state(row)) for row in rows]


def _invitation_state(row: Invitation) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.uses >= row.uses_at_most:
        return "used up"
    return "open" if row.expires_at > timezone.now() else "expired"


def _tell_too_much(project: Project, viewer: User, cells: Sequence[Cell]) -> bool:
    if all(count_is_shown(cell.population, cell.n) for cell in cells):
        return False
    return directions_to_judge(viewer).filter(items__project=project).exists()


def _machine_name(design: Design | None) -> str:
    if design is None or not design.needs_machine:
        return ""
    judge = Judge.objects.filter(digest=design.machine).first()
    return judge.name if judge else "a judge that is gone"
