"""Text keeps a contrast of 4.5 : 1 in both schemes, on every depth of heat: computed from the colours in app.css."""

import re

import pytest
from django.conf import settings

CSS = (settings.BASE_DIR / "static/css/app.css").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+): ([^;]+);", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
)
TEXTS = ("ink", "soft", "accent", "yes", "no", "unsure")


def rgb(value):
    if value.startswith("#"):
        return [int(value[i : i + 2], 16) for i in (1, 3, 5)]
    return [int(part) for part in value.split()]


def luminance(colour):
    linear = [(c / 255) / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def blended(scheme, depth, ground):
    return [
        depth * over + (1 - depth) * under for over, under in zip(rgb(scheme["heat"]), rgb(scheme[ground]), strict=True)
    ]


def test_the_formula():
    assert contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)
    assert contrast(rgb("#767676"), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(scheme):
    for ground in ("bg", "panel"):
        for text in TEXTS:
            assert contrast(rgb(scheme[text]), rgb(scheme[ground])) >= 4.5, (text, ground)
            hovered = blended(scheme, 0.06, ground)  # a row under the pointer
            assert contrast(rgb(scheme[text]), hovered) >= 4.5, (text, ground, "hover")
        assert contrast(rgb(scheme["edge"]), rgb(scheme[ground])) >= 3, ground
        for step in range(21):
            cell = blended(scheme, float(scheme["heat-most"]) * step / 20, ground)
            assert contrast(rgb(scheme["ink"]), cell) >= 4.5, (ground, step)
    assert contrast(rgb(scheme["accent-ink"]), rgb(scheme["accent"])) >= 4.5
