"""The demo: what a newcomer finds. Each step looks first at what an earlier, killed preparation has left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from labelapp.accounts.models import User
from labelapp.accounts.services import first_user_ensure, one_time_password_reset
from labelapp.atlas.models import Model
from labelapp.atlas.selection import MatrixSelection
from labelapp.atlas.services import PREPARE_TASK, decompose_start
from labelapp.autolabel.models import Run
from labelapp.autolabel.services import baseline_run_start
from labelapp.jobs.models import OPEN, Job, State
from labelapp.jobs.selectors import JobProgress, job_progress
from labelapp.judgements.models import Judge
from labelapp.labelling.projects.services import demo_project_ensure
from labelapp.operations.upfile import upfile_read, upfile_update

NAME = "demo"
POLL_SECONDS = 0.25

# report(topic, text): the topic changes with each step, the text with its progress.
Report = Callable[[str, str], None]
Wait = Callable[[Job, Callable[[JobProgress], None]], JobProgress]


class DemoError(Exception):
    """A step of the preparation failed; the text is the failed job's sentence."""


def demo_source() -> Path:
    return Path(settings.BASE_DIR) / "fixtures" / "demo_model"


def demo_prepare(report: Report, wait: Wait) -> None:
    """User, decomposed model, project with a queue, baseline's judgements. Raises DemoError."""
    user = first_user_prepare(settings.DATA_DIR)
    _follow(decomposition_ensure(user), "Decomposing the demo model", report, wait)
    model = Model.objects.filter(name=NAME).order_by("-pk").first()
    if model is None:
        return  # somebody has deleted it since, and that stands
    demo_project_ensure(model=model, owner=user)
    _follow(judging_ensure(model, user), "The offline baseline judges it", report, wait)
    report("ready", "The demo is decomposed and judged.")


def first_user_prepare(data: Path) -> User:
    """The first user, and in up.json the one-time password as long as it is one.

    Only its hash is stored: where up.json has lost it, a new one takes its place.
    """
    user, password = first_user_ensure()
    if not user.must_change_password:
        password = None
    elif password is None:
        known = upfile_read(data).get("password")
        password = known if known and user.check_password(known) else one_time_password_reset(user)
    upfile_update(data, user=user.username, password=password)
    return user


def decomposition_ensure(user: User) -> Job:
    """The job that decomposes the demo model: the last one if it is done or on its way, else a new one."""
    source = str(demo_source())
    first_tasks = Job.objects.filter(task=PREPARE_TASK, params__source=source, params__name=NAME)
    last = first_tasks.exclude(parent=None).select_related("parent").order_by("-pk").first()
    if last and last.parent and last.parent.state in (*OPEN, State.DONE):
        return last.parent
    return decompose_start(source=source, name=NAME, created_by=user)


def judging_ensure(model: Model, user: User) -> Job:
    """The job of the baseline's run over the whole model: the last one likewise, else a new one."""
    runs = Run.objects.filter(model=model, judge__type=Judge.Type.BASELINE, selection=MatrixSelection().as_json())
    last = runs.filter(job__state__in=(*OPEN, State.DONE)).select_related("job").order_by("-pk").first()
    return (last or baseline_run_start(model=model, created_by=user)).job


def job_poll(job: Job, on_progress: Callable[[JobProgress], None]) -> JobProgress:
    """Wait until the workers have done a job, and never work on it here."""
    while not (progress := job_progress(job.pk)).is_over:
        on_progress(progress)
        time.sleep(POLL_SECONDS)
    return progress


def _follow(job: Job, topic: str, report: Report, wait: Wait) -> None:
    if job.state == State.DONE:
        return

    def tell(progress: JobProgress) -> None:
        left = progress.seconds_left
        rest = f", about {left:.0f} s left" if left is not None else ""
        report(topic, f"{topic}: {progress.percent} %{rest}")

    progress = wait(job, tell)
    if progress.state != State.DONE:
        raise DemoError(progress.error or f"{topic}: the job was {progress.state}.")
