"""The fixtures of checks."""

import pytest

from labelapp.atlas.models import Direction
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory
from tests.labelling.checks.support import opened


@pytest.fixture
def places(db):
    """`tiny`: MLP-in of layer 0 and noise in its place, 60 vectors each; every token tells its direction."""
    model = ModelFactory(name="tiny")
    for control, suffix in (("", ""), ("gaussian", ";gaussian"), ("covariance", ";covariance")):
        matrix = MatrixFactory(
            model=model, circuit="mlp_in", layer=0, head=None, control=control, address=f"mlp_in.0{suffix}"
        )
        Direction.objects.bulk_create(
            DirectionFactory.build(
                matrix=matrix, side="read", index=index, sign=sign,
                tokens=[f" {control or 'real'}{index}{'p' if sign == '+' else 'm'}{n}" for n in range(10)],
            )
            for index in range(60)
            for sign in "+-"
        )  # fmt: skip
    return model


@pytest.fixture
def project(places, owner, reviewer, annotator):
    return opened(owner, [(reviewer, "reviewer"), (annotator, "annotator")], overlap=2)
