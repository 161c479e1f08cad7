"""A model of two layers and two circuits, with what a machine said of it."""

import pytest

from labelapp.judgements.models import Verification
from labelapp.judgements.services import Draft, judge_ensure, judgement_record
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory, drawn


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
