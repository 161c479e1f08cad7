"""Writes on projects: how they are made, and of which items."""

from __future__ import annotations

import random
from typing import Any

from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils import timezone
from django.utils.text import slugify

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import MatrixSelection, directions_selected
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Guidelines, Item, Membership, Project

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


def project_create(
    *,
    name: str,
    owner: User,
    directions: QuerySet[Direction],
    guidelines: str,
    n: int | None = None,
    seed: int = 0,
    slug: str = "",
    tokens_shown: int = 15,
    selection: MatrixSelection | None = None,
) -> Project:
    """Make an open project of a simple random sample of n directions (all of them without n), in random order.

    `selection` is noted in the design where one was drawn from. Of every item equally many tokens are shown, or
    their number would tell the shorter readouts, of controls say, from the others. Raises LabellingError where there
    is nothing to draw from.
    """
    population = list(directions.order_by("pk").values_list("pk", flat=True))
    if not population:
        raise LabellingError("The selection holds no directions; decompose the model first, or widen the selection.")
    shortest = directions.order_by().aggregate(top=Min("matrix__top"))["top"]
    n = min(n or len(population), len(population))
    drawn = random.Random(seed).sample(population, n)
    with transaction.atomic():
        project = Project.objects.create(
            name=name,
            slug=slug or _slug_free(name),
            tokens_shown=min(tokens_shown, shortest),
            opened_at=timezone.now(),
            design={
                "kind": "simple_random",
                "seed": seed,
                "population": len(population),
                "n": n,
                **({"selection": selection.as_json()} if selection else {}),
            },
        )
        Guidelines.objects.create(project=project, version=1, text=guidelines)
        Membership.objects.create(project=project, user=owner, role=Membership.Role.OWNER)
        Item.objects.bulk_create(
            (
                Item(
                    project=project,
                    direction_id=direction_id,
                    position=position,
                    inclusion_probability=n / len(population),
                )
                for position, direction_id in enumerate(drawn)
            ),
            batch_size=1000,
        )
    return project


def project_draw(*, model: Model, selection: MatrixSelection, **options: Any) -> Project:
    """A project of a sample of what a selection names, controls and other bases among it where it names them.

    `options` and what is raised are those of `project_create`.
    """
    return project_create(directions=directions_selected(model, selection), selection=selection, **options)


def demo_project_ensure(*, model: Model, owner: User) -> Project:
    """The demo's project: a sample over all circuits and layers of the demo model. It is made once."""
    if project := Project.objects.filter(slug=DEMO_SLUG).first():
        return project
    directions = directions_selected(model, MatrixSelection()).filter(index__lt=DEMO_VECTORS)
    return project_create(
        name="Demo",
        slug=DEMO_SLUG,
        owner=owner,
        directions=directions,
        guidelines=DEMO_GUIDELINES,
        n=DEMO_ITEMS,
        seed=DEMO_SEED,
    )


def _slug_free(name: str) -> str:
    base = slug = slugify(name)[:70] or "project"
    number = 2
    while Project.objects.filter(slug=slug).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug
