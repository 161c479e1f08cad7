"""The spectrum on the atlas's matrix page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict

from labelapp.atlas import panels
from labelapp.atlas.models import Matrix
from labelapp.figures.selectors import spectra
from labelapp.figures.specs import SCALES


def register() -> None:
    panels.register_matrix_panel(
        panels.MatrixPanel(order=10, template="figures/spectrum_panel.html", context=matrix_panel)
    )


def matrix_panel(request: HttpRequest, matrix: Matrix) -> Mapping[str, Any] | None:
    if not matrix.singular_values:  # imported readouts have none
        return None
    return spectrum_context(request.GET, matrix)


def spectrum_context(query: QueryDict, matrix: Matrix) -> dict[str, Any]:
    """The panel: `scale` is log or linear, `with` names other matrices of the model."""
    scale, others = spectrum_options(query)
    found, missing = spectra(matrix, others)
    return {
        "key": matrix.key,
        "matrix": matrix,
        "scale": scale,
        "others": others,
        "missing": missing,
        "query": "?" + urlencode({"scale": scale, **({"with": others} if others else {})}),
        "other_scale": "?" + urlencode({"scale": _other(scale), **({"with": others} if others else {})}),
        "other_scale_name": _other(scale),
        "spectra": found,
        "cut": len(matrix.singular_values) - matrix.rank,
    }


def spectrum_options(query: QueryDict) -> tuple[str, str]:
    scale = query.get("scale", "")
    return (scale if scale in SCALES else SCALES[0]), query.get("with", "")[:400]


def _other(scale: str) -> str:
    return SCALES[1 - SCALES.index(scale)]
