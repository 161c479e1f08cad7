"""Writes on reviews: decisions, and their undoing. Append-only; what stands changes by a conditional update."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction

from labelapp.accounts.models import User
from labelapp.judgements.models import HUMAN_VERDICTS, LABEL_LENGTH, Judge, Judgement, Verdict
from labelapp.judgements.rules import Answers, rule_for
from labelapp.labelling.models import Item, Membership, Project
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.review.models import REASON_LENGTH, Adjudication, Aggregation
from labelapp.review.scores import scores_write


class ReviewError(ValueError):
    """Something that cannot be done in a review; the message says why in one sentence."""


def adjudicate(
    *,
    item: Item,
    user: User,
    verdict: str,
    label: str = "",
    reason: str = "",
    standing: int | None = None,
    proposal: str = "",
) -> Adjudication:
    """Decide an item; `standing` is the decision that the reviewer saw stand on it (None: none), which is superseded.
    `proposal` names the aggregation whose proposal the reviewer saw.

    A decision that came twice (a double click, a repeated request) is taken once. Raises ReviewError, and changes
    nothing, where the person may not decide, the decision cannot be taken, or another one was made meanwhile.
    """
    label, reason = label.strip(), reason.strip()
    _require_reviewing(item.project, user)
    _check(verdict, label, reason)
    _check_proposal(item, proposal)
    with transaction.atomic():
        Item.objects.select_for_update().get(pk=item.pk)  # of two reviewers at once the second sees the first's
        now = Adjudication.objects.filter(item=item, current=True).select_related("by").first()
        if now is not None and now.pk != standing:
            if (now.by_id, now.verdict, now.label, now.reason) == (user.pk, verdict, label, reason):
                return now
            raise ReviewError(_already(now, user))
        if standing is not None and not Adjudication.objects.filter(pk=standing, current=True).update(current=False):
            raise ReviewError(
                "The decision that you saw was taken back meanwhile; nothing was saved, look at the item again."
            )
        decision = Adjudication.objects.create(
            item=item,
            by=user,
            verdict=verdict,
            label=label,
            reason=reason,
            proposal=proposal,
            supersedes=now,
            over=_decided_over(item),
        )
        scores_write([item.pk])
    return decision


def adjudication_undo(*, project: Project, user: User) -> Item | None:
    """Take back the person's last standing decision in the project and return its item; None where there is none.

    A row withdraws it, and the decision that it had superseded stands again. Raises ReviewError.
    """
    _require_reviewing(project, user)
    with transaction.atomic():
        last = adjudication_last(user, [project])
        if last is None:
            return None
        Item.objects.select_for_update().get(pk=last.item_id)
        if not Adjudication.objects.filter(pk=last.pk, current=True).update(current=False):
            return None
        Adjudication.objects.create(item=last.item, by=user, withdraws=last, current=False)
        if last.supersedes_id is not None:
            Adjudication.objects.filter(pk=last.supersedes_id).update(current=True)
        scores_write([last.item_id])
    return last.item


def adjudication_last(user: User, projects: Collection[Project]) -> Adjudication | None:
    """The person's last decision that stands in any of these projects."""
    mine = Adjudication.objects.filter(item__project__in=list(projects), by=user, current=True)
    return mine.select_related("item__direction", "item__project", "supersedes").order_by("-pk").first()


def _already(now: Adjudication, user: User) -> str:
    who = "You" if now.by_id == user.pk else str(now.by)
    words = Verdict(now.verdict).label
    return f"{who} decided this item as {words} meanwhile; nothing was saved, look at it and decide again if need be."


def _decided_over(item: Item) -> list[dict[str, Any]]:
    """What stood on the item, with the rule under which a machine's answers make its verdict."""
    people = Judgement.objects.filter(source=item.project.source, judge__type=Judge.Type.PERSON)
    machines = Judgement.objects.exclude(judge__type=Judge.Type.PERSON)
    rows = (people | machines).filter(direction=item.direction_id, current=True)
    return [_seen(row) for row in rows.select_related("judge").prefetch_related("verifications").order_by("pk")]


def _seen(row: Judgement) -> dict[str, Any]:
    if row.judge.is_person:
        return {"judgement": row.pk, "rule": None, "verdict": row.verdict}
    answers = sorted(row.verifications.all(), key=lambda it: it.pk)
    rule = rule_for(has_verifier=bool(answers))
    verdict = rule.verdict(Answers(row.verdict, row.label, answers[-1].answer if answers else None))
    return {"judgement": row.pk, "rule": rule.identifier, "verdict": str(verdict)}


def _check(verdict: str, label: str, reason: str) -> None:
    if verdict not in {str(it) for it in HUMAN_VERDICTS}:
        raise ReviewError("Choose a verdict: interpretable (y), not (n), or unsure (u).")
    for name, text, most in (("label", label, LABEL_LENGTH), ("reason", reason, REASON_LENGTH)):
        if len(text) > most:
            raise ReviewError(f"A {name} may have {most} characters; this one has {len(text)}.")
        if not text.isprintable():
            raise ReviewError(f"A {name} may hold no control characters or line breaks; write it as one line.")


def _check_proposal(item: Item, proposal: str) -> None:
    """A decision after a proposal names it as the page did."""
    known = Aggregation.objects.filter(project=item.project_id)
    if proposal and proposal not in {it.proposal_name for it in known}:
        raise ReviewError("The proposal that this decision names is none of this project's; open the item again.")


def _require_reviewing(project: Project, user: User) -> None:
    if not Membership.objects.filter(project=project, user=user, role__in=REVIEWING_ROLES).exists():
        raise ReviewError(f"You do not review {project.name}; its owner and its reviewers decide.")
