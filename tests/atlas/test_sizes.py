"""How singular values are written."""

import pytest

from labelapp.atlas.sizes import size_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.4, "1234"), (99.6, "100"), (99.4, "99.4"), (9.97, "10.0"), (9.94, "9.94"), (1.0, "1.00"), (0.104, "0.10"),
        (0.0995, "0.10"), (0.0994, "0.099"), (0.0343, "0.034"), (0.00096, "0.00096"), (0.0009, "9e-4"),
        (4.94e-5, "5e-5"), (1.5e-12, "2e-12"), (0.0, "0"),
    ],
)  # fmt: skip
def test_a_size_is_short_and_never_a_zero_for_what_is_none(value: float, text: str) -> None:
    assert size_text(value) == text
