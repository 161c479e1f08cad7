"""Which checks come before a person, and when: planned ahead, so that no saved answer waits for it.

From one check to the next a person judges a number of items that is drawn from a geometric distribution, so nothing
can be told from the place. The draw is seeded by the mix's seed, the person and the place's number: the same state
gives the same plan. Where the page shows both ends of a vector, a check is a vector, and its ends come together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from math import ceil, log
from random import Random

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet

from labelapp.atlas.models import Direction
from labelapp.judgements.models import TWO_VALUED, Judgement
from labelapp.labelling.checks.card import snapshot
from labelapp.labelling.checks.models import Check, CheckMix, Gold
from labelapp.labelling.controls import controls_of
from labelapp.labelling.models import Item, Membership, Project
from labelapp.labelling.selectors import Seat

AHEAD = 24  # items: how far a plan reaches; further, and there would be fewer repeats to choose from
AGAIN = 12  # items: from so little on it is prolonged

Unit = tuple[Direction, ...]  # one end, or both ends of a vector
Pool = Callable[[Random, set[int], int], Unit | None]


@dataclass(frozen=True)
class Had:
    """What of a person's checks there is already."""

    directions: frozenset[int]
    last: int  # after how many items the last one comes
    n: int


def checks_plan(seat: Seat) -> int:
    """Plan the person's checks as far ahead as a plan reaches; returns how many were added.

    Nothing where the project mixes nothing in or is not open, and two queries where the plan reaches far enough.
    """
    if not seat.check_share or seat.project.state != Project.State.OPEN:
        return 0
    done = _done(seat)
    last = Check.objects.filter(project=seat.project, user=seat.user).aggregate(last=Max("after"))["last"]
    if last is not None and last >= done + AGAIN:
        return 0
    with transaction.atomic():
        # Two tabs of one person plan one after the other.
        list(Membership.objects.select_for_update().filter(project=seat.project, user=seat.user).values_list("pk"))
        return _plan(seat, CheckMix.objects.get(project=seat.project))


def _plan(seat: Seat, mix: CheckMix) -> int:
    had, done = _had(seat), _done(seat)
    pools: dict[str, Pool] = {
        Check.Kind.GOLD: lambda rng, taken, after: _gold(seat, rng, taken),
        Check.Kind.CONTROL: lambda rng, taken, after: _control(seat, mix, rng, taken),
        Check.Kind.REPEAT: lambda rng, taken, after: _repeat(seat, rng, taken, after - mix.distance),
    }
    weights: dict[str, float] = {
        Check.Kind.GOLD: mix.gold_share,
        Check.Kind.CONTROL: mix.control_share,
        Check.Kind.REPEAT: mix.repeat_share,
    }
    ordinal, taken, exhausted = had.n, set(had.directions), set[str]()
    chance = mix.share / (1 - mix.share)  # after each item, so that `share` of everything laid before a person is one
    # Always from the first place on, and not from where the person is: the same places come out whenever it is asked.
    for position, rng in _places(f"{mix.seed}:{seat.user.pk}", chance, ends=len(_signs(seat))):
        if position > done + AHEAD:
            break
        kind = rng.choices(list(weights), list(weights.values()))[0]
        if position <= max(done, had.last) or kind in exhausted:
            continue
        unit = pools[kind](rng, taken, position)
        if unit is not None:
            _write(seat, kind, unit, ordinal, position)
            ordinal += len(unit)
            taken |= {direction.pk for direction in unit}
        elif kind != Check.Kind.REPEAT:  # of which there may be some later on
            exhausted.add(kind)
    return ordinal - had.n


def _places(seed: str, chance: float, *, ends: int) -> Iterator[tuple[int, Random]]:
    """After how many items checks come, without end, and of each place its own source of chance."""
    last = 0
    for number in count():
        rng = Random(f"{seed}:{number}")
        last += _gap(rng, chance, ends=ends)
        yield last, rng


def _gap(rng: Random, chance: float, *, ends: int) -> int:
    """Items until the next check: geometric, 1 at least; of vectors in pairs."""
    if chance >= 1:
        return ends
    return ends * max(1, ceil(log(1 - rng.random()) / log(1 - chance)))


def _write(seat: Seat, kind: str, unit: Unit, ordinal: int, after: int) -> None:
    first = {}
    if kind == Check.Kind.REPEAT:
        first = dict(_own(seat).filter(direction__in=unit).values_list("direction_id", "pk"))
    later = None
    for place, direction in reversed(list(enumerate(unit))):
        check = Check(
            project=seat.project, user=seat.user, kind=kind, direction=direction, first_id=first.get(direction.pk),
            ordinal=ordinal + place, after=after,
        )  # fmt: skip
        check.save(force_insert=True)
        check.snapshot = snapshot(check, direction, seat.project.tokens_shown, later)
        check.save(update_fields=["snapshot"])
        later = check


def _gold(seat: Seat, rng: Random, taken: set[int]) -> Unit | None:
    wanted = gold_usable(seat.project).exclude(direction__in=taken).exclude(added_by=seat.user)  # who knows the answer
    units = _units(seat, list(wanted.order_by("direction_id").values_list("direction_id", flat=True)))
    return _read(rng.choice(units)) if units else None


def gold_usable(project: Project) -> QuerySet[Gold]:
    """The gold that can be mixed in: no item of the project, and a readout as long as the items' are shown."""
    item = Item.objects.filter(project=project, direction=OuterRef("direction"))
    rows = Gold.objects.filter(~Exists(item), project=project, direction__matrix__top__gte=project.tokens_shown)
    if project.ends == Project.Ends.BOTH:
        rows = rows.filter(Exists(_other_end(Gold.objects.filter(~Exists(item), project=project), "direction__")))
    return rows


def controls_usable(project: Project, controls: Sequence[str]) -> QuerySet[Direction]:
    """The controls that can be mixed in, of these kinds; the same conditions."""
    item = Item.objects.filter(project=project, direction=OuterRef("pk"))
    rows = controls_of(project, controls).filter(~Exists(item), matrix__top__gte=project.tokens_shown)
    if project.ends == Project.Ends.BOTH:
        rows = rows.filter(Exists(_other_end(Direction.objects.all(), "")))
    return rows


def _other_end(rows: QuerySet, prefix: str) -> QuerySet:  # type: ignore[type-arg]
    """Those of `rows` that are the other end of the outer row's vector."""
    same = {f"{prefix}{name}": OuterRef(f"{prefix}{name}") for name in ("matrix", "side", "index")}
    return rows.filter(**same).exclude(**{f"{prefix}sign": OuterRef(f"{prefix}sign")})


def _control(seat: Seat, mix: CheckMix, rng: Random, taken: set[int]) -> Unit | None:
    """One of them, each with the same chance, without reading all: a model has 100,000 of them."""
    rows = controls_usable(seat.project, mix.controls).exclude(pk__in=taken)
    if seat.project.ends == Project.Ends.BOTH:
        rows = rows.filter(sign="+")
    n = rows.count()
    if not n:
        return None
    one = rows.order_by("pk").values_list("pk", flat=True)[rng.randrange(n)]
    if seat.project.ends != Project.Ends.BOTH:
        return _read((one,))
    vector = Direction.objects.filter(pk=one).values("matrix_id", "side", "index").get()
    return tuple(Direction.objects.filter(**vector).order_by("sign"))


def _repeat(seat: Seat, rng: Random, taken: set[int], latest: int) -> Unit | None:
    """Of the person's first `latest` items one whose judgement stands, was blind, and is not repeated yet."""
    if latest <= 0:
        return None
    rows = list(_own(seat).order_by("pk").values_list("direction_id", "verdict", "blind")[:latest])
    units = _units(seat, [pk for pk, verdict, blind in rows if blind and verdict in TWO_VALUED and pk not in taken])
    return _read(rng.choice(units)) if units else None


def _units(seat: Seat, ids: Sequence[int]) -> list[tuple[int, ...]]:
    """Each end by itself, or the vectors of which both ends are among them."""
    if seat.project.ends != Project.Ends.BOTH:
        return [(pk,) for pk in ids]
    vectors: dict[tuple[int, str, int], list[int]] = defaultdict(list)
    places = Direction.objects.filter(pk__in=list(ids)).order_by("pk")
    for pk, matrix_id, side, index in places.values_list("pk", "matrix_id", "side", "index"):
        vectors[matrix_id, side, index].append(pk)
    return [tuple(ends) for ends in vectors.values() if len(ends) == len(_signs(seat))]


def _read(ids: Sequence[int]) -> Unit:
    """In the order in which items have them: `+` first."""
    return tuple(Direction.objects.filter(pk__in=list(ids)).order_by("sign"))


def _signs(seat: Seat) -> str:
    return "+-" if seat.project.ends == Project.Ends.BOTH else "+"


def _had(seat: Seat) -> Had:
    rows = list(Check.objects.filter(project=seat.project, user=seat.user).values_list("direction_id", "after"))
    ordinals = Check.objects.filter(project=seat.project, user=seat.user).aggregate(last=Max("ordinal"))["last"]
    return Had(
        frozenset(pk for pk, _ in rows),
        max((after for _, after in rows), default=0),
        0 if ordinals is None else ordinals + 1,
    )


def _own(seat: Seat) -> QuerySet[Judgement]:
    return Judgement.objects.filter(source=seat.project.source, judge=seat.judge_id, current=True)


def _done(seat: Seat) -> int:
    return _own(seat).count() if seat.judge_id is not None else 0
