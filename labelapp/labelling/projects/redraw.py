"""A frozen design drawn once more: whoever doubts a sample can see that it is what its design says."""

from __future__ import annotations

from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Project
from labelapp.labelling.projects.design import design_from_json
from labelapp.labelling.projects.drawing import Cell, Until, plan_make


def redrawn(project: Project) -> list[tuple[int, float]]:
    """Direction (or the one that stands for the vector or matrix) and inclusion probability of each item of the
    sample, in the queue's order, from the design alone.

    The items are not looked at. Raises LabellingError for a draft, for a project that was not drawn from a
    selection, and where directions that were drawn from are gone.
    """
    design = design_from_json(project.design)
    if design is None or "until" not in project.design:
        raise LabellingError(f"{project.name} was not drawn from a selection, so its draw cannot be repeated.")
    cells = [Cell(**cell) for cell in project.design.get("cells", [])]
    until = Until(**project.design["until"])
    plan = plan_make(design, ends=project.ends, subject=project.subject, owner=None, until=until, cells=cells)
    if plan.population.digest != project.design["population_digest"]:
        raise LabellingError(f"The population of {project.name} is no longer what it was when its items were drawn.")
    sample = plan.draw()
    return [
        (pk, float(sample.probabilities[unit])) for unit in sample.units.tolist() for pk in plan.population.units[unit]
    ]


def sample_check(project: Project) -> bool:
    """Whether the items of the sample are those that its design draws. Raises LabellingError as `redrawn` does."""
    sample = project.items.filter(exploration=False).order_by("position")
    return redrawn(project) == list(sample.values_list("direction_id", "inclusion_probability"))


def samples_verify() -> list[str]:
    """A line for each project whose sample is not what its design draws (any more); drafts and others are left out."""
    lines = []
    for project in Project.objects.exclude(opened_at=None).order_by("pk"):
        if design_from_json(project.design) is None or "until" not in project.design:
            continue
        try:
            if not sample_check(project):
                lines.append(f"{project.slug}: its sample is not the one that its design draws.")
        except (LabellingError, LookupError) as error:
            lines.append(f"{project.slug}: {error}")
    return lines
