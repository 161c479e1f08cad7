"""Filters for tokens. A raw one can hold half a character, which no page can carry: always print it with these."""

from django import template

from labelapp.atlas.tokens import token_display, token_title

register = template.Library()


@register.filter
def display(token: str) -> str:
    """`{{ token|display }}`: as on the pages, a leading space as `·`, odd characters as escapes."""
    return token_display(token)


@register.filter
def exact(token: str) -> str:
    """`title="{{ token|exact }}"`: the exact value, with its bytes where they are odd."""
    return token_title(token)
