"""Rows for tests: a small atlas with odd tokens in it."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.judgements.services import Draft, judge_ensure, judgement_record
from labelapp.labelling.models import Membership
from labelapp.labelling.projects.design import Design
from labelapp.labelling.projects.selection import item_selection_parse
from labelapp.labelling.projects.services import project_create, project_draft, project_open
from labelapp.labelling.services import items_reopen

# What a tokenizer can hold: NUL (GPT-2's token 188), half of a UTF-8 sequence, markup, a formula, a line break.
ODD_TOKENS = [
    "\x00",
    "\udce2\udc80",
    "<script>alert(1)</script>",
    "=cmd()",
    "\n",
    " dog",
    "dog",
    "é",
    "\u202e",
    " ",
]


class ModelFactory(DjangoModelFactory):
    class Meta:
        model = Model

    name = factory.Sequence(lambda n: f"tiny-{n}")
    revision = "abc1234"
    source = "nowhere"
    architecture = "gpt2"
    n_layers = 2
    n_heads = 2
    n_kv_heads = 2
    d_model = 8
    d_head = 4
    d_mlp = 16
    vocab_size = 32
    tied = True
    circuits = ["ov", "mlp_in", "mlp_out"]
    weights_hash = factory.Sequence(lambda n: f"{n:064x}")


class MatrixFactory(DjangoModelFactory):
    """An OV matrix without directions."""

    class Meta:
        model = Matrix

    model = factory.SubFactory(ModelFactory)
    circuit = "ov"
    layer = 0
    head = factory.Sequence(lambda n: n)
    address = factory.LazyAttribute(lambda o: f"{o.circuit}.{o.layer}" + (f".{o.head}" if o.head is not None else ""))
    singular_values = [4.0, 3.0, 2.0, 1.0]
    rank = 4
    n_vectors = 4
    top = 10
    vectors = {}


class DirectionFactory(DjangoModelFactory):
    class Meta:
        model = Direction

    matrix = factory.SubFactory(MatrixFactory)
    side = "write"
    index = factory.Sequence(lambda n: n)
    sign = "+"
    singular_value = 3.0
    gap_above = 0.25
    gap_below = 0.5
    token_ids = list(range(10))
    tokens = ODD_TOKENS
    scores = [1.0 - 0.05 * place for place in range(10)]
    score_mean = 0.0
    score_deviation = 0.2


def cast_project(owner, reviewer=None, annotator=None, viewer=None, *, n=5, name="Animals", overlap=9, **fields):
    """A project of n directions of one matrix, its people in their roles, each of whom may judge every item."""
    matrix = MatrixFactory()
    for index in range(n):
        DirectionFactory(matrix=matrix, index=index)
    project = project_create(
        name=name,
        owner=owner,
        directions=Direction.objects.filter(matrix=matrix),
        guidelines="Judge **well**.\n\n- <b>Yes</b>: most fit.\n- No: they do not.",
        seed=1,
        **fields,
    )
    overlap_set(project, overlap)
    for role, user in (("reviewer", reviewer), ("annotator", annotator), ("viewer", viewer)):
        if user is not None:
            Membership.objects.create(project=project, user=user, role=role)
    return project


def drawn(model, owner, subject, *, kind="all", n=None, strata="", overlap=9, slug="", **selection):
    """An opened project of a model's pairs (`vector`) or matrices, named after its subject where it has no slug."""
    design = Design(item_selection_parse([model], **selection), kind, n, 7, strata, "proportional" if strata else "")
    draft = project_draft(
        name=slug or subject,
        slug=slug,
        owner=owner,
        guidelines="Judge.",
        design=design,
        subject=subject,
        overlap=overlap,
    )
    return project_open(draft)


def overlap_set(project, overlap):
    """How many people judge each of the project's items."""
    project.overlap = overlap
    project.save()
    items_reopen(project)
    return project


def machine_says(verdicts, *, name="offline baseline (no language model)", source="run:1", type="baseline"):
    """A machine judge with these verdicts: {direction: verdict}, or {direction: (verdict, label)}."""
    judge = judge_ensure(type=type, name=name, parameters={"name": name})
    for direction, said in verdicts.items():
        verdict, label = (said, "") if isinstance(said, str) else said
        judgement_record(judge=judge, source=source, draft=Draft(direction.pk, verdict, label))
    return judge
