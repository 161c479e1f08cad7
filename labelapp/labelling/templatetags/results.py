"""How the page of results writes shares and verdicts."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def percent(share: float | None) -> str:
    """A share in per cent, with one decimal."""
    return "" if share is None else f"{100 * share:.1f}"


@register.filter
def verdict_words(verdict: str) -> str:
    """As `partials/verdict_words.html`, where only text can stand."""
    words = {"concept": "a broad concept", "no_concept": "no broad concept"}
    return words.get(verdict, verdict.replace("_", " "))
