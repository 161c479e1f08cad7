"""The items of a project of pairs or matrices as the page of its results lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labelapp.atlas.keys import DirectionKey, MatrixKey
from labelapp.atlas.models import Direction
from labelapp.judgements.models import Subject
from labelapp.labelling.models import Item, Project
from labelapp.labelling.progress.results import Judged, Opinion, other_ends

TOKENS = 5


@dataclass(frozen=True)
class ResultRow:
    item: Item
    verdict: str
    opinions: Sequence[Opinion]
    matrix: MatrixKey | None  # of a matrix
    ends: Sequence[tuple[DirectionKey, Sequence[str]]]  # of a pair: key and first tokens


def result_rows(project: Project, judged: Sequence[Judged]) -> list[ResultRow]:
    """Two queries for pairs, none for matrices."""
    of_pairs = project.subject == Subject.VECTOR
    both = other_ends([it.item.direction_id for it in judged]) if of_pairs else {}
    found = Direction.objects.select_related("matrix__model").in_bulk([*both, *both.values()])
    return [
        ResultRow(
            it.item,
            it.verdict,
            it.opinions,
            None if of_pairs else it.item.direction.matrix.key,
            [
                (end.key, end.tokens[:TOKENS])
                for end in (found.get(it.item.direction_id), found.get(both.get(it.item.direction_id, 0)))
                if end is not None
            ],
        )
        for it in judged
    ]
