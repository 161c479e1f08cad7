"""Guidelines as a page shows them: Markdown (CommonMark and tables), and nothing else.

Raw HTML is shown as the text that it is, links lead only where links may, images are left as text (a page loads
nothing from elsewhere), and headings stand below those of the page.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from functools import cache
from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

register = template.Library()

HEADINGS_BELOW = 2  # the page has h1 and h2 itself
LOWEST_HEADING = 6


@register.filter
def rubric(text: str) -> SafeString:
    return mark_safe(str(_markdown().render(text)))


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    markdown.add_render_rule("heading_open", _heading)
    markdown.add_render_rule("heading_close", _heading)
    markdown.add_render_rule("link_open", _link)
    return markdown


def _heading(
    renderer: RendererHTML, tokens: Sequence[Token], place: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    level = int(tokens[place].tag[1:]) + HEADINGS_BELOW
    tokens[place].tag = f"h{min(level, LOWEST_HEADING)}"
    return renderer.renderToken(tokens, place, options, env)


def _link(
    renderer: RendererHTML, tokens: Sequence[Token], place: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    tokens[place].attrSet("rel", "noopener noreferrer nofollow")
    return renderer.renderToken(tokens, place, options, env)
