"""A short tour: the heads of gpt2-medium on which the post shows what it found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labelapp.atlas.keys import MatrixKey
from labelapp.atlas.models import Model

MODEL = "gpt2-medium"
LAYER = 22
SEEN = {
    10: "Reading and writing: one direction each for written things, recordings, newspapers and social media.",
    15: "Organisations and groups: playing, musicians and film, teams.",
    8: "Places: countries, cities, localities; and one direction for computer operating systems.",
    3: "No common topic, yet clear ones side by side: frost, rain, hunting, the undead, dogs; fire opposite to ice.",
}


@dataclass(frozen=True)
class Stop:
    key: MatrixKey
    seen: str


def tour_stops(models: Iterable[Model]) -> list[Stop]:
    """Where gpt2-medium is among the models with its weights; nothing otherwise, nor where a name is borrowed."""
    named = sorted((it for it in models if it.name == MODEL), key=lambda it: not it.is_default)
    if not named or not named[0].is_default:
        return []
    model = next((it for it in named if it.has_weights), None)  # labels may have been imported under the plain name
    if model is None or model.n_layers <= LAYER or model.n_heads <= max(SEEN):
        return []
    revision = "" if model.is_default else model.revision
    return [Stop(MatrixKey(MODEL, "ov", LAYER, head, revision), seen) for head, seen in SEEN.items()]
