"""Sampling designs: how a project's items are drawn, as JSON from which the draw can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelapp.labelling.errors import LabellingError
from labelapp.labelling.projects.selection import ItemSelection, item_selection_from_json

ALL_OF_THEM = "all"
SIMPLE_RANDOM = "simple_random"
STRATIFIED = "stratified"
UNCERTAINTY = "uncertainty"
KINDS = {
    SIMPLE_RANDOM: "simple random",
    STRATIFIED: "stratified",
    UNCERTAINTY: "weighted by uncertainty",
    ALL_OF_THEM: "all of them",
}
LAYER, CIRCUIT, MACHINE = "layer", "circuit", "machine"
STRATA = {LAYER: "layer", CIRCUIT: "circuit", MACHINE: "machine cell"}
PROPORTIONAL, NEYMAN = "proportional", "neyman"
ALLOCATIONS = {PROPORTIONAL: "proportional", NEYMAN: "Neyman"}


@dataclass(frozen=True)
class Design:
    """`n` counts units: ends, or vectors where the page shows both ends. `machine` is a judge's digest."""

    selection: ItemSelection
    kind: str = SIMPLE_RANDOM
    n: int | None = None
    seed: int = 0
    strata: str = ""
    allocation: str = ""
    machine: str = ""

    @property
    def needs_machine(self) -> bool:
        by_machine = self.strata == MACHINE or self.allocation == NEYMAN
        return self.kind == UNCERTAINTY or (self.kind == STRATIFIED and by_machine)

    @property
    def words(self) -> str:
        """As a phrase: "stratified by layer, proportional; 960, seed 1"."""
        words = KINDS[self.kind]
        if self.kind == STRATIFIED:
            words += f" by {STRATA[self.strata]}, {ALLOCATIONS[self.allocation]}"
        return f"{words}; {'' if self.n is None else f'{self.n:,}, '}seed {self.seed}"

    def as_json(self) -> dict[str, Any]:
        """For `Project.design`; `design_from_json` reads it. Only what the kind needs is in it."""
        stored: dict[str, Any] = {"kind": self.kind, "seed": self.seed, "selection": self.selection.as_json()}
        if self.kind != ALL_OF_THEM:
            stored["n"] = self.n
        if self.kind == STRATIFIED:
            stored |= {"strata": self.strata, "allocation": self.allocation}
        if self.needs_machine:
            stored["machine"] = self.machine
        return stored


def design_from_json(stored: Mapping[str, Any]) -> Design | None:
    """The design that a project's JSON holds; None of a project that was drawn from directions without a selection."""
    selection = stored.get("selection", {})
    if not selection.get("models"):
        return None
    words = {name: stored.get(name, "") for name in ("strata", "allocation", "machine")}
    return Design(item_selection_from_json(selection), stored["kind"], stored.get("n"), stored["seed"], **words)


def design_check(design: Design) -> Design:
    """The design, if it can be drawn at all. Raises LabellingError."""
    if design.kind not in KINDS:
        raise LabellingError(f"There is no design {design.kind!r}; choose among {', '.join(KINDS)}.")
    if design.kind != ALL_OF_THEM and (design.n is None or design.n < 1):
        raise LabellingError("Say how many are to be drawn: a number from 1.")
    if design.kind == STRATIFIED and design.strata not in STRATA:
        raise LabellingError(f"Say what the strata are: {', '.join(STRATA)}.")
    if design.kind == STRATIFIED and design.allocation not in ALLOCATIONS:
        raise LabellingError(f"Say how the strata share the sample: {', '.join(ALLOCATIONS)}.")
    if design.needs_machine and not design.machine:
        raise LabellingError("This design needs a machine judge that has judged the selection; choose one.")
    return design
