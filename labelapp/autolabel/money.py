"""A run's money, in integers of nano-dollars: reserved before a call, settled after it, never more than the budget.

Every change is one conditional UPDATE, so any number of workers may pay out of one budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest

from labelapp.autolabel.models import Reservation, Run
from labelapp.jobs.models import Job
from labelapp.jobs.services import LeaseLostError

# A worker that dies loses its reservation, so it holds at most this part of what is left.
LARGEST_PART = 20


@dataclass(frozen=True)
class Settlement:
    """What a batch of calls has cost: of the reservation, `spent` on answers and `lost` without one.

    `regained` was counted as lost when a worker died and turns out to have been spent: its answers were found.
    """

    spent: int = 0
    lost: int = 0
    released: int = 0  # of the reservation; less than was spent only where a provider charged beyond all bounds
    regained: int = 0


def reservation_open(run_id: int, job: Job) -> None:
    """Begin to pay for a job. What an earlier worker of it still held may have been spent: it counts as lost."""
    with transaction.atomic():
        held = Reservation.objects.select_for_update().filter(job=job).first()
        if held is not None:
            Run.objects.filter(pk=run_id).update(reserved=F("reserved") - held.amount, lost=F("lost") + held.amount)
        Reservation.objects.update_or_create(
            job=job, defaults={"run_id": run_id, "lease_token": job.lease_token, "amount": 0}
        )


def reservation_grow(run_id: int, job: Job, *, need: int, want: int) -> int:
    """Reserve about `want` and at least `need`; 0 where the budget does not allow it now.

    Raises LeaseLostError.
    """
    budget, spent, lost, reserved = Run.objects.values_list("budget", "spent", "lost", "reserved").get(pk=run_id)
    if budget is not None:
        want = min(want, (budget - spent - lost - reserved) // LARGEST_PART)
    for amount in dict.fromkeys((max(need, want), need)):
        if _reserve(run_id, job, amount):
            return amount
    return 0


def reservation_shrink(run_id: int, job: Job, amount: int) -> None:
    """Give back what is not needed. Raises LeaseLostError."""
    if amount:
        _reserve(run_id, job, -amount)


def reservation_close(run_id: int, job: Job) -> None:
    """Give back whatever a job still holds, now that all its calls are settled. Raises LeaseLostError."""
    with transaction.atomic():
        held = Reservation.objects.select_for_update().filter(job=job, lease_token=job.lease_token).first()
        if held is None:
            raise LeaseLostError(f"Job {job.pk} is no longer held by this worker.")
        if held.amount:
            Run.objects.filter(pk=run_id).update(reserved=F("reserved") - held.amount)
            Reservation.objects.filter(pk=held.pk).update(amount=0)


def money_is_gone(run_id: int, need: int) -> bool:
    """Whether the budget cannot pay so much even if all that is reserved were given back."""
    budget, spent, lost = Run.objects.values_list("budget", "spent", "lost").get(pk=run_id)
    return budget is not None and spent + lost + need > budget


def settle(run_id: int, job: Job, done: Settlement) -> None:
    """Count what calls have cost, in the transaction that stores them."""
    if done == Settlement():
        return
    Reservation.objects.filter(job=job, lease_token=job.lease_token).update(amount=F("amount") - done.released)
    Run.objects.filter(pk=run_id).update(
        spent=F("spent") + done.spent,
        lost=Greatest(F("lost") + done.lost - done.regained, Value(0)),
        reserved=F("reserved") - done.released,
    )


def _reserve(run_id: int, job: Job, amount: int) -> bool:
    with transaction.atomic():
        room = Q(budget=None) | Q(budget__gte=F("spent") + F("lost") + F("reserved") + amount)
        if not Run.objects.filter(room, pk=run_id).update(reserved=F("reserved") + amount):
            return False
        held = Reservation.objects.filter(job=job, lease_token=job.lease_token).update(amount=F("amount") + amount)
        if not held:
            raise LeaseLostError(f"Job {job.pk} is no longer held by this worker.")
    return True
