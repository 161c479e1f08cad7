"""Draws a plot or a picture: `python -m labelapp.figures.render svg` from standard input to standard output.

A process of its own, because vl-convert brings a JavaScript engine: 1.1 s and 75 to 170 MB that the web process
would keep for good (measured with vl-convert-python 1.9).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelapp.figures.specs import PRINT_CONFIG, VEGA_LITE

WIDTH = 640
TIMEOUT_SECONDS = 30
ROOT = Path(__file__).resolve().parent.parent.parent
DRAWN_FORMS = ("svg", "png", "pdf")


class RenderError(Exception):
    """The plot could not be drawn; the text is for the log."""


def plot_draw(spec: Mapping[str, Any], form: str) -> bytes:
    """A plot as SVG, PNG (twice the size) or PDF. Raises RenderError."""
    return _run([form], json.dumps({**spec, "width": WIDTH, "config": PRINT_CONFIG}))


def picture_draw(svg: str, *, scale: int) -> bytes:
    """An SVG drawing as PNG. Raises RenderError."""
    return _run(["picture", str(scale)], svg)


def _run(arguments: Sequence[str], text: str) -> bytes:
    command, document = [sys.executable, "-m", "labelapp.figures.render", *arguments], text.encode()
    try:
        done = subprocess.run(command, input=document, capture_output=True, timeout=TIMEOUT_SECONDS, cwd=ROOT)
    except subprocess.TimeoutExpired as error:
        raise RenderError(f"drawing took longer than {TIMEOUT_SECONDS} s") from error
    if done.returncode:
        raise RenderError(done.stderr.decode(errors="replace")[-2000:])
    return done.stdout


def _draw(document: str, form: str, scale: str = "") -> bytes:
    import vl_convert

    if form == "picture":
        return bytes(vl_convert.svg_to_png(document, scale=float(scale)))
    if form == "svg":
        return str(vl_convert.vegalite_to_svg(document, vl_version=VEGA_LITE)).encode()
    if form == "png":
        return bytes(vl_convert.vegalite_to_png(document, vl_version=VEGA_LITE, scale=2))
    return bytes(vl_convert.vegalite_to_pdf(document, vl_version=VEGA_LITE))


if __name__ == "__main__":
    sys.stdout.buffer.write(_draw(sys.stdin.buffer.read().decode(), *sys.argv[1:]))
