"""The matrix table to take along: a copy says what the page shows, and no token breaks out of it."""

import re

import markdown_it
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelapp.atlas import copies, presentation
from labelapp.atlas.copies import TableCopy, latex, latex_text, latex_token, markdown, markdown_token
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.tokens import LEADING_SPACE, token_display
from labelapp.figures.tables import Layout, table_png, table_svg
from labelapp.judgements.services import Draft, judge_ensure, judgement_record
from tests.factories import ODD_TOKENS

SIGNS = list(r"""|`\_&%$#{}~^<>*[]()!"'-,.:/@·− """)
HARD = [
    *ODD_TOKENS,
    *SIGNS,
    "``",
    "`a`",
    "a|b",
    "\\|",
    "|`|",
    "--",
    "---",
    ",,",
    "a  b",
    "    x",
    "\\\\",
    "www.x.org",
    "$x$",
]
TOKENS = (
    st.text(st.sampled_from(SIGNS) | st.characters(codec="utf-8"), min_size=1, max_size=8)
    | st.binary(min_size=1, max_size=6).map(lambda piece: piece.decode("utf-8", "surrogateescape"))
    | st.sampled_from(HARD)
)


def copy_of(tokens, *, sign="+", columns=2, blocks=()):
    """A table with these tokens in each column."""
    matrix = Matrix(model=Model(name="tiny"), address="ov.0.0", circuit="ov", layer=0, head=0)
    rows = [
        Direction(
            matrix=matrix, side="write", index=index, sign=sign, singular_value=3.0 - index, tokens=list(tokens),
            scores=[1.0 - 0.01 * place for place in range(len(tokens))], block=0 if index in blocks else None,
        )
        for index in range(columns)
    ]  # fmt: skip
    return TableCopy(matrix.key, "write", sign, presentation.table(rows, rows=200, notes={}))


def rendered(text):
    """The cells of the first table, by another reader of Markdown, as a person sees them."""
    cells, inside = [], False
    for block in markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        inside = inside or block.type == "tbody_open"
        if inside and block.type == "inline":
            assert {it.type for it in block.children} <= {"text", "code_inline", "text_special"}, block.content
            cells.append("".join(it.content for it in block.children))
    return cells


def untex(text):
    """What LaTeX prints for an escaped text, for the few commands that may stand in it."""
    named = {
        "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">",
        "textbar": "|", "textasciigrave": "`", "textquotesingle": "'", "textperiodcentered": "·", "char34": '"',
    }  # fmt: skip
    pattern = r"\\([a-z]+\d*)\{\}|\\([{}_&%#$])|(\$-\$)|(\$\\sigma\$)|\{\}|(.)"

    def one(match):
        command, escaped, minus, sigma, plain = match.groups()
        assert plain is None or plain not in "\\{}_&%#$~^<>|`'\"", match.string
        return named[command] if command else escaped or (minus and "−") or (sigma and "σ") or plain or ""

    return re.sub(pattern, one, text)


def kept(token):
    """As it is shown, with spaces that would fall together as dots."""
    return re.sub(f"{LEADING_SPACE}? {{2,}}|{LEADING_SPACE} +", lambda run: "·" * len(run[0]), token_display(token))


# Escapes


def test_markdown_of_hard_tokens():
    cells = rendered(markdown(copy_of(HARD, columns=1)))
    assert cells[1::2] == [kept(token) for token in HARD]
    assert cells[0::2] == [str(place + 1) for place in range(len(HARD))]


@given(st.lists(TOKENS, min_size=1, max_size=5))
def test_markdown_of_any_tokens(tokens):
    assert rendered(markdown(copy_of(tokens, columns=1)))[1::2] == [kept(token) for token in tokens]


@given(TOKENS)
def test_latex_of_any_token(token):
    inside = latex_token(token_display(token))
    assert inside.startswith(r"\texttt{") and inside.endswith("}")
    assert untex(inside[len(r"\texttt{") : -1]) == kept(token)
    assert not re.search("--|,,", inside)


@pytest.mark.parametrize(
    ("shown", "written"),
    [("a|b", r"a\|b"), ("`", "`` ` ``"), ("a``b", "```a``b```"), ("·dog", "`·dog`"), ("\\x00", "`\\x00`"), ("", "")],
)
def test_markdown_token(shown, written):
    assert markdown_token(shown) == written


def test_latex_text():
    assert latex_text("a_b & 50% #1 $x$ {y} \\ ~ ^") == (
        r"a\_b \& 50\% \#1 \$x\$ \{y\} \textbackslash{} \textasciitilde{} \textasciicircum{}"
    )


# Tables


def test_a_markdown_table_says_what_it_is():
    lines = markdown(copy_of([" dog", "cat"], sign="-", columns=3, blocks=(1, 2))).splitlines()
    assert lines == [
        "OV, layer 0, head 0, write side, - end (`tiny/ov.0.0`)",
        "",
        "|  | 0- σ 3.00 | 1- σ 2.00 | 2- σ 1.00 |",
        "| ---: | --- | --- | --- |",
        "| 1 | `·dog` | `·dog` | `·dog` |",
        "| 2 | `cat` | `cat` | `cat` |",
        "",
        "1- to 2-: near-equal singular values, so only the span of these directions means something.",
    ]


def test_a_latex_table_has_a_cell_for_each_column():
    text = latex(copy_of(HARD, columns=3))
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + len(HARD) and r"\begin{tabular}{rlll}" in text
    assert all(len(re.findall(r"(?<!\\)&", row)) == 3 for row in rows)
    assert "LuaLaTeX" not in latex(copy_of([" dog", "é"])) and "LuaLaTeX" in latex(copy_of(["犬"]))


def test_columns_of_different_lengths_leave_cells_empty():
    copy = copy_of(["a", "b"])
    shorter = presentation.table([copy.table.columns[0].direction], rows=1, notes={})
    rows = [(1, [shorter.rows[0][1][0], None])]
    table = presentation.Table(copy.table.columns, copy.table.spans, rows, copy.table.range)
    uneven = TableCopy(copy.key, copy.side, copy.sign, table)
    assert "| 1 | `a` |  |" in markdown(uneven) and r"1 & \texttt{a} &  \\" in latex(uneven)
    assert table_png(uneven).startswith(b"\x89PNG")


def test_the_picture_is_drawn_from_valid_xml_whatever_the_tokens():
    from xml.etree import ElementTree

    copy = copy_of([*HARD, "Ã" * 60, "犬" * 40], columns=3, blocks=(0, 1))
    svg = table_svg(copy, Layout.of(copy))
    texts = [it.text for it in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "<script>alert(1)</script>" in texts and "\\x00" in texts and "0+" in texts
    assert any("0+ to 1+: near-equal" in text for text in texts)
    assert max(map(len, (it for it in texts if it.startswith("Ã")))) == 26
    assert table_png(copy).startswith(b"\x89PNG")


# From the page


@pytest.mark.parametrize(
    ("form", "content_type", "suffix"),
    [("markdown", "text/markdown", ".md"), ("latex", "application/x-tex", ".tex"), ("png", "image/png", ".png")],
)
def test_a_copy_is_a_file_to_save(signed_in, matrix, form, content_type, suffix):
    response = signed_in.get(f"/models/matrix/tiny/ov.0.0?as={form}&sign=-")
    assert response.status_code == 200 and response["Content-Type"].startswith(content_type)
    assert response["Content-Disposition"] == f'attachment; filename="tiny-ov.0.0-write-minus{suffix}"'


def test_a_copy_holds_what_the_page_shows(signed_in, matrix):
    query = "side=read&sign=-&from=3&columns=2&rows=4"
    page = signed_in.get(f"/models/matrix/tiny/ov.0.0?{query}").content.decode()
    escaped = query.replace("&", "&amp;")
    assert f'data-copy="?as=markdown&amp;{escaped}"' in page and f'href="?as=png&amp;{escaped}"' in page
    text = signed_in.get(f"/models/matrix/tiny/ov.0.0?as=markdown&{query}").content.decode()
    assert "read side, - end" in text and "| 3- σ" in text.replace("|  |", "|") and "4- σ" in text and "5-" not in text
    assert re.findall("`(·token[0-9]+)`", text) and text.count("\n| ") == 2 + 4
    for token in re.findall("`(·token[0-9]+)`", text):
        assert f'<span class="token">{token}</span>' in page


def test_a_copy_holds_no_verdict(signed_in, matrix):
    judge = judge_ensure(type="baseline", name="offline baseline", parameters={})
    first = matrix.directions.get(side="write", index=0, sign="+")
    judgement_record(judge=judge, source="run:1", draft=Draft(first.pk, "interpretable"))
    assert "baseline" in signed_in.get("/models/matrix/tiny/ov.0.0").content.decode()
    for form in ("markdown", "latex"):
        text = signed_in.get(f"/models/matrix/tiny/ov.0.0?as={form}").content.decode()
        assert "baseline" not in text and "✓" not in text


def test_an_unknown_form_is_a_sentence(signed_in, matrix):
    response = signed_in.get("/models/matrix/tiny/ov.0.0?as=docx")
    assert response.status_code == 404
    assert "copied as markdown, latex, png, not as" in response.content.decode()


def test_a_picture_that_cannot_be_drawn_is_a_sentence(signed_in, matrix, monkeypatch):
    monkeypatch.setattr("labelapp.figures.render.TIMEOUT_SECONDS", 0.001)
    response = signed_in.get("/models/matrix/tiny/ov.0.0?as=png")
    assert response.status_code == 500 and "could not be drawn" in response.content.decode()


def test_nobody_copies(client, matrix):
    assert client.get("/models/matrix/tiny/ov.0.0?as=markdown").status_code == 302
    assert set(copies.FORMS) == {"markdown", "latex", "png"}
