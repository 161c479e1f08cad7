"""A small stored model: two layers, two heads, three of its four OV matrices there."""

import pytest

from labelapp.atlas.services import model_register
from tests.atlas.results import INFO, matrix_result, store


@pytest.fixture
def model(db):
    return model_register(INFO)


@pytest.fixture
def matrix(model):
    return store(model, matrix_result(n=8, top=20))


@pytest.fixture
def signed_in(owner_client):
    """Every page needs a person; which one makes no difference in the atlas."""
    return owner_client
