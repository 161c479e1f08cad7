"""What goes into the columns for readouts comes out the same, on whichever database this runs."""

import numpy as np
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelapp.atlas.models import Direction
from tests.factories import ODD_TOKENS, DirectionFactory, MatrixFactory

pytestmark = pytest.mark.django_db

# Any bytes at all, as a tokenizer's pieces are.
TOKENS = st.binary(max_size=12).map(lambda piece: piece.decode("utf-8", "surrogateescape"))


def reread(direction):
    return Direction.objects.get(pk=direction.pk)


def test_odd_tokens():
    assert reread(DirectionFactory(tokens=ODD_TOKENS)).tokens == ODD_TOKENS


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TOKENS, max_size=20))
def test_any_bytes(tokens):
    direction = Direction.objects.first() or DirectionFactory()
    direction.tokens = tokens
    direction.save()
    assert reread(direction).tokens == tokens


def test_big_arrays():
    """More than an index row or a page of either database holds, in an order that is not sorted."""
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 2**31 - 1, 20_000).astype(np.int32)
    values = rng.standard_normal(20_000).astype(np.float32)
    matrix = MatrixFactory(singular_values=values)
    direction = reread(DirectionFactory(matrix=matrix, token_ids=ids, scores=values))
    assert direction.token_ids == ids.tolist()
    assert np.array_equal(np.array(direction.scores, "f4"), values)
    assert np.array_equal(np.array(direction.matrix.singular_values, "f4"), values)


def test_edges_of_float32():
    values = [0.0, -0.0, float("inf"), float("-inf"), 1e-45, 3.4028234663852886e38]
    assert reread(DirectionFactory(scores=values)).scores == pytest.approx(values, rel=1e-7)


def test_nothing_is_not_an_empty_list():
    assert reread(DirectionFactory(token_ids=None, scores=None)).scores is None
    assert reread(DirectionFactory(token_ids=None, scores=None)).token_ids is None
    assert reread(DirectionFactory(token_ids=[], scores=[], tokens=[])).scores == []


def test_a_token_is_found_by_an_index():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite scans; the index is PostgreSQL's")
    direction = DirectionFactory(token_ids=[7, 900])
    DirectionFactory(token_ids=[8])
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM atlas_direction WHERE token_ids @> ARRAY[900]")
        assert cursor.fetchall() == [(direction.pk,)]
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'direction_token_ids'")
        assert "gin" in cursor.fetchone()[0]
