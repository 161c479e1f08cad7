"""Exports of pairs and matrices: one row for each item with all its judgements, or one for each judgement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.db.models import Max

from labelapp.atlas.keys import DirectionKey
from labelapp.judgements.models import Judgement, Subject
from labelapp.labelling.models import Item, Project

CHUNK = 500
# What a row says of its item, and of one judgement on it.
ITEM_COLUMNS = ("project", "subject", "item", "key", "other_key", "inclusion_probability", "guidelines_version_now")
JUDGEMENT_COLUMNS = (
    "id", "judge", "verdict", "label", "second_label", "current", "withdraws", "supersedes", "blind",
    "guidelines_version", "tokens_shown", "seconds", "created_at",
)  # fmt: skip


def subject_rows(project: Project) -> Iterator[dict[str, Any]]:
    """Item by item in the queue's order: its key (of a pair both ends'), its π, the design, and every judgement,
    the superseded and withdrawn ones too, oldest first. Two queries for each chunk of items."""
    version = project.guidelines.aggregate(version=Max("version"))["version"]
    items = project.items.select_related("direction__matrix__model").order_by("position")
    stream = items.iterator(chunk_size=CHUNK)
    while chunk := list(islice(stream, CHUNK)):
        rows = Judgement.every.filter(source=project.source, direction__in=[item.direction_id for item in chunk])
        judgements: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in rows.select_related("judge").order_by("pk"):
            judgements[row.direction_id].append(_judgement(row))
        for item in chunk:
            yield {
                **_item(project, item, version),
                "design": project.design,
                "judgements": judgements[item.direction_id],
            }


def subject_table(project: Project) -> Iterator[list[Any]]:
    """A row for each judgement under ITEM_COLUMNS and JUDGEMENT_COLUMNS; an item without one has a row of its own."""
    for row in subject_rows(project):
        item = [row[name] for name in ITEM_COLUMNS]
        for judgement in row["judgements"] or [{}]:
            yield [*item, *(judgement.get(name) for name in JUDGEMENT_COLUMNS)]


def keys_of(subject: str, direction_key: DirectionKey) -> tuple[str, str]:
    """The address of what a direction stands for: of a pair the keys of both its ends, of a matrix its own."""
    if subject == Subject.MATRIX:
        return str(direction_key.matrix), ""
    return str(direction_key), str(direction_key.antipode)


def _item(project: Project, item: Item, version: int) -> dict[str, Any]:
    key, other_key = keys_of(project.subject, item.direction.key)
    more = {"side": item.direction.side} if project.subject == Subject.MATRIX else {}
    return {
        "project": project.slug,
        "subject": project.subject,
        "item": item.opaque_id,
        "key": key,
        "other_key": other_key or None,
        **more,
        "inclusion_probability": item.inclusion_probability,
        # A judgement with a smaller `guidelines_version` was made under an older rubric.
        "guidelines_version_now": version,
    }


def _judgement(row: Judgement) -> dict[str, Any]:
    return {
        "id": row.pk,
        "judge": row.judge.name,
        "verdict": row.verdict or None,
        "label": row.label,
        "second_label": row.second_label,
        "current": row.current,
        "withdraws": row.withdraws_id,
        "supersedes": row.supersedes_id,
        "blind": row.blind,
        "guidelines_version": row.guidelines_version,
        "tokens_shown": row.tokens_shown,
        "seconds": row.seconds,
        "created_at": row.created_at.isoformat(),
    }
