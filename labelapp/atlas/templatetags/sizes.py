"""A filter for singular values."""

from django import template

from labelapp.atlas.sizes import size_text

register = template.Library()


@register.filter
def size(value: float | None) -> str:
    """`{{ direction.singular_value|size }}`; empty where there is none."""
    return "" if value is None else size_text(value)
