"""What trials are drawn from: tokens of other directions, scores on this one, and the vocabulary as it looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

import numpy as np

from labelapp.atlas.models import Direction, Matrix
from labelapp.atlas.records import matrix_vectors
from labelapp.atlas.selectors import NotStoredError, unembedding_read, vocabulary_read
from labelapp.labelling.cards import OPPOSITE
from labelapp.statistics.intrusion import TOP, Donors, Lexicon, Ready, end_ready, lexicon_make, shuffled

LAYERS_AROUND = 2
# Other ends that tokens and readouts are taken from: of more than these a seeded draw.
DONORS_MOST = 3000
SCORED_AT_ONCE = 64
NO_SCORES = "have no scores of other tokens, being imported without weights or without their files"


class Place(NamedTuple):
    """Where an end lies; others of its kind share all but the layer."""

    model_id: int
    circuit: str
    side: str
    preprocessing: str
    basis: str
    control: str
    layer: int | None


@dataclass(frozen=True)
class Neighbours:
    """The ends of other vectors around a place: ids, vectors as (matrix, index), token ids, best first."""

    ids: Sequence[int]
    vectors: Sequence[tuple[int, int]]
    token_ids: Sequence[Sequence[int]]

    def donors(self) -> tuple[Donors, dict[tuple[int, int], int]]:
        """Their first tokens, row by row, and the number of each vector."""
        numbers: dict[tuple[int, int], int] = {}
        rows = [
            (token, pk, numbers.setdefault(vector, len(numbers)), rank)
            for pk, vector, tokens in zip(self.ids, self.vectors, self.token_ids, strict=True)
            for rank, token in enumerate(tokens[:TOP], 1)
        ]
        columns = np.array(rows, np.int64).reshape(-1, 4).T
        return Donors(*columns), numbers


def place_of(direction: Direction) -> Place:
    it = direction.matrix
    return Place(it.model_id, it.circuit, direction.side, it.preprocessing, it.basis, it.control, it.layer)


def neighbours_of(place: Place, seed: int, *, with_ids: bool = True) -> Neighbours:
    """The ends of the same model, circuit, side and control kind within two layers, itself among them.

    With `with_ids` those alone whose token ids are known.
    """
    conditions: dict[str, Any] = {f"matrix__{name}": value for name, value in place._asdict().items() if name != "side"}
    layer = conditions.pop("matrix__layer")
    if layer is None:
        conditions["matrix__layer__isnull"] = True
    else:
        conditions["matrix__layer__range"] = (max(layer - LAYERS_AROUND, 0), layer + LAYERS_AROUND)
    found = Direction.objects.filter(**conditions, side=place.side).order_by("pk")
    if with_ids:
        found = found.filter(token_ids__isnull=False)
    if found.count() > DONORS_MOST:
        ids = shuffled(list(found.values_list("pk", flat=True)), Random(seed))[:DONORS_MOST]
        found = found.filter(pk__in=ids)
    rows = list(found.values_list("pk", "matrix_id", "index", "token_ids"))
    return Neighbours([row[0] for row in rows], [row[1:3] for row in rows], [row[3] or () for row in rows])


def ends_ready(directions: Sequence[Direction], seed: int) -> Iterator[tuple[Direction, Ready | str, Donors | None]]:
    """Of each end what its trials are drawn from, or why there are none; place by place, not in the given order.

    `directions` come with matrix and model.
    """
    by_place: dict[Place, list[Direction]] = defaultdict(list)
    for direction in directions:
        by_place[place_of(direction)].append(direction)
    for place, ends in by_place.items():
        donors, numbers = neighbours_of(place, seed).donors()
        for matrix, its in _by_matrix(ends):
            try:
                scored = list(_scored(matrix, place.side, its))
                lexicon = lexicon_of(matrix.model.folder)
            except (NotStoredError, FileNotFoundError):
                yield from ((end, NO_SCORES, None) for end in its)
                continue
            opposites = _opposites(matrix, place.side, its)
            for end, scores in scored:
                if end.token_ids is None:
                    yield end, NO_SCORES, None
                    continue
                number = numbers.get((matrix.pk, end.index), -1)
                other = opposites.get((end.index, OPPOSITE[end.sign]), ())
                yield end, end_ready(end.token_ids, other, scores, number, donors, lexicon), donors


@lru_cache(maxsize=2)
def lexicon_of(folder: str) -> Lexicon:
    """A model's vocabulary as it looks. Raises FileNotFoundError."""
    return lexicon_make(vocabulary_read(folder))


def _by_matrix(ends: Sequence[Direction]) -> Iterator[tuple[Matrix, list[Direction]]]:
    found: dict[int, list[Direction]] = defaultdict(list)
    for end in ends:
        found[end.matrix_id].append(end)
    for its in found.values():
        yield its[0].matrix, its


def _scored(matrix: Matrix, side: str, ends: Sequence[Direction]) -> Iterator[tuple[Direction, np.ndarray]]:
    """Each end with the scores of all tokens on its vector, [vocab] float32. Raises NotStoredError."""
    vectors = matrix_vectors(matrix)[side]
    unembedding = unembedding_read(matrix.model.folder, matrix.preprocessing)
    for start in range(0, len(ends), SCORED_AT_ONCE):
        some = ends[start : start + SCORED_AT_ONCE]
        scores = unembedding @ vectors[[end.index for end in some]].T
        yield from ((end, scores[:, place]) for place, end in enumerate(some))


def _opposites(matrix: Matrix, side: str, ends: Sequence[Direction]) -> dict[tuple[int, str], Sequence[int]]:
    """The token ids of both ends of these vectors, by index and sign."""
    rows = Direction.objects.filter(matrix=matrix, side=side, index__in={end.index for end in ends})
    found = rows.exclude(token_ids=None).values_list("index", "sign", "token_ids")
    return {(index, sign): ids or () for index, sign, ids in found}
