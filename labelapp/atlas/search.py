"""Token search: which directions of a model hold a token in their readout, and at which rank.

A token is looked for as the pages show it (`·dog`, `\\x00`): what one reads is what one types.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
from django.db import connection
from django.db.models import BinaryField, ExpressionWrapper, F, Func, QuerySet, TextField, Value

from labelapp.atlas.keys import DirectionKey, KeyFormError, direction_key_parse
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selectors import NotStoredError, vocabulary_read
from labelapp.atlas.tokens import LEADING_SPACE, token_display

PAGE_ROWS = 50
MAX_TOKENS = 100  # of those that begin with a prefix; more of them are in nearly every readout
MAX_SIMILAR = 5
CHUNK = 5000


@dataclass(frozen=True)
class Search:
    """What is asked for; `after` is the key of the direction behind which a page begins."""

    text: str = ""
    prefix: bool = False
    circuit: str = ""
    layer: int | None = None
    side: str = ""
    after: str = ""

    def query(self, **changes: Any) -> str:
        it = replace(self, **{"after": "", **changes})
        pairs = {
            "token": it.text,
            "match": "prefix" if it.prefix else "",
            "circuit": it.circuit,
            "layer": "" if it.layer is None else it.layer,
            "side": it.side,
            "after": it.after,
        }
        return "?" + urlencode({name: value for name, value in pairs.items() if value != ""})


@dataclass(frozen=True)
class TokenMatches:
    """The tokens of a vocabulary that a text stands for, by id; `similar` where there are none."""

    shown: Mapping[int, str]  # at most MAX_TOKENS
    n_all: int
    similar: Sequence[str] = ()

    @property
    def first(self) -> Sequence[str]:
        return list(self.shown.values())[:12]

    @property
    def n_further(self) -> int:
        return len(self.shown) - len(self.first)


class Hit(NamedTuple):
    """A direction that holds one of the tokens; hits sort by rank, then as keys do in every list."""

    rank: int
    place: int  # of its matrix
    side: str
    vector: int  # its index
    sign: str
    pk: int


@dataclass(frozen=True)
class ResultPage:
    """Some of the hits, as pairs of rank and direction."""

    rows: Sequence[tuple[int, Direction]]
    n_all: int
    following: str  # the key to go on from; empty at the end


def tokens_match(model: Model, text: str, *, prefix: bool) -> TokenMatches:
    """The tokens that are shown as `text`, or so with a leading space; with `prefix` those that begin so.

    Raises NotStoredError where the model came without its vocabulary.
    """
    shown = _vocabulary_shown(model)
    wanted = _as_shown(text)
    spaced = LEADING_SPACE + wanted
    exact = [token for token, it in enumerate(shown) if it in (wanted, spaced)]
    if not prefix:
        return TokenMatches({it: shown[it] for it in exact}, len(exact), () if exact else _similar(shown, wanted))
    longer = [token for token, it in enumerate(shown) if it.startswith((wanted, spaced))]
    ids = list(dict.fromkeys([*exact, *longer]))
    return TokenMatches({it: shown[it] for it in ids[:MAX_TOKENS]}, len(ids))


def directions_holding(
    model: Model, tokens: Collection[int], search: Search, *, hidden: Collection[int] = ()
) -> ResultPage:
    """The directions of a model that hold one of the tokens, best rank first: three queries, whatever is found.

    Controls are noise, and left out; so is what is `hidden` from who searches, or a search for the tokens of an item
    would tell whether it is a control.
    """
    matrices = Matrix.objects.filter(**_matrix_filter(model, search))
    places = list(matrices.order_by("circuit", "layer", "head", "address").values_list("pk", "address"))
    found = sorted(_hits(rows_to_scan(model, tokens, search), tokens, {pk: n for n, (pk, _) in enumerate(places)}))
    hits = [hit for hit in found if hit.pk not in hidden] if hidden else found
    start = _start(hits, search.after, {address: n for n, (_, address) in enumerate(places)})
    shown = hits[start : start + PAGE_ROWS]
    stored = Direction.objects.select_related("matrix__model").in_bulk([hit.pk for hit in shown])
    rows = [(hit.rank, stored[hit.pk]) for hit in shown if hit.pk in stored]
    following = str(rows[-1][1].key) if rows and start + PAGE_ROWS < len(hits) else ""
    return ResultPage(rows, len(hits), following)


def rows_to_scan(model: Model, tokens: Collection[int], search: Search) -> QuerySet[Direction, tuple[Any, ...]]:
    """What may hold one of the tokens: by its index on PostgreSQL just that, elsewhere all that the filters leave."""
    filters = {f"matrix__{name}": value for name, value in _matrix_filter(model, search).items()}
    rows = Direction.objects.filter(token_ids__isnull=False, **filters)
    if search.side:
        rows = rows.filter(side=search.side)
    # The ids go to numpy as they come, as bytes or text: lists of numbers would take most of the time.
    raw: Any = ExpressionWrapper(F("token_ids"), output_field=BinaryField())
    if connection.vendor == "postgresql":
        rows = rows.filter(token_ids__holds_any=sorted(tokens))
        raw = Func("token_ids", Value(","), function="array_to_string", output_field=TextField())
    return rows.values_list("pk", "matrix_id", "side", "index", "sign", raw)


def _matrix_filter(model: Model, search: Search) -> dict[str, Any]:
    chosen: dict[str, Any] = {"model": model, "control": ""}
    if search.circuit:
        chosen["circuit"] = search.circuit
    if search.layer is not None:
        chosen["layer"] = search.layer
    return chosen


def _hits(
    rows: QuerySet[Direction, tuple[Any, ...]], tokens: Collection[int], places: Mapping[int, int]
) -> Iterator[Hit]:
    wanted = np.zeros(max(tokens) + 2, bool)
    wanted[list(tokens)] = True
    stream = rows.iterator(chunk_size=CHUNK)
    while chunk := list(islice(stream, CHUNK)):
        for place, rank in _ranks([row[-1] for row in chunk], wanted):
            pk, matrix, side, index, sign, _ = chunk[place]
            if matrix in places:  # not stored in between the two queries
                yield Hit(rank, places[matrix], side, index, sign, pk)


def _ranks(readouts: Sequence[Any], wanted: np.ndarray) -> Iterator[tuple[int, int]]:
    """The readouts that hold a wanted token, by place, and the rank of the first; `wanted` ends with False."""
    flat, lengths = _joined(readouts)
    ends = np.cumsum(lengths)
    found = np.flatnonzero(wanted[np.minimum(flat, len(wanted) - 1)])
    owners, first = np.unique(np.searchsorted(ends, found, side="right"), return_index=True)
    ranks = found[first] - (ends - lengths)[owners] + 1
    yield from zip(owners.tolist(), ranks.tolist(), strict=True)


def _joined(readouts: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """All ids in a row, and how many each readout has."""
    if isinstance(readouts[0], str):
        lengths = np.array([ids.count(",") + 1 for ids in readouts])
        return np.fromstring(",".join(readouts), np.int32, sep=","), lengths
    return np.frombuffer(b"".join(readouts), "<i4"), np.array([len(ids) // 4 for ids in readouts])


def _start(hits: Sequence[Hit], after: str, places: Mapping[str, int]) -> int:
    """Where the page behind a direction begins; at 0 where `after` is none of the hits."""
    try:
        key = direction_key_parse(after)
    except KeyFormError:
        return 0
    wanted = _position(key, places)
    return next((n + 1 for n, hit in enumerate(hits) if hit[1:5] == wanted), 0)


def _position(key: DirectionKey, places: Mapping[str, int]) -> tuple[int | None, str, int, str]:
    return places.get(key.matrix.address), key.side, key.index, key.sign


def _as_shown(text: str) -> str:
    """What somebody typed or pasted, as the pages show it; spaces at the end are slips unless there is nothing else."""
    return token_display(text.rstrip(" ") or text)


def _similar(shown: Sequence[str], wanted: str) -> list[str]:
    """Tokens that differ in their case alone."""
    bare = wanted.removeprefix(LEADING_SPACE).casefold()
    return [it for it in shown if it.removeprefix(LEADING_SPACE).casefold() == bare][:MAX_SIMILAR]


def _vocabulary_shown(model: Model) -> Sequence[str]:
    if not model.has_weights:
        raise NotStoredError(
            f"{model} holds imported readouts without a vocabulary, so no token can be looked up in it."
        )
    try:
        return _folder_shown(model.folder)
    except FileNotFoundError:
        raise NotStoredError(
            f"The vocabulary of {model} is not in the file storage, so no token can be looked up; "
            "`manage.py decompose` brings it."
        ) from None


@lru_cache(maxsize=4)
def _folder_shown(folder: str) -> tuple[str, ...]:
    return tuple(map(token_display, vocabulary_read(folder)))
