"""Figures computed, by a job where that is much work, and kept under the version of their data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

from django.db import IntegrityError, transaction

from labelapp.accounts.models import User
from labelapp.figures.census import judged_total
from labelapp.figures.estimates import Resolved, resolve
from labelapp.figures.kinds import KINDS
from labelapp.figures.kinds.base import VERSION, Computed, Inputs, Kind, computed_from_json
from labelapp.figures.models import Figure
from labelapp.figures.query import ENDS, NONE, Query, query_from_json
from labelapp.jobs.models import Job
from labelapp.jobs.selectors import job_waited_for
from labelapp.jobs.services import job_create
from labelapp.judgements.models import Judge, Judgement
from labelapp.review.stamp import stamp_now

FIGURE_TASK = "workers.tasks.export.figure_compute"
MOST_ENDS_AT_ONCE = 40_000  # looked into one by one while somebody waits for the page
MOST_LABELS_AT_ONCE = 2_000
PERCENT = 100
INPUTS = ("census", "labels")


def named(resolved: Resolved) -> Query:
    """The query with what was chosen for it by default, as a permanent address has it."""
    project = resolved.project.slug if resolved.project else NONE
    judge = resolved.judge.pk if resolved.judge else 0
    return replace(resolved.query, judge=judge, rule=resolved.rule.name if resolved.rule else "", project=project)


def query_hash(query: Query) -> str:
    return hashlib.sha256(json.dumps(query.as_json(), sort_keys=True).encode()).hexdigest()


def is_heavy(kind: Kind, resolved: Resolved) -> bool:
    """Whether a job is to compute it: many labels, or many directions that must be looked at one by one."""
    if kind.needs_job:
        return True
    if resolved.project is not None:
        people = Judgement.objects.filter(source=resolved.project.source, current=True, judge__type=Judge.Type.PERSON)
        if people.order_by().values("pk")[: MOST_LABELS_AT_ONCE + 1].count() > MOST_LABELS_AT_ONCE:
            return True
    if resolved.judge is None:
        return False
    looks_inside = kind.looks_into_matrices or resolved.query.unit != ENDS or not resolved.of.is_whole_matrices
    return looks_inside and judged_total(resolved.of, resolved.judge) > MOST_ENDS_AT_ONCE


def figure_last(kind: Kind, query: Query, stamp: str) -> Figure | None:
    """Of a named query the one that is so now, else the last one computed; none that was computed by other formulas."""
    rows = Figure.objects.filter(kind=kind.name, query_hash=query_hash(query), content__version=VERSION)
    rows = rows.defer(*INPUTS).order_by("-pk")
    return rows.filter(stamp=stamp).first() or rows.first()


def figure_at(kind: Kind, query: Query, data_hash: str) -> Figure | None:
    """The one that a permanent address names."""
    rows = Figure.objects.filter(kind=kind.name, query_hash=query_hash(query), data_hash=data_hash)
    return rows.defer(*INPUTS).first()


def figure_keep(*, kind: Kind, query: Query, computed: Computed, stamp: str, user: User | None) -> Figure:
    """Store a figure under its data's version; the same one twice is one row, whose stamp moves on."""
    row = Figure(
        kind=kind.name,
        query=query.as_json(),
        query_hash=query_hash(query),
        data_hash=computed.inputs.data_hash,
        content=computed.as_json(),
        census=[computed.inputs.census_columns, computed.inputs.census],
        labels=computed.inputs.labels,
        stamp=stamp,
        created_by=user,
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        stored = Figure.objects.get(kind=row.kind, query_hash=row.query_hash, data_hash=row.data_hash)
        Figure.objects.filter(pk=stored.pk).update(stamp=stamp)
        return stored
    return row


def figure_computed(figure: Figure, *, with_inputs: bool = False) -> Computed:
    """A stored figure as it was computed; what it was computed from only where that is wanted."""
    facts = figure.content["facts"]
    inputs = Inputs(facts=facts, stored_hash=figure.data_hash)
    if with_inputs:
        columns, rows = figure.census
        inputs = Inputs(tuple(columns), rows, figure.labels, facts, figure.data_hash)
    return computed_from_json(figure.content, inputs)


def figure_start(*, kind: Kind, query: Query, user: User) -> Job:
    """Enqueue it; where the same is at work already, that job is returned."""
    return job_create(
        title=f"Figure: {kind.title.lower()}, {query.words}",
        task=FIGURE_TASK,
        params={"kind": kind.name, "query": query.as_json()},
        dedupe_key=job_key(kind, query),
        total=PERCENT,
        created_by=user,
    )


def figure_job(kind: Kind, query: Query) -> Job | None:
    """The job that computes it now, if there is one; else the last one where that failed."""
    return job_waited_for(job_key(kind, query))


def job_key(kind: Kind, query: Query) -> str:
    return f"figure:{kind.name}:{query_hash(query)}"


def figure_of_job(job: Job, progress: Callable[[int], object]) -> tuple[Kind, Query, Computed, str]:
    """What a job's parameters ask for, computed; its stamp is taken before anything is read."""
    kind, query = KINDS[job.params["kind"]], query_from_json(job.params["query"])
    stamp = stamp_now()
    return kind, query, kind.compute(replace(resolve(query), progress=progress)), stamp
