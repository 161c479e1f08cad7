"""The matrix table to take along: as Markdown and LaTeX here, as a picture by the room that draws (it registers).

A copy holds what the page's table shows, less what others said of the directions: it holds no verdicts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.http import HttpResponse

from labelapp.atlas.keys import MatrixKey
from labelapp.atlas.presentation import Column, Table, matrix_title
from labelapp.atlas.sizes import size_text
from labelapp.atlas.tokens import LEADING_SPACE

BLOCK_NOTE = "near-equal singular values, so only the span of these directions means something"
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_SPACES = re.compile(f"{LEADING_SPACE}? {{2,}}|{LEADING_SPACE} +")
# What breaks or changes something in LaTeX text; the rest of ASCII stands for itself.
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", '"': r"\char34{}",
    "·": r"\textperiodcentered{}", "−": "$-$", "σ": r"$\sigma$",
}  # fmt: skip
_LIGATURES = re.compile("(?<=-)(?=-)|(?<=,)(?=,)")


class CopyError(Exception):
    """A copy could not be made; the text is a sentence for the page."""


@dataclass(frozen=True)
class TableCopy:
    """A table with the words that say what it is."""

    key: MatrixKey
    side: str
    sign: str
    table: Table

    @property
    def caption(self) -> str:
        return f"{matrix_title(self.key)}, {self.side} side, {self.sign} end"

    @property
    def blocks(self) -> Sequence[str]:
        """The blocks of near-equal singular values among the columns: "1+ to 4+"."""
        columns, found = list(self.table.columns), []
        for span in self.table.spans:
            taken, columns = columns[: span.width], columns[span.width :]
            if span.block is not None:
                found.append(" to ".join(dict.fromkeys([column_name(taken[0]), column_name(taken[-1])])))
        return found

    @property
    def note(self) -> str:
        return f"{'; '.join(self.blocks)}: {BLOCK_NOTE}." if self.blocks else ""


@dataclass(frozen=True)
class TableForm:
    """One thing that a table can be copied as; `make` raises CopyError."""

    slug: str
    name: str
    content_type: str
    suffix: str
    make: Callable[[TableCopy], bytes]


FORMS: dict[str, TableForm] = {}


def table_form_register(form: TableForm) -> None:
    FORMS[form.slug] = form


def copy_response(form: TableForm, copy: TableCopy) -> HttpResponse:
    """The copy as a file to save; copy.js puts the same into the clipboard."""
    try:
        content = form.make(copy)
    except CopyError as error:
        return HttpResponse(str(error), status=500, content_type="text/plain; charset=utf-8")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{copy.key}-{copy.side}{'-minus' if copy.sign == '-' else ''}")
    headers = {"Content-Disposition": f'attachment; filename="{name}{form.suffix}"'}
    return HttpResponse(content, content_type=form.content_type, headers=headers)


def column_name(column: Column) -> str:
    return f"{column.direction.index}{column.direction.sign}"


def column_value(column: Column) -> str:
    value, unit = column.direction.singular_value, column.direction.neuron
    parts = [] if unit is None else [f"unit {unit}"]
    return " ".join([*parts, *([] if value is None else [f"{column.value_name.symbol} {size_text(value)}"])])


def markdown(copy: TableCopy) -> str:
    """A table as GitHub and pandoc read it."""
    heads = [f"{column_name(it)} {column_value(it)}".strip() for it in copy.table.columns]
    lines = [f"{copy.caption} (`{copy.key}`)", "", _line(["", *heads]), _line(["---:", *["---"] * len(heads)])]
    body = [[str(rank), *(markdown_token(it.shown) if it else "" for it in row)] for rank, row in copy.table.rows]
    lines += map(_line, body)
    if copy.note:
        lines += ["", copy.note]
    return "\n".join(lines) + "\n"


def markdown_token(shown: str) -> str:
    """A token as code, in which nothing is a link, a mention or markup.

    Renderers disagree on a `|` in code in a table, so such a token is text with every sign escaped.
    """
    text = _spaces_kept(shown)
    if not text:
        return ""
    if "|" in text:
        return _PUNCTUATION.sub(r"\\\1", text)
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    edge = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{edge}{text}{edge}{fence}"


def latex(copy: TableCopy) -> str:
    """A `tabular` that needs no package."""
    heads = [f"{latex_text(column_name(it))} {latex_text(column_value(it))}".strip() for it in copy.table.columns]
    body = [[str(rank), *(latex_token(it.shown) if it else "" for it in row)] for rank, row in copy.table.rows]
    lines = [f"% {copy.key}: {copy.caption}"]
    if any(_beyond_latin(cell) for row in body for cell in row):
        lines.append("% Some tokens are not Latin: compile with LuaLaTeX or XeLaTeX and a font that has them.")
    lines += [
        f"\\begin{{tabular}}{{r{'l' * len(heads)}}}",
        "\\hline",
        _latex_row(["", *heads]),
        "\\hline",
        *map(_latex_row, body),
        "\\hline",
        "\\end{tabular}",
    ]
    if copy.note:
        lines += ["", latex_text(copy.note)]
    return "\n".join(lines) + "\n"


def latex_text(text: str) -> str:
    return _LIGATURES.sub("{}", "".join(_LATEX.get(character, character) for character in text))


def latex_token(shown: str) -> str:
    return f"\\texttt{{{latex_text(_spaces_kept(shown))}}}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _latex_row(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _spaces_kept(shown: str) -> str:
    """Both formats would make one space of several."""
    return _SPACES.sub(lambda run: LEADING_SPACE * len(run[0]), shown)


def _beyond_latin(text: str) -> bool:
    return any(ord(it) > 0x7F and not unicodedata.name(it, "").startswith("LATIN") for it in text)


table_form_register(
    TableForm("markdown", "Markdown", "text/markdown; charset=utf-8", ".md", lambda it: markdown(it).encode())
)
table_form_register(
    TableForm("latex", "LaTeX", "application/x-tex; charset=utf-8", ".tex", lambda it: latex(it).encode())
)
