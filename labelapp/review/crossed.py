"""People beside machines over a whole project: counted in SQL, and kept for the state of the data it was counted from.

What people say of a direction is the majority of their yes and no in the project; a machine's verdict is that of its
latest standing answer under its rule: `both` where a verifier answered any of its judgements here, else `labeler`, as
`judgements.rules` has them. `selectors.comparison` says the same of single directions in Python.

Beside the cells stand the kinds of vectors ("one end yes and yes, the other no and no"), of which there are few: from
them intervals keep the two ends of a vector together, however many directions there are.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.judgements.models import TWO_VALUED, Judge, Judgement, Summary, Verification
from labelapp.judgements.rules import rule_for
from labelapp.labelling.blindness import Blindness, directions_hidden_from, hidden_among
from labelapp.labelling.models import Check, Item, Membership, Project
from labelapp.review.models import CrossedCount
from labelapp.review.tally import MISSING, Crossing, Kinds, Machine, Pair, crossing_counted

WIDEST = 1000  # rows of one reading
COUNTED_AS = 2  # grows when other things are counted: what was kept before is then not shown
MOST_PAIRED = 6  # machines that are set beside each other, the newest

_RULED = """CASE WHEN {row}.verdict <> 'interpretable' OR NOT {has_verifier} THEN {row}.verdict
  WHEN {answer} = 'yes' THEN 'interpretable' WHEN {answer} = 'no' THEN 'not_interpretable' ELSE 'unparsed' END"""
_ANSWER = "(SELECT v.answer FROM judgements_verification v WHERE v.judgement_id = j.id ORDER BY v.id DESC LIMIT 1)"


def _kind(first: str, second: str) -> str:
    """Of the ends of one vector how many are in each cell, as digits: 1001 is one yes and yes, one no and no."""
    cells = [(one, two) for one in TWO_VALUED for two in TWO_VALUED]
    counts = (f"CAST(count(*) FILTER (WHERE {first} = '{one}' AND {second} = '{two}') AS text)" for one, two in cells)
    return " || ".join(counts)


# `{hidden}` has the ids of the directions that are hidden from the viewer, each once. They are joined: of many ids the
# database would go through the list for each direction.
_COUNTED = f"""
WITH people AS MATERIALIZED (
  SELECT j.direction_id, count(*) FILTER (WHERE j.verdict = 'interpretable') AS yes,
    count(*) FILTER (WHERE j.verdict = 'not_interpretable') AS no
  FROM judgements_judgement j JOIN judgements_judge judge ON judge.id = j.judge_id AND judge.type = 'person'
  WHERE j.source = %s AND j.current AND j.subject = 'direction' GROUP BY j.direction_id
), hidden (direction_id) AS MATERIALIZED ({{hidden}}), human AS MATERIALIZED (
  SELECT p.direction_id, hidden.direction_id IS NOT NULL AS is_hidden,
    i.id IS NOT NULL AS is_item, COALESCE(i.exploration, false) AS is_apart,
    CASE WHEN yes + no = 0 THEN 'unsure' WHEN yes = no THEN 'tie' WHEN yes > no THEN 'interpretable'
      ELSE 'not_interpretable' END AS verdict
  FROM people p LEFT JOIN labelling_item i ON i.direction_id = p.direction_id AND i.project_id = %s
  LEFT JOIN hidden ON hidden.direction_id = p.direction_id
), said AS MATERIALIZED (
  SELECT j.id, j.direction_id, j.judge_id, j.verdict, {_ANSWER} AS answer,
    row_number() OVER (PARTITION BY j.direction_id, j.judge_id ORDER BY j.id DESC) AS place
  FROM human h
  JOIN judgements_judgement j ON j.direction_id = h.direction_id AND j.current AND j.subject = 'direction'
  JOIN judgements_judge judge ON judge.id = j.judge_id AND judge.type <> 'person'
  WHERE h.is_item
), verified AS MATERIALIZED (
  SELECT DISTINCT judge_id FROM said WHERE answer IS NOT NULL
), ruled AS MATERIALIZED (
  SELECT h.direction_id, h.is_apart, h.verdict AS people, s.judge_id,
    {_RULED.format(row="s", has_verifier="(v.judge_id IS NOT NULL)", answer="s.answer")} AS machine
  FROM human h JOIN said s ON s.direction_id = h.direction_id AND s.place = 1
  LEFT JOIN verified v ON v.judge_id = s.judge_id
  WHERE NOT h.is_hidden
), compared AS (
  SELECT direction_id, min(CASE WHEN people = machine THEN 1 ELSE 0 END) AS agrees FROM ruled
  WHERE people IN ('interpretable', 'not_interpretable') AND machine IN ('interpretable', 'not_interpretable')
  GROUP BY direction_id
), told AS MATERIALIZED (
  SELECT r.judge_id, r.direction_id, d.matrix_id, d.side, d."index" AS place, r.people, r.machine
  FROM ruled r JOIN atlas_direction d ON d.id = r.direction_id
  WHERE NOT r.is_apart AND r.machine IN ('interpretable', 'not_interpretable')
), newest AS (
  SELECT DISTINCT judge_id FROM told ORDER BY judge_id DESC LIMIT {MOST_PAIRED}
), vectors AS (
  SELECT judge_id, {_kind("people", "machine")} AS kind FROM told
  WHERE people IN ('interpretable', 'not_interpretable') GROUP BY judge_id, matrix_id, side, place
), paired AS (
  SELECT one.judge_id AS first_id, two.judge_id AS second_id, {_kind("one.machine", "two.machine")} AS kind
  FROM told one JOIN told two ON two.direction_id = one.direction_id AND two.judge_id > one.judge_id
  WHERE one.judge_id IN (SELECT judge_id FROM newest) AND two.judge_id IN (SELECT judge_id FROM newest)
  GROUP BY one.judge_id, two.judge_id, one.matrix_id, one.side, one.place
)
SELECT 'cell', judge_id, people, machine, count(*) FROM ruled WHERE NOT is_apart GROUP BY judge_id, people, machine
UNION ALL SELECT 'people', NULL, verdict, '', count(*) FROM human WHERE NOT is_hidden AND NOT is_apart GROUP BY verdict
UNION ALL SELECT 'verified', judge_id, '', '', 1 FROM verified
UNION ALL SELECT 'judged', NULL, '', '', count(*) FROM human
UNION ALL SELECT 'hidden', NULL, '', '', count(*) FROM human WHERE is_hidden
UNION ALL SELECT CASE agrees WHEN 1 THEN 'agree' ELSE 'disagree' END, NULL, '', '', count(*)
FROM compared GROUP BY agrees
UNION ALL SELECT 'kind', judge_id, kind, '', count(*) FROM vectors GROUP BY judge_id, kind
UNION ALL SELECT 'pair', first_id, kind, CAST(second_id AS text), count(*)
FROM paired GROUP BY first_id, second_id, kind
"""

# What machines say of the direction of x: 1 where one says yes, plus 2 where one says no. `{verified}`: the judges
# with a verifier. A number and no EXISTS, of which PostgreSQL would make a join over all directions.
_MACHINES = f"""(
    SELECT COALESCE(max(CASE said.verdict WHEN 'interpretable' THEN 1 ELSE 0 END), 0)
      + COALESCE(max(CASE said.verdict WHEN 'not_interpretable' THEN 2 ELSE 0 END), 0)
    FROM (
      SELECT {_RULED.format(row="j", has_verifier="(j.judge_id IN ({verified}))", answer=_ANSWER)} AS verdict
      FROM judgements_judgement j JOIN judgements_judge judge ON judge.id = j.judge_id AND judge.type <> 'person'
      WHERE j.direction_id = x.direction_id AND j.current AND j.subject = 'direction' AND NOT EXISTS (
        SELECT 1 FROM judgements_judgement later WHERE later.direction_id = j.direction_id
          AND later.judge_id = j.judge_id AND later.current AND later.subject = 'direction' AND later.id > j.id
      )
    ) said
  )"""
_WANTED = {
    "": "true",
    "agree": f"CASE WHEN lead > 0 THEN {_MACHINES} = 1 WHEN lead < 0 THEN {_MACHINES} = 2 ELSE false END",
    # What is kept of an item has every such disagreement, and more.
    "disagree": f"""CASE
      WHEN NOT EXISTS (SELECT 1 FROM review_disagreement r WHERE r.item_id = x.id AND r.people_machine) THEN false
      WHEN lead > 0 THEN {_MACHINES} >= 2 WHEN lead < 0 THEN {_MACHINES} IN (1, 3) ELSE false END""",
}
# `lead`: by how many votes the yes of people leads.
_LISTED = """
SELECT x.direction_id, x.exploration FROM (
  SELECT i.id, i.direction_id, i.exploration, (
    SELECT sum(CASE j.verdict WHEN 'interpretable' THEN 1 WHEN 'not_interpretable' THEN -1 ELSE 0 END)
    FROM judgements_judgement j JOIN judgements_judge judge ON judge.id = j.judge_id AND judge.type = 'person'
    WHERE j.direction_id = i.direction_id AND j.source = %s AND j.current AND j.subject = 'direction'
  ) AS lead
  FROM labelling_item i WHERE i.project_id = %s AND i.n_judged > 0 AND i.direction_id > %s AND {seen}
) x WHERE {wanted} ORDER BY x.direction_id LIMIT %s
"""
_SEEN = """(NOT i.is_open OR EXISTS (
    SELECT 1 FROM judgements_judgement own WHERE own.direction_id = i.direction_id AND own.judge_id = %s
      AND own.source = %s AND own.current
  ))"""


@dataclass(frozen=True)
class Crossed:
    """The counts of one project, without what is hidden from the viewer; of it they only say how many there are."""

    n_items: int
    n_judged: int = 0  # directions that at least one person judged, hidden ones too
    n_hidden: int = 0
    agree: int = 0
    disagree: int = 0
    verified: Sequence[int] = ()  # machine judges whose rule is that of a verifier
    people: dict[str, int] = field(default_factory=dict)  # their verdict → directions
    cells: Sequence[tuple[int, str, str, int]] = ()  # machine judge, people's verdict, the machine's, directions
    kinds: Sequence[tuple[int, str, int]] = ()  # machine judge, kind of vector as digits, vectors
    pairs: Sequence[tuple[int, int, str, int]] = ()  # the older and the newer machine, kind of vector, vectors

    @property
    def listed(self) -> dict[str, int]:
        """How many each filter of the list has; all have the hidden ones too, without what was said."""
        return {"": self.n_judged, "agree": self.agree, "disagree": self.disagree}

    @cached_property
    def tables(self) -> list[Machine]:
        """One for each machine, the oldest first. One query."""
        judges = Judge.objects.in_bulk({judge for judge, *_ in self.cells})
        return [
            Machine(judges[pk], rule_for(has_verifier=pk in self.verified), self._crossing(pk)) for pk in sorted(judges)
        ]

    @cached_property
    def paired(self) -> list[Pair]:
        """The machines beside each other, two and two. One query."""
        judges = Judge.objects.in_bulk({it for first, second, *_ in self.pairs for it in (first, second)})
        found: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
        for first, second, kind, n in self.pairs:
            found[first, second].append((kind, n))
        return [Pair(judges[one], judges[two], _kinds(found[one, two])) for one, two in sorted(found)]

    def _crossing(self, judge: int) -> Crossing:
        counts = Counter({(people, machine): n for pk, people, machine, n in self.cells if pk == judge})
        judged: Counter[str] = Counter()
        for (people, _), n in counts.items():
            judged[people] += n
        for people, n in self.people.items():
            if n > judged[people]:
                counts[people, MISSING] = n - judged[people]
        return crossing_counted(counts, _kinds((kind, n) for pk, kind, n in self.kinds if pk == judge))


def _kinds(rows: Iterable[tuple[str, int]]) -> Kinds:
    """In a fixed order, so that the same counts have the same draws."""
    return tuple(sorted((tuple(int(digit) for digit in kind), n) for kind, n in rows))


class Listed(NamedTuple):
    """A direction of the list."""

    direction_id: int
    is_exploration: bool


class State(NamedTuple):
    """Of the data, as far as the counts hang on them."""

    n_items: int
    n_people: int  # judgements of people that stand on the project's items
    seats: str  # a hash of where the viewer judges, and as what
    whole: str  # a hash of all


def crossed(project: Project, viewer: User | None) -> Crossed:
    """The counts as they are now; kept ones where nothing has changed since. For no viewer nothing is hidden."""
    state = state_now(project, viewer)
    kept = crossed_kept(project, viewer)
    if kept is None or kept.state != state.whole:
        kept = crossed_counted(project, viewer, state)
        crossed_keep(kept)
    return Crossed(state.n_items, **kept.counts)


def crossed_kept(project: Project, viewer: User | None) -> CrossedCount | None:
    """The counts as they were last found for this viewer."""
    return CrossedCount.objects.filter(project=project, viewer_key=viewer.pk if viewer else 0).first()


def crossed_counted(project: Project, viewer: User | None, state: State) -> CrossedCount:
    """Count them; not stored yet. The state was read before: what is written meanwhile changes it."""
    return CrossedCount(
        project=project, viewer_key=viewer.pk if viewer else 0, state=state.whole, seats=state.seats,
        counts=_counts(project, viewer), counted_at=timezone.now(),
    )  # fmt: skip


def crossed_keep(row: CrossedCount) -> None:
    """Store counts in the place of the viewer's earlier ones."""
    CrossedCount.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["project", "viewer_key"],
        update_fields=["state", "seats", "counts", "counted_at"],
    )


def listed(
    project: Project, viewer: User | None, verified: Sequence[int], show: str, *, after: int, n: int
) -> list[Listed]:
    """The first n judged directions behind one, in the order of their ids: all, or those on which people and machines
    `agree` or `disagree`, of which none is among them that is hidden from the viewer (None: nothing is), who judges
    in the project. `verified` as in `Crossed`.
    """
    if not show or viewer is None:
        return _listed(project, None, verified, show, after, n)
    judge_id = Blindness.of(viewer).judge_id
    found: list[Listed] = []
    width = n
    while True:
        # What waits in this project is left out by the statement, which is most; what waits elsewhere is asked for.
        read = _listed(project, judge_id or 0, verified, show, after, width)
        hidden = directions_hidden_from(viewer, [it.direction_id for it in read]) if read else {}
        found += [it for it in read if it.direction_id not in hidden]
        if len(found) >= n or len(read) < width:
            return found[:n]
        after, width = read[-1].direction_id, min(4 * width, WIDEST)


def _listed(
    project: Project, judge_id: int | None, verified: Sequence[int], show: str, after: int, n: int
) -> list[Listed]:
    """`judge_id`: whose open items are left out where he or she has not judged them (0: who has judged nothing)."""
    wanted = _WANTED[show].format(verified=", ".join(str(int(pk)) for pk in verified) or "0")
    seen: list[Any] = [] if judge_id is None else [judge_id, project.source]
    statement = _LISTED.format(seen="true" if judge_id is None else _SEEN, wanted=wanted)
    with connection.cursor() as cursor:
        cursor.execute(statement, [project.source, project.pk, after, *seen, n])
        return [Listed(pk, bool(exploration)) for pk, exploration in cursor.fetchall()]


def _counts(project: Project, viewer: User | None) -> dict[str, Any]:
    """Everything but the number of items, in one statement."""
    hidden, of_hidden = _hidden(project, viewer)
    with connection.cursor() as cursor:
        cursor.execute(_COUNTED.format(hidden=hidden), [project.source, *of_hidden, project.pk])
        rows = cursor.fetchall()
    single = {name: n for name, *_, n in rows if name in ("judged", "hidden", "agree", "disagree")}
    return {
        "n_judged": single["judged"],
        "n_hidden": single["hidden"],
        "agree": single.get("agree", 0),
        "disagree": single.get("disagree", 0),
        "verified": sorted(judge for name, judge, *_ in rows if name == "verified"),
        "people": {verdict: n for name, _, verdict, _, n in rows if name == "people"},
        "cells": [[judge, people, machine, n] for name, judge, people, machine, n in rows if name == "cell"],
        "kinds": [[judge, kind, n] for name, judge, kind, _, n in rows if name == "kind"],
        "pairs": [[first, int(second), kind, n] for name, first, kind, second, n in rows if name == "pair"],
    }


def _hidden(project: Project, viewer: User | None) -> tuple[str, Sequence[Any]]:
    """A statement with the ids of the project's judged directions that the viewer is still to judge blind."""
    if viewer is None:
        return "SELECT 0 WHERE 1 = 0", ()
    judged = Item.objects.filter(project=project, n_judged__gt=0)
    sql, parameters = hidden_among(viewer, judged.values("direction")).query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
    return sql, parameters


def state_now(project: Project, viewer: User | None) -> State:
    """Two queries.

    The newest rows, and sums beside them: a row that is committed later may have the smaller id.
    """
    seats = Membership.objects.filter(user=viewer).order_by("pk") if viewer else Membership.objects.none()
    of_viewer = list(seats.values_list("pk", "role", "project__reveal", "project__overlap"))
    one = Project.objects.filter(pk=project.pk)
    items = Item.objects.filter(project=OuterRef("pk")).order_by().values("project")
    labeled = Summary.objects.filter(rule="labeler").order_by().values("rule")
    checks = Check.objects.filter(user=viewer, is_open=True).order_by().values("user")
    counted = {
        "n_items": items.annotate(n=Count("pk")).values("n"),
        "n_judged": items.annotate(n=Sum("n_judged")).values("n"),
        "n_labeled": labeled.annotate(n=Sum("interpretable") + Sum("not_interpretable")).values("n"),
        "n_checks": checks.annotate(n=Count("pk")).values("n"),
        **{f"newest_{rows.__name__}": _newest(rows) for rows in (Judgement, Verification, Item, Direction, Check)},
    }
    found = one.annotate(**{name: Coalesce(Subquery(rows), 0) for name, rows in counted.items()})
    row = found.values_list(*counted).get()
    return State(row[0], row[1], _hash([COUNTED_AS, of_viewer]), _hash([COUNTED_AS, row, of_viewer]))


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _newest(model: Any) -> QuerySet[Any, Any]:
    rows = Judgement.every if model is Judgement else model.objects
    return rows.order_by("-pk").values("pk")[:1]
