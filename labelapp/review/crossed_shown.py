"""What the comparison's page shows of its counts: as they are, or as they were, while a job counts them anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from labelapp.accounts.models import User
from labelapp.jobs.models import Job
from labelapp.jobs.selectors import job_waited_for
from labelapp.jobs.services import job_create
from labelapp.labelling.models import Project
from labelapp.review.crossed import Crossed, crossed_counted, crossed_keep, crossed_kept, state_now
from labelapp.review.models import CrossedCount

COUNT_TASK = "workers.tasks.export.crossed_count"
MOST_AT_ONCE = 5_000  # judgements of people that are counted while somebody waits for the page


@dataclass(frozen=True)
class Shown:
    """`counts` are None where they were never counted for this viewer, or hung on other seats of his or hers."""

    counts: Crossed | None
    counted_at: datetime | None = None  # None where they are so now
    job: Job | None = None  # that counts them, or failed to


def crossed_shown(project: Project, viewer: User | None) -> Shown:
    """The counts as they are, where they are kept or few; else the last ones."""
    state = state_now(project, viewer)
    kept = crossed_kept(project, viewer)
    if kept is not None and kept.state == state.whole:
        return Shown(Crossed(state.n_items, **kept.counts))
    if state.n_people <= MOST_AT_ONCE:
        kept = crossed_counted(project, viewer, state)
        crossed_keep(kept)
        return Shown(Crossed(state.n_items, **kept.counts))
    job = job_waited_for(_job_key(project, viewer))
    if kept is None or kept.seats != state.seats:
        return Shown(None, job=job)
    return Shown(Crossed(state.n_items, **kept.counts), kept.counted_at, job)


def crossed_start(*, project: Project, viewer: User | None, user: User) -> Job:
    """Enqueue the counting for a viewer; where it is at work already, that job is returned."""
    return job_create(
        title=f"People beside machine: {project}",
        task=COUNT_TASK,
        params={"project": project.pk, "viewer": viewer.pk if viewer else 0},
        dedupe_key=_job_key(project, viewer),
        created_by=user,
    )


def crossed_of_job(job: Job) -> CrossedCount:
    """What a job's parameters ask for, counted and not stored yet."""
    viewer = User.objects.get(pk=job.params["viewer"]) if job.params["viewer"] else None
    project = Project.objects.get(pk=job.params["project"])
    return crossed_counted(project, viewer, state_now(project, viewer))


def _job_key(project: Project, viewer: User | None) -> str:
    return f"crossed:{project.pk}:{viewer.pk if viewer else 0}"
