"""What audits find of the items on which judges disagree: kept on each, so that the queue can be narrowed to it.

Marks are worked out in Python, audit by audit, as a run's own page does (`autolabel.audits`), in the transaction that
judges: of a handful of rows, since a machine's judgement makes those of its directions forgotten and nothing else does.
One audit looks at other directions as well: labels that many share. For it the marks hold which labels these are, and
the labels' tallies say how many share one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connection
from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL

from labelapp.atlas.models import Direction
from labelapp.autolabel.audits import exemplars_of
from labelapp.autolabel.models import Run
from labelapp.exchange.models import Import
from labelapp.judgements.models import Judge, Judgement, Verification
from labelapp.review.fields import ids_written
from labelapp.review.label_tallies import label_hash
from labelapp.review.models import LabelTally
from labelapp.statistics.audits import AUDITS, MEANING, SAME_LABEL_LEAST, Record

# As they are stored: a number is never given to another audit.
NUMBERS = {
    "truncated": 1, "truncated_certain": 2, "truncated_function_word": 3, "word_cap": 4, "generic": 5,
    "generic_strict": 6, "null_accepted": 7, "contradiction": 8, "exemplar_echo": 9, "exemplar_leak": 10,
    "lexicon_fails": 11, "unparsed": 12,
}  # fmt: skip
SAME_LABEL = "same_label"
FEW = 100  # shared labels that one statement names
Exemplars = Sequence[Sequence[str]]


@dataclass
class Marks:
    """Of one direction."""

    audits: set[int] = field(default_factory=set)
    labels: set[int] = field(default_factory=set)  # tallies


def marks_write(directions: Mapping[int, int]) -> None:
    """Work out what audits find on these items' directions. The rows of their disagreements are locked, or new."""
    if not directions:
        return
    found = marks_of(set(directions.values()))
    values = [
        (*(ids_written(connection.vendor, ids) for ids in (found[direction].audits, found[direction].labels)), item)
        for item, direction in sorted(directions.items())
    ]
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE review_disagreement SET audits = %s, labels = %s WHERE item_id = %s", values)


def marks_of(direction_ids: Collection[int]) -> Mapping[int, Marks]:
    """What audits find on these directions in any run or import: at most seven queries and one for each judge."""
    rows = Judgement.objects.filter(current=True, direction__in=direction_ids).exclude(judge__type=Judge.Type.PERSON)
    columns = ("pk", "direction_id", "source", "verdict", "label", "evidence", "tokens_shown")
    said = list(rows.order_by("pk").values_list(*columns))
    exemplars = _exemplars({row[2] for row in said})
    said = [row for row in said if row[2] in exemplars]
    found: defaultdict[int, Marks] = defaultdict(Marks)
    if not said:
        return found
    tokens = dict(Direction.objects.filter(pk__in={row[1] for row in said}).values_list("pk", "tokens"))
    checked = Verification.objects.filter(judgement__in=[row[0] for row in said]).order_by("pk")
    answers = dict(checked.values_list("judgement_id", "answer"))
    by_source: defaultdict[str, list[tuple[int, Record]]] = defaultdict(list)
    for pk, direction, source, verdict, label, evidence, shown in said:
        answer = evidence.get("answer", "")
        text = answer if isinstance(answer, str) else ""
        record = Record(tokens[direction][:shown], verdict, label, text, answers.get(pk, ""))
        by_source[source].append((direction, record))
    for source, judged in by_source.items():
        for name, number in NUMBERS.items():
            for place in AUDITS[name].find([record for _, record in judged], exemplars[source]):
                found[judged[place][0]].audits.add(number)
    _labels_add(found, by_source)
    return found


def audit_condition(audit: str, judges: Collection[Judge]) -> Q:
    """On rows of `Disagreement`: the audit finds something there. `judges`: all who can have said it."""
    if audit != SAME_LABEL:
        return Q(audits__holds=[NUMBERS[audit]])
    runs = Run.objects.filter(judge__in=judges).values_list("pk", flat=True)
    imports = Import.objects.filter(judge__in=judges).values_list("pk", flat=True)
    sources = [*(f"run:{pk}" for pk in runs), *(f"import:{pk}" for pk in imports)]
    shared = LabelTally.objects.filter(source__in=sources, n__gte=SAME_LABEL_LEAST)
    if connection.vendor == "postgresql":
        ids = list(shared.order_by().values_list("pk", flat=True)[: FEW + 1])
        if len(ids) <= FEW:
            return Q(labels__holds_any=ids)
    # Where many are shared, many directions have one: each row is asked whether it does.
    among = (
        "tally.id = ANY(labels)" if connection.vendor == "postgresql" else "instr(labels, ',' || tally.id || ',') > 0"
    )
    exists = f"EXISTS (SELECT 1 FROM review_labeltally tally WHERE {among} AND tally.n >= {SAME_LABEL_LEAST})"
    return Q(RawSQL(exists, [], output_field=BooleanField()))


def _exemplars(sources: Collection[str]) -> dict[str, Exemplars]:
    """Of those sources that are a run or an import of labels, what their judge's prompts show."""
    judges: dict[str, Judge] = {}
    for kind, model in (("run", Run), ("import", Import)):
        wanted = [it.removeprefix(f"{kind}:") for it in sources if it.startswith(f"{kind}:")]
        rows = model.objects.filter(pk__in=[int(it) for it in wanted if it.isdigit()])
        for row in rows.select_related("judge") if wanted else ():
            if row.judge is not None:
                judges[f"{kind}:{row.pk}"] = row.judge
    shown = {it.pk: exemplars_of(it) for it in judges.values()}
    return {source: shown[judge.pk] for source, judge in judges.items()}


def _labels_add(found: Mapping[int, Marks], by_source: Mapping[str, Sequence[tuple[int, Record]]]) -> None:
    names = {
        (source, direction): name
        for source, judged in by_source.items()
        for direction, record in judged
        if record.verdict == MEANING and (name := label_hash(record.label))
    }
    tallies = LabelTally.objects.filter(source__in=list(by_source), hash__in=set(names.values()))
    ids = {(source, name): pk for pk, source, name in tallies.values_list("pk", "source", "hash")}
    for (source, direction), name in names.items():
        if (source, name) in ids:  # else `verify` says that it is not counted
            found[direction].labels.add(ids[source, name])
