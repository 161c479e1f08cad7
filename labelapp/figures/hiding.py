"""Which of a figure's points a person may not see yet: counts over what the person is still to judge blind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.figures.census import CIRCUIT, LAYER, MODEL, census
from labelapp.figures.estimates import Resolved
from labelapp.figures.kinds.base import Computed, Kind, Point
from labelapp.figures.remembered import remembered
from labelapp.judgements.visibility import count_is_shown
from labelapp.statistics.estimation import ROGAN_GLADEN

FINEST = (MODEL, CIRCUIT, LAYER)
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
    key = ("figure", kind.by, resolved.query.address)
    hidden = remembered(viewer, key, lambda: _counted_now(kind, resolved, viewer), Hidden())
    if not hidden.of_machine:
        return computed

    def hidden_in(point: Point) -> int:
        return _at(point, hidden.of_machine if point.source == "machine" else hidden.of_people)

    def is_shown(point: Point) -> bool:
        if point.method == ROGAN_GLADEN:  # the machine's share can be computed from it
            return all(map(is_shown, of_machine))
        counted = point.n + point.left_out
        if not counted or not count_is_shown(counted, hidden_in(point)):
            return not counted
        if point.source != "machine":
            return True
        # A count less those that are shown elsewhere is a count too: that of all hidden places in it together.
        within = [it for place, it in hidden.rest.items() if _holds(point, kind.by, place)]
        return count_is_shown(sum(n for n, _ in within), sum(n for _, n in within))

    of_machine = [it for it in computed.points if it.source == "machine"]
    lost = [it for it in computed.points if not is_shown(it)]
    return computed.hide(is_shown, count_is_shown(sum(it.n for it in lost), sum(map(hidden_in, lost))))


def _counted_now(kind: Kind, resolved: Resolved, viewer: User) -> Hidden:
    """Two queries over what is hidden, and one over summaries."""
    here = panels.hidden_directions(viewer).filter(resolved.of.condition())
    columns = FINEST if set(kind.by) <= set(FINEST) else kind.by
    found = _counted(here, columns)
    if not found:
        return Hidden()
    judged: Counter[Place] = Counter()
    if resolved.project is not None:
        judged = _counted(here.filter(items__project=resolved.project, items__n_judged__gt=0), columns)
    rest = _rest(found, resolved) if columns == FINEST else {}
    return Hidden(_rolled_up(found, columns, kind.by), _rolled_up(judged, columns, kind.by), rest)


def _rolled_up(counts: Mapping[Place, int], columns: Sequence[str], by: Sequence[str]) -> Counter[Place]:
    """Counts by some of the columns."""
    found: Counter[Place] = Counter()
    for place, n in counts.items():
        found[tuple(place[columns.index(name)] for name in by)] += n
    return found


def _rest(hidden: Mapping[Place, int], resolved: Resolved) -> dict[Place, tuple[int, int]]:
    if resolved.judge is None or resolved.rule is None:
        return {}
    counts = census(resolved.of, resolved.judge, resolved.rule, FINEST)
    sizes = {place: sum(counts.get(place, ())) for place in hidden}
    return {place: (sizes[place], n) for place, n in hidden.items() if not count_is_shown(sizes[place], n)}


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


def _counted(rows: Any, columns: Sequence[str]) -> Counter[Place]:
    counted = rows.order_by().values_list(*columns).annotate(n=Count("pk"))
    return Counter({tuple(place): n for *place, n in counted})
