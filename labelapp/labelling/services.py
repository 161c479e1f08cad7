"""Writes on projects, their items and what people judge in them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils import timezone
from django.utils.text import slugify

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selection import MatrixSelection, directions_selected
from labelapp.judgements.models import Judgement
from labelapp.judgements.selectors import judgement_last
from labelapp.judgements.services import Draft, judge_of_user, judgement_record, judgement_withdraw
from labelapp.labelling.models import Guidelines, Item, Membership, Project, Skip

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


class LabellingError(ValueError):
    """Something that cannot be done in a project; the message says why in one sentence."""


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


def item_judge(
    *,
    item: Item,
    user: User,
    verdict: str,
    label: str = "",
    kind: str = "",
    misfits: Sequence[int] = (),
    seconds: float | None = None,
) -> Judgement:
    """Take a person's judgement on an item; one that the person made before is superseded, and kept.

    An answer that came twice (a double click, a request repeated after a lost connection) is taken once.
    Raises LabellingError or JudgementError, and changes nothing, where it cannot be taken.
    """
    _require_judging(item.project, user)
    judge = judge_of_user(user)
    shown = min(item.project.tokens_shown, len(item.direction.tokens))
    draft = Draft(
        direction_id=item.direction_id,
        verdict=verdict,
        label=label.strip(),
        kind=kind,
        misfits=sorted(set(misfits)),
        tokens_shown=shown,
        guidelines_version=guidelines_current(item.project).version,
        seconds=seconds,
    )
    with transaction.atomic():
        Direction.objects.select_for_update().get(pk=item.direction_id)
        standing = Judgement.objects.filter(
            direction_id=item.direction_id, judge=judge, source=item.project.source, current=True
        ).first()
        if standing is not None and _same_answer(standing, draft):
            return standing
        return judgement_record(judge=judge, source=item.project.source, draft=draft)


def answer_undo(*, project: Project, user: User) -> Item | None:
    """Take back the person's last answer in the project and return its item; None where there is none.

    A judgement is withdrawn (the row stays); a skip is forgotten, so that its item is next again.
    """
    _require_judging(project, user)
    last = judgement_last(source=project.source, judge_id=judge_of_user(user).pk)
    skip = Skip.objects.filter(item__project=project, user=user).order_by("at").last()
    if skip is not None and (last is None or skip.at > last.created_at):
        skip.delete()
        return skip.item
    if last is None or judgement_withdraw(last) is None:
        return None
    return Item.objects.select_related("direction", "project").get(project=project, direction_id=last.direction_id)


def item_skip(*, item: Item, user: User) -> None:
    """Put an item off until the others are done, those that were skipped before it too."""
    _require_judging(item.project, user)
    Skip.objects.update_or_create(item=item, user=user, defaults={"at": timezone.now()})


def guidelines_current(project: Project) -> Guidelines:
    """The rubric that judgements made now are made under."""
    guidelines = project.guidelines.order_by("-version").first()
    assert guidelines is not None  # a project is made with its first version
    return guidelines


def _same_answer(standing: Judgement, draft: Draft) -> bool:
    return (standing.verdict, standing.label, standing.kind, standing.misfits) == (
        draft.verdict, draft.label, draft.kind, list(draft.misfits),
    )  # fmt: skip


def _require_judging(project: Project, user: User) -> None:
    roles = [Membership.Role.OWNER, Membership.Role.REVIEWER, Membership.Role.ANNOTATOR]
    if not Membership.objects.filter(project=project, user=user, role__in=roles).exists():
        raise LabellingError(f"You are not one of those who judge in {project.name}; its owner can add you.")
    state = Project.objects.values_list("state", flat=True).get(pk=project.pk)
    if state != Project.State.OPEN:
        raise LabellingError(f"{project.name} is paused and takes no judgements; its owner can open it again.")


def _slug_free(name: str) -> str:
    base = slug = slugify(name)[:70] or "project"
    number = 2
    while Project.objects.filter(slug=slug).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug
