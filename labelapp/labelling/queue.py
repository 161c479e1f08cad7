"""The queue: which item lies before whom.

An item that is shown, and the one that comes after it, are leased, so that no more people work on an item than its
overlap asks for. Whoever takes an item locks its row first and counts its leases then: a count from before the lock
would miss the lease of somebody who was just as quick.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.labelling.models import Item, Lease, Project
from labelapp.labelling.selectors import Seat, items_free, items_with_room, skipped_by, skipped_first

LEASE_SECONDS = 180
BEAT_SECONDS = 45  # how often the page prolongs its leases: three beats may be lost
SHOWN = 2  # the item before the person, and the one after it
TRIES = 20


def items_take(seat: Seat, *, releasing: Item | None = None, but: Collection[int] = ()) -> list[Item]:
    """Lease the person's next two items and return them: those that he or she holds already among them.

    `releasing` is given up, and the queue goes on behind it as long as it can: what somebody else gives back before it
    waits for the next person, or for the end. To look for it each time would mean to pass over all that the person
    has judged. `but` are ids of items left out. Fewer than two come back only where there are no more. Two queries as a
    rule: choose and lock, lease.
    """
    if releasing is None:
        return _items_take(seat, but, None) or _items_take_last(seat, but, None)
    left_out = {*but, releasing.pk}
    return (
        _items_take(seat, left_out, releasing, onwards=True)
        or _items_take(seat, left_out, releasing)
        or _items_take_last(seat, left_out, releasing)
    )


def _items_take(seat: Seat, left_out: Collection[int], releasing: Item | None, *, onwards: bool = False) -> list[Item]:
    """Two items, `onwards` from where the person is; none where there are fewer, or too many at work on them."""
    for _ in range(TRIES):
        with transaction.atomic():
            fresh = _fresh(seat, left_out)
            if onwards and releasing is not None:
                fresh = fresh.filter(position__gte=_place(seat, releasing))
            # What others are taking at this moment is passed over: nobody waits.
            chosen = list(fresh.select_for_update(skip_locked=True, of=("self",))[:SHOWN])
            if len(chosen) < SHOWN:
                break
            if _lease(seat, chosen, releasing):
                return chosen
    return []


def _items_take_last(seat: Seat, left_out: Collection[int], releasing: Item | None) -> list[Item]:
    """As above where few are left: what others are just taking may stay free, so each is waited for.

    Items are locked in the order of their positions alone, or two people could wait for one another.
    """
    for _ in range(TRIES):
        wanted = list(_fresh(seat, left_out)[:SHOWN])
        if len(wanted) < SHOWN:
            wanted += skipped_first(_free(seat, left_out), seat.user)[: SHOWN - len(wanted)]
        ids = [item.pk for item in wanted]
        with transaction.atomic():
            locked = _free(seat, left_out).filter(pk__in=ids).order_by("position").select_for_update(of=("self",))
            if len(locked) == len(ids) and _lease(seat, sorted(locked, key=lambda it: ids.index(it.pk)), releasing):
                return sorted(locked, key=lambda it: ids.index(it.pk))
    return []


def _free(seat: Seat, left_out: Collection[int]) -> QuerySet[Item]:
    return items_free(seat, timezone.now()).exclude(pk__in=left_out)


def _fresh(seat: Seat, left_out: Collection[int]) -> QuerySet[Item]:
    """The free items that the person has not put off, in the queue's order."""
    return _free(seat, left_out).filter(~skipped_by(seat.user)).order_by("position")


def _place(seat: Seat, releasing: Item) -> Coalesce:
    """Where the person is in the queue: at the item that comes next on the page, else at the one just done with."""
    held = Lease.objects.filter(user=seat.user, until__gt=timezone.now(), item__project=seat.project)
    following = held.exclude(item=releasing).order_by("item__position").values("item__position")
    return Coalesce(Subquery(following[:1]), releasing.position)


def leases_prolong(seat: Seat, opaque_ids: Sequence[str]) -> set[str]:
    """Prolong the person's leases on these items, or lease them anew where they are still free.

    Returns the opaque ids of those that the person holds now. One query where nothing has ended.
    """
    now = timezone.now()
    held = Lease.objects.filter(user=seat.user, item__project=seat.project, item__opaque_id__in=opaque_ids)
    if held.filter(until__gt=now).update(until=_end()) == len(set(opaque_ids)):
        return set(opaque_ids)
    with transaction.atomic():
        wanted = items_free(seat, now).filter(opaque_id__in=opaque_ids).order_by("position")
        items = list(wanted.select_for_update(of=("self",)))
        return {item.opaque_id for item in items if _lease(seat, [item], None)}


def lease_end(item: Item, user: User) -> None:
    Lease.objects.filter(item=item, user=user).delete()


def leases_end(project: Project, user: User) -> None:
    """Give up all that a person holds in a project: who has left it reserves nothing."""
    Lease.objects.filter(item__project=project, user=user).delete()


def _lease(seat: Seat, items: Sequence[Item], releasing: Item | None) -> bool:
    """Lease locked items for the person; False, and nothing done, where somebody has just filled one of them."""
    new = [item for item in items if not item.is_held]  # type: ignore[attr-defined]
    if releasing is not None and len(new) == 1 and _lease_move(seat, releasing, new[0]):
        return True
    if new and _still_free(seat, new).count() < len(new):
        return False
    Lease.objects.bulk_create(
        [Lease(item=item, user=seat.user, until=_end()) for item in new],
        update_conflicts=True,
        unique_fields=["item", "user"],
        update_fields=["until"],
    )
    if releasing is not None:
        lease_end(releasing, seat.user)
    return True


def _lease_move(seat: Seat, old: Item, new: Item) -> bool:
    """One lease goes over to the next item: what a saved answer needs, in one query."""
    stale = Lease.objects.filter(item=new, user=seat.user)
    leases = Lease.objects.filter(item=old, user=seat.user).filter(Exists(_still_free(seat, [new])), ~Exists(stale))
    return leases.update(item=new, until=_end()) == 1


def _still_free(seat: Seat, items: Sequence[Item]) -> QuerySet[Item]:
    """Of items whose rows are locked, those that have room now, as nobody can change until the lock ends."""
    return items_with_room(seat, timezone.now()).filter(pk__in=[item.pk for item in items])


def _end() -> datetime:
    return timezone.now() + timedelta(seconds=LEASE_SECONDS)
