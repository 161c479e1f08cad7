"""What a decision on an item would tell, kept beside the item: added up in SQL, in the transaction that judges.

    score = uncertainty × weight / π

Uncertainty is 4 p (1 - p), from 0 to 1. p is the share of yes: of people and of machines apart, then the mean of
the two, so that five machines do not outvote one person. A machine with a verifier gives half a vote to each of its
two answers. Weight is the number of judges with a yes or no, each of which a decision would check. π is the item's
inclusion probability; an item of an exploration queue has none and is ranked as if it were 1.

People's judgements count in their own project, machines' everywhere; projects of pairs and matrices have none of this.
A machine's verdict is that of the default rule, as `judgements.rules` has it: `both` where there is a verifier's
answer, else `labeler`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models import OuterRef, Subquery

from labelapp.judgements.models import Judge
from labelapp.labelling.models import Item, Project
from labelapp.review.audit_marks import marks_of, marks_write
from labelapp.review.fields import ids_of_sql, ids_read
from labelapp.review.models import Disagreement

BATCH = 5000  # ids of one statement
# Labeler × verifier, as bits of `Disagreement.cells`.
CELL_BITS = {"meaning-yes": 1, "meaning-no": 2, "none-yes": 4, "none-no": 8}
COLUMNS = (
    "item_id", "project_id", "direction_id", "matrix_id", "sign", "is_open", "n_judged", "is_decided", "people",
    "people_machine", "machine", "cells", "judges", "people_yes", "people_no", "ruled_yes", "ruled_no", "weight",
    "uncertainty", "score",
)  # fmt: skip
FLAGS = ("is_open", "is_decided", "people", "people_machine", "machine")

# By item: what stands on it and counts (of people what they said in its project), then counts, then shares.
# `{which}` narrows the items i; `{judges}` are those that said something which counts.
_COUNTED = """
WITH said AS MATERIALIZED (
  SELECT i.id AS item_id, i.project_id, i.direction_id, i.is_open, i.n_judged, i.inclusion_probability,
    r.item_id IS NOT NULL AS is_kept, j.judge_id, judge.type = 'person' AS is_person,
    CASE WHEN judge.type <> 'person' OR j.source = 'project:' || i.project_id THEN j.verdict END AS verdict,
    CASE WHEN judge.type <> 'person' THEN (
      SELECT v.answer FROM judgements_verification v WHERE v.judgement_id = j.id ORDER BY v.id DESC LIMIT 1
    ) END AS answer
  FROM labelling_item i
  JOIN labelling_project p ON p.id = i.project_id AND p.subject = 'direction'
  LEFT JOIN review_disagreement r ON r.item_id = i.id
  LEFT JOIN judgements_judgement j ON j.direction_id = i.direction_id AND j.current AND j.subject = 'direction'
  LEFT JOIN judgements_judge judge ON judge.id = j.judge_id
  WHERE {which}
), counted AS (
  SELECT item_id, project_id, direction_id, is_open, n_judged, inclusion_probability, is_kept,
    count(*) FILTER (WHERE is_person AND verdict = 'interpretable') AS people_yes,
    count(*) FILTER (WHERE is_person AND verdict = 'not_interpretable') AS people_no,
    count(*) FILTER (
      WHERE NOT is_person AND verdict = 'interpretable' AND (answer IS NULL OR answer = 'yes')
    ) AS ruled_yes,
    count(*) FILTER (
      WHERE NOT is_person AND (verdict = 'not_interpretable' OR (verdict = 'interpretable' AND answer = 'no'))
    ) AS ruled_no,
    max(CASE WHEN verdict = 'interpretable' AND answer = 'yes' THEN 1 ELSE 0 END) AS meaning_yes,
    max(CASE WHEN verdict = 'interpretable' AND answer = 'no' THEN 1 ELSE 0 END) AS meaning_no,
    max(CASE WHEN verdict = 'not_interpretable' AND answer = 'yes' THEN 1 ELSE 0 END) AS none_yes,
    max(CASE WHEN verdict = 'not_interpretable' AND answer = 'no' THEN 1 ELSE 0 END) AS none_no,
    count(DISTINCT CASE WHEN verdict IN ('interpretable', 'not_interpretable') THEN judge_id END) AS weight,
    {judges} AS judges,
    sum(CASE WHEN is_person THEN 0.0 WHEN verdict = 'interpretable' AND (answer IS NULL OR answer = 'yes') THEN 1.0
      WHEN verdict = 'interpretable' OR answer = 'yes' THEN 0.5 ELSE 0.0 END) AS machine_yes,
    sum(CASE WHEN is_person THEN 0.0 WHEN verdict = 'not_interpretable' AND (answer IS NULL OR answer = 'no') THEN 1.0
      WHEN verdict = 'not_interpretable' OR answer = 'no' THEN 0.5 ELSE 0.0 END) AS machine_no
  FROM said GROUP BY item_id, project_id, direction_id, is_open, n_judged, inclusion_probability, is_kept
), shared AS (
  SELECT *,
    people_yes > 0 AND people_no > 0 AS people,
    (people_yes > people_no AND ruled_no > 0) OR (people_no > people_yes AND ruled_yes > 0) AS people_machine,
    (ruled_yes > 0 AND ruled_no > 0) OR meaning_no + none_yes > 0 AS machine,
    people_yes * 1.0 / NULLIF(people_yes + people_no, 0) AS people_share,
    machine_yes / NULLIF(machine_yes + machine_no, 0) AS machine_share
  FROM counted
), weighed AS (
  SELECT *, (COALESCE(people_share, machine_share) + COALESCE(machine_share, people_share)) / 2.0 AS p FROM shared
)
"""
_ROWS = """
SELECT w.item_id, w.project_id, w.direction_id, d.matrix_id, d.sign, w.is_open, w.n_judged,
  EXISTS (SELECT 1 FROM review_adjudication a WHERE a.item_id = w.item_id AND a.current),
  people, people_machine, machine, meaning_yes + 2 * meaning_no + 4 * none_yes + 8 * none_no, judges,
  people_yes, people_no, ruled_yes, ruled_no, weight, CAST(COALESCE(4 * p * (1 - p), 0) AS double precision),
  {score}
FROM weighed w
JOIN atlas_direction d ON d.id = w.direction_id
"""
_SCORE = "CAST(COALESCE(4 * p * (1 - p) * weight / COALESCE(w.inclusion_probability, 1), 0) AS double precision)"
# An item on which nobody differs (any more) tells nothing.
_SCORE_OF_DIFFERING = f"CASE WHEN people OR people_machine OR machine THEN {_SCORE} ELSE 0 END"
_KEPT = "(people OR people_machine OR machine OR is_kept)"


def scores_write(item_ids: Collection[int], *, forget_marks: bool = False) -> None:
    """Write anew what is kept of these items. Their rows are locked by the caller, or nobody else knows them yet.

    `forget_marks`: what audits find on them may have changed, which people's judgements cannot do.
    """
    ids = sorted(item_ids)
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        marks_write(_write(_among(len(some)), some, forget_marks=forget_marks, returning=True))


def scores_write_all(project: Project | None = None) -> None:
    """The same for a whole project, or for all that there is, in one statement; marks are worked out where none are."""
    _write("i.project_id = %s" if project else "true", [project.pk] if project else [])
    marks_fill(project)


def marks_fill(project: Project | None = None) -> None:
    """Work out what is not known yet of what audits find, in a project or anywhere."""
    rows = Disagreement.objects.filter(score__gt=0, audits=None)
    rows = (rows.filter(project=project) if project else rows).order_by("pk")
    directions = list(rows.values_list("pk", "direction_id"))
    for start in range(0, len(directions), BATCH):
        marks_write(dict(directions[start : start + BATCH]))


def scores_follow_opening(project: Project) -> None:
    """After the project's items were opened or closed anew."""
    items = Item.objects.filter(pk=OuterRef("item"))
    Disagreement.objects.filter(project=project).update(is_open=Subquery(items.values("is_open")))


@contextmanager
def scores_kept(judge: Judge, direction_ids: Collection[int]) -> Iterator[None]:
    """Around a judge's judgements: the items of these directions are locked before, and weighed anew after."""
    ids: list[int] = []
    wanted = sorted(direction_ids)
    for start in range(0, len(wanted), BATCH):
        items = Item.objects.filter(direction__in=wanted[start : start + BATCH])
        ids += items.select_for_update().order_by("pk").values_list("pk", flat=True)
    yield
    scores_write(ids, forget_marks=True)


def scored(item_ids: Collection[int]) -> list[Disagreement]:
    """What would be kept of these items, in the order of their ids; they are weighed whether they differ or not."""
    ids = sorted(item_ids)
    if not ids:
        return []
    which = _among(len(ids))
    statement = _counted(which) + _ROWS.format(score=_SCORE) + "ORDER BY w.item_id"
    with connection.cursor() as cursor:
        cursor.execute(statement, ids)
        rows = cursor.fetchall()
    return [_row(dict(zip(COLUMNS, row, strict=True))) for row in rows]


def scores_verify(*, repair: bool = False) -> list[str]:
    """Weigh every item again; return a line for each that is kept otherwise (and put it right if asked)."""
    lines: list[str] = []
    for project in Project.objects.order_by("pk"):
        ids = list(project.items.order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(ids), BATCH):
            lines += _verify(project, ids[start : start + BATCH], repair=repair)
    return lines


def _verify(project: Project, ids: Sequence[int], *, repair: bool) -> list[str]:
    """Under the items' locks, which every writer takes."""
    with transaction.atomic():
        items = Item.objects.filter(pk__in=ids).select_for_update().order_by("pk")
        names = dict(items.values_list("pk", "opaque_id"))
        weighed = [row for row in scored(ids) if row.differs]
        marks = marks_of({row.direction_id for row in weighed})
        for row in weighed:
            row.audits, row.labels = sorted(marks[row.direction_id].audits), sorted(marks[row.direction_id].labels)
        expected = {row.item_id: _compared(row) for row in weighed}
        kept = {row.item_id: _compared(row) for row in Disagreement.objects.filter(item__in=ids, score__gt=0)}
        wrong = [pk for pk in names if expected.get(pk) != kept.get(pk)]
        if repair:
            scores_write(wrong, forget_marks=True)
    return [f"item {names[pk]} of {project.slug}: what is kept of its disagreement is not what stands" for pk in wrong]


def _compared(row: Disagreement) -> tuple[Any, ...]:
    """Two sums of the same numbers in another order may differ in the last digits."""
    exact = tuple(getattr(row, name) for name in COLUMNS[:-2] if name != "judges")
    sets = [None if it is None else tuple(it) for it in (row.judges, row.audits, row.labels)]
    return (*exact, *sets, round(row.uncertainty, 9), float(f"{row.score:.9g}"))


def _row(values: dict[str, Any]) -> Disagreement:
    """SQLite gives flags as numbers, and judges as text."""
    values["judges"] = ids_read(values["judges"])
    return Disagreement(**{name: bool(value) if name in FLAGS else value for name, value in values.items()})


def _write(
    which: str, parameters: Sequence[int], *, forget_marks: bool = False, returning: bool = False
) -> dict[int, int]:
    """Returns, if asked, the items of the queue of which no marks are known, with their directions."""
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS[1:])
    changes += ", audits = NULL, labels = NULL" if forget_marks else ""
    statement = (
        _counted(which)
        + f"INSERT INTO review_disagreement ({', '.join(COLUMNS)})"
        + _ROWS.format(score=_SCORE_OF_DIFFERING)
        + f"WHERE {_KEPT} ON CONFLICT (item_id) DO UPDATE SET {changes}"
        + (" RETURNING item_id, direction_id, score, audits" if returning else "")  # SQLite gets comparisons wrong here
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        written = cursor.fetchall() if returning else []
    return {item: direction for item, direction, score, audits in written if score > 0 and audits is None}


def _counted(which: str) -> str:
    said = "CASE WHEN verdict IS NOT NULL THEN judge_id END"
    return _COUNTED.format(which=which, judges=ids_of_sql(connection.vendor, said))


def _among(n: int) -> str:
    return f"i.id IN ({', '.join(['%s'] * n)})"
