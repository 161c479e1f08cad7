"""What a figure is about, as it stands in its address: selection, machine, rule, people, unit, estimand.

`Query.address` prints every field in a fixed order, so equal figures have equal addresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from django.http import QueryDict
from django.utils.http import urlencode

from labelapp.atlas.keys import BASES, CIRCUITS, PREPROCESSINGS
from labelapp.atlas.models import Model
from labelapp.atlas.selection import MatrixSelection, SelectionError, names_parse
from labelapp.autolabel.selection import indices_parse
from labelapp.judgements.rules import RULES
from labelapp.labelling.projects.selection import ALL_SIDES, SIGNS, ItemSelection
from workers.weights.errors import BadSelection
from workers.weights.selection import parse_layers

NONE = "none"
MAJORITY, FIRST, DECIDED = "majority", "first", "decided"
TRUTHS = {
    MAJORITY: "the majority of people",
    FIRST: "the first person's blind verdict",
    DECIDED: "a reviewer's decision, else the majority",
}
ENDS, EITHER, BOTH = "ends", "either", "both"
UNITS = {ENDS: "ends", EITHER: "vectors with either end", BOTH: "vectors with both ends"}
# What is counted, and what a share of it is, for sentences.
COUNTED = {
    ENDS: ("ends", "are interpretable"),
    EITHER: ("vectors", "have an interpretable end"),
    BOTH: ("vectors", "have both ends interpretable"),
}
CENSUS, LAYERS = "census", "layers"
ESTIMANDS = {CENSUS: "this census of directions", LAYERS: "layers like these, of which these are a sample"}
AXES = {"layer": "layer number", "depth": "fraction of depth"}
COVARIATES = {
    "depth": "fraction of depth",
    "index": "direction index",
    "circuit": "MLP-in against MLP-out",
    "model": "the second model against the first",
}
CONTRASTS = tuple(it for it in BASES if it not in ("svd", "dictionary"))
MOST_LAYERS = 10_000
LONGEST = 400


@dataclass(frozen=True)
class Query:
    """Empty fields stand for the default: all models, circuits, layers; the machine's own rule; no project."""

    model: tuple[str, ...] = ()
    circuit: tuple[str, ...] = ()
    layer: str = ""
    index: str = ""
    side: str = ""
    sign: str = ""
    preprocessing: str = "raw"
    judge: int = 0
    rule: str = ""
    project: str = ""
    truth: str = MAJORITY
    unit: str = ENDS
    estimand: str = CENSUS
    x: str = "layer"
    covariate: str = "depth"
    basis: str = "neuron"
    calibration: str = ""

    @cached_property
    def selection(self) -> ItemSelection:
        """The model's own weights, in the SVD's basis. Raises SelectionError."""
        try:
            layers = tuple(parse_layers(self.layer, MOST_LAYERS)) if self.layer else ()
        except BadSelection as error:
            raise SelectionError(str(error)) from None
        return ItemSelection(
            models=self.model,
            matrices=MatrixSelection(self.circuit, layers, (self.preprocessing,)),
            indices=indices_parse(self.index),
            sides=names_parse("side", self.side, ALL_SIDES) if self.side else (),
            signs=names_parse("sign", self.sign, SIGNS) if self.sign else (),
        )

    @property
    def pairs(self) -> dict[str, Any]:
        """What differs from the default, in order."""
        usual = Query()
        return {
            it.name: getattr(self, it.name) for it in fields(self) if getattr(self, it.name) != getattr(usual, it.name)
        }

    @property
    def address(self) -> str:
        """The query of an address, without its "?"."""
        return urlencode({name: list(it) if isinstance(it, tuple) else it for name, it in self.pairs.items()}, True)

    def change(self, **changes: Any) -> Query:
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        """For a JSON column; `query_from_json` reads it."""
        return {name: list(it) if isinstance(it, tuple) else it for name, it in self.pairs.items()}

    @property
    def words(self) -> str:
        """The selection as a phrase."""
        return self.selection.words if self.model else f"all models: {replace(self.selection, models=()).words[2:]}"


def query_from_json(stored: Mapping[str, Any]) -> Query:
    """What `as_json` made."""
    said: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in stored.items()}
    return Query(**said)


def query_parse(data: QueryDict) -> Query:
    """What an address says. Raises SelectionError, in one sentence, where it says what cannot be."""
    said = {it.name: data.get(it.name, "")[:LONGEST].strip() for it in fields(Query)}
    query = Query(
        model=_models(data.getlist("model")),
        circuit=_choices("circuit", data.getlist("circuit"), CIRCUITS),
        preprocessing=_choice("preprocessing", said["preprocessing"], PREPROCESSINGS, "raw"),
        judge=_number(said["judge"]),
        rule=_choice("rule", said["rule"], tuple(RULES), ""),
        truth=_choice("truth", said["truth"], tuple(TRUTHS), MAJORITY),
        unit=_choice("unit", said["unit"], tuple(UNITS), ENDS),
        estimand=_choice("estimand", said["estimand"], tuple(ESTIMANDS), CENSUS),
        x=_choice("x", said["x"], tuple(AXES), "layer"),
        covariate=_choice("covariate", said["covariate"], tuple(COVARIATES), "depth"),
        basis=_choice("basis", said["basis"], CONTRASTS, "neuron"),
        layer=said["layer"],
        index=said["index"],
        side=said["side"],
        sign=said["sign"],
        project=said["project"],
        calibration=said["calibration"],
    )
    _ = query.selection  # it is looked at now, so that what is wrong is said here
    return query


def _models(names: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    known = {model.slug for model in Model.objects.all()} if wanted else set()
    for name in wanted:
        if name not in known:
            raise SelectionError(f"There is no model {name[:80]!r}; there is {', '.join(sorted(known)) or 'none yet'}.")
    return wanted


def _choices(what: str, names: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    chosen = [_choice(what, name, words, "") for name in names]
    return tuple(word for word in words if word in chosen)


def _choice(what: str, text: str, words: Sequence[str], usual: str) -> str:
    if text and text not in words:
        raise SelectionError(f"There is no {what} {text[:80]!r}; choose among {', '.join(words)}.")
    return text or usual


def _number(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SelectionError(f"{text[:80]!r} is no judge's number; choose a machine from the list.")
    return int(text)
