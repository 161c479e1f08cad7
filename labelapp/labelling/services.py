"""Writes on what people judge in projects."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import BooleanField, Count, ExpressionWrapper, F, Q
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.judgements.models import Judge, Judgement, Subject, Verdict
from labelapp.judgements.selectors import judgement_last, judgements_of_source
from labelapp.judgements.services import (
    Draft,
    draft_check,
    judge_of_user,
    judgement_withdraw,
    judgement_write,
    judgements_own_and_standing,
)
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.followers import items_changed, items_reopened
from labelapp.labelling.models import Guidelines, Item, Project, Skip
from labelapp.labelling.queue import lease_end
from labelapp.labelling.selectors import JUDGING_ROLES, Seat, seat_of
from labelapp.labelling.subjects import tokens_shown


def item_judge(
    *,
    item: Item,
    user: User,
    verdict: str,
    label: str = "",
    second_label: str = "",
    kind: str = "",
    reason: str = "",
    misfits: Sequence[int] = (),
    seconds: float | None = None,
    seen: int | None = None,
    seat: Seat | None = None,
) -> Judgement:
    """Take a person's judgement on an item; one that the person made before is superseded, and kept.

    An answer that came twice (a double click, a request repeated after a lost connection) is taken once. With `seen`,
    how many of the person's own answers were known where this one was given, one that does not know of what stands
    is refused: it comes from a second tab. A lease decides nothing here. Raises LabellingError or JudgementError, and
    changes nothing, where the answer cannot be taken; never do more people's judgements stand than the overlap.
    `seat` is the person's, where the caller has just read it. Four queries for a first answer, and those of the
    followers where somebody else's stands.
    """
    seat = seat_required(item.project, user, seat)
    judge_id = seat.judge_id if seat.judge_id is not None else judge_of_user(user).pk
    subject = seat.project.subject
    of_direction = subject == Subject.DIRECTION  # a pair or a matrix has no kind, reason or misfits
    draft = Draft(
        direction_id=item.direction_id,
        subject=subject,
        verdict=verdict,
        label=label.strip(),
        second_label=second_label.strip() if subject == Subject.VECTOR else "",
        kind=kind if of_direction else "",
        reason=reason if verdict == Verdict.NOT_INTERPRETABLE else "",
        misfits=sorted(set(misfits)) if of_direction else [],
        tokens_shown=min(tokens_shown(seat.project), len(item.direction.tokens)),
        guidelines_version=seat.guidelines_version,
        seconds=seconds,
    )
    draft_check(draft, is_person=True)
    with transaction.atomic():
        # From here on the item's row is locked, and what is read of the person's own answers stays true.
        is_counted = _count_one_more(item, seat.project)
        own, others_stand = judgements_own_and_standing(
            judge_id=judge_id, source=seat.project.source, direction_id=item.direction_id
        )
        standing = next((row for row in own if row.current), None)
        if standing is None:
            if not is_counted:
                raise LabellingError(_full_sentence(seat.project))
        else:
            if is_counted:
                _count_one_less(item, seat.project)
            if same_answer(standing, draft):
                return standing
            if seen is not None and seen != len(own):
                raise LabellingError(other_tab_sentence(standing))
        judgement = judgement_write(
            judge_id=judge_id,
            source=seat.project.source,
            draft=draft,
            matrix_id=item.direction.matrix_id,
            standing=standing,
            # A second look, where there was anything to be seen after the first one.
            blind=not (own and others_stand),
        )
        if others_stand:  # whom nobody can contradict contradicts nobody
            items_changed([item.pk])
    return judgement


def answer_undo(*, project: Project, user: User, seat: Seat | None = None) -> Item | None:
    """Take back the person's last answer in the project and return its item; None where there is none.

    A judgement is withdrawn (the row stays) and the item asks for one more again; a skip is forgotten.
    """
    seat = seat_required(project, user, seat)
    last = judgement_last(source=project.source, judge_id=judge_of_user(user).pk)
    skip = Skip.objects.filter(item__project=project, user=user).order_by("at").last()
    if skip is not None and (last is None or skip.at > last.created_at):
        skip.delete()
        return skip.item
    if last is None:
        return None
    with transaction.atomic():
        items = Item.objects.select_related("direction", "project").filter(project=project)
        item = items.select_for_update(of=("self",)).get(direction_id=last.direction_id)
        if judgement_withdraw(last) is None:
            return None
        if last.supersedes_id is None:  # else the one before stands again
            _count_one_less(item, seat.project)
        items_changed([item.pk])
    return item


def item_skip(*, item: Item, user: User, reason: str = Skip.Reason.LATER, seat: Seat | None = None) -> None:
    """Put an item off until the others are done, those that were skipped before it too; others may have it."""
    seat_required(item.project, user, seat)
    if reason not in Skip.Reason.values:
        raise LabellingError(f"{reason!r} is not a reason to skip; it must be {', '.join(Skip.Reason.values)}.")
    with transaction.atomic():
        Skip.objects.update_or_create(item=item, user=user, defaults={"at": timezone.now(), "reason": reason})
        lease_end(item, user)


def items_reopen(project: Project) -> None:
    """Open or close the project's items anew, after its overlap has changed."""
    project.items.update(is_open=ExpressionWrapper(Q(n_judged__lt=project.overlap), output_field=BooleanField()))
    items_reopened(project)


def items_verify(*, repair: bool = False) -> list[str]:
    """Recount what stands on every item; return a line for each count that differs (and mend it if asked)."""
    return [line for project in Project.objects.order_by("pk") for line in _items_verify(project, repair=repair)]


def _items_verify(project: Project, *, repair: bool) -> list[str]:
    """Under the items' locks, which every writer of a judgement in the project takes."""
    lines = []
    with transaction.atomic():
        items = list(project.items.select_for_update().order_by("pk"))
        standing = judgements_of_source(project.source).filter(judge__type=Judge.Type.PERSON).order_by()
        counts = dict(standing.values_list("direction_id").annotate(n=Count("pk")))
        for item in items:
            n = counts.get(item.direction_id, 0)
            if (item.n_judged, item.is_open) == (n, n < project.overlap):
                continue
            lines.append(f"item {item} of {project.slug} is counted as judged by {item.n_judged}, should be {n}")
            if repair:
                Item.objects.filter(pk=item.pk).update(n_judged=n, is_open=n < project.overlap)
                items_changed([item.pk])
    return lines


def guidelines_current(project: Project) -> Guidelines:
    """The rubric that judgements made now are made under."""
    guidelines = project.guidelines.order_by("-version").first()
    assert guidelines is not None  # a project is made with its first version
    return guidelines


def _count_one_more(item: Item, project: Project) -> bool:
    """Count a judgement that is to be written, and lock the item's row; False, locked too, where there is no place."""
    is_open = ExpressionWrapper(Q(n_judged__lt=project.overlap - 1), output_field=BooleanField())
    items = Item.objects.filter(pk=item.pk)
    if items.filter(n_judged__lt=project.overlap).update(n_judged=F("n_judged") + 1, is_open=is_open):
        return True
    list(items.select_for_update().values_list("pk"))
    return False


def _count_one_less(item: Item, project: Project) -> None:
    is_open = ExpressionWrapper(Q(n_judged__lte=project.overlap), output_field=BooleanField())
    Item.objects.filter(pk=item.pk, n_judged__gt=0).update(n_judged=F("n_judged") - 1, is_open=is_open)


def same_answer(standing: Judgement, draft: Draft) -> bool:
    """Whether it says what stands already: it came twice."""
    return (
        standing.verdict, standing.label, standing.second_label, standing.kind, standing.reason, standing.misfits,
    ) == (draft.verdict, draft.label, draft.second_label, draft.kind, draft.reason, list(draft.misfits))  # fmt: skip


def seat_required(project: Project, user: User, seat: Seat | None) -> Seat:
    """The person's seat, read now unless the caller just did. Raises LabellingError where nothing can be judged."""
    seat = seat or seat_of(project, user)
    if seat is None or seat.role not in JUDGING_ROLES:
        raise LabellingError(f"You are not one of those who judge in {project.name}; its owner can add you.")
    if seat.project.state == Project.State.PAUSED:
        raise LabellingError(f"{project.name} is paused and takes no judgements; its owner can open it again.")
    if seat.project.state != Project.State.OPEN:
        raise LabellingError(f"{project.name} is not open yet; its owner can open it.")
    return seat


def _full_sentence(project: Project) -> str:
    people = "Somebody else has" if project.overlap == 1 else f"{project.overlap} other people have"
    return (
        f"Enough: {people} judged this one while it lay here. Skip it to go on; what you entered stays in this browser."
    )


def other_tab_sentence(standing: Judgement) -> str:
    """The refusal of an answer that does not know of the one that stands."""
    words = f", “{standing.label}”" if standing.label else ""
    return (
        f"You judged this one in another tab: {standing.get_verdict_display()}{words}. That stands; "
        "reload the page to go on, or to change it."
    )
