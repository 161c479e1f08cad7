"""How a singular value is written: in few figures, however small it is."""

from __future__ import annotations


def size_text(value: float) -> str:
    """`12`, `1.25`, `0.10`, `0.034`, `4e-5`: never a zero for what is none."""
    if value >= 99.5 or value == 0:
        return f"{value:.0f}"
    if value >= 0.0995:
        return f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"
    if value >= 0.00095:
        return f"{value:.2g}"
    digits, exponent = f"{value:.0e}".split("e")
    return f"{digits}e{int(exponent)}"
