"""A figure as one person sees it: computed or stored, without what the person is still to judge blind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.atlas.selection import SelectionError
from labelapp.figures.census import CIRCUIT, LAYER, MODEL, census
from labelapp.figures.estimates import Resolved, resolve
from labelapp.figures.kinds.base import Computed, Kind, Point, computed_from_json
from labelapp.figures.models import Figure
from labelapp.figures.people import items_hidden
from labelapp.figures.query import NONE, Query
from labelapp.figures.services import figure_at, figure_job, figure_last, is_heavy, named, stamp_now
from labelapp.jobs.models import Job
from labelapp.judgements.visibility import count_is_shown
from labelapp.labelling.models import Item, Membership, Project
from labelapp.labelling.selectors import REVIEWING_ROLES

FINEST = (MODEL, CIRCUIT, LAYER)
Hidden = Mapping[tuple[Any, ...], int]
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
    for project in projects_shown_to(user):
        if Item.objects.filter(project=project, n_judged__gt=0).exists():
            return project.slug
    return NONE


def figure_show(
    kind: Kind, query: Query, viewer: User, *, wanted: str = "", as_it_is_now: bool = False, reveal: bool = False
) -> Shown:
    """What a page of this kind shows. Raises SelectionError for a project that is not the viewer's.

    wanted: the data version that the address names. reveal: also what the viewer is still to judge blind, which only
    who judges nothing as an annotator may ask for.
    """
    query = query if query.project else query.change(project=project_usual(viewer))
    for slug in (query.project, query.calibration):
        if slug and slug != NONE and not Membership.objects.filter(user=viewer, project__slug=slug).exists():
            raise SelectionError(f"There is no project {slug[:80]!r} that you are a member of.")
    resolved = resolve(query)
    query = named(resolved)
    computed, job, is_stale = _computed(kind, query, resolved)
    shown = Shown(
        kind, query, resolved, computed, job, is_stale, wanted,
        may_see_labels=_may_see_labels(viewer, resolved), may_reveal=_may_reveal(viewer),
    )  # fmt: skip
    if wanted and wanted != shown.data_hash and (kept := figure_at(kind, query, wanted)) is not None:
        then = computed_from_json(kept.content)
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
    labels = [{tuple(row) for row in it.inputs.labels} for it in (then, now)]
    counts = [{tuple(row) for row in it.inputs.census} for it in (then, now)]
    for name, (old, new) in (("single labels", labels), ("counts of the census by place", counts)):
        if old != new:
            found.append((name, f"{len(old):,}", f"{len(new):,}, {len(new - old):,} of them new or changed"))
    return found


def _computed(kind: Kind, query: Query, resolved: Resolved) -> tuple[Computed | None, Job | None, bool]:
    if not is_heavy(kind, resolved):
        return kind.compute(resolved), None, False
    stamp = stamp_now()
    last = figure_last(kind, query, stamp)
    is_stale = last is None or last.stamp != stamp
    job = figure_job(kind, query) if is_stale else None
    return (computed_from_json(last.content) if last else None), job, is_stale


def _may_see_labels(viewer: User, resolved: Resolved) -> bool:
    """Single verdicts are for the owner and the reviewers of the project."""
    if resolved.project is None:
        return False
    return Membership.objects.filter(user=viewer, project=resolved.project, role__in=REVIEWING_ROLES).exists()


def _may_reveal(viewer: User) -> bool:
    """As on the review pages: owners and reviewers may look, if they will not judge blind after it."""
    return not Membership.objects.filter(user=viewer, role=Membership.Role.ANNOTATOR).exists()


def hidden_taken(computed: Computed, kind: Kind, resolved: Resolved, viewer: User) -> Computed:
    """Without the counts that would give away what the viewer is still to judge blind."""
    if not kind.tells_verdicts:
        return computed
    blind = panels.hidden_directions(viewer)
    of_machine = _counted(blind.filter(resolved.of.condition()), kind.by, "")
    if not of_machine:
        return computed
    of_people: Hidden = {}
    if resolved.project is not None:
        items = items_hidden(resolved.project, blind).filter(resolved.of.condition("direction__"))
        of_people = _counted(items, kind.by, "direction__")

    rest = _unshown(blind, resolved) if set(kind.by) <= set(FINEST) else {}

    def hidden_in(point: Point) -> int:
        return _at(point, of_machine if point.source == "machine" else of_people)

    def is_shown(point: Point) -> bool:
        counted = point.n + point.left_out
        if not counted or not count_is_shown(counted, hidden_in(point)):
            return not counted
        # A count less those that are shown elsewhere is a count too: that of all hidden places in it together.
        within = (
            [it for place, it in rest.items() if _holds(point, kind.by, place)] if point.source == "machine" else []
        )
        return count_is_shown(sum(n for n, _ in within), sum(hidden for _, hidden in within))

    lost = [it for it in computed.points if not is_shown(it)]
    return computed.hide(is_shown, count_is_shown(sum(it.n for it in lost), sum(map(hidden_in, lost))))


def _unshown(blind: Any, resolved: Resolved) -> dict[tuple[Any, ...], tuple[int, int]]:
    """The finest places whose counts may not be shown: how many directions the machine judged there, and how many of
    them are hidden."""
    if resolved.judge is None or resolved.rule is None:
        return {}
    hidden = _counted(blind.filter(resolved.of.condition()), FINEST, "")
    counts = census(resolved.of, resolved.judge, resolved.rule, FINEST)
    sizes = {place: sum(counts.get(place, ())) for place in hidden}
    return {place: (sizes[place], n) for place, n in hidden.items() if not count_is_shown(sizes[place], n)}


def _holds(point: Point, by: Sequence[str], place: tuple[Any, ...]) -> bool:
    return all(_matches(wanted, place[FINEST.index(name)]) for name, wanted in zip(by, point.cell, strict=False))


def _at(point: Point, hidden: Hidden) -> int:
    """How many hidden directions a point counts; in its cell None stands for all, a pair for a range."""
    return sum(n for place, n in hidden.items() if all(map(_matches, point.cell or (), place)))


def _matches(wanted: Any, found: Any) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, list | tuple):
        return bool(wanted[0] <= found <= wanted[1])
    return bool(wanted == found)


def _counted(rows: Any, by: Sequence[str], prefix: str) -> Counter[tuple[Any, ...]]:
    if not by:
        n = rows.count()
        return Counter({(): n}) if n else Counter()
    columns = [f"{prefix}{name}" for name in by]
    counted = rows.order_by().values_list(*columns).annotate(n=Count("pk"))
    return Counter({tuple(place): n for *place, n in counted})
