from __future__ import annotations

import pytest

from workers.weights.errors import BadSelection
from workers.weights.selection import choose_heads, parse_circuits, parse_layers


def test_layers() -> None:
    assert parse_layers("0,5,9-11", 12) == [0, 5, 9, 10, 11]
    assert parse_layers(" 3 - 4 , 4,0 ", 12) == [0, 3, 4]
    assert parse_layers("all", 3) == parse_layers("", 3) == [0, 1, 2]


@pytest.mark.parametrize("text", ["12", "0-12", "5-3", "a", "1,,2", "-1", "1.5", "²", "0-99999999999"])
def test_bad_layers_get_a_sentence(text: str) -> None:
    with pytest.raises(BadSelection, match=r"^[A-Z'].*\.$"):
        parse_layers(text, 12)


def test_circuits_come_in_a_fixed_order() -> None:
    assert parse_circuits("mlp_out, ov,ov") == ["ov", "mlp_out"]
    assert parse_circuits(("mlp_in",)) == ["mlp_in"]


@pytest.mark.parametrize("text", ["", "vo", "ov,mlp", "OV"])
def test_bad_circuits_get_a_sentence_that_lists_the_good(text: str) -> None:
    with pytest.raises(BadSelection, match=r"ov, qk, mlp_in, mlp_gate, mlp_out, embed, unembed\.$"):
        parse_circuits(text)


def test_heads() -> None:
    assert choose_heads(None, 3) == [0, 1, 2]
    assert choose_heads([2, 0, 2], 3) == [0, 2]
    for heads in ([3], [-1], []):
        with pytest.raises(BadSelection):
            choose_heads(heads, 3)
