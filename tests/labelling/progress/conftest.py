"""The fixtures of progress."""

import pytest

from tests.factories import DirectionFactory, MatrixFactory, cast_project


@pytest.fixture
def viewer(make_user):
    return make_user("viewer")


@pytest.fixture
def project(owner, reviewer, annotator, viewer):
    return cast_project(owner, reviewer, annotator, viewer, n=40, overlap=2)


@pytest.fixture
def others(project):
    """Directions of the same model outside the project: `others["own"]` and `others["gaussian"]`, 40 of each."""
    model = project.items.first().direction.matrix.model
    own = MatrixFactory(model=model, address="ov.1.0", layer=1, head=0)
    noise = MatrixFactory(model=model, address="ov.1.0;gaussian", layer=1, head=0, control="gaussian")
    return {
        name: [DirectionFactory(matrix=matrix, index=index) for index in range(40)]
        for name, matrix in (("own", own), ("gaussian", noise))
    }
