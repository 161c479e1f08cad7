"""The matrix table as a picture, for slides and papers: on white, with the page's heat. It registers as a copy."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from labelapp.atlas import copies
from labelapp.atlas.copies import CopyError, TableCopy, TableForm
from labelapp.atlas.presentation import HEAT_STEPS, Token
from labelapp.figures.render import RenderError, picture_draw

logger = logging.getLogger(__name__)

INK, SOFT, HEAT, HEAT_MOST = "#1b1d1f", "#5a6165", "#0d6e64", 0.52  # as in static/css/app.css
MONO = "DejaVu Sans Mono, Liberation Mono, monospace"
SIZE, LETTER, LINE = 13, 7.85, 22  # a letter's width in the font above
MARGIN, PADDING, GAP = 16, 7, 2
LONGEST = 26  # letters of a token; what is cut off ends in "…"
MOST_PIXELS = 12_000_000  # a larger table is drawn at its plain size


def register() -> None:
    copies.table_form_register(TableForm("png", "PNG", "image/png", ".png", table_png))


def table_png(copy: TableCopy) -> bytes:
    """Raises CopyError."""
    layout = Layout.of(copy)
    scale = 2 if layout.width * layout.height * 4 <= MOST_PIXELS else 1
    try:
        return picture_draw(table_svg(copy, layout), scale=scale)
    except RenderError as error:
        logger.error("The table of %s could not be drawn: %s", copy.key, error)
        raise CopyError(
            "The picture could not be drawn; Markdown and LaTeX are not affected. The server's log says more."
        ) from error


@dataclass(frozen=True)
class Layout:
    """Where things stand: `lefts` and `widths` of the columns, the first of them the ranks'."""

    lefts: Sequence[float]
    widths: Sequence[float]
    top: int  # of the first row of tokens
    width: float
    height: int

    @classmethod
    def of(cls, copy: TableCopy) -> Layout:
        table = copy.table
        texts = [["100"], *([copies.column_name(it), copies.column_value(it)] for it in table.columns)]
        for _, cells in table.rows:
            for place, token in enumerate(cells):
                texts[place + 1].append(_clipped(token.shown) if token else "")
        widths = [max(map(_letters, column)) * LETTER + 2 * PADDING for column in texts]
        lefts = [MARGIN + sum(widths[:place]) + GAP * place for place in range(len(widths))]
        top = MARGIN + 4 * LINE
        notes = 2 if copy.note else 1
        width = max(lefts[-1] + widths[-1], MARGIN + 0.93 * LETTER * max(map(_letters, _lines(copy)))) + MARGIN
        return cls(lefts, widths, top, width, top + LINE * (len(table.rows) + notes) + MARGIN)


def table_svg(copy: TableCopy, layout: Layout) -> str:
    size = f'width="{layout.width:.0f}" height="{layout.height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{MONO}" font-size="{SIZE}">',
        f'<rect {size} fill="#ffffff"/>',
        _text(MARGIN, MARGIN + SIZE, _lines(copy)[0]),
        *_heads(copy, layout),
        *_brackets(copy, layout),
        *_cells(copy, layout),
        *_feet(copy, layout),
        "</svg>",
    ]
    return "\n".join(parts)


def _lines(copy: TableCopy) -> list[str]:
    """The title and what stands below the table."""
    span = copy.table.range
    if not span.is_known:
        return [f"{copy.key}  {copy.caption}", "no scores stored", *([copy.note] if copy.note else [])]
    above = " and above" if span.is_cut else ""
    scale = f"palest colour: score {span.smallest:.2f}, deepest: {span.deepest:.2f}{above}"
    return [f"{copy.key}  {copy.caption}", scale, *([copy.note] if copy.note else [])]


def _heads(copy: TableCopy, layout: Layout) -> Iterator[str]:
    for column, left in zip(copy.table.columns, layout.lefts[1:], strict=True):
        yield _text(left + PADDING, layout.top - LINE - 6, copies.column_name(column), weight="600")
        yield _text(left + PADDING, layout.top - 8, copies.column_value(column), colour=SOFT)


def _brackets(copy: TableCopy, layout: Layout) -> Iterator[str]:
    """A line over each block of near-equal singular values."""
    first, y = 1, layout.top - 2 * LINE - 4
    for span in copy.table.spans:
        last = first + span.width - 1
        if span.block is not None:
            left, right = layout.lefts[first], layout.lefts[last] + layout.widths[last]
            path = f"M{left:.1f} {y + 6} V{y} H{right:.1f} V{y + 6}"
            yield f'<path d="{path}" fill="none" stroke="{SOFT}"/>'
        first = last + 1


def _cells(copy: TableCopy, layout: Layout) -> Iterator[str]:
    for row, (rank, cells) in enumerate(copy.table.rows):
        y = layout.top + row * LINE
        yield _text(layout.lefts[0] + PADDING, y + SIZE + 2, f"{rank:>3}", colour=SOFT)
        for place, token in enumerate(cells, start=1):
            if token:
                yield from _cell(token, layout.lefts[place], y, layout.widths[place])


def _cell(token: Token, x: float, y: float, width: float) -> Iterator[str]:
    depth = HEAT_MOST * token.heat / HEAT_STEPS
    yield (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{LINE - GAP}" rx="3" '
        f'fill="{HEAT}" fill-opacity="{depth:.3f}"/>'
    )
    yield _text(x + PADDING, y + SIZE + 2, _clipped(token.shown))


def _feet(copy: TableCopy, layout: Layout) -> Iterator[str]:
    y = layout.top + LINE * len(copy.table.rows) + SIZE + 6
    for place, line in enumerate(_lines(copy)[1:]):
        yield _text(MARGIN, y + place * LINE, line, colour=SOFT, size=SIZE - 1)


def _text(x: float, y: float, text: str, *, colour: str = INK, weight: str = "400", size: int = SIZE) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-weight="{weight}" font-size="{size}" '
        f'xml:space="preserve">{escape(text)}</text>'
    )


def _clipped(shown: str) -> str:
    if _letters(shown) <= LONGEST:
        return shown
    return shown[: next(n for n in range(len(shown), -1, -1) if _letters(shown[:n]) < LONGEST)] + "…"


def _letters(text: str) -> int:
    """How many letters wide: East Asian ones are two, combining marks none."""
    return sum(2 if unicodedata.east_asian_width(it) in "WF" else not unicodedata.combining(it) for it in text)
