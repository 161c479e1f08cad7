"""Which of a figure's points a person may not see yet: counts over what the person is still to judge blind."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.figures.census import CIRCUIT, LAYER, MODEL, census
from labelapp.figures.estimates import Resolved
from labelapp.figures.kinds.base import Computed, Kind, Point
from labelapp.figures.people import items_hidden
from labelapp.figures.services import stamp_now
from labelapp.judgements.visibility import count_is_shown
from labelapp.labelling.models import Membership

FINEST = (MODEL, CIRCUIT, LAYER)
MOST_REMEMBERED = 200
Place = tuple[Any, ...]


@dataclass(frozen=True)
class Hidden:
    """How many directions of a figure are hidden from somebody, by place: of all, and of those that people judged.

    `rest`: the finest places whose counts may not be shown, each with how many the machine judged there and how many
    of these are hidden.
    """

    of_machine: Mapping[Place, int] = field(default_factory=dict)
    of_people: Mapping[Place, int] = field(default_factory=dict)
    rest: Mapping[Place, tuple[int, int]] = field(default_factory=dict)


def hidden_taken(computed: Computed, kind: Kind, resolved: Resolved, viewer: User) -> Computed:
    """Without the counts that would give away what the viewer is still to judge blind."""
    if not kind.tells_verdicts:
        return computed
    hidden = _hidden(kind, resolved, viewer)
    if not hidden.of_machine:
        return computed

    def hidden_in(point: Point) -> int:
        return _at(point, hidden.of_machine if point.source == "machine" else hidden.of_people)

    def is_shown(point: Point) -> bool:
        counted = point.n + point.left_out
        if not counted or not count_is_shown(counted, hidden_in(point)):
            return not counted
        if point.source != "machine":
            return True
        # A count less those that are shown elsewhere is a count too: that of all hidden places in it together.
        within = [it for place, it in hidden.rest.items() if _holds(point, kind.by, place)]
        return count_is_shown(sum(n for n, _ in within), sum(n for _, n in within))

    lost = [it for it in computed.points if not is_shown(it)]
    return computed.hide(is_shown, count_is_shown(sum(it.n for it in lost), sum(map(hidden_in, lost))))


def _hidden(kind: Kind, resolved: Resolved, viewer: User) -> Hidden:
    """Counted anew only after something was judged, drawn or joined: of a large queue it takes longer than a page."""
    seats = Membership.objects.filter(user=viewer).order_by("pk")
    seats_now = tuple(seats.values_list("pk", "role", "project__state", "project__reveal", "project__overlap"))
    if not seats_now:
        return Hidden()
    key = (viewer.pk, stamp_now(), seats_now, kind.by, resolved.query.address)
    if key not in _remembered:
        _remembered[key] = _counted_now(kind, resolved, viewer)
        while len(_remembered) > MOST_REMEMBERED:
            _remembered.popitem(last=False)
    return _remembered[key]


_remembered: OrderedDict[Place, Hidden] = OrderedDict()


def _counted_now(kind: Kind, resolved: Resolved, viewer: User) -> Hidden:
    blind = panels.hidden_directions(viewer)
    here = blind.filter(resolved.of.condition())
    of_machine = _counted(here, kind.by, "")
    if not of_machine:
        return Hidden()
    of_people: Mapping[Place, int] = {}
    if resolved.project is not None:
        items = items_hidden(resolved.project, blind).filter(resolved.of.condition("direction__"))
        of_people = _counted(items, kind.by, "direction__")
    rest = _rest(here, resolved) if set(kind.by) <= set(FINEST) else {}
    return Hidden(of_machine, of_people, rest)


def _rest(hidden: Any, resolved: Resolved) -> dict[Place, tuple[int, int]]:
    if resolved.judge is None or resolved.rule is None:
        return {}
    counts = census(resolved.of, resolved.judge, resolved.rule, FINEST)
    found = {}
    for place, n in _counted(hidden, FINEST, "").items():
        judged = sum(counts.get(place, ()))
        if not count_is_shown(judged, n):
            found[place] = (judged, n)
    return found


def _holds(point: Point, by: Sequence[str], place: Place) -> bool:
    return all(_matches(wanted, place[FINEST.index(name)]) for name, wanted in zip(by, point.cell, strict=False))


def _at(point: Point, hidden: Mapping[Place, int]) -> int:
    """How many hidden directions a point counts; in its cell None stands for all, a pair for a range."""
    return sum(n for place, n in hidden.items() if all(map(_matches, point.cell or (), place)))


def _matches(wanted: Any, found: Any) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, list | tuple):
        return bool(wanted[0] <= found <= wanted[1])
    return bool(wanted == found)


def _counted(rows: Any, by: Sequence[str], prefix: str) -> Counter[Place]:
    if not by:
        n = rows.count()
        return Counter({(): n}) if n else Counter()
    columns = [f"{prefix}{name}" for name in by]
    counted = rows.order_by().values_list(*columns).annotate(n=Count("pk"))
    return Counter({tuple(place): n for *place, n in counted})
