"""Checks in the queue: where they stand among the items, and how they are answered, put off and taken back.

All of it like items, but that an answer has the checks' source (`checks/models.py`), that no overlap is counted, and
that a check is one person's alone, so there is nothing to lease.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.judgements.models import Judgement, Verdict
from labelapp.judgements.selectors import judgement_last
from labelapp.judgements.services import (
    Draft,
    draft_check,
    judge_of_user,
    judgement_withdraw,
    judgement_write,
    judgements_own,
)
from labelapp.labelling.checks.card import CheckCard, card_read
from labelapp.labelling.checks.models import Check, check_source
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Item, Skip
from labelapp.labelling.selectors import Seat
from labelapp.labelling.services import answer_undo, other_tab_sentence, same_answer, seat_required

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def mixed_in(
    seat: Seat, items: Sequence[Item], done: int, *, first: Item | CheckCard | None = None
) -> list[Item | CheckCard]:
    """The person's next items with the next check in its place: `done` items are judged. Asks the database nothing.

    A check that is due comes before the items, one that is due after the next answer comes second. `first` is laid
    before the person whatever comes.
    """
    laid: list[Item | CheckCard] = list(items)
    if first is not None:
        laid.insert(0, first)
    check = seat.check
    if check is None or (isinstance(first, CheckCard) and first.check_id == check.check_id):
        return laid
    if check.after <= done:
        place = 0 if first is None else 1
    elif check.after == done + 1 and laid:
        place = 1
    else:
        return laid
    return [*laid[:place], check, *check.then, *laid[place:]]


def check_skipped(seat: Seat) -> list[CheckCard]:
    """Of the checks that the person put off the first: for when nothing else is left."""
    if not seat.check_share:
        return []
    rows = _checks(seat).filter(is_open=True, skipped_at__isnull=False).order_by("skipped_at")[:1]
    return [card_read(seat.project.pk, row.snapshot) for row in rows]


def check_of(seat: Seat, opaque_id: str) -> CheckCard | None:
    """A check of the person's own."""
    row = _checks(seat).filter(opaque_id=opaque_id).first()
    return card_read(seat.project.pk, row.snapshot) if row else None


def checks_among(seat: Seat, opaque_ids: Collection[str]) -> set[str]:
    """Which of these are checks of the person's own, and no items."""
    if not seat.check_share:
        return set()
    return set(_checks(seat).filter(opaque_id__in=opaque_ids).values_list("opaque_id", flat=True))


def check_judge(
    *,
    check: CheckCard,
    user: User,
    seat: Seat,
    verdict: str,
    label: str = "",
    second_label: str = "",
    kind: str = "",
    reason: str = "",
    misfits: Sequence[int] = (),
    seconds: float | None = None,
    seen: int | None = None,
) -> Judgement:
    """Take a person's answer to a check, under the rules of `item_judge`; it is counted in no item.

    A check is a direction, so there is no `second_label`. Raises LabellingError or JudgementError, and changes nothing,
    where the answer cannot be taken.
    """
    seat = seat_required(seat.project, user, seat)
    judge_id = seat.judge_id if seat.judge_id is not None else judge_of_user(user).pk
    draft = Draft(
        direction_id=check.direction_id,
        verdict=verdict,
        label=label.strip(),
        kind=kind,
        reason=reason if verdict == Verdict.NOT_INTERPRETABLE else "",
        misfits=sorted(set(misfits)),
        tokens_shown=len(check.direction.tokens),
        guidelines_version=seat.guidelines_version,
        seconds=seconds,
    )
    draft_check(draft, is_person=True)
    with transaction.atomic():
        # The row is locked from here on: of two tabs the second sees what the first one wrote.
        Check.objects.filter(pk=check.check_id).update(is_open=False, skipped_at=None, skip_reason="")
        own = list(judgements_own(judge_id=judge_id, source=check.source, direction_id=check.direction_id))
        standing = next((row for row in own if row.current), None)
        if standing is not None:
            if same_answer(standing, draft):
                return standing
            if seen is not None and seen != len(own):
                raise LabellingError(other_tab_sentence(standing))
        return judgement_write(
            judge_id=judge_id,
            source=check.source,
            draft=draft,
            matrix_id=check.direction.matrix_id,
            standing=standing,
            blind=not own,
        )


def check_skip(*, check: CheckCard, user: User, seat: Seat, reason: str) -> None:
    """Put a check off until nothing else is left; one that is answered stays answered. Raises LabellingError."""
    seat_required(seat.project, user, seat)
    if reason not in Skip.Reason.values:
        raise LabellingError(f"{reason!r} is not a reason to skip; it must be {', '.join(Skip.Reason.values)}.")
    rows = Check.objects.filter(pk=check.check_id, is_open=True)
    rows.update(skipped_at=timezone.now(), skip_reason=reason)


def last_answer(seat: Seat) -> tuple[Judgement, Item | CheckCard] | None:
    """The person's latest answer that stands, and what it was to, be it an item or a check. Two queries."""
    if seat.judge_id is None:
        return None
    sources = (seat.project.source, check_source(seat.project.pk))
    last = Judgement.every.filter(source__in=sources, judge=seat.judge_id, current=True).order_by("-pk").first()
    if last is None:
        return None
    if last.source == seat.project.source:
        item = Item.objects.filter(project=seat.project, direction=last.direction_id).first()
        return (last, item) if item else None
    check = _checks(seat).filter(direction=last.direction_id).first()
    return (last, card_read(seat.project.pk, check.snapshot)) if check else None


def last_undo(seat: Seat) -> Item | CheckCard | None:
    """Take back the person's last answer, be it to an item or to a check, and return it; None where there is none."""
    seat_required(seat.project, seat.user, seat)
    if seat.judge_id is None and not seat.check_share:
        return answer_undo(project=seat.project, user=seat.user, seat=seat)
    last = judgement_last(source=check_source(seat.project.pk), judge_id=seat.judge_id) if seat.judge_id else None
    skipped = _checks(seat).filter(is_open=True, skipped_at__isnull=False).order_by("skipped_at").last()
    answered_at, skipped_at = last.created_at if last else LONG_AGO, _skipped_at(skipped)
    if max(answered_at, skipped_at) <= _last_of_items(seat):
        return answer_undo(project=seat.project, user=seat.user, seat=seat)
    if skipped is not None and skipped_at > answered_at:
        Check.objects.filter(pk=skipped.pk).update(skipped_at=None, skip_reason="")
        return card_read(seat.project.pk, skipped.snapshot)
    assert last is not None
    with transaction.atomic():
        check = _checks(seat).select_for_update().get(direction=last.direction_id)
        if judgement_withdraw(last) is None:
            return None
        if last.supersedes_id is None:  # else the answer before it stands again
            Check.objects.filter(pk=check.pk).update(is_open=True)
    return card_read(seat.project.pk, check.snapshot)


def _last_of_items(seat: Seat) -> datetime:
    """When the person last answered or put off an item of the project."""
    last = judgement_last(source=seat.project.source, judge_id=seat.judge_id) if seat.judge_id else None
    skip = Skip.objects.filter(item__project=seat.project, user=seat.user).order_by("at").last()
    return max(last.created_at if last else LONG_AGO, skip.at if skip else LONG_AGO)


def _skipped_at(check: Check | None) -> datetime:
    return check.skipped_at if check is not None and check.skipped_at is not None else LONG_AGO


def _checks(seat: Seat) -> QuerySet[Check]:
    return Check.objects.filter(project=seat.project, user=seat.user)
