"""A project's report as files: into a folder that the command line names, or as one archive that a job keeps."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.storage import default_storage
from django.db.models import QuerySet
from django.template.loader import render_to_string

from labelapp.accounts.models import User
from labelapp.figures.project_report import ProjectReport, gap_sentence, project_report
from labelapp.figures.render import RenderError, plot_draw
from labelapp.figures.report import ReportError
from labelapp.figures.report_words import (
    CELL_HEADS,
    POINT_HEADS,
    POINTS_LISTED,
    cells_words,
    coefficient_words,
    controls_words,
    markdown,
    methods,
    people_words,
    point_cells,
    share_words,
)
from labelapp.jobs.models import Job
from labelapp.jobs.services import job_create
from labelapp.judgements.models import Judge, Verdict
from labelapp.labelling.models import Project

REPORT_TASK = "workers.tasks.export.project_report"
STEPS = 8  # of its progress
PAGE, TEXT = "report.html", "report.md"


def project_get(slug: str) -> Project:
    """Raises ReportError, with the projects that there are."""
    if project := Project.objects.filter(slug=slug).first():
        return project
    known = ", ".join(Project.objects.order_by("-pk").values_list("slug", flat=True)[:20]) or "none yet"
    raise ReportError(f"There is no project {slug!r}; there is: {known}.")


def report_to_folder(
    project: Project,
    folder: Path,
    *,
    judge: Judge | None = None,
    with_names: bool = False,
    progress: Callable[[str], object] = lambda words: None,
) -> None:
    """Write the report, whole or not at all: into a folder beside the one that is wanted, which then takes its name.

    Raises ReportError where the folder holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ReportError(f"{folder} is there already and not empty; name a folder that is new.")
    if not folder.absolute().parent.is_dir():
        raise ReportError(f"{folder.absolute().parent} is no folder; make it first.")
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    except OSError as error:
        raise ReportError(f"{folder} cannot be written: {error.strerror or error}.") from error
    try:
        _write(project_report(project, judge=judge, with_names=with_names, draw=_drawn, progress=progress), draft)
        draft.chmod(0o755)
        draft.replace(folder)
    except OSError as error:
        raise ReportError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def report_start(*, project: Project, user: User, with_names: bool) -> Job:
    """Enqueue one; where the same is at work already, that job is returned."""
    return job_create(
        title=f"Report on {project}",
        task=REPORT_TASK,
        params={"project": project.pk, "with_names": with_names},
        dedupe_key=f"report:{project.pk}:{user.pk}:{int(with_names)}",
        total=STEPS,
        created_by=user,
    )


def report_of_job(job: Job, progress: Callable[[str], object]) -> str:
    """Write the report that a job asks for into the storage, as an archive; return its name there."""
    project = Project.objects.get(pk=job.params["project"])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / f"{project.slug}-report"
        report_to_folder(project, folder, with_names=bool(job.params["with_names"]), progress=progress)
        archive = Path(place) / f"{folder.name}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(folder.rglob("*")):
                packed.write(path, path.relative_to(folder.parent))
        with archive.open("rb") as file:
            return default_storage.save(f"reports/{secrets.token_hex(8)}/{archive.name}", File(file))


def reports_of(project: Project, user: User) -> QuerySet[Job]:
    """The person's own, newest first; a superuser's are all."""
    jobs = Job.objects.filter(task=REPORT_TASK, params__project=project.pk).select_related("created_by").order_by("-pk")
    return jobs if user.is_superuser else jobs.filter(created_by=user)


def report_html(found: ProjectReport) -> str:
    """One page that asks nothing of a network: styles and plots stand in it."""
    verdicts = [it for it in Verdict if any(person.verdicts.get(it) for person in found.people)]
    context = {
        "report": found,
        "project": found.project,
        "methods": methods(found),
        "gaps": [gap_sentence(it) for it in found.gaps],
        "verdicts": verdicts,
        "people": [(it, [it.verdicts.get(verdict, 0) for verdict in verdicts]) for it in found.people],
        "machines": [
            (it, [coefficient_words(c) for c in (it.card.raw, it.card.kappa, it.card.ac1, it.card.alpha)],
             controls_words(it), list(zip(CELL_HEADS, cells_words(it.card), strict=True)))
            for it in found.machines
        ],
        "people_words": f"{people_words(found.people_card).rstrip('.')}.",
        "people_on_controls": share_words(found.people_on_controls),
        "figures": [
            (it, _apart(it.svg, it.name), [point_cells(point) for point in it.computed.points[:POINTS_LISTED]],
             max(len(it.computed.points) - POINTS_LISTED, 0))
            for it in found.figures
        ],
        "heads": POINT_HEADS,
        "prompts": dict(pair for it in found.machines for pair in it.prompts),
    }  # fmt: skip
    return render_to_string("figures/report.html", context)


def _write(found: ProjectReport, folder: Path) -> None:
    plots = folder / "figures"
    plots.mkdir()
    for drawn in found.figures:
        if drawn.svg:
            (plots / f"{drawn.name}.svg").write_text(drawn.svg, encoding="utf-8")
    (folder / TEXT).write_text("\n".join(markdown(found)) + "\n", encoding="utf-8", errors="backslashreplace")
    (folder / PAGE).write_text(report_html(found), encoding="utf-8", errors="backslashreplace")


def _drawn(spec: Mapping[str, Any]) -> str:
    try:
        return plot_draw(spec, "svg").decode()
    except RenderError as error:
        raise ReportError(f"A plot could not be drawn, so nothing was written: {error}") from error


def _apart(svg: str, name: str) -> str:
    """The plot with ids of its own: several of them stand in one page."""
    svg = re.sub(r"^<\?xml[^>]*\?>\s*(<!DOCTYPE[^>]*>\s*)?", "", svg)
    return re.sub(r'(\bid="|url\(#|href="#)', lambda found: f"{found[1]}{name}-", svg)
