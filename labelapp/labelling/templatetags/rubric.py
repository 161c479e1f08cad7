"""Guidelines as a page shows them: paragraphs, lists that begin with "- ", and **strong** words. Nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.filter
def rubric(text: str) -> SafeString:
    """Everything is escaped before any markup of ours is added."""
    blocks = re.split(r"\n\s*\n", str(escape(text.replace("\r\n", "\n"))).strip())
    return mark_safe("\n".join(html for block in blocks for html in _block(block)))


def _block(block: str) -> Iterator[str]:
    paragraph, *items = re.split(r"(?:^|\n)- ", block)
    if paragraph.strip():
        yield f"<p>{_strong(paragraph)}</p>"
    if items:
        yield "<ul>" + "".join(f"<li>{_strong(item)}</li>" for item in items) + "</ul>"


def _strong(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", " ".join(text.split()))
