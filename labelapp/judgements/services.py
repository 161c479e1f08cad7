"""The one service through which judgements are written."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.judgements.followers import counted, followed
from labelapp.judgements.models import (
    LABEL_LENGTH,
    VERDICTS_OF,
    Judge,
    Judgement,
    Kind,
    Reason,
    Subject,
    Verdict,
    Verification,
)
from labelapp.judgements.rules import Answers, verdicts_of
from labelapp.judgements.summaries import column_of, directions_lock, ends_lock, pairs_kept, summaries_add
from labelapp.judgements.summaries import summaries_verify as summaries_verify


class JudgementError(ValueError):
    """A judgement that cannot be taken; the message says why in one sentence."""


@dataclass(frozen=True)
class Draft:
    """A judgement that is to be written."""

    direction_id: int
    verdict: str
    label: str = ""
    kind: str = ""
    reason: str = ""  # of a no
    misfits: Sequence[int] = ()
    tokens_shown: int | None = None
    guidelines_version: int | None = None
    seconds: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    subject: str = Subject.DIRECTION
    second_label: str = ""  # of a pair


def judge_of_user(user: User) -> Judge:
    """The person as a judge."""
    judge, _ = Judge.objects.get_or_create(
        user=user,
        defaults={"type": Judge.Type.PERSON, "name": user.username, "digest": _digest({"user": user.pk})},
    )
    return judge


def judge_ensure(*, type: str, name: str, parameters: Mapping[str, Any]) -> Judge:
    """The machine with these parameters; others make another judge."""
    judge, _ = Judge.objects.get_or_create(
        digest=_digest({"type": type, "parameters": parameters}),
        defaults={"type": type, "name": name, "parameters": dict(parameters)},
    )
    return judge


def judgement_record(*, judge: Judge, source: str, draft: Draft) -> Judgement:
    """Write one judgement; one of the same judge and source on the direction is superseded, and kept.

    A person's is `blind` only where there was none before, withdrawn or not: after it others' were to be seen.
    Raises JudgementError where the verdict, label, kind, reason or misfits are not what they may be.
    """
    draft_check(draft, is_person=judge.is_person)
    with _writing(judge, [draft.direction_id]) as matrices:
        # Under the direction's lock: of two tabs that answer at once, the second supersedes the first.
        own = list(judgements_own(judge_id=judge.pk, source=source, direction_id=draft.direction_id))
        return judgement_write(
            judge_id=judge.pk,
            source=source,
            draft=draft,
            matrix_id=matrices[draft.direction_id],
            standing=next((row for row in own if row.current), None),
            blind=not (judge.is_person and own),
            has_verifier=judge.has_verifier,
        )


def judgements_own(*, judge_id: int, source: str, direction_id: int) -> QuerySet[Judgement]:
    """All rows of one judge on a direction, or on what it stands for, from one source, the latest first."""
    return Judgement.every.filter(judge=judge_id, source=source, direction=direction_id).order_by("-pk")


def judgements_own_and_standing(*, judge_id: int, source: str, direction_id: int) -> tuple[list[Judgement], bool]:
    """The same, and whether anything of another judge or from elsewhere stands on the direction: one query."""
    own = Q(judge=judge_id, source=source)
    rows = list(Judgement.every.filter(own | Q(current=True), direction=direction_id).order_by("-pk"))
    mine = [row for row in rows if (row.judge_id, row.source) == (judge_id, source)]
    return mine, len(mine) < len(rows)


def judgement_write(
    *,
    judge_id: int,
    source: str,
    draft: Draft,
    matrix_id: int,
    standing: Judgement | None,
    blind: bool,
    has_verifier: bool = False,
) -> Judgement:
    """Write a checked draft over what stands of the judge, a person unless it `has_verifier`. The caller holds a lock
    under which `standing` is true, and tells the followers.

    Two queries where nothing stands, four where something does; summaries count verdicts on directions alone.
    """
    if standing is not None:
        Judgement.every.filter(pk=standing.pk, current=True).update(current=False)
        _count(judge_id, matrix_id, standing, -1, has_verifier)
    judgement = _row(judge_id, source, draft)
    judgement.supersedes = standing
    judgement.blind = blind
    judgement.save(force_insert=True)
    if judgement.subject == Subject.DIRECTION:
        said = Answers(judgement.verdict, judgement.label, has_verifier=has_verifier)
        summaries_add(judge_id, _cells(matrix_id, verdicts_of(said), +1))
    return judgement


def judgements_record_new(
    *,
    judge: Judge,
    source: str,
    drafts: Sequence[Draft],
    verifier: Judge | None = None,
    verifications: Mapping[int, str] | None = None,
) -> int:
    """Write a machine's judgements in one transaction, without those on directions that it has judged anywhere.

    A machine's answer does not depend on where it was asked, so two runs of it must not count a direction twice.
    `verifications` are the answers of `verifier` by direction id, where it was asked. Returns how many judgements
    were written.
    """
    for draft in drafts:
        draft_check(draft, is_person=judge.is_person)
    ids = sorted(draft.direction_id for draft in drafts)
    with _writing(judge, ids) as matrices:
        # The same lock as a person's judgement takes: another run of this judge waits, and then sees these rows.
        judged = set(
            Judgement.objects.filter(judge=judge, current=True, direction_id__in=ids).values_list(
                "direction_id", flat=True
            )
        )
        new = [draft for draft in drafts if draft.direction_id not in judged]
        _judgements_insert(judge, source, new)
        answers = dict(verifications or {}) if verifier is not None else {}
        if verifier is not None and answers:
            _verifications_insert(judge, source, verifier, {draft.direction_id for draft in new}, answers)
        counts: Counter[tuple[int, str, str]] = Counter()
        for draft in new:
            answer = answers.get(draft.direction_id)
            said = Answers(draft.verdict, draft.label.strip(), answer, judge.has_verifier)
            for rule, verdict in verdicts_of(said).items():
                counts[matrices[draft.direction_id], rule, verdict] += 1
        summaries_add(judge.pk, counts)
    return len(new)


def judgement_withdraw(judgement: Judgement) -> Judgement | None:
    """Add the row that withdraws a current judgement; the one that it had superseded stands again.

    The caller tells the followers. Returns the withdrawal, or None where the judgement no longer stands (withdrawn
    already, or superseded).
    """
    with transaction.atomic(), _locked(judgement.judge, [judgement.direction_id]) as matrices:
        matrix_id = matrices[judgement.direction_id]
        if not Judgement.every.filter(pk=judgement.pk, current=True).update(current=False):
            return None
        _count(judgement.judge_id, matrix_id, judgement, -1, judgement.judge.has_verifier)
        withdrawal = Judgement.objects.create(
            direction_id=judgement.direction_id,
            judge=judgement.judge,
            source=judgement.source,
            subject=judgement.subject,
            withdraws=judgement,
            current=False,
        )
        before = judgement.supersedes
        if before is not None:
            Judgement.every.filter(pk=before.pk).update(current=True)
            _count(judgement.judge_id, matrix_id, before, +1, judgement.judge.has_verifier)
    return withdrawal


def verification_record(*, judgement: Judgement, judge: Judge, answer: str) -> Verification:
    """Write a verifier's answer to a judgement's label."""
    with _writing(judgement.judge, [judgement.direction_id]) as matrices:
        matrix_id = matrices[judgement.direction_id]
        current = Judgement.objects.get(pk=judgement.pk).current
        if current:
            _count(judgement.judge_id, matrix_id, judgement, -1, judgement.judge.has_verifier)
        verification = Verification.objects.create(judgement=judgement, judge=judge, answer=answer)
        if current:
            _count(judgement.judge_id, matrix_id, judgement, +1, judgement.judge.has_verifier)
    return verification


def verdicts_by_rule(judgement: Judgement) -> dict[str, Verdict]:
    """The verdict under each rule that applies (`judgements.rules`)."""
    return _verdicts_by_rule(judgement, judgement.judge.has_verifier)


def _verdicts_by_rule(judgement: Judgement, has_verifier: bool) -> dict[str, Verdict]:
    verifications = sorted(judgement.verifications.all(), key=lambda row: row.pk)
    answer = verifications[-1].answer if verifications else None
    return verdicts_of(Answers(judgement.verdict, judgement.label, answer, has_verifier))


def draft_check(draft: Draft, *, is_person: bool) -> None:
    """Raise JudgementError, in one sentence, where a draft is not what a person's or a machine's may be."""
    if not is_person and draft.subject != Subject.DIRECTION:
        raise JudgementError("Machines judge directions; a pair or a matrix is judged by people.")
    allowed = VERDICTS_OF[draft.subject] if is_person else tuple(Verdict)
    if draft.verdict not in {str(verdict) for verdict in allowed}:
        raise JudgementError(
            f"{draft.verdict!r} is not a verdict; it must be {', '.join(str(verdict) for verdict in allowed)}."
        )
    for label in (draft.label, draft.second_label):
        if len(label) > LABEL_LENGTH:
            raise JudgementError(f"A label may have {LABEL_LENGTH} characters; this one has {len(label)}.")
        if any(not character.isprintable() for character in label):
            raise JudgementError("A label may hold no control characters or line breaks; write it as one line.")
    if draft.second_label and draft.subject != Subject.VECTOR:
        raise JudgementError("Only the two ends of a vector may have a label each.")
    if draft.kind and draft.kind not in Kind.values:
        raise JudgementError(f"{draft.kind!r} is not a kind; it must be {', '.join(Kind.values)}.")
    if draft.reason and draft.reason not in Reason.values:
        raise JudgementError(f"{draft.reason!r} is not a reason; it must be {', '.join(Reason.values)}.")
    shown = draft.tokens_shown or 0
    if any(not 0 <= place < shown for place in draft.misfits):
        raise JudgementError(f"A misfit must be one of the {shown} tokens shown.")


@contextmanager
def _writing(judge: Judge, direction_ids: Sequence[int]) -> Iterator[Mapping[int, int]]:
    """A transaction in which this judge writes on these directions; the matrix of each.

    The order of locks is one for all writers: what followers lock (items), then directions.
    """
    with (
        transaction.atomic(),
        followed(judge, direction_ids),
        _locked(judge, direction_ids) as matrices,
        counted(judge, direction_ids),
    ):
        yield matrices


@contextmanager
def _locked(judge: Judge, direction_ids: Sequence[int]) -> Iterator[Mapping[int, int]]:
    """Under the locks of these directions, of a machine of both ends of their vectors; the matrix of each."""
    matrices = directions_lock(direction_ids) if judge.is_person else ends_lock(direction_ids)
    with pairs_kept(judge, matrices):
        yield matrices


def _row(judge_id: int, source: str, draft: Draft) -> Judgement:
    return Judgement(
        direction_id=draft.direction_id,
        judge_id=judge_id,
        source=source,
        subject=draft.subject,
        verdict=draft.verdict,
        label=draft.label.strip(),
        second_label=draft.second_label.strip(),
        kind=draft.kind,
        reason=draft.reason if draft.verdict == Verdict.NOT_INTERPRETABLE else "",
        misfits=sorted(set(draft.misfits)),
        tokens_shown=draft.tokens_shown,
        guidelines_version=draft.guidelines_version,
        seconds=draft.seconds,
        evidence=dict(draft.evidence),
    )


def _judgements_insert(judge: Judge, source: str, drafts: Sequence[Draft]) -> None:
    """Plain SQL, since `bulk_create` takes five times as long: a machine writes tens of thousands."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    rows_insert(
        Judgement,
        ("direction", "judge", "source", "current", "blind", "verdict", "label", "kind", "reason", "misfits",
         "tokens_shown", "guidelines_version", "seconds", "evidence", "created_at"),
        [
            (
                draft.direction_id, judge.pk, source, True, True, str(draft.verdict), draft.label.strip(), draft.kind,
                draft.reason, json.dumps(sorted(set(draft.misfits))), draft.tokens_shown,
                draft.guidelines_version, draft.seconds, json.dumps(dict(draft.evidence)), now,
            )
            for draft in drafts
        ],
    )  # fmt: skip


def _verifications_insert(
    judge: Judge, source: str, verifier: Judge, direction_ids: set[int], answers: Mapping[int, str]
) -> None:
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    rows = Judgement.objects.filter(judge=judge, source=source, current=True, direction_id__in=direction_ids)
    rows_insert(
        Verification,
        ("judgement", "judge", "answer", "created_at"),
        [
            (pk, verifier.pk, str(answers[direction_id]), now)
            for pk, direction_id in rows.order_by("pk").values_list("pk", "direction_id")
            if direction_id in answers
        ],
    )


def rows_insert(
    model: type[Model], fields: Sequence[str], rows: Sequence[Sequence[Any]], *, conflict: str = ""
) -> None:
    """Insert many rows with one prepared statement; the values are as the database takes them."""
    quote = connection.ops.quote_name
    columns = ", ".join(quote(column_of(model, name)) for name in fields)
    values = ", ".join(["%s"] * len(fields))
    statement = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({values}) {conflict}"
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(statement, list(rows))


def _count(judge_id: int, matrix_id: int, judgement: Judgement, by: int, has_verifier: bool) -> None:
    if judgement.subject == Subject.DIRECTION:
        summaries_add(judge_id, _cells(matrix_id, _verdicts_by_rule(judgement, has_verifier), by))


def _cells(matrix_id: int, verdicts: Mapping[str, Verdict], by: int) -> dict[tuple[int, str, str], int]:
    return {(matrix_id, rule, str(verdict)): by for rule, verdict in verdicts.items()}


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
