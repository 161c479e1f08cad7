"""What of the disagreement queue is shown: read from the page's address, and printed back into it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.db.models import Q
from django.utils.http import urlencode

from labelapp.atlas.keys import CIRCUITS
from labelapp.atlas.models import Matrix
from labelapp.labelling.models import Project
from labelapp.review.audit_marks import audit_condition
from labelapp.review.queue_choices import judges_of
from labelapp.review.scores import CELL_BITS
from labelapp.statistics.audits import AUDITS

KIND_NAMES = {
    "people": "People against people",
    "people_machine": "People against machine",
    "machine": "Machine against itself",
}
STATES = {"open": "to decide", "decided": "decided", "": "all"}
# Labeler × verifier: what the address says, in words, and as a condition on a judgement with its verifier's answer.
CELLS = {
    "meaning-yes": "meaning named, verified",
    "meaning-no": "meaning named, rejected",
    "none-yes": "no meaning, verified",
    "none-no": "no meaning, rejected",
}
MOST_DIGITS = 18  # of an id: what the database's integers hold
MOST_LAYER_DIGITS = 9
MOST_CELLS = 1 << len(CELL_BITS)


class FilterError(ValueError):
    """A filter that cannot be; the message says why in one sentence."""


@dataclass(frozen=True)
class Filters:
    """Ids as numbers, 0 where nothing is chosen; `layer` as text, for there is a layer 0."""

    kind: str = ""
    state: str = "open"
    model: int = 0
    circuit: str = ""
    layer: str = ""
    sign: str = ""
    judge: int = 0
    cell: str = ""
    audit: str = ""

    @property
    def query(self) -> str:
        """As it stands in an address: what differs from the default."""
        return urlencode(self.pairs())

    def pairs(self) -> dict[str, Any]:
        usual = Filters()
        pairs = {it.name: getattr(self, it.name) for it in fields(self)}
        return {name: value for name, value in pairs.items() if value != getattr(usual, name)}

    def condition(self, projects: Collection[Project]) -> Q:
        """On rows of `Disagreement`, all but the kind."""
        found = Q()
        if places := self._places():
            found &= Q(matrix__in=Matrix.objects.filter(places).values("pk"))
        if self.sign:
            found &= Q(sign=self.sign)
        if self.state:
            found &= Q(is_decided=self.state == "decided")
        if self.judge:
            found &= Q(judges__holds=[self.judge])
        if self.cell:
            found &= Q(cells__in=[cells for cells in range(MOST_CELLS) if cells & CELL_BITS[self.cell]])
        if self.audit:
            found &= audit_condition(self.audit, judges_of(projects))
        return found

    def _places(self) -> Q:
        """On matrices."""
        found = Q()
        if self.model:
            found &= Q(model=self.model)
        if self.circuit:
            found &= Q(circuit=self.circuit)
        if self.layer:
            found &= Q(layer=int(self.layer))
        return found


def filters_of(query: Mapping[str, str]) -> Filters:
    """The filters that an address names. Raises FilterError for what is no such filter."""
    return Filters(
        kind=_one_of(query, "kind", ("", *KIND_NAMES)),
        state=_one_of(query, "state", tuple(STATES), "open"),
        model=int(_digits(query, "model", MOST_DIGITS) or 0),
        circuit=_one_of(query, "circuit", ("", *CIRCUITS)),
        layer=_digits(query, "layer", MOST_LAYER_DIGITS),
        sign=_one_of(query, "sign", ("", "+", "-")),
        judge=int(_digits(query, "judge", MOST_DIGITS) or 0),
        cell=_one_of(query, "cell", ("", *CELLS)),
        audit=_one_of(query, "audit", ("", *AUDITS)),
    )


def _one_of(query: Mapping[str, str], name: str, values: tuple[str, ...], default: str = "") -> str:
    value = query.get(name, default)
    if value not in values:
        raise FilterError(f"{value!r} is no {name}; there is {', '.join(it for it in values if it)}.")
    return value


def _digits(query: Mapping[str, str], name: str, most: int) -> str:
    value = query.get(name, "")
    if value and not (value.isascii() and value.isdigit() and len(value) <= most):
        raise FilterError(f"{value[:40]!r} is no {name}; it is a number.")
    return value
