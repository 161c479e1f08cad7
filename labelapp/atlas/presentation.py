"""What the atlas's pages show, as plain dataclasses made from rows: no queries, no HTML."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median
from typing import NamedTuple

from labelapp.atlas.keys import CIRCUITS_WITH_HEADS, SIDES, DirectionKey, MatrixKey
from labelapp.atlas.models import Direction, Matrix
from labelapp.atlas.panels import ColumnNote
from labelapp.atlas.tokens import is_whole_word, token_display, token_title
from labelapp.atlas.variants import ValueName, value_name, variant_title

CIRCUIT_NAMES = {
    "ov": "OV",
    "qk": "QK",
    "mlp_in": "MLP-in",
    "mlp_gate": "MLP-gate",
    "mlp_out": "MLP-out",
    "embed": "Embedding",
    "unembed": "Unembedding",
}
HEAT_STEPS = 20  # static/css/scale.css has a class for each


@dataclass(frozen=True)
class Token:
    """One token of a readout; `score` is None where the readout was imported without scores."""

    rank: int
    shown: str
    title: str
    score: float | None
    heat: int  # 0 to HEAT_STEPS
    width: int  # percent of the longest bar


@dataclass(frozen=True)
class Readout:
    """One end with its tokens, as the direction page shows it."""

    direction: Direction
    key: DirectionKey
    tokens: Sequence[Token]
    n_whole_words: int
    is_hidden: bool = False  # a control that the viewer is still to judge blind

    @property
    def first(self) -> Sequence[Token]:
        return self.tokens[:20]

    @property
    def rest(self) -> Sequence[Token]:
        return self.tokens[20:]


@dataclass(frozen=True)
class Column:
    direction: Direction
    key: DirectionKey
    notes: Sequence[ColumnNote]

    @property
    def in_block(self) -> bool:
        return self.direction.block is not None

    @property
    def value_name(self) -> ValueName:
        return value_name(self.key.matrix.basis)

    @property
    def has_gap(self) -> bool:
        """Gaps are between singular values."""
        return self.key.matrix.basis == "svd"


@dataclass(frozen=True)
class Span:
    """Neighbouring columns: those of a block of near-equal singular values, or those between two blocks."""

    width: int
    block: int | None


@dataclass(frozen=True)
class Table:
    """The matrix table: columns are directions by singular value, rows are tokens by rank."""

    columns: Sequence[Column]
    spans: Sequence[Span]
    rows: Sequence[tuple[int, Sequence[Token | None]]]
    range: Range

    @property
    def has_blocks(self) -> bool:
        return any(span.block is not None for span in self.spans)


@dataclass(frozen=True)
class Neighbour:
    """A link to a matrix nearby, with its shortcut."""

    name: str
    key: MatrixKey
    shortcut: str


class FoundToken(NamedTuple):
    rank: int
    shown: str


@dataclass(frozen=True)
class FoundDirection:
    """A line of the token search."""

    direction: Direction
    key: DirectionKey
    rank: int
    tokens: Sequence[FoundToken]  # that were searched for and stand in it
    first: Sequence[tuple[str, bool]]  # its first tokens, with whether they were searched for


def matrix_title(key: MatrixKey) -> str:
    """A matrix in words: "OV, layer 22, head 10, folded, control gaussian"."""
    parts = [CIRCUIT_NAMES[key.circuit]]
    parts += [f"layer {key.layer}"] if key.layer is not None else []
    parts += [f"head {key.head}"] if key.head is not None else []
    parts += [variant_title(key.variant)] if key.variant_part else []
    return ", ".join(parts)


@dataclass(frozen=True)
class Range:
    """Of the scores that stand side by side: colours run from the smallest to `deepest`, bars from 0 to the largest."""

    smallest: float
    deepest: float
    largest: float
    is_known: bool = True  # False where the readouts were imported without scores

    @classmethod
    def of(cls, directions: Sequence[Direction], rows: int | None = None) -> Range:
        """The deepest colour is a typical direction's best score and a fifth: in many a matrix one direction (of the
        least frequent tokens) scores several times as high as all others, which would then all look pale.
        """
        readouts = [it.scores[:rows] for it in directions if it.scores]
        if not readouts:
            return cls(0.0, 0.0, 0.0, is_known=False)
        best = [max(scores) for scores in readouts]
        return cls(min(map(min, readouts)), min(max(best), 1.2 * median(best)), max(best))

    @property
    def is_cut(self) -> bool:
        return self.deepest < self.largest

    def heat(self, score: float | None) -> int:
        """1 at the smallest, so that a token stands on a colour at all, HEAT_STEPS from `deepest` on."""
        if score is None or self.deepest <= self.smallest:
            return 1
        share = (score - self.smallest) / (self.deepest - self.smallest)
        return max(1, min(HEAT_STEPS, round(1 + share * (HEAT_STEPS - 1))))

    def width(self, score: float | None) -> int:
        """Percent of the largest score; nothing for what is not above 0."""
        if score is None or self.largest <= 0:
            return 0
        return max(0, min(100, round(100 * score / self.largest)))


def readout(direction: Direction, scale: Range, *, is_hidden: bool = False) -> Readout:
    """An end with all its tokens, or without them."""
    if is_hidden:
        return Readout(direction, direction.key, [], 0, is_hidden)
    tokens = [_token(direction, place, scale) for place in range(len(direction.tokens))]
    return Readout(direction, direction.key, tokens, sum(map(is_whole_word, direction.tokens)))


def table(
    columns: Sequence[Direction],
    *,
    rows: int,
    notes: Mapping[int, Sequence[ColumnNote]],
    hidden: Collection[int] = (),
) -> Table:
    """The first `rows` tokens of some directions side by side, coloured on one scale; no tokens of hidden ones."""
    tokens = {it.pk: [] if it.pk in hidden else it.tokens for it in columns}
    scale = Range.of([it for it in columns if it.pk not in hidden], rows)
    shown = min(rows, max(map(len, tokens.values()), default=0))
    cells = [
        (row + 1, [_token(it, row, scale) if row < len(tokens[it.pk]) else None for it in columns])
        for row in range(shown)
    ]
    spans = [Span(len(list(group)), block) for block, group in groupby(columns, key=lambda it: it.block)]
    return Table([Column(it, it.key, notes.get(it.pk, ())) for it in columns], spans, cells, scale)


def found(rank: int, direction: Direction, searched: Container[int]) -> FoundDirection:
    """A direction with its first tokens, those that were searched for marked wherever they stand."""
    ids = direction.token_ids or []
    places = [place for place, token in enumerate(ids) if token in searched]
    tokens = [FoundToken(place + 1, token_display(direction.tokens[place])) for place in places]
    first = [(token_display(token), place in places) for place, token in enumerate(direction.tokens[:8])]
    return FoundDirection(direction, direction.key, rank, tokens, first)


def neighbours(key: MatrixKey, *, n_layers: int, n_heads: int) -> list[Neighbour]:
    """The same circuit one head and one layer further, in both directions, as far as there are such."""
    found = []
    if key.circuit in CIRCUITS_WITH_HEADS and key.head is not None:
        places = [(key.head - 1, "["), (key.head + 1, "]")]
        found += [Neighbour(f"head {n}", replace(key, head=n), sign) for n, sign in places if 0 <= n < n_heads]
    if key.layer is not None:
        places = [(key.layer - 1, "{"), (key.layer + 1, "}")]
        found += [Neighbour(f"layer {n}", replace(key, layer=n), sign) for n, sign in places if 0 <= n < n_layers]
    return found


def other_side(matrix: Matrix, side: str) -> str | None:
    """The circuit's other side, where it has two."""
    others = [name for name in SIDES[matrix.circuit] if name != side]
    return others[0] if others else None


def _token(direction: Direction, place: int, scale: Range) -> Token:
    text = direction.tokens[place]
    score = direction.scores[place] if direction.scores else None
    title = token_title(text) if score is None else f"{token_title(text)}, score {score:.4g}"
    return Token(place + 1, token_display(text), title, score, scale.heat(score), scale.width(score))
