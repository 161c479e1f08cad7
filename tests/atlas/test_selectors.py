"""Reads on the atlas."""

import pytest

from labelapp.atlas.keys import direction_key_parse, matrix_key_parse
from labelapp.atlas.models import Direction
from labelapp.atlas.selectors import (
    NotStoredError,
    direction_get,
    directions_in_key_order,
    matrix_columns,
    matrix_get,
    model_get,
    models_with_holdings,
    readout_record,
)
from tests.atlas.results import INFO, matrix_result, store
from tests.factories import ODD_TOKENS, DirectionFactory, MatrixFactory, ModelFactory


def test_a_model_by_its_part_of_a_key(model):
    later = ModelFactory(name="tiny", revision="def5678", is_default=False)
    assert model_get("tiny") == model_get(f"tiny@{INFO.revision}") == model
    assert model_get("tiny@def5678") == later
    with pytest.raises(NotStoredError, match=r"no model 'other'.*tiny"):
        model_get("other")


def test_a_matrix_and_a_direction_by_their_keys(matrix):
    assert matrix_get(matrix_key_parse("tiny/ov.0.0")) == matrix
    direction = direction_get("tiny/ov.0.0:read/3-")
    assert (direction.side, direction.index, direction.sign) == ("read", 3, "-")
    assert direction_get(direction_key_parse("tiny/ov.0.0:read/3-")) == direction
    with pytest.raises(NotStoredError, match="not decomposed yet"):
        matrix_get(matrix_key_parse("tiny/ov.0.1"))
    with pytest.raises(NotStoredError, match="directions 0 to 7, not 8"):
        direction_get("tiny/ov.0.0/8+")


def test_columns_are_one_end_of_one_side_by_singular_value(matrix):
    columns = list(matrix_columns(matrix, side="write", sign="-", limit=3))
    assert [str(it.key) for it in columns] == ["tiny/ov.0.0/0-", "tiny/ov.0.0/1-", "tiny/ov.0.0/2-"]
    values = [it.singular_value for it in columns]
    assert values == sorted(values, reverse=True)


def test_the_order_of_every_list(model):
    for layer, head in ((1, 0), (0, 1), (0, 0)):
        store(model, matrix_result(n=2, layer=layer, head=head))
    keys = [str(row.key) for row in directions_in_key_order(Direction.objects.all())]
    assert keys[:4] == ["tiny/ov.0.0:read/0+", "tiny/ov.0.0:read/0-", "tiny/ov.0.0:read/1+", "tiny/ov.0.0:read/1-"]
    assert keys[4] == "tiny/ov.0.0/0+" and keys[8].startswith("tiny/ov.0.1") and keys[16].startswith("tiny/ov.1.0")


def test_what_is_held_of_each_model(model, django_assert_num_queries):
    store(model, matrix_result(n=4, head=0))
    store(model, matrix_result(n=3, circuit="mlp_in", head=None, sides=("read",)))
    MatrixFactory(model=model, address="ov.0.1;folded", preprocessing="folded", n_vectors=2)
    ModelFactory(name="empty")
    with django_assert_num_queries(3):
        empty, tiny = models_with_holdings()
    assert (empty.n_matrices, empty.n_matrices_possible, empty.n_directions) == (0, 2 * 2 + 2 + 2, 0)
    # An OV vector has two sides and two ends each, one of MLP-in two ends.
    assert (tiny.n_matrices, tiny.n_directions, tiny.n_directions_raw) == (2, 4 * 4 + 3 * 2 + 2 * 4, 4 * 4 + 3 * 2)


@pytest.mark.django_db
def test_a_record_is_valid_text_and_loses_no_byte():
    record = readout_record(DirectionFactory())
    "".join(record["tokens"]).encode("utf-8")
    place = ODD_TOKENS.index("\udce2\udc80")
    assert record["token_bytes"] == {str(place): "e280"}
    assert record["tokens"][place] == "\\xe2\\x80"
    assert [token for spot, token in enumerate(record["tokens"]) if spot != place] == [
        token for spot, token in enumerate(ODD_TOKENS) if spot != place
    ]
