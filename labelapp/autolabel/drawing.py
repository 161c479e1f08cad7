"""What a measurement draws at random: directions, other directions' labels, a detector's lists.

Seeded, and by content rather than by row number, so that another database draws the same.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from labelapp.atlas.tokens import is_whole_word
from labelapp.autolabel.asking import readout_seed
from labelapp.statistics.labels import label_key
from workers.llm.rendering import permutation, token_shown

T = TypeVar("T")
# A draw that hits what it must not is repeated so often before all that is allowed is listed.
TRIES = 20


@dataclass(frozen=True)
class Readout:
    """A direction with the vector that it is an end of, its model, and its tokens, best first."""

    direction_id: int
    vector: Hashable
    model_id: int
    tokens: Sequence[str]


def vectors_sample(rows: Sequence[T], vectors: Sequence[Hashable], most: int | None, seed: int = 0) -> list[T]:
    """At most `most` rows (None: all) in their order, drawn by vectors, so that the two ends of one stay together.

    rows: [n]; vectors: [n], which vector each row is an end of.
    """
    if most is None or len(rows) <= most:
        return list(rows)
    places: dict[Hashable, list[int]] = {}
    for place, vector in enumerate(vectors):
        places.setdefault(vector, []).append(place)
    groups = list(places.values())
    taken: set[int] = set()
    for number in permutation(len(groups), seed):
        if len(taken) + len(groups[number]) <= most or not taken:
            taken.update(groups[number])
    return [rows[place] for place in sorted(taken)]


def label_drawn(
    tokens: Sequence[str], vector: Hashable, label: str, others: Sequence[tuple[Hashable, str]], seed: int
) -> int | None:
    """The place of another direction in `others`, (vector, label), of another vector and with other words.

    None where there is none. Labels that differ in case, spaces or a final period alone are the same words.
    """
    own = label_key(label)

    def is_wrong(place: int) -> bool:
        return others[place][0] != vector and label_key(others[place][1]) != own

    return _drawn(np.random.default_rng(readout_seed(tokens, seed)), len(others), is_wrong)


def list_drawn(own: Readout, others: Sequence[Readout], k: int, seed: int) -> dict[str, Any] | None:
    """A detector's list as JSON: the direction's tokens of ranks k + 1 to 2k, shuffled among k of other directions.

    Those stand at the same ranks of `others`, of the same model and another vector; none of them looks, in whatever
    case, like one of this direction's first 2k or like another one drawn. None where there are not so many.

    "list": the 2k tokens as they are shown; "from": the direction of each; "rank": its rank there, from 1;
    "own" and "whole": places in the list, from 0, of the direction's own tokens and of whole words.
    """
    rng = np.random.default_rng(readout_seed(own.tokens, seed))
    foreign = [it for it in others if it.vector != own.vector and it.model_id == own.model_id]
    taken = {_look(token) for token in own.tokens[: 2 * k]}
    drawn = [(token, own.direction_id, k + place + 1) for place, token in enumerate(own.tokens[k : 2 * k])]
    for _ in range(k):
        place = _drawn(rng, len(foreign) * k, lambda at: _look(foreign[at // k].tokens[k + at % k]) not in taken)
        if place is None:
            return None
        donor, rank = foreign[place // k], k + place % k
        taken.add(_look(donor.tokens[rank]))
        drawn.append((donor.tokens[rank], donor.direction_id, rank + 1))
    order = rng.permutation(2 * k).tolist()
    shown = [drawn[place] for place in order]
    return {
        "list": [token_shown(token) for token, _, _ in shown],
        "from": [direction_id for _, direction_id, _ in shown],
        "rank": [rank for _, _, rank in shown],
        "own": [place for place, drawn_at in enumerate(order) if drawn_at < k],
        "whole": [place for place, (token, _, _) in enumerate(shown) if is_whole_word(token)],
    }


def picks_counted(own: Collection[int], picks: Iterable[int]) -> dict[str, Any]:
    """A detector's picks beside the list they were picked from: how many are the direction's own."""
    chosen = sorted(set(picks))
    hits = len(set(own) & set(chosen))
    return {"picks": chosen, "hits": hits, "false_alarms": len(chosen) - hits}


def flags(detail: Mapping[str, Any]) -> list[tuple[bool, bool, bool]]:
    """Of each token of an answered list: whether it is the direction's own, was picked, is a whole word."""
    own, picks, whole = (set(detail[name]) for name in ("own", "picks", "whole"))
    return [(place in own, place in picks, place in whole) for place in range(len(detail["list"]))]


def _look(token: str) -> str:
    return token_shown(token).casefold()


def _drawn(rng: np.random.Generator, n: int, is_allowed: Any) -> int | None:
    """One of the allowed places below n, each as likely as another; None where there is none."""
    for _ in range(TRIES if n else 0):
        place = int(rng.integers(n))
        if is_allowed(place):
            return place
    allowed = [place for place in range(n) if is_allowed(place)]
    return allowed[int(rng.integers(len(allowed)))] if allowed else None
