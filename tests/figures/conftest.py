"""A small census with a machine's verdicts, and a project whose sample people judged."""

from __future__ import annotations

import numpy as np
import pytest

from labelapp.atlas.models import Direction, Matrix
from labelapp.atlas.selection import MatrixSelection
from labelapp.figures.query import Query
from labelapp.judgements.services import Draft, judge_ensure, judge_of_user, judgement_record, judgements_record_new
from labelapp.labelling.models import Item
from labelapp.labelling.projects.design import Design
from labelapp.labelling.projects.selection import ItemSelection
from labelapp.labelling.projects.services import project_draft, project_open
from labelapp.labelling.services import items_reopen
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory

YES, NO, UNSURE, UNPARSED = "interpretable", "not_interpretable", "unsure", "unparsed"


def verdict(yes):
    return YES if yes else NO


class Census:
    """`layers` layers of one matrix each, `vectors` vectors with both ends; a machine that is right in 3 of 4."""

    def __init__(self, *, layers=4, vectors=20, seed=0, name="tiny", circuits=("mlp_in",), signs="+-"):
        self.rng = np.random.default_rng(seed)
        # Of what was decomposed both ends are there; of what was imported perhaps one.
        self.model = ModelFactory(name=name, n_layers=layers, **({} if signs == "+-" else {"weights_hash": ""}))
        self.truth, self.said = {}, {}
        self.judge = judge_ensure(type="baseline", name="machine", parameters={"alpha": 0.05})
        for circuit in circuits:
            for layer in range(layers):
                matrix = MatrixFactory(
                    model=self.model, circuit=circuit, head=None, layer=layer, address=f"{circuit}.{layer}"
                )
                self.judged(matrix, vectors, signs, share=0.3 + 0.4 * layer / max(layers - 1, 1))

    def judged(self, matrix, vectors, signs="+-", *, share=0.5):
        """A matrix of which every end is judged by the machine, and has a truth."""
        ends = [
            DirectionFactory(matrix=matrix, side="read", index=index, sign=sign)
            for index in range(vectors)
            for sign in signs
        ]
        Matrix.objects.filter(pk=matrix.pk).update(n_vectors=vectors)
        truths = self.rng.random(len(ends)) < share
        told = np.where(self.rng.random(len(ends)) < 0.75, truths, ~truths)
        self.truth |= {it.pk: bool(true) for it, true in zip(ends, truths, strict=True)}
        self.said |= {it.pk: bool(said) for it, said in zip(ends, told, strict=True)}
        self.machine_says({it.pk: verdict(self.said[it.pk]) for it in ends})

    def machine_says(self, verdicts, **more):
        drafts = [Draft(pk, said, evidence={"p_value": 0.01 if said == YES else 0.4}) for pk, said in verdicts.items()]
        judgements_record_new(judge=self.judge, source="run:1", drafts=drafts, **more)

    def project(self, owner, *, n=None, name="Sample", controls=("none",), judged=None, people=None, **fields):
        """Drawn at random; the first `judged` items of its queue are judged, all of them by default."""
        design_fields = {it: fields.pop(it) for it in ("kind", "strata", "allocation", "machine") if it in fields}
        selection = ItemSelection((self.model.slug,), MatrixSelection(controls=controls))
        design = Design(selection, n=n or Direction.objects.count(), seed=1, **design_fields)
        project = project_open(project_draft(name=name, owner=owner, guidelines="Judge.", design=design, **fields))
        items = list(Item.objects.filter(project=project).order_by("position"))
        for item in items[: len(items) if judged is None else judged]:
            self.person_says(project, item.direction_id, owner)
        items_reopen(project)
        Item.objects.filter(project=project, position__lt=len(items) if judged is None else judged).update(
            n_judged=1, is_open=False
        )
        return project

    def person_says(self, project, direction, user, said=None):
        said = said or verdict(self.truth.get(direction, False))
        draft = Draft(direction, said, tokens_shown=15)
        return judgement_record(judge=judge_of_user(user), source=project.source, draft=draft)


@pytest.fixture
def census(db):
    return Census()


def query_of(project, **changes):
    return Query(project=project.slug, **changes)


def by_method(found):
    return {it.estimate.method: it.estimate for it in (found.recommended, *found.lines)}
