"""Vega-Lite specifications of the figures' points: a person's are round, a machine's square, corrected ones diamonds.

Intervals are bands behind a machine's line, bars elsewhere. Colour tells models apart, and so do dashes: plots are also
printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labelapp.figures.kinds.base import Point
from labelapp.figures.specs import SCHEMA

SHAPES = {"person": "circle", "machine": "square", "corrected": "diamond"}
SOURCE_NAMES = {"person": "people", "machine": "machine", "corrected": "corrected"}
OFFSETS = {"person": -5, "machine": 0, "corrected": 5}  # pixels, so that intervals at one place do not hide each other
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4]]
ROW_HEIGHT = 26
LEAST_HEIGHT = 285  # as the page keeps free while a plot loads


def values_of(points: Sequence[Point], **more: Any) -> list[dict[str, Any]]:
    """Of each point what a plot needs, rounded to what can be seen."""
    return [
        {
            "source": SOURCE_NAMES.get(it.source, it.source),
            "name": it.name,
            "model": it.model,
            "circuit": it.circuit,
            "layer": it.layer,
            "depth": it.depth,
            "index": it.index,
            "rule": it.rule,
            "value": _rounded(it.value),
            "low": _rounded(it.low),
            "high": _rounded(it.high),
            "n": it.n,
            **more,
        }
        for it in points
    ]


def series_spec(points: Sequence[Point], *, x: str, x_title: str, unit: str) -> dict[str, Any]:
    """Fractions along an axis: machines as lines with bands, people and corrected estimates as points with bars."""
    shown = [it for it in points if it.value is not None]
    models = list(dict.fromkeys(it.model for it in shown))
    axis = {"title": x_title, "grid": False} | ({"tickMinStep": 1} if x != "depth" else {"format": ".1f"})
    across = {"field": x, "type": "quantitative", "axis": axis, "scale": {"zero": False, "nice": False, "padding": 14}}
    up = _share(f"{_capital(unit)} interpretable (%)", shown)
    by_model = {"field": "model", "type": "nominal", "scale": {"domain": models}}
    several = len(models) > 1
    color = {**by_model, "legend": {"title": None, "orient": "top"} if several else None}
    layers: list[dict[str, Any]] = []
    for source in ("machine", "corrected", "person"):
        own = [it for it in shown if it.source == source]
        if own:
            layers += _source_layers(source, own, across, up, color, _shape(shown), several)
    return _spec({"layer": layers, "resolve": {"legend": {"shape": "shared"}}})


def _source_layers(
    source: str,
    points: Sequence[Point],
    across: Mapping[str, Any],
    up: Mapping[str, Any],
    color: Mapping[str, Any],
    shape: Mapping[str, Any],
    several: bool,
) -> list[dict[str, Any]]:
    data = {"values": values_of(points)}
    low, high = {**up, "field": "low"}, {"field": "high"}
    offset = {"xOffset": {"value": OFFSETS[source]}}
    found: list[dict[str, Any]] = []
    if source == "machine":
        dash = {"strokeDash": {**color, "scale": {**color["scale"], "range": DASHES}}} if several else {}
        band = {"type": "area", "opacity": 0.15}
        found.append({"data": data, "mark": band, "encoding": {"x": across, "y": low, "y2": high, "color": color}})
        line = {"type": "line", "strokeWidth": 1.5}
        found.append({"data": data, "mark": line, "encoding": {"x": across, "y": up, "color": color, **dash}})
        offset = {}
    else:
        bar = {"type": "rule", "strokeWidth": 1.5}
        found.append(
            {"data": data, "mark": bar, "encoding": {"x": across, "y": low, "y2": high, "color": color, **offset}}
        )
    mark = {"type": "point", "filled": source != "person", "opacity": 1, "size": 55, "strokeWidth": 1.8}
    encoding = {"x": across, "y": up, "color": color, "shape": shape, "tooltip": _tooltip(), **offset}
    return [*found, {"data": data, "mark": mark, "encoding": encoding}]


def rows_spec(
    points: Sequence[Point],
    *,
    unit: str,
    title: str = "",
    is_difference: bool = False,
    is_number: bool = False,
    reference: float | None = None,
) -> dict[str, Any]:
    """One row for each point, its interval beside it; the order is that of the points."""
    shown = [it for it in points if it.value is not None]
    names = list(dict.fromkeys(it.name for it in shown))
    across = _along(title or f"{_capital(unit)} interpretable (%)", shown, is_difference)
    if is_number:
        across["axis"] = {"title": title, "format": ".2f"}
    down = {
        "field": "name",
        "type": "nominal",
        "sort": names,
        "axis": {"title": None, "grid": False, "labelLimit": 260, "ticks": False, "domain": False},
    }
    rules = list(dict.fromkeys(it.rule for it in shown if it.rule))
    offset: dict[str, Any] = {"yOffset": {"field": "rule", "type": "nominal", "sort": rules}} if len(rules) > 1 else {}
    colour: dict[str, Any] = {}
    if len(rules) > 1:
        colour = {
            "color": {"field": "rule", "type": "nominal", "sort": rules, "legend": {"title": None, "orient": "top"}}
        }
    bar = {
        "mark": {"type": "rule", "strokeWidth": 1.5},
        "encoding": {"x": {**across, "field": "low"}, "x2": {"field": "high"}, "y": down, **offset, **colour},
    }
    mark = {"type": "point", "filled": True, "opacity": 1, "size": 60}
    shape = {"shape": _shape(shown)} if any(it.source for it in shown) else {}
    dots = {
        "mark": mark,
        "encoding": {"x": across, "y": down, "tooltip": _tooltip(), **shape, **offset, **colour},
    }
    layers = [bar, dots]
    if reference is not None:
        here: dict[str, Any] = {"data": {"values": [{"at": reference}]}, "mark": {"type": "rule", "strokeDash": [4, 4]}}
        layers.insert(0, {**here, "encoding": {"x": {"field": "at", "type": "quantitative"}}})
    height = max(LEAST_HEIGHT, len(names) * max(1, len(rules) / 2) * ROW_HEIGHT + 20)
    return {**_spec({"layer": layers}, height=int(height)), "data": {"values": values_of(shown)}}


def places_spec(points: Sequence[Point], *, unit: str) -> dict[str, Any]:
    """Fractions by model and circuit: circuits side by side within a model."""
    shown = [it for it in points if it.value is not None]
    names = list(dict.fromkeys(it.name for it in shown))
    across = {
        "field": "name",
        "type": "nominal",
        "sort": names,
        "scale": {"paddingInner": 0.5},
        "axis": {"title": None, "labelAngle": -30 if len(names) > 4 else 0, "labelLimit": 160},
    }
    up = _share(f"{_capital(unit)} interpretable (%)", shown)
    offset = {"xOffset": {"field": "source", "type": "nominal", "sort": list(SOURCE_NAMES.values())}}
    bar = {
        "mark": {"type": "rule", "strokeWidth": 1.5},
        "encoding": {"x": across, "y": {**up, "field": "low"}, "y2": {"field": "high"}, **offset},
    }
    mark = {"type": "point", "filled": True, "opacity": 1, "size": 60}
    dots = {"mark": mark, "encoding": {"x": across, "y": up, "shape": _shape(shown), "tooltip": _tooltip(), **offset}}
    return {**_spec({"layer": [bar, dots]}), "data": {"values": values_of(shown)}}


def stacked_spec(points: Sequence[Point], *, verdicts: Sequence[str]) -> dict[str, Any]:
    """Shares that add up to 1, a bar for each place and judge."""
    names = list(dict.fromkeys(it.circuit for it in points))
    values = [it | {"order": verdicts.index(it["name"])} for it in values_of(points)]
    encoding = {
        "y": {
            "field": "circuit",
            "type": "nominal",
            "sort": names,
            "axis": {"title": None, "grid": False, "labelLimit": 260, "ticks": False, "domain": False},
        },
        "x": {
            "field": "value",
            "type": "quantitative",
            "stack": "normalize",
            "axis": {"title": "Share of judgements (%)", "format": "%"},
        },
        "color": {
            "field": "name",
            "type": "nominal",
            "sort": list(verdicts),
            "legend": {"title": None, "orient": "top", "columns": 3},
        },
        "order": {"field": "order", "type": "quantitative"},
        "tooltip": [{"field": "circuit"}, {"field": "name"}, {"field": "value", "format": ".1%"}, {"field": "n"}],
    }
    # A line between the parts, so that they are told apart in black and white too.
    mark = {"type": "bar", "stroke": "#808080", "strokeWidth": 0.5}
    spec = _spec({"mark": mark, "encoding": encoding}, height=max(LEAST_HEIGHT, len(names) * ROW_HEIGHT + 30))
    return {**spec, "data": {"values": values}}


def reliability_spec(points: Sequence[Point]) -> dict[str, Any]:
    """What people say where the machine is so sure; on the dashed line they would say yes as often as it thinks."""
    shown = [it for it in points if it.value is not None]
    values = [{**it, "confidence": point.index} for it, point in zip(values_of(shown), shown, strict=True)]
    across = {
        "field": "confidence",
        "type": "quantitative",
        "scale": {"domain": [0, 1]},
        "axis": {"title": "The machine's probability of interpretable (%)", "format": "%", "tickCount": 8},
    }
    up = {
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": [0, 1]},
        "axis": {"title": "People say interpretable (%)", "format": "%"},
    }
    ideal = {
        "data": {"values": [{"at": 0}, {"at": 1}]},
        "mark": {"type": "line", "strokeDash": [4, 4], "strokeWidth": 1},
        "encoding": {"x": {**across, "field": "at"}, "y": {**up, "field": "at"}},
    }
    bar = {
        "mark": {"type": "rule", "strokeWidth": 1.5},
        "encoding": {"x": across, "y": {**up, "field": "low"}, "y2": {"field": "high"}},
    }
    dots = {
        "mark": {"type": "point", "shape": "circle", "filled": True, "opacity": 1, "size": 60},
        "encoding": {"x": across, "y": up, "tooltip": _tooltip()},
    }
    return {**_spec({"layer": [ideal, bar, dots]}), "data": {"values": values}}


def _share(title: str, points: Sequence[Point]) -> dict[str, Any]:
    """From 0, so that lengths can be compared; up to what there is, so that small fractions can be told apart."""
    most = max([it.high if it.high is not None else it.value or 0.0 for it in points], default=1.0) * 1.1
    end = next((it for it in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if most <= it), 1.0)
    axis = {"title": title, "format": "%"}
    return {"field": "value", "type": "quantitative", "axis": axis, "scale": {"domain": [0, end]}}


def _along(title: str, points: Sequence[Point], is_difference: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        **_share(title, points),
        "axis": {"title": title, "format": "+%" if is_difference else "%", "tickCount": 8},
    }
    low = min([it.low if it.low is not None else it.value or 0.0 for it in points], default=0.0)
    if is_difference or low < 0:
        found["scale"] = {"zero": True}
    return found


def _shape(points: Sequence[Point]) -> dict[str, Any]:
    """By whose word it is; the legend lists those that are in the plot."""
    there = {it.source for it in points}
    sources = [it for it in SOURCE_NAMES if it in there]
    scale = {"domain": [SOURCE_NAMES[it] for it in sources], "range": [SHAPES[it] for it in sources]}
    return {
        "field": "source",
        "type": "nominal",
        "scale": scale,
        "legend": {"title": None, "orient": "top", "labelLimit": 0},
    }


def _tooltip() -> list[dict[str, Any]]:
    numbers = [{"field": name, "type": "quantitative", "format": ".1%"} for name in ("value", "low", "high")]
    return [
        {"field": "source", "type": "nominal"},
        {"field": "model", "type": "nominal"},
        {"field": "name", "type": "nominal"},
        {"field": "layer", "type": "quantitative"},
        {"field": "index", "type": "quantitative"},
        *numbers,
        {"field": "n", "type": "quantitative"},
    ]


def _spec(body: Mapping[str, Any], height: int = 300) -> dict[str, Any]:
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        **body,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
