"""What reviews add to exports: the decisions in a project's rows, and ground-truth sets as something to export."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.exchange.subjects import ExportError, Subject
from labelapp.labelling.models import Membership
from labelapp.labelling.selectors import REVIEWING_ROLES
from labelapp.review.models import Adjudication, Entry, GroundTruth

MOST_DIGITS = 18  # of an id: what the database's integers hold
MOST_VERSION = 2**31 - 1
SETS_LISTED = 100


def truth_address(truth: GroundTruth) -> str:
    """What `subject_get` takes."""
    return f"truth:{truth.pk}"


def truth_subject_name(truth: GroundTruth) -> str:
    """The same in words, as runs store and show it: "truth:demo/animals@2"."""
    return f"truth:{truth.project.slug}/{truth}"


def truths_exportable(user: User) -> list[tuple[str, str]]:
    """Name and title of the sets that a person may export, newest first."""
    found = GroundTruth.objects.filter(
        project__memberships__user=user, project__memberships__role__in=REVIEWING_ROLES
    ).select_related("project")
    return [(f"{it.project.slug}/{it}", f"{it} of {it.project}") for it in found.order_by("-pk")[:SETS_LISTED]]


def truth_subject(name: str, user: User | None) -> Subject:
    """For the project's owner and reviewers, and for the command line; `name` is a number, or "demo/animals@2".

    Raises ExportError.
    """
    truth = _truths_named(name).select_related("project").first()
    if truth is None or (user is not None and not _may_export(truth, user)):
        raise ExportError(
            "There is no such ground-truth set that you may export; its project's owner and reviewers may."
        )

    def extras(direction_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        entries = Entry.objects.filter(truth=truth, direction__in=list(direction_ids))
        return {entry.direction_id: {"ground_truth": entry_record(truth, entry)} for entry in entries}

    return Subject(
        title=str(truth),
        directions=Direction.objects.filter(truth_entries__truth=truth),
        sources=(truth.project.source,),
        extras=extras,
    )


def _truths_named(name: str) -> QuerySet[GroundTruth]:
    slug, _, named = name.partition("/")
    bare, _, number = named.partition("@") if named else ("", "", slug)
    if not (number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS):
        return GroundTruth.objects.none()
    if not named:
        return GroundTruth.objects.filter(pk=int(number))
    return GroundTruth.objects.filter(project__slug=slug, name=bare, version=min(int(number), MOST_VERSION))


def entry_record(truth: GroundTruth, entry: Entry) -> dict[str, Any]:
    """One entry with all that its set's hash is made of, and whether it was drawn as part of a sample."""
    pi = entry.inclusion_probability
    return {
        "set": str(truth),
        "hash": truth.content_hash,
        "rule": truth.rule,
        "project": truth.project.slug,
        "key": entry.key,
        "verdict": entry.verdict,
        "label": entry.label,
        "part": entry.part,
        "origin": entry.origin,
        "n_people": entry.n_people,
        "adjudication": entry.adjudication_id,
        "inclusion_probability": pi,
        "drawn": "sample" if pi is not None else "exploration",
    }


def adjudication_extras(slug: str, direction_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The decisions on a project's directions, the superseded and withdrawn ones too, oldest first."""
    rows = Adjudication.objects.filter(item__project__slug=slug, item__direction__in=list(direction_ids))
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.select_related("by", "item").order_by("pk"):
        found[row.item.direction_id].append(_adjudication(row))
    return {pk: {"adjudications": found[pk]} for pk in direction_ids}


def _adjudication(row: Adjudication) -> dict[str, Any]:
    return {
        "id": row.pk,
        "by": row.by.get_username(),
        "current": row.current,
        "withdraws": row.withdraws_id,
        "supersedes": row.supersedes_id,
        "verdict": row.verdict or None,
        "label": row.label,
        "reason": row.reason,
        "proposal": row.proposal or None,
        "over": row.over,
        "created_at": row.created_at.isoformat(),
    }


def _may_export(truth: GroundTruth, user: User) -> bool:
    return Membership.objects.filter(project=truth.project_id, user=user, role__in=REVIEWING_ROLES).exists()
