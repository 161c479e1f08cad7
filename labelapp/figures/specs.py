"""Vega-Lite specifications as plain dicts. What a plot looks like (fonts, colours) is added where it is drawn.

altair would be the usual maker; its import takes .7 s and 43 MB in every web process, so it only checks, in the
tests, that these are valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
VEGA_LITE = "6.4"  # the version that is bundled for the browser and used by the server
SCALES = ("log", "linear")
MAX_POINTS = 130  # beyond so many values a line alone is clearer

# For the files that the server draws: they are printed, so they must also read without colour.
PRINT_CONFIG: dict[str, Any] = {
    "background": "#ffffff",
    "font": "sans-serif",
    "range": {"category": ["#0b6b61", "#9b2f24", "#7a5a00", "#3a4a8c", "#5a6165"]},
    "rule": {"color": "#1b1d1f"},
    "view": {"stroke": None},
    "axis": {"gridColor": "#e4e1da", "labelColor": "#1b1d1f", "titleColor": "#1b1d1f", "titleFontWeight": 500},
}


@dataclass(frozen=True)
class Spectrum:
    """One matrix's singular values, largest first, as many as its rank: what lies beyond is rounding."""

    name: str
    values: Sequence[float]
    is_singular: bool = True  # in another basis than the SVD's they are what it orders its vectors by


@dataclass(frozen=True)
class Fraction:
    """The share of ends that are interpretable in one layer of one circuit, with its interval."""

    circuit: str
    layer: int
    interpretable: int
    n: int
    low: float
    high: float
    left_out: int  # unsure, unparsed or failed

    @property
    def value(self) -> float:
        return self.interpretable / self.n

    @property
    def percent(self) -> float:
        return 100 * self.value

    @property
    def percent_low(self) -> float:
        return 100 * self.low

    @property
    def percent_high(self) -> float:
        return 100 * self.high


def spectrum_spec(spectra: Sequence[Spectrum], *, scale: str = "log") -> dict[str, Any]:
    """Singular values by index; several matrices over one another differ in colour and in shape or dash."""
    values = [
        {"matrix": spectrum.name, "index": index, "sigma": float(f"{value:.7g}")}
        for spectrum in spectra
        for index, value in enumerate(spectrum.values)
        if value > 0 or scale != "log"
    ]
    kinds = {spectrum.is_singular for spectrum in spectra}
    symbol = {frozenset([True]): "σ", frozenset([False]): "size or stretch"}.get(frozenset(kinds), "σ, size or stretch")
    quantity = "Singular value σ" if kinds <= {True} else f"Value: {symbol}"
    few = max((len(spectrum.values) for spectrum in spectra), default=0) <= MAX_POINTS
    encoding: dict[str, Any] = {
        "x": {
            "field": "index",
            "type": "quantitative",
            "axis": {"title": "Index (0 is the largest)", "tickMinStep": 1, "grid": False},
            "scale": {"nice": False},
        },
        "y": {
            "field": "sigma",
            "type": "quantitative",
            "axis": {"title": f"{quantity} (no unit, {scale} scale)", "tickCount": 5},
            "scale": {"type": "log", "nice": False} if scale == "log" else {"zero": True},
        },
        "tooltip": [
            {"field": "matrix", "type": "nominal", "title": "matrix"},
            {"field": "index", "type": "quantitative", "title": "index"},
            {"field": "sigma", "type": "quantitative", "title": "σ", "format": ".4~g"},
        ],
    }
    if len(spectra) > 1:
        by_matrix = {
            "field": "matrix",
            "type": "nominal",
            "scale": {"domain": [spectrum.name for spectrum in spectra]},
            "legend": {"title": None, "orient": "top", "symbolStrokeWidth": 1.5},
        }
        encoding |= {"color": by_matrix, "shape" if few else "strokeDash": by_matrix}
    mark: dict[str, Any] = {"type": "line", "strokeWidth": 1.5}
    if few:
        mark["point"] = {"size": 28, "filled": True}
    return _spec(values, {"mark": mark, "encoding": encoding}, height=280)


def fraction_spec(fractions: Sequence[Fraction], *, noise_rate: float | None = None) -> dict[str, Any]:
    """Fractions by layer, circuits side by side, intervals as bars; a dashed line where noise alone would lie."""
    values = [
        {
            "circuit": it.circuit,
            "layer": it.layer,
            "fraction": it.value,
            "low": it.low,
            "high": it.high,
            "n": it.n,
        }
        for it in fractions
    ]
    circuits = list(dict.fromkeys(it.circuit for it in fractions))
    x = {
        "field": "layer",
        "type": "ordinal",
        "axis": {"title": "Layer", "labelAngle": 0, "grid": False},
        "scale": {"paddingInner": 0.5},
    }
    # The same explicit domain, or colours and shapes get a legend each.
    by_circuit = {"field": "circuit", "type": "nominal", "scale": {"domain": circuits}}
    y_axis = {"title": "Ends interpretable (%)", "format": "%"}
    legend = {"title": None, "orient": "top"} if len(circuits) > 1 else None
    shared = {
        "x": x,
        "xOffset": by_circuit,
        "color": {**by_circuit, "legend": legend},
        "tooltip": [
            {"field": "circuit", "type": "nominal"},
            {"field": "layer", "type": "ordinal"},
            {"field": "fraction", "type": "quantitative", "format": ".1%"},
            {"field": "low", "type": "quantitative", "format": ".1%"},
            {"field": "high", "type": "quantitative", "format": ".1%"},
            {"field": "n", "type": "quantitative"},
        ],
    }
    # From 0, so that lengths can be compared; up to what there is, so that small fractions can be told apart.
    scale = {"domain": [0, _axis_end([it.high for it in fractions])]}
    low = {"field": "low", "type": "quantitative", "axis": y_axis, "scale": scale}
    bars = {"mark": {"type": "rule", "strokeWidth": 1.5}, "encoding": {**shared, "y": low, "y2": {"field": "high"}}}
    points = {
        "mark": {"type": "point", "filled": True, "opacity": 1, "size": 60},
        "encoding": {
            **shared,
            "y": {"field": "fraction", "type": "quantitative", "axis": y_axis, "scale": scale},
            "shape": {**by_circuit, "legend": legend},
        },
    }
    layers = [bars, points]
    if noise_rate is not None:
        layers += _noise_line(noise_rate)
    return _spec(values, {"layer": layers}, height=280)


def _axis_end(highs: Sequence[float]) -> float:
    """The first of some round fractions that leaves room above every interval."""
    most = max([*highs, 0.0]) * 1.15
    return next((end for end in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if most <= end), 1.0)


def _noise_line(rate: float) -> list[dict[str, Any]]:
    data = {"values": [{"rate": rate}]}
    y = {"field": "rate", "type": "quantitative"}
    words = {"type": "text", "align": "left", "baseline": "middle", "dx": 4, "text": f"noise {rate:.0%}"}
    return [
        {"data": data, "mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"y": y}},
        {"data": data, "mark": words, "encoding": {"x": {"value": "width"}, "y": y}},
    ]


def _spec(values: Sequence[dict[str, Any]], body: dict[str, Any], *, height: int) -> dict[str, Any]:
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"values": list(values)},
        **body,
    }
