"""Writes on projects: how they are made, opened, paused and changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.text import slugify

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import MatrixSelection
from labelapp.judgements.models import Subject
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.followers import items_changed
from labelapp.labelling.models import Guidelines, Item, Membership, Project
from labelapp.labelling.projects.design import ALL_OF_THEM, SIMPLE_RANDOM, Design, design_check, design_from_json
from labelapp.labelling.projects.drawing import Plan, Population, plan_make, population_of
from labelapp.labelling.projects.selection import ItemSelection
from labelapp.labelling.services import items_reopen
from labelapp.labelling.subjects import subject_design_check
from labelapp.statistics.sampling import Sample, simple_random

# Addresses that no project may take.
RESERVED_SLUGS = ("new", "join", "disagreements")
TOKENS_SHOWN = 15
# For a design that is stored.
UNITS = {"ends": "end", "vectors": "vector", "matrices": "matrix"}
BATCH = 1000

DEMO_SLUG = "demo"
DEMO_ITEMS = 120
# Beyond these a readout of the demo model is mostly noise, and a first look should not be.
DEMO_VECTORS = 16
DEMO_SEED = 1
DEMO_GUIDELINES = """\
Say what most of the tokens have in common.

- **Interpretable**: at least 70 % of the tokens fit one meaning that you can name. The meaning may be a topic
  ("animals"), a word class ("plural nouns"), a kind of fragment, a number, a name.
- **Not interpretable**: there is none, or there are several unrelated ones, or it is too broad to name.
- **Unsure**: you cannot decide. It is left out of two-valued figures, and counted.

Mark the tokens that do not fit. When in doubt between yes and no, say no.
"""


def project_draft(*, name: str, owner: User, guidelines: str, design: Design, slug: str = "", **fields: Any) -> Project:
    """A project of which nothing is drawn yet; `fields` are others of its row. Raises LabellingError."""
    fields = _design_fields(design, fields)
    return _create(name=name, slug=slug, owner=owner, guidelines=guidelines, **fields)


def project_redesign(project: Project, *, design: Design, **fields: Any) -> None:
    """Change what a draft will draw, and other fields of its row. Raises LabellingError once it has been opened."""
    changed = _design_fields(design, {"subject": project.subject, **fields})
    if not Project.objects.filter(pk=project.pk, state=Project.State.DRAFT).update(**changed):
        raise LabellingError(f"{project.name} has been opened, and its design is frozen; make another project instead.")


def project_plan(project: Project) -> Plan:
    """What a draft would draw now. Raises LabellingError where it cannot be drawn."""
    design = design_from_json(project.design)
    if design is None:
        raise LabellingError(f"{project.name} was not drawn from a selection.")
    owner = project.memberships.filter(role=Membership.Role.OWNER).select_related("user").order_by("pk").first()
    return plan_make(
        design_check(design), ends=project.ends, subject=project.subject, owner=owner.user if owner else None
    )


def project_open(project: Project) -> Project:
    """Draw a draft's items, store the probability of each, freeze the design: once and for all.

    Of every item equally many tokens are shown, or their number would tell the shorter readouts, of controls say,
    from the others. Raises LabellingError, and draws nothing, where it has been opened or cannot be drawn.
    """
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=project.pk)
        if project.state != Project.State.DRAFT:
            raise LabellingError(f"{project.name} has been opened already, and its design is frozen.")
        plan = project_plan(project)
        project.design = plan.as_json() | {"unit": UNITS[project.units]}
        _open(project, plan.population, plan.draw())
    return project


def project_create(
    *,
    name: str,
    owner: User,
    directions: QuerySet[Direction],
    guidelines: str,
    n: int | None = None,
    seed: int = 0,
    slug: str = "",
    tokens_shown: int = TOKENS_SHOWN,
    **fields: Any,
) -> Project:
    """An open project of a simple random sample of n directions (all of them without n), in random order.

    For directions that no selection names; `fields` are others of its row. Raises LabellingError where there is
    nothing to draw from.
    """
    both_ends = fields.get("ends") == Project.Ends.BOTH
    population = population_of(directions, both_ends=both_ends, subject=fields.get("subject", Subject.DIRECTION))
    n = min(n or len(population), len(population))
    design = {"kind": SIMPLE_RANDOM, "seed": seed, "population": len(population), "n": n}
    with transaction.atomic():
        project = _create(
            name=name, slug=slug, owner=owner, guidelines=guidelines, design=design, tokens_shown=tokens_shown, **fields
        )
        _open(project, population, simple_random(len(population), n, seed))
    return project


def project_draw(
    *, model: Model, selection: MatrixSelection, n: int | None = None, seed: int = 0, **options: Any
) -> Project:
    """An open project of a simple random sample of what a selection names (all of it without n).

    `options` are those of `project_draft`. Raises LabellingError where it cannot be drawn.
    """
    design = Design(ItemSelection((model.slug,), selection), kind=SIMPLE_RANDOM if n else ALL_OF_THEM, n=n, seed=seed)
    with transaction.atomic():
        return project_open(project_draft(design=design, **options))


def project_pause(project: Project) -> bool:
    """It takes no judgements from now on; False where it was not open."""
    return _state_change(project, Project.State.OPEN, Project.State.PAUSED)


def project_resume(project: Project) -> bool:
    """It takes judgements again; False where it was not paused."""
    return _state_change(project, Project.State.PAUSED, Project.State.OPEN)


def project_change(project: Project, *, name: str, overlap: int, reveal: bool) -> None:
    """Change what may change at any time; with another overlap items open or close."""
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=project.pk)
        has_other_overlap = overlap != project.overlap
        project.name, project.overlap, project.reveal = name, overlap, reveal
        project.save(update_fields=["name", "overlap", "reveal"])
        if has_other_overlap:
            items_reopen(project)


def guidelines_add(*, project: Project, user: User, text: str, threshold: float, after: int) -> Guidelines | None:
    """The rubric from now on, as a new version; None where text and threshold are those that stand.

    `after` is the version that was changed. Raises LabellingError where another was written meanwhile.
    """
    text = text.replace("\r\n", "\n")
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=project.pk)
        current = project.guidelines.order_by("-version").first()
        assert current is not None  # a project is made with its first version
        if current.version != after:
            raise LabellingError(
                f"Version {current.version} was written while you changed version {after}; nothing was stored. Open "
                "the guidelines in another tab, and carry your change over."
            )
        if (current.text, current.threshold) == (text, threshold):
            return None
        Project.objects.filter(pk=project.pk).update(threshold=threshold)
        return Guidelines.objects.create(
            project=project, version=after + 1, text=text, threshold=threshold, created_by=user
        )


def demo_project_ensure(*, model: Model, owner: User) -> Project:
    """The demo's project: a sample over all circuits and layers of the demo model. It is made once."""
    if project := Project.objects.filter(slug=DEMO_SLUG).first():
        return project
    selection = ItemSelection((model.slug,), MatrixSelection(), indices=tuple(range(DEMO_VECTORS)))
    n = min(DEMO_ITEMS, selection.directions().count())
    design = Design(selection, n=n, seed=DEMO_SEED)
    with transaction.atomic():
        return project_open(
            project_draft(name="Demo", slug=DEMO_SLUG, owner=owner, guidelines=DEMO_GUIDELINES, design=design)
        )


def _design_fields(design: Design, fields: dict[str, Any]) -> dict[str, Any]:
    """The row's fields with the design among them. Raises LabellingError where it cannot be drawn."""
    subject = fields.get("subject", Subject.DIRECTION)
    more = {"ends": Project.Ends.BOTH} if subject == Subject.VECTOR else {}
    return {**fields, "design": subject_design_check(subject, design_check(design)).as_json(), **more}


def _create(*, name: str, slug: str, owner: User, guidelines: str, **fields: Any) -> Project:
    with transaction.atomic():
        project = Project.objects.create(name=name, slug=slug or _slug_free(name), state=Project.State.DRAFT, **fields)
        Guidelines.objects.create(
            project=project,
            version=1,
            text=guidelines.replace("\r\n", "\n"),
            threshold=project.threshold,
            created_by=owner,
        )
        Membership.objects.create(project=project, user=owner, role=Membership.Role.OWNER)
    return project


def _open(project: Project, population: Population, sample: Sample) -> None:
    """Write the items of a draft that the caller has locked or just made."""
    project.tokens_shown = min(project.tokens_shown, population.tokens)
    project.state = Project.State.OPEN
    project.opened_at = timezone.now()
    project.save(update_fields=["tokens_shown", "state", "opened_at", "design"])
    drawn = [population.units[unit] for unit in sample.units.tolist()]
    items_add(project, drawn, probabilities=sample.probabilities[sample.units])


def items_add(
    project: Project, units: Sequence[Sequence[int]], *, probabilities: np.ndarray | None = None, first: int = 0
) -> int:
    """Put units at the positions from `first` on, for exploration without probabilities; returns how many items."""
    chances = [None] * len(units) if probabilities is None else probabilities.tolist()
    pairs = [(pk, chance) for unit, chance in zip(units, chances, strict=True) for pk in unit]
    made = Item.objects.bulk_create(
        [
            Item(
                project=project,
                direction_id=pk,
                position=first + place,
                inclusion_probability=chance,
                exploration=chance is None,
            )
            for place, (pk, chance) in enumerate(pairs)
        ],
        batch_size=BATCH,
    )
    items_changed([item.pk for item in made])
    return len(pairs)


def _state_change(project: Project, old: str, new: str) -> bool:
    return bool(Project.objects.filter(pk=project.pk, state=old).update(state=new))


def _slug_free(name: str) -> str:
    base = slug = slugify(name)[:70] or "project"
    number = 2
    while slug in RESERVED_SLUGS or Project.objects.filter(slug=slug).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug
