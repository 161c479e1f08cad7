"""A model of two layers and two circuits, with what a machine said of it."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from labelapp.atlas.files import file_write
from labelapp.atlas.models import Direction
from labelapp.atlas.selectors import unembedding_file
from labelapp.judgements.models import Verification
from labelapp.judgements.services import Draft, judge_ensure, judgement_record
from labelapp.labelling.models import Membership
from labelapp.labelling.projects.services import project_create
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory, drawn
from tests.support.words import vocabulary


@pytest.fixture
def model(db):
    """`tiny`: OV of layer 0 (two heads) and MLP-in of layers 0 and 1; 8 vectors of each, both ends: 64 in all."""
    model = ModelFactory(name="tiny")
    matrices = [
        MatrixFactory(model=model, layer=0, head=0),
        MatrixFactory(model=model, layer=0, head=1),
        MatrixFactory(model=model, circuit="mlp_in", layer=0, head=None),
        MatrixFactory(model=model, circuit="mlp_in", layer=1, head=None),
    ]
    for matrix in matrices:
        side = "write" if matrix.circuit == "ov" else "read"
        for index in range(8):
            for sign in "+-":
                DirectionFactory(matrix=matrix, side=side, index=index, sign=sign)
    return model


@pytest.fixture
def machine_judges(db):
    """`machine_judges({direction: (verdict, verification or None, evidence)}, name="m")`: a judge that said so."""

    def make(said, name="m", type="prompt", source="run:9", **parameters):
        judge = judge_ensure(type=type, name=name, parameters={"name": name, **parameters})
        verifier = judge_ensure(type="prompt", name=f"{name} verifier", parameters={"name": name, "verifies": True})
        for direction, (verdict, verification, evidence) in said.items():
            row = judgement_record(judge=judge, source=source, draft=Draft(direction.pk, verdict, evidence=evidence))
            if verification:
                Verification.objects.create(judgement=row, judge=verifier, answer=verification)
        return judge

    return make


@pytest.fixture
def pairs(model, owner):
    """The 16 vectors of the model's OV matrices."""
    return drawn(model, owner, "vector", circuits="ov")


@pytest.fixture
def matrices(model, owner):
    """The model's four matrices."""
    return drawn(model, owner, "matrix")


VECTORS, WIDTH, DEEP = 12, 24, 20


@pytest.fixture
def spoken(db):
    """`spoken`: mlp_in of layers 0, 1, 4 and Gaussian noise of layer 0, with vocabulary, unembedding and vectors.

    12 vectors each, both ends: 96 in all. Everything is random, so no direction means anything.
    """
    rng = np.random.default_rng(5)
    words = vocabulary()
    unembedding = rng.standard_normal((len(words), WIDTH)).astype(np.float32)
    model = ModelFactory(name="spoken", n_layers=6, circuits=["mlp_in"], vocab_size=len(words), d_model=WIDTH)
    file_write(f"{model.folder}/vocabulary.json", json.dumps(words).encode())
    file_write(unembedding_file(model.folder, "raw"), save({"unembedding": unembedding}))
    for layer, control in ((0, ""), (1, ""), (4, ""), (0, "gaussian")):
        vectors = rng.standard_normal((1, VECTORS, WIDTH)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        name = file_write(f"{model.folder}/vectors-{layer}-{control}.safetensors", save({"vectors": vectors}))
        matrix = MatrixFactory(
            model=model,
            circuit="mlp_in",
            layer=layer,
            head=None,
            control=control,
            address=f"mlp_in.{layer}" + (f";{control}" if control else ""),
            vectors={"read": {"file": name, "row": 0}},
            n_vectors=VECTORS,
            top=DEEP,
        )
        scores = unembedding @ vectors[0].T
        for index in range(VECTORS):
            for sign, turn in (("+", 1), ("-", -1)):
                ids = np.argsort(-turn * scores[:, index], kind="stable")[:DEEP].tolist()
                DirectionFactory(
                    matrix=matrix,
                    side="read",
                    index=index,
                    sign=sign,
                    token_ids=ids,
                    tokens=[words[token] for token in ids],
                    scores=[float(turn * scores[token, index]) for token in ids],
                )
    return model


@pytest.fixture
def spoken_project(spoken, owner, reviewer, annotator, outsider):
    """All 96 ends as items of an open project, and its people; the outsider is in none."""
    project = project_create(
        name="Words", owner=owner, directions=Direction.objects.filter(matrix__model=spoken), guidelines="Judge."
    )
    for role, user in (("reviewer", reviewer), ("annotator", annotator)):
        Membership.objects.create(project=project, user=user, role=role)
    return project
