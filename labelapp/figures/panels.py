"""The spectrum on the atlas's matrix page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict

from labelapp.atlas import panels
from labelapp.atlas.models import Matrix
from labelapp.atlas.selectors import place_variants
from labelapp.atlas.variants import value_name, variant_title
from labelapp.figures.selectors import spectra, spectrum_names
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
        "query": _query(scale, others),
        "other_scale": _query(_other(scale), others),
        "other_scale_name": _other(scale),
        "variants": _variants(matrix, scale, others),
        "spectra": found,
        "cut": len(matrix.singular_values) - matrix.rank,
        "values": f"{value_name(matrix.basis).name}s" if matrix.basis != "neuron" else "sizes of units",
    }


def _variants(matrix: Matrix, scale: str, others: str) -> list[tuple[str, bool, str]]:
    """The stored variants of the same place: name, whether it is drawn, and the address that changes that."""
    drawn = spectrum_names(others)
    choices = []
    for variant in place_variants(matrix):
        if variant != matrix.variant:
            address = matrix.key.of_variant(variant).address
            changed = [it for it in drawn if it != address] if address in drawn else [*drawn, address]
            choices.append((variant_title(variant), address in drawn, _query(scale, ",".join(changed))))
    return choices


def _query(scale: str, others: str) -> str:
    return "?" + urlencode({"scale": scale, **({"with": others} if others else {})})


def spectrum_options(query: QueryDict) -> tuple[str, str]:
    scale = query.get("scale", "")
    return (scale if scale in SCALES else SCALES[0]), query.get("with", "")[:400]


def _other(scale: str) -> str:
    return SCALES[1 - SCALES.index(scale)]
