"""Writes on what people judge in projects."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judgement
from labelapp.judgements.selectors import judgement_last
from labelapp.judgements.services import Draft, judge_of_user, judgement_record, judgement_withdraw
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Guidelines, Item, Membership, Project, Skip


def item_judge(
    *,
    item: Item,
    user: User,
    verdict: str,
    label: str = "",
    kind: str = "",
    misfits: Sequence[int] = (),
    seconds: float | None = None,
) -> Judgement:
    """Take a person's judgement on an item; one that the person made before is superseded, and kept.

    An answer that came twice (a double click, a request repeated after a lost connection) is taken once.
    Raises LabellingError or JudgementError, and changes nothing, where it cannot be taken.
    """
    _require_judging(item.project, user)
    judge = judge_of_user(user)
    shown = min(item.project.tokens_shown, len(item.direction.tokens))
    draft = Draft(
        direction_id=item.direction_id,
        verdict=verdict,
        label=label.strip(),
        kind=kind,
        misfits=sorted(set(misfits)),
        tokens_shown=shown,
        guidelines_version=guidelines_current(item.project).version,
        seconds=seconds,
    )
    with transaction.atomic():
        Direction.objects.select_for_update().get(pk=item.direction_id)
        standing = Judgement.objects.filter(
            direction_id=item.direction_id, judge=judge, source=item.project.source, current=True
        ).first()
        if standing is not None and _same_answer(standing, draft):
            return standing
        return judgement_record(judge=judge, source=item.project.source, draft=draft)


def answer_undo(*, project: Project, user: User) -> Item | None:
    """Take back the person's last answer in the project and return its item; None where there is none.

    A judgement is withdrawn (the row stays); a skip is forgotten, so that its item is next again.
    """
    _require_judging(project, user)
    last = judgement_last(source=project.source, judge_id=judge_of_user(user).pk)
    skip = Skip.objects.filter(item__project=project, user=user).order_by("at").last()
    if skip is not None and (last is None or skip.at > last.created_at):
        skip.delete()
        return skip.item
    if last is None or judgement_withdraw(last) is None:
        return None
    return Item.objects.select_related("direction", "project").get(project=project, direction_id=last.direction_id)


def item_skip(*, item: Item, user: User) -> None:
    """Put an item off until the others are done, those that were skipped before it too."""
    _require_judging(item.project, user)
    Skip.objects.update_or_create(item=item, user=user, defaults={"at": timezone.now()})


def guidelines_current(project: Project) -> Guidelines:
    """The rubric that judgements made now are made under."""
    guidelines = project.guidelines.order_by("-version").first()
    assert guidelines is not None  # a project is made with its first version
    return guidelines


def _same_answer(standing: Judgement, draft: Draft) -> bool:
    return (standing.verdict, standing.label, standing.kind, standing.misfits) == (
        draft.verdict, draft.label, draft.kind, list(draft.misfits),
    )  # fmt: skip


def _require_judging(project: Project, user: User) -> None:
    roles = [Membership.Role.OWNER, Membership.Role.REVIEWER, Membership.Role.ANNOTATOR]
    if not Membership.objects.filter(project=project, user=user, role__in=roles).exists():
        raise LabellingError(f"You are not one of those who judge in {project.name}; its owner can add you.")
    state = Project.objects.values_list("state", flat=True).get(pk=project.pk)
    if state == Project.State.DRAFT:
        raise LabellingError(f"{project.name} is not open yet; its owner can open it.")
    if state != Project.State.OPEN:
        raise LabellingError(f"{project.name} is paused and takes no judgements; its owner can open it again.")
