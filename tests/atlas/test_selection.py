"""Selections of stored matrices: noise and contrasts only where they are named, and the same in JSON."""

import pytest

from labelapp.atlas.keys import Variant
from labelapp.atlas.models import Matrix
from labelapp.atlas.selection import (
    MatrixSelection,
    SelectionError,
    directions_selected,
    matrices_selected,
    selection_from_json,
    selection_parse,
    variants_of,
)
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory

pytestmark = pytest.mark.django_db
ADDRESSES = [
    "ov.0.0", "ov.1.0", "mlp_in.1", "ov.0.0;folded", "ov.0.0;rotated", "ov.0.0;rotated.3", "ov.0.0;gaussian",
    "ov.0.0;gaussian.7", "ov.0.0;rotated;gaussian", "ov.0.0;folded;neuron.2;shuffled",
]  # fmt: skip


@pytest.fixture
def stored(model):
    from labelapp.atlas.keys import matrix_key_parse

    for address in ADDRESSES:
        key = matrix_key_parse(f"tiny/{address}")
        fields = {name: getattr(key, name) for name in ("circuit", "layer", "head")}
        matrix = MatrixFactory(model=model, address=address, **fields, **vars(key.variant))
        DirectionFactory(matrix=matrix, index=0)
    DirectionFactory(matrix=MatrixFactory(model=ModelFactory(), layer=0, head=0))
    return model


def addresses(model, selection):
    found = set(matrices_selected(model, selection).values_list("address", flat=True))
    assert found == set(directions_selected(model, selection).values_list("matrix__address", flat=True))
    return found


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, {"ov.0.0", "ov.1.0", "mlp_in.1"}),
        ({"circuits": "ov"}, {"ov.0.0", "ov.1.0"}),
        ({"layers": "1"}, {"ov.1.0", "mlp_in.1"}),
        ({"preprocessing": "folded"}, {"ov.0.0;folded"}),
        ({"basis": "rotated"}, {"ov.0.0;rotated"}),
        ({"basis": "rotated.3, svd", "layers": "0"}, {"ov.0.0", "ov.0.0;rotated.3"}),
        ({"control": "gaussian"}, {"ov.0.0;gaussian"}),
        ({"control": "none,gaussian.7", "circuits": "ov"}, {"ov.0.0", "ov.1.0", "ov.0.0;gaussian.7"}),
        (
            {"basis": "svd,rotated", "control": "none,gaussian", "layers": "0"},
            {"ov.0.0", "ov.0.0;rotated", "ov.0.0;gaussian", "ov.0.0;rotated;gaussian"},
        ),
        ({"preprocessing": "all", "basis": "all", "control": "all"}, set(ADDRESSES)),
    ],
)
def test_what_is_selected(stored, options, wanted):
    selection = selection_parse(stored, **options)
    assert addresses(stored, selection) == wanted
    assert selection_from_json(selection.as_json()) == selection


def test_of_an_older_selection_what_is_missing_is_the_default(stored):
    assert addresses(stored, selection_from_json({"circuits": ["ov"], "layers": []})) == {"ov.0.0", "ov.1.0"}
    assert Matrix.objects.filter(model=stored).count() == len(ADDRESSES)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"circuits": "qv"}, "no circuit 'qv'"),
        ({"layers": "9"}, "no layer 9"),
        ({"layers": "x"}, "'x' is not a layer"),
        ({"preprocessing": "cooked"}, "no preprocessing 'cooked'"),
        ({"preprocessing": "folded.2"}, "no preprocessing 'folded.2'"),
        ({"basis": "pca"}, "no basis 'pca'"),
        ({"basis": "rotated.x"}, "a seed is a number"),
        ({"basis": "varimax.3"}, "has no seed"),
        ({"control": "noise"}, "no control 'noise'"),
        ({"control": "none.3"}, "no control 'none.3'"),
        ({"control": " , "}, "No control was given"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(model, options, sentence):
    with pytest.raises(SelectionError, match=sentence):
        selection_parse(model, **options)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (MatrixSelection(), "all circuits and layers"),
        (MatrixSelection(("ov", "mlp_in"), (0, 3)), "ov, mlp_in in layers 0, 3"),
        (MatrixSelection(layers=(2,)), "all circuits in layers 2"),
        (MatrixSelection(("ov",), controls=("none", "gaussian")), "ov; control none, gaussian"),
        (
            MatrixSelection(preprocessings=(), bases=("rotated.3",)),
            "all circuits and layers; preprocessing all; basis rotated.3",
        ),
    ],
)
def test_in_words(selection, words):
    assert selection.words == words


def test_every_combination_is_a_variant():
    assert [str(it) for it in variants_of(["raw", "folded"], ["svd", "rotated.3"], ["none", "gaussian"])] == [
        "", ";rotated.3", ";gaussian", ";rotated.3;gaussian",
        ";folded", ";folded;rotated.3", ";folded;gaussian", ";folded;rotated.3;gaussian",
    ]  # fmt: skip
    assert variants_of(["raw"], ["svd"], ["none"]) == [Variant()]
