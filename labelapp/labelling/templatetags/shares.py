"""Shares and probabilities as pages write them."""

from __future__ import annotations

from django import template
from django.template.defaultfilters import floatformat

register = template.Library()


@register.filter
def percent(value: float | None) -> str:
    """0.583 as "58 %"; one decimal below 1 % and above 99 %, where it matters. Empty for None."""
    if value is None:
        return ""
    digits = 1 if 0 < value < 0.01 or 0.99 < value < 1 else 0
    return f"{100 * value:.{digits}f} %"


@register.filter
def p_value(value: float) -> str:
    """0.01234 as "0.0123"; what four decimals would write as zero is "< 0.0001"."""
    return "< 0.0001" if value < 0.0001 else floatformat(value, 4)


@register.filter
def points(value: float) -> str:
    """A half width of 0.05 as "5"."""
    return f"{100 * value:g}"


@register.filter
def share_of(n: int, whole: int) -> str:
    """n of a whole in per cent; a dash of nothing."""
    return percent(n / whole) if whole else "–"


@register.filter
def probability(value: float) -> str:
    """Two digits, or a bound where it is tiny."""
    return f"{value:.2f}" if value >= 0.01 else ("< 0.001" if value < 0.001 else f"{value:.3f}")


@register.filter
def minutes(value: float | None) -> float | None:
    """Minutes as seconds, which `duration` puts in words."""
    return None if value is None else 60 * value
