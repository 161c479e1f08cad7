"""Keys: the one printed form, there and back, and a sentence for everything else."""

from urllib.parse import unquote

import pytest
from django.urls import resolve, reverse
from hypothesis import given
from hypothesis import strategies as st

from labelapp.atlas.keys import (
    BASES,
    CIRCUITS,
    CIRCUITS_WITH_HEADS,
    CIRCUITS_WITHOUT_LAYER,
    CONTROLS,
    PREPROCESSINGS,
    SIDES,
    UNSEEDED_BASES,
    DirectionKey,
    KeyFormError,
    MatrixKey,
    direction_key_parse,
    matrix_key_parse,
)

NUMBERS = st.integers(0, 10**6)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)


@st.composite
def matrix_keys(draw):
    circuit = draw(st.sampled_from(CIRCUITS))
    basis, control = draw(st.sampled_from(BASES)), draw(st.sampled_from(("", *CONTROLS)))
    return MatrixKey(
        model=draw(NAMES),
        circuit=circuit,
        layer=None if circuit in CIRCUITS_WITHOUT_LAYER else draw(NUMBERS),
        head=draw(NUMBERS) if circuit in CIRCUITS_WITH_HEADS else None,
        revision=draw(st.just("") | st.from_regex(r"[0-9a-z._-]{1,12}", fullmatch=True)),
        preprocessing=draw(st.sampled_from(PREPROCESSINGS)),
        basis=basis,
        basis_seed=0 if basis in UNSEEDED_BASES else draw(NUMBERS),
        control=control,
        control_seed=draw(NUMBERS) if control else 0,
    )


@st.composite
def direction_keys(draw):
    matrix = draw(matrix_keys())
    return DirectionKey(
        matrix, draw(st.sampled_from(SIDES[matrix.circuit])), draw(NUMBERS), draw(st.sampled_from("+-"))
    )


@given(matrix_keys())
def test_a_matrix_key_comes_back(key):
    assert matrix_key_parse(str(key)) == key


@given(direction_keys())
def test_a_direction_key_comes_back(key):
    assert direction_key_parse(str(key)) == key
    assert key.antipode != key and key.antipode.antipode == key


@given(direction_keys())
def test_a_key_survives_an_address(key):
    """By our own quoting, by Django's, and as a browser sends it."""
    assert unquote(key.url) == str(key)
    for address in (reverse("atlas:direction", args=[str(key)]), "/models/direction/" + key.url):
        assert resolve(unquote(address)).kwargs == {"key": str(key)}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("gpt2-medium/ov.22.10/1+", DirectionKey(MatrixKey("gpt2-medium", "ov", 22, 10), "write", 1, "+")),
        ("gpt2-medium/mlp_in.21/3-", DirectionKey(MatrixKey("gpt2-medium", "mlp_in", 21), "read", 3, "-")),
        (
            "gpt2-medium@607a30d/ov.22.10:read/1+;folded;rotated",
            DirectionKey(
                MatrixKey("gpt2-medium", "ov", 22, 10, "607a30d", preprocessing="folded", basis="rotated"),
                "read", 1, "+",
            ),
        ),
        (
            "m/qk.0.0:key/0-;rotated.3;gaussian.7",
            DirectionKey(
                MatrixKey("m", "qk", 0, 0, basis="rotated", basis_seed=3, control="gaussian", control_seed=7),
                "key", 0, "-",
            ),
        ),
        ("m/unembed/0+", DirectionKey(MatrixKey("m", "unembed"), "read", 0, "+")),
    ],
)  # fmt: skip
def test_keys_as_the_design_writes_them(text, key):
    assert str(key) == text
    assert direction_key_parse(text) == key


MALFORMED_DIRECTIONS = [
    "", "/", "demo", "demo/", "demo/ov.0.0", "demo/ov.0.0/", "demo/ov.0.0/1", "demo/ov.0.0/+", "demo/ov.0.0/1 ",
    "demo/ov.0.0/1*", "demo/ov.0.0/-1+", "demo/ov.0.0/1.5+", "demo/ov.0.0/1+;", "demo/ov.0.0/1+;;folded",
    "Demo/ov.0.0/1+", "demo /ov.0.0/1+", "demo@/ov.0.0/1+", "demo@A/ov.0.0/1+", "a/b/ov.0.0/1+",
    "demo/vo.0.0/1+", "demo/ov.0/1+", "demo/ov/1+", "demo/mlp_in.0.0/1+", "demo/mlp_in/1+", "demo/embed.0/1+",
    "demo/ov.0.0.0/1+", "demo/ov.0.0:up/1+", "demo/mlp_in.0:write/1+", "demo/ov.0.0:/1+",
    "demo/ov.0.0/1+;raw", "demo/ov.0.0/1+;svd", "demo/ov.0.0/1+;pca", "demo/ov.0.0/1+;folded.2",
    "demo/ov.0.0/1+;rotated;folded", "demo/ov.0.0/1+;varimax.3", "demo/ov.0.0/1+;rotated.1234567890",
    "demo/ov.0.0/1+;rotated.0", "demo/ov.0.0/1+;folded;folded",
    "demo/ov.0.0/01+", "demo/ov.00.0/1+", "demo/ov.0.0:write/1+", "demo/ov.0.0/1+;gaussian.07",
    "demo/ov.0.0/1+\n", "demo/ov.0.0/１+", "demo/ov.0.0/1＋", "demo/ov.0.0/1+;Folded", "demo/ov.0.0/1+?sign=-",
    " demo/ov.0.0/1+", "demo\x00/ov.0.0/1+",
]  # fmt: skip
MALFORMED_MATRICES = [
    "", "demo", "demo/", "/ov.0.0", "demo/ov.0.0/", "demo/ov.0.0/1+", "demo/ov.0.0:read", "demo/ov.0",
    "demo/mlp_out.1.1", "demo/ov.0.0;raw", "demo/ov.0.0;gaussian;rotated", "demo/ov.01.0", "demo/ov.0.0;",
    "demo/ov.-1.0",
]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED_DIRECTIONS)
def test_a_malformed_direction_key_is_refused_in_words(text):
    with pytest.raises(KeyFormError, match=r"\.$"):
        direction_key_parse(text)


@pytest.mark.parametrize("text", MALFORMED_MATRICES)
def test_a_malformed_matrix_key_is_refused_in_words(text):
    with pytest.raises(KeyFormError, match=r"\.$"):
        matrix_key_parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_key_or_a_sentence(text):
    for parse in (direction_key_parse, matrix_key_parse):
        try:
            assert str(parse(text)) == text
        except KeyFormError as error:
            assert str(error)
