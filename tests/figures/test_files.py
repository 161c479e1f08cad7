"""What a plot is saved as: valid specifications, files that open, tables that run nothing."""

import csv
import io
import json
import re

import altair
import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from labelapp.exchange.spreadsheets import SIGNS, csv_bytes, spreadsheet_safe
from labelapp.figures.files import file_name
from labelapp.figures.management.commands.vega_bundle import bundle
from labelapp.figures.render import RenderError, plot_draw
from labelapp.figures.specs import SCALES, Fraction, Spectrum, fraction_spec, spectrum_spec
from tests.factories import ODD_TOKENS

ONE = [Spectrum("ov.0.0", [3.0, 2.0, 0.5])]
SEVERAL = [*ONE, Spectrum("ov.0.1", [1.0]), Spectrum("mlp_in.3", [1.0 / (n + 1) for n in range(300)])]
FRACTIONS = [Fraction(circuit, layer, 30, 60, 0.38, 0.62, 4) for circuit in ("OV", "MLP-in") for layer in (0, 1)]


def specs():
    for scale in SCALES:
        yield spectrum_spec(ONE, scale=scale)
        yield spectrum_spec(SEVERAL, scale=scale)
    yield fraction_spec(FRACTIONS)
    yield fraction_spec(FRACTIONS[:2], noise_rate=0.05)


@pytest.mark.parametrize("spec", list(specs()))
def test_a_specification_is_valid(spec):
    """altair, which checks against Vega-Lite's schema, makes none of them (see figures/specs.py)."""
    altair.Chart.from_dict(spec, validate=True)
    json.dumps(spec, allow_nan=False)


def test_a_log_scale_holds_no_zero_and_a_linear_one_does():
    zeros = [Spectrum("a", [1.0, 0.0])]
    assert [it["sigma"] for it in spectrum_spec(zeros, scale="log")["data"]["values"]] == [1.0]
    assert [it["sigma"] for it in spectrum_spec(zeros, scale="linear")["data"]["values"]] == [1.0, 0.0]


@pytest.mark.parametrize(("form", "start"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_plot_is_drawn(form, start):
    drawn = plot_draw(spectrum_spec(SEVERAL), form)
    assert drawn.startswith(start)
    if form == "svg":
        for word in (b"Index (0 is the largest)", b"ov.0.1", b"log scale"):
            assert word in drawn


def test_one_legend_tells_colour_and_shape():
    svg = plot_draw(fraction_spec(FRACTIONS, noise_rate=0.05), "svg").decode()
    assert svg.count(">MLP-in<") == 1 and "noise 5%" in svg


def test_the_names_of_many_spectra_stand_in_rows_of_two():
    """So that a phone's width shows them all."""
    names = [f"ov.1.2;{name}" for name in ("gaussian", "covariance", "shuffled", "column_shuffled")]
    svg = plot_draw(spectrum_spec([Spectrum(name, [2.0, 1.0]) for name in names]), "svg").decode()
    rows = [re.findall(r"translate\([\d.]+,([\d.]+)\)", svg[: svg.index(f">{name}<")])[-3] for name in names]
    assert rows[0] == rows[1] != rows[2] == rows[3]


def test_a_broken_specification_is_an_error_and_not_a_file():
    with pytest.raises(RenderError):
        plot_draw({"mark": 7}, "svg")


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_would_be_a_formula(text):
    assert spreadsheet_safe(text) == "'" + text


@pytest.mark.parametrize("cell", [-1.5, 0, None, "demo/ov.0.0/1-", "", "a=b", "+", "-"])
def test_what_is_none_stays_as_it_is(cell):
    assert spreadsheet_safe(cell) == cell


@given(st.lists(st.lists(st.text(max_size=8) | st.sampled_from(ODD_TOKENS), min_size=1), max_size=5))
def test_no_cell_ever_begins_like_a_formula(rows):
    text = csv_bytes(["a"], rows).decode("utf-8")
    for row in csv.reader(io.StringIO(text.replace("\x00", "")), strict=False):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) and cell not in SIGNS for cell in row)


def test_a_key_as_a_files_name():
    assert file_name("demo@1/ov.0.0:read/1+;folded") == "demo-1-ov.0.0-read-1-folded"


def test_the_bundle_is_what_the_command_makes():
    vendor = settings.BASE_DIR / "static" / "vendor"
    committed, made = (vendor / "vega.js").read_text(encoding="utf-8"), bundle()
    first, installed = committed.partition("\n")[0], made.partition("\n")[0]
    versions = first.removeprefix("// ").partition(";")[0]
    assert versions in (vendor / "README.md").read_text(encoding="utf-8")
    assert versions in installed, "another Vega is installed: run ./tea manage vega_bundle and commit the result"
    if first == installed:  # another vl-convert may pack the same versions in another way
        assert committed == made
