"""The prompt lab over many directions: scored by a job, and kept as it was found until somebody asks anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db.models import F, Sum

from labelapp.accounts.models import User
from labelapp.jobs.models import Job
from labelapp.jobs.selectors import job_waited_for
from labelapp.jobs.services import job_create
from labelapp.judgements.models import Judge, Summary
from labelapp.judgements.rules import RULES
from labelapp.review.lab import Lab, Reference, Scored, Spent, lab, reference_from_json
from labelapp.review.lab_query import Words
from labelapp.review.models import LabDiffering, LabResult
from labelapp.review.stamp import stamp_now
from labelapp.statistics.operating import OperatingPoint

if TYPE_CHECKING:  # it brings scipy, which the web process starts without
    from labelapp.statistics.scoring import PairedScores, Scores

LAB_TASK = "workers.tasks.export.lab_compute"
MOST_AT_ONCE = 10_000  # items or entries, and controls of a judge, that are looked at while somebody waits for the page
MOST_KEPT = 10  # results of one project, the newest
CHUNK = 1000  # directions of one row; more than a page shows
PERCENT = 100


@dataclass(frozen=True)
class Question:
    """Which judges are compared, the first with the others, on what, and under which rule ("": each by its own)."""

    reference: Reference
    judges: Sequence[Judge]
    rule: str = ""

    @cached_property
    def is_heavy(self) -> bool:
        """Whether a job is to answer it."""
        if self.reference.rows().order_by().values("pk")[: MOST_AT_ONCE + 1].count() > MOST_AT_ONCE:
            return True
        controls = Summary.objects.filter(judge__in=self.judges, rule="labeler").exclude(matrix__control="")
        every = F("interpretable") + F("not_interpretable") + F("unsure") + F("unparsed") + F("failed")
        return (controls.aggregate(n=Sum(every))["n"] or 0) > MOST_AT_ONCE

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    @property
    def job_key(self) -> str:
        return f"lab:{self.key}"

    def as_json(self) -> dict[str, Any]:
        """For a job's parameters; `question_from_json` reads it."""
        return {**self.reference.as_json(), "judges": [it.pk for it in self.judges], "rule": self.rule}


@dataclass(frozen=True)
class Answer:
    """What a page can show of a question: what was found, when, and whether something has come since; or the job."""

    lab: Lab | None
    computed_at: datetime | None = None  # None where it was found just now
    is_stale: bool = False
    job: Job | None = None


@dataclass(frozen=True)
class StoredWords:
    """The directions on which judges differ, as a job kept them."""

    result: int

    def differing(self, *, after: int, limit: int) -> list[tuple[int, str]]:
        """At most CHUNK of them."""
        rows = LabDiffering.objects.filter(result=self.result, last__gt=after).order_by("last")[:2]
        return [it for row in rows for it in row.pairs if it[0] > after][:limit]


def question_from_json(stored: Mapping[str, Any]) -> Question:
    """What `as_json` made."""
    judges = Judge.objects.in_bulk(stored["judges"])
    return Question(reference_from_json(stored), [judges[pk] for pk in stored["judges"]], stored["rule"])


def answer(question: Question) -> Answer:
    """At once where that is little work, else what was kept last."""
    if not question.is_heavy:
        return Answer(lab(question.reference, question.judges, question.rule))
    kept = LabResult.objects.filter(key=question.key).first()
    if kept is not None and kept.stamp == stamp_now():
        return Answer(_lab_of(kept, question), kept.created_at)
    job = job_waited_for(question.job_key)
    if kept is None:
        return Answer(None, job=job)
    return Answer(_lab_of(kept, question), kept.created_at, True, job)


def lab_start(*, question: Question, user: User) -> Job:
    """Enqueue it; where the same is at work already, that job is returned."""
    return job_create(
        title=f"Prompt lab of {question.reference.project}: {', '.join(it.name for it in question.judges)}",
        task=LAB_TASK,
        params=question.as_json(),
        dedupe_key=question.job_key,
        total=PERCENT,
        created_by=user,
    )


def lab_of_job(job: Job, progress: Callable[[int], object]) -> tuple[LabResult, list[LabDiffering]]:
    """What a job's parameters ask for, not stored yet; its stamp is taken before anything is read."""
    question, stamp = question_from_json(job.params), stamp_now()
    found = lab(question.reference, question.judges, question.rule, progress)
    result = LabResult(project=question.reference.project, key=question.key, stamp=stamp, content=_as_json(found))
    if len(question.judges) < 2 or not isinstance(found.words, Words):
        return result, []
    return result, [
        LabDiffering(
            result=result, last=some[-1][0], directions=[pk for pk, _ in some], words="".join(word for _, word in some)
        )
        for some in found.words.differing_all(CHUNK)
    ]


def lab_keep(result: LabResult, differing: Sequence[LabDiffering]) -> None:
    """Store what a job found in the place of what was found before; the caller's transaction ends the job."""
    LabResult.objects.filter(key=result.key).delete()
    result.save(force_insert=True)
    LabDiffering.objects.bulk_create(differing, batch_size=100)
    kept = LabResult.objects.filter(project=result.project_id).order_by("-pk").values_list("pk", flat=True)
    LabResult.objects.filter(pk__in=list(kept[MOST_KEPT:])).delete()


def _as_json(found: Lab) -> dict[str, Any]:
    """All but the reference and the directions on which judges differ; `_lab_of` reads it."""
    judges = [
        {
            "judge": it.judge.pk,
            "rule": it.rule.name,
            "scores": asdict(it.scores),
            "left_out": list(it.left_out),
            "paired": asdict(it.paired) if it.paired else None,
            "spent": asdict(it.spent) if it.spent else None,
            "operating": asdict(it.operating),
            "prompts": list(it.prompts),
        }
        for it in found.judges
    ]
    return {"n": found.n, "n_yes": found.n_yes, "n_exemplars": found.n_exemplars, "judges": judges}


def _lab_of(result: LabResult, question: Question) -> Lab:
    content, judges = result.content, {it.pk: it for it in question.judges}
    scored = [
        Scored(
            judges[it["judge"]],
            RULES[it["rule"]],
            _scores_of(it["scores"]),
            [(reason, n) for reason, n in it["left_out"]],
            _paired_of(it["paired"]) if it["paired"] else None,
            Spent(**it["spent"]) if it["spent"] else None,
            OperatingPoint(**it["operating"]),
            it["prompts"],
        )
        for it in content["judges"]
    ]
    counts = (content["n"], content["n_yes"], content["n_exemplars"])
    return Lab(question.reference, *counts, scored, StoredWords(result.pk))


def _scores_of(stored: Mapping[str, Any]) -> Scores:
    from labelapp.statistics.agreement_card import Coefficient
    from labelapp.statistics.scoring import Scores

    (a, b), (c, d) = stored["table"]
    coefficients = {name: Coefficient(**stored[name]) for name in ("accuracy", "precision", "recall", "kappa")}
    return Scores(stored["n"], stored["clusters"], ((a, b), (c, d)), **coefficients)


def _paired_of(stored: Mapping[str, Any]) -> PairedScores:
    from labelapp.statistics.scoring import PairedScores

    return PairedScores(**stored)
