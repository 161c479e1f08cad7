"""A figure as one person sees it: computed or stored, without what the person is still to judge blind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Exists, OuterRef

from labelapp.accounts.models import User
from labelapp.atlas.selection import SelectionError
from labelapp.figures.estimates import Resolved, resolve
from labelapp.figures.hiding import hidden_taken
from labelapp.figures.kinds.base import Computed, Kind
from labelapp.figures.models import Figure
from labelapp.figures.query import NONE, Query
from labelapp.figures.services import figure_at, figure_computed, figure_job, figure_last, is_heavy, named
from labelapp.jobs.models import Job
from labelapp.labelling.models import Item, Membership, Project
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.review.stamp import stamp_now

COMPARED = (
    "labels of people", "called interpretable by people", "directions the machine judged",
    "called interpretable by the machine", "unsure, unparsed or failed", "items drawn", "rule", "design",
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """`computed` is None while nothing is computed yet. `kept` is what stands behind the address's data version."""

    kind: Kind
    query: Query  # named: with machine, rule and project
    resolved: Resolved
    computed: Computed | None
    job: Job | None = None
    is_stale: bool = False  # newer judgements have come since it was computed
    wanted: str = ""  # the data version that the address names
    kept: Figure | None = None  # what is shown is this one, and not what the data say now
    changes: Sequence[tuple[str, Any, Any]] = ()  # what, then, now
    may_see_labels: bool = False
    may_reveal: bool = False
    is_revealed: bool = False

    @property
    def data_hash(self) -> str:
        return self.computed.inputs.data_hash if self.computed else ""

    @property
    def is_as_cited(self) -> bool:
        return bool(self.wanted) and self.wanted == self.data_hash

    @property
    def address(self) -> str:
        """The query of the permanent address."""
        revealed = "&all=1" if self.is_revealed else ""
        return f"{self.query.address}&data={self.data_hash}{revealed}"


def projects_shown_to(user: User) -> list[Project]:
    """Those that the person is a member of and that are drawn, newest first."""
    return list(Project.objects.filter(memberships__user=user).exclude(state=Project.State.DRAFT).order_by("-pk"))


def project_usual(user: User) -> str:
    """The newest of them of which something is judged; none otherwise."""
    judged = Item.objects.filter(project=OuterRef("pk"), n_judged__gt=0)
    newest = Project.objects.filter(Exists(judged), memberships__user=user).order_by("-pk")
    return newest.values_list("slug", flat=True).first() or NONE


def figure_show(
    kind: Kind,
    query: Query,
    viewer: User,
    *,
    wanted: str = "",
    as_it_is_now: bool = False,
    reveal: bool = False,
    with_inputs: bool = False,
) -> Shown:
    """What a page of this kind shows. Raises SelectionError for a project that is not the viewer's.

    wanted: the data version that the address names. reveal: also what the viewer is still to judge blind, which only
    who judges nothing as an annotator may ask for. with_inputs: with what a stored figure was computed from.
    """
    query = query if query.project else query.change(project=project_usual(viewer))
    for slug in (query.project, query.calibration):
        if slug and slug != NONE and not Membership.objects.filter(user=viewer, project__slug=slug).exists():
            raise SelectionError(f"There is no project {slug[:80]!r} that you are a member of.")
    resolved = resolve(query)
    query = named(resolved)
    computed, job, is_stale = _computed(kind, query, resolved, with_inputs)
    shown = Shown(
        kind, query, resolved, computed, job, is_stale, wanted,
        may_see_labels=_may_see_labels(viewer, resolved), may_reveal=_may_reveal(viewer),
    )  # fmt: skip
    if wanted and wanted != shown.data_hash and (kept := figure_at(kind, query, wanted)) is not None:
        then = figure_computed(kept, with_inputs=with_inputs)
        changes = changes_between(then, computed) if computed else []
        shown = replace(shown, changes=changes)
        if not as_it_is_now:
            shown = replace(shown, kept=kept, computed=then, is_stale=False)
    if shown.computed is None or (reveal and shown.may_reveal):
        return replace(shown, is_revealed=reveal and shown.may_reveal)
    return replace(shown, computed=hidden_taken(shown.computed, kind, resolved, viewer))


def changes_between(then: Computed, now: Computed) -> list[tuple[str, Any, Any]]:
    """What the figure was computed from, as far as it has changed."""
    before, after = then.inputs.facts, now.inputs.facts
    found = [(name, before.get(name), after.get(name)) for name in COMPARED if before.get(name) != after.get(name)]
    return found or [("single verdicts or places", "as kept", "others, with the same totals")]


def _computed(
    kind: Kind, query: Query, resolved: Resolved, with_inputs: bool
) -> tuple[Computed | None, Job | None, bool]:
    if not is_heavy(kind, resolved):
        return kind.compute(resolved), None, False
    stamp = stamp_now()
    last = figure_last(kind, query, stamp)
    is_stale = last is None or last.stamp != stamp
    job = figure_job(kind, query) if is_stale else None
    return (figure_computed(last, with_inputs=with_inputs) if last else None), job, is_stale


def _may_see_labels(viewer: User, resolved: Resolved) -> bool:
    """Single verdicts are for the owner and the reviewers of the project."""
    if resolved.project is None:
        return False
    return Membership.objects.filter(user=viewer, project=resolved.project, role__in=REVIEWING_ROLES).exists()


def _may_reveal(viewer: User) -> bool:
    """As on the review pages: owners and reviewers may look, if they will not judge blind after it."""
    return not Membership.objects.filter(user=viewer, role=Membership.Role.ANNOTATOR).exists()
