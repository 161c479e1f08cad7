"""The prompt lab's one statement: what judges say of a reference's directions, counted by vector in SQL.

Each direction becomes a word of letters: first the reference (`y` or `n`), then each judge in order: `y`, `n`, `o` (an
answer that is no yes or no) or `-` (not judged). A vector is the words of its one or two ends, and the database counts
how many vectors are alike. So what is read grows with the kinds of vectors, not with their number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models.expressions import RawSQL

YES, NO, OPEN, MISSING = "y", "n", "o", "-"

# By rule: a judgement's letter, where `v` is the labeler's verdict and `a` the last verifier's answer (NULL: none).
_LABELER = "CASE v WHEN 'interpretable' THEN 'y' WHEN 'not_interpretable' THEN 'n' ELSE 'o' END"
_VERIFIER = "CASE a WHEN 'yes' THEN 'y' WHEN 'no' THEN 'n' ELSE 'o' END"
_BOTH = f"CASE WHEN v = 'interpretable' THEN {_VERIFIER} ELSE {_LABELER} END"
# Where `l` is the label, and the braces hold a placeholder for each of those that are merely a part of speech.
_SPECIFIC = f"CASE WHEN v = 'interpretable' AND a = 'yes' AND l IN ({{}}) THEN 'n' ELSE {_BOTH} END"
_LETTER = {"labeler": _LABELER, "verifier": _VERIFIER, "both": _BOTH}
_SET = """
SELECT direction_id, CASE verdict WHEN 'interpretable' THEN 'y' ELSE 'n' END AS truth
FROM review_entry WHERE truth_id = %s{part}
"""
# What a reviewer decided, else the majority of people's yes and no; neither where they are divided or unsure.
_PROJECT = """
SELECT i.direction_id, CASE WHEN a.verdict = 'interpretable' OR (a.verdict IS NULL AND balance > 0) THEN 'y' ELSE 'n'
  END AS truth
FROM labelling_item i
LEFT JOIN review_adjudication a ON a.item_id = i.id AND a.current
LEFT JOIN (
  SELECT j.direction_id, sum(CASE j.verdict WHEN 'interpretable' THEN 1 WHEN 'not_interpretable' THEN -1 ELSE 0 END)
    AS balance
  FROM judgements_judgement j JOIN judgements_judge judge ON judge.id = j.judge_id
  WHERE j.source = %s AND j.current AND judge.type = 'person' GROUP BY j.direction_id
) people ON people.direction_id = i.direction_id
WHERE i.project_id = %s
  AND (a.verdict IN ('interpretable', 'not_interpretable') OR (a.verdict IS NULL AND balance <> 0))
"""


@dataclass(frozen=True)
class Words:
    """Directions as words, as a statement's head: `WITH … worded (direction_id, matrix_id, side, vector, word)`."""

    head: str
    parameters: Sequence[Any]
    n_judges: int

    def kinds(self) -> list[tuple[list[str], int]]:
        """The words of a vector's ends, and how many vectors are so: one statement."""
        rows = _fetched(
            f"""{self.head}, vectors AS (
              SELECT min(word) AS first, CASE WHEN count(*) > 1 THEN max(word) END AS second
              FROM worded GROUP BY matrix_id, side, vector
            ) SELECT first, second, count(*) FROM vectors GROUP BY first, second""",
            self.parameters,
        )
        return [([word for word in (first, second) if word is not None], n) for first, second, n in rows]

    def yes(self) -> RawSQL:
        """The ids of the directions that the reference calls interpretable, for a filter."""
        return RawSQL(f"{self.head} SELECT direction_id FROM worded WHERE substr(word, 1, 1) = 'y'", self.parameters)

    def differing(self, *, after: int = 0, limit: int) -> list[tuple[int, str]]:
        """Directions on which two of the judges say yes and no, by id behind `after`: id and word."""
        statement, parameters = self._differing(after)
        return [(pk, word) for pk, word in _fetched(f"{statement} LIMIT %s", [*parameters, limit])]

    def differing_all(self, size: int) -> Iterator[list[tuple[int, str]]]:
        """All of them in chunks of a size, in the order of their ids: one statement, read as it comes."""
        with connection.chunked_cursor() as cursor:
            cursor.execute(*self._differing(0))
            while rows := cursor.fetchmany(size):
                yield [(pk, word) for pk, word in rows]

    def _differing(self, after: int) -> tuple[str, Sequence[Any]]:
        letters = [f"substr(word, {place + 2}, 1)" for place in range(self.n_judges)]
        says = [" OR ".join(f"{it} = '{letter}'" for it in letters) for letter in (YES, NO)]
        statement = f"""{self.head} SELECT direction_id, word FROM worded
            WHERE direction_id > %s AND ({says[0]}) AND ({says[1]}) ORDER BY direction_id"""
        return statement, [*self.parameters, after]


def set_words(
    truth: int, part: str, judges: Mapping[int, str], without: Collection[int] = (), generic: Sequence[str] = ()
) -> Words:
    """Of a ground-truth set, one part of it ("" for both), without some directions; `judges` map to their rules.

    `generic` are the labels that the rule `both_specific` takes for parts of speech.
    """
    reference = _SET.format(part=" AND part = %s" if part else "")
    return _words(reference, [truth, *([part] if part else [])], judges, without, generic)


def project_words(
    source: str, project: int, judges: Mapping[int, str], without: Collection[int] = (), generic: Sequence[str] = ()
) -> Words:
    """Of all that a project's people or reviewers have settled."""
    return _words(_PROJECT, [source, project], judges, without, generic)


def _words(
    reference: str,
    parameters: Sequence[Any],
    judges: Mapping[int, str],
    without: Collection[int],
    generic: Sequence[str],
) -> Words:
    specific = _SPECIFIC.format(", ".join(["%s"] * len(generic)) or "NULL")
    labels = [label for rule in judges.values() if rule not in _LETTER for label in generic]
    left_out = f"WHERE r.direction_id NOT IN ({', '.join(['%s'] * len(without))})" if without else ""
    letters = " || ".join(
        f"COALESCE(max(CASE WHEN judge_id = {int(pk)} THEN {_LETTER.get(rule, specific)} END), '-')"
        for pk, rule in judges.items()
    )
    head = f"""
    WITH reference AS MATERIALIZED ({reference}), said AS (
      SELECT direction_id, judge_id, v, a, l FROM (
        SELECT j.direction_id, j.judge_id, j.verdict AS v, j.label AS l,
          (SELECT answer FROM judgements_verification c WHERE c.judgement_id = j.id ORDER BY c.id DESC LIMIT 1) AS a,
          row_number() OVER (PARTITION BY j.direction_id, j.judge_id ORDER BY j.id DESC) AS nth
        FROM reference r JOIN judgements_judgement j ON j.direction_id = r.direction_id AND j.current
        WHERE j.judge_id IN ({", ".join(str(int(pk)) for pk in judges) or "NULL"})
      ) latest WHERE nth = 1
    ), worded AS (
      SELECT r.direction_id, d.matrix_id, d.side, d."index" AS vector,
        r.truth{f" || {letters}" if letters else ""} AS word
      FROM reference r JOIN atlas_direction d ON d.id = r.direction_id
      LEFT JOIN said ON said.direction_id = r.direction_id
      {left_out} GROUP BY r.direction_id, d.matrix_id, d.side, d."index", r.truth
    )"""
    return Words(head, [*parameters, *labels, *sorted(without)], len(judges))


def _fetched(statement: str, parameters: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
