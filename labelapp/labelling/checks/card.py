"""A check as the queue lays it before a person: in everything that the page shows like an item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labelapp.atlas.models import Direction
from labelapp.labelling.checks.models import Check, check_source


@dataclass(frozen=True)
class CheckCard:
    """One check. `direction` holds no more of its row than the page needs."""

    check_id: int
    project_id: int
    opaque_id: str
    after: int  # it comes once so many items of the project are judged by the person
    direction: Direction
    n_own: int = 0  # rows of the person's own on it, standing or not
    then: Sequence[CheckCard] = ()  # the other end of the vector, where the page shows both

    @property
    def pk(self) -> int:
        """Different from any item's."""
        return -self.check_id

    @property
    def direction_id(self) -> int:
        return self.direction.pk

    @property
    def source(self) -> str:
        return check_source(self.project_id)


def snapshot(check: Check, direction: Direction, tokens: int, then: Check | None = None) -> str:
    """What `card_read` needs, as ASCII JSON: a token may hold anything."""
    stored: dict[str, Any] = {
        "id": check.pk,
        "item": check.opaque_id,
        "after": check.after,
        "place": [direction.pk, direction.matrix_id, direction.side, direction.index, direction.sign],
        "tokens": list(direction.tokens[:tokens]),
        "scores": None if direction.scores is None else list(direction.scores[:tokens]),
    }
    if then is not None:
        stored["then"] = json.loads(then.snapshot)
    return json.dumps(stored, separators=(",", ":"))


def card_read(project_id: int, text: str, n_own: int = 0) -> CheckCard:
    return _card(project_id, json.loads(text), n_own)


def _card(project_id: int, stored: dict[str, Any], n_own: int) -> CheckCard:
    pk, matrix_id, side, index, sign = stored["place"]
    direction = Direction(
        pk=pk, matrix_id=matrix_id, side=side, index=index, sign=sign, tokens=stored["tokens"], scores=stored["scores"]
    )
    then = [_card(project_id, stored["then"], 0)] if "then" in stored else []
    return CheckCard(stored["id"], project_id, stored["item"], stored["after"], direction, n_own, then)
