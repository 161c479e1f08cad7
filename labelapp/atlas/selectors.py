"""Reads on models, matrices and directions."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from django.db.models import Count, Q, QuerySet, Sum

from labelapp.atlas.files import arrays_read, file_read
from labelapp.atlas.keys import (
    CIRCUITS_WITH_HEADS,
    CIRCUITS_WITHOUT_LAYER,
    COMPUTED_BASES,
    SIDES,
    DirectionKey,
    MatrixKey,
    Variant,
    direction_key_parse,
)
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selection import variant_filter, variants_stored
from labelapp.atlas.tokens import is_utf8, token_bytes, token_escape
from labelapp.jobs.models import Job


class NotStoredError(LookupError):
    """What a key points to is not there; the message says what is missing and how to get it."""


def model_get(slug: str) -> Model:
    """A model by its part of a key: `gpt2-medium` or `gpt2-medium@607a30d`. Raises NotStoredError."""
    name, _, revision = slug.partition("@")
    rows = Model.objects.filter(name=name)
    model = rows.filter(revision=revision).first() if revision else rows.filter(is_default=True).first()
    if model is None:
        known = ", ".join(str(row) for row in Model.objects.order_by("name")[:10]) or "none yet"
        raise NotStoredError(f"There is no model {slug!r} (there is: {known}); `manage.py decompose` loads one.")
    return model


def matrix_find(model: Model, key: MatrixKey) -> Matrix | None:
    """A model's matrix, if it is stored; the key's model is not looked at."""
    return Matrix.objects.filter(model=model, address=key.address).select_related("model").first()


def matrix_get(key: MatrixKey) -> Matrix:
    """Raises NotStoredError."""
    model = model_get(key.model_part)
    matrix = matrix_find(model, key)
    if matrix is None:
        matrix_key_check(model, key)
        raise NotStoredError(
            f"The matrix {key} is not decomposed yet; opening its page does it, or `manage.py show {key}`."
        )
    return matrix


def matrix_key_check(model: Model, key: MatrixKey) -> None:
    """Raises NotStoredError, in words, where a model has no such matrix, or none that can be computed."""
    if not model.has_weights:
        raise NotStoredError(
            f"{key} is not among the readouts that were imported for {model}; there are no weights to compute it from."
        )
    if key.basis not in COMPUTED_BASES:
        raise NotStoredError(f"{key} cannot be computed from {model}: the features of a {key.basis} are imported.")
    if key.circuit not in model.circuits:
        raise NotStoredError(f"{model} has no circuit {key.circuit}; it has {', '.join(model.circuits)}.")
    if key.layer is not None and key.layer >= model.n_layers:
        raise NotStoredError(f"{model} has the layers 0 to {model.n_layers - 1}, not {key.layer}.")
    if key.head is not None and key.head >= model.n_heads:
        raise NotStoredError(f"{model} has the heads 0 to {model.n_heads - 1}, not {key.head}.")


def matrix_dedupe_key(model: Model, addresses: Sequence[str]) -> str:
    """What the jobs that compute these matrices outside a sweep share."""
    return f"matrix:{model.pk}:{','.join(addresses)}"[:200]


def matrix_job_latest(model: Model, address: str) -> Job | None:
    """The last job that was asked for this one matrix, whatever became of it."""
    return Job.objects.filter(dedupe_key=matrix_dedupe_key(model, [address])).order_by("-pk").first()


@dataclass(frozen=True)
class ModelHolding:
    """A model with how much of it is stored."""

    model: Model
    n_matrices: int  # raw ones in the SVD's basis, of those that the model has
    n_matrices_possible: int
    n_directions: int
    n_directions_raw: int  # those in the matrices counted above


def models_with_holdings() -> list[ModelHolding]:
    """All models by name: three queries, however many models and matrices."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    rows = Matrix.objects.values("model_id", "circuit", "basis", "preprocessing", "control")
    models = Model.objects.order_by("name", "revision").in_bulk()
    for row in rows.annotate(n=Count("pk"), vectors=Sum("n_vectors")).order_by():
        count = counts[row["model_id"]]
        ends = row["vectors"] * len(SIDES[row["circuit"]]) * 2
        if not models[row["model_id"]].has_weights:
            ends = 0  # of imported vectors not every end need be there: they are counted below
        count["directions"] += ends
        if (row["basis"], row["preprocessing"], row["control"]) == ("svd", "raw", ""):
            count["matrices"] += row["n"]
            count["raw"] += ends
    imported = Direction.objects.filter(matrix__model__weights_hash="").order_by()
    is_raw = Q(matrix__basis="svd", matrix__preprocessing="raw", matrix__control="")
    for model_id, n, raw in imported.values_list("matrix__model_id").annotate(
        n=Count("pk"), raw=Count("pk", filter=is_raw)
    ):
        counts[model_id].update(directions=n, raw=raw)
    return [_holding(model, counts[model.pk]) for model in models.values()]


def _holding(model: Model, count: Counter[str]) -> ModelHolding:
    return ModelHolding(model, count["matrices"], matrices_possible(model), count["directions"], count["raw"])


def matrices_possible(model: Model) -> int:
    """How many raw matrices a model has, over the circuits that can be decomposed."""
    return sum(
        (1 if circuit in CIRCUITS_WITHOUT_LAYER else model.n_layers)
        * (model.n_heads if circuit in CIRCUITS_WITH_HEADS else 1)
        for circuit in model.circuits
    )


def matrices_of(model: Model, variant: Variant) -> QuerySet[Matrix]:
    """A model's stored matrices of one variant."""
    return Matrix.objects.filter(variant_filter(variant), model=model)


def place_variants(matrix: Matrix) -> dict[Variant, int]:
    """The stored variants of the circuit, layer and head of a matrix, itself among them."""
    place = {"circuit": matrix.circuit, "layer": matrix.layer, "head": matrix.head}
    return variants_stored(Matrix.objects.filter(model=matrix.model, **place))


def direction_get(key: DirectionKey | str) -> Direction:
    """Raises NotStoredError, or KeyFormError where `key` is text of another form."""
    if isinstance(key, str):
        key = direction_key_parse(key)
    matrix = matrix_get(key.matrix)
    direction = Direction.objects.filter(matrix=matrix, side=key.side, index=key.index, sign=key.sign).first()
    if direction is None and not matrix.model.has_weights:
        raise NotStoredError(f"{key} is not among the {matrix.n_vectors} vectors that were imported for {matrix}.")
    if direction is None:
        raise NotStoredError(f"{matrix} has directions 0 to {matrix.n_vectors - 1}, not {key.index}.")
    direction.matrix = matrix
    return direction


def matrix_columns(matrix: Matrix, *, side: str, sign: str, limit: int | None = None) -> QuerySet[Direction]:
    """One end of every vector of a side, by singular value."""
    columns = Direction.objects.filter(matrix=matrix, side=side, sign=sign).order_by("index")
    return columns[:limit] if limit else columns


def directions_in_key_order(rows: QuerySet[Direction]) -> QuerySet[Direction]:
    """The order of every list and export: model, circuit, layer, head, variant, side, index, sign."""
    return rows.select_related("matrix__model").order_by(
        "matrix__model_id", "matrix__circuit", "matrix__layer", "matrix__head", "matrix__address",
        "side", "index", "sign",
    )  # fmt: skip


def vectors_read(matrix: Matrix, side: str) -> np.ndarray:
    """The unit vectors of one side, [n_vectors, d_model] float32, row i belonging to index i's `+` end."""
    place = matrix.vectors[side]
    stacked = arrays_read(place["file"])["vectors"]  # [heads, at least n_vectors, d_model]
    return np.asarray(stacked[place["row"]][: matrix.n_vectors])


def unembedding_read(folder: str, preprocessing: str = "raw") -> np.ndarray:
    """A model's unembedding, [vocab_size, d_model] float32, one row a token; `folder` is `Model.folder`.

    The folded one is there as soon as a folded matrix is.
    """
    return arrays_read(unembedding_file(folder, preprocessing))["unembedding"]


def unembedding_file(folder: str, preprocessing: str) -> str:
    """Where the storage keeps a model's unembedding."""
    return f"{folder}/unembedding{_unless_raw(preprocessing)}.safetensors"


def pseudo_inverse_file(folder: str, preprocessing: str = "raw") -> str:
    """Where the storage keeps the factor of its pseudo-inverse, which tracing needs."""
    return f"{folder}/pseudo-inverse{_unless_raw(preprocessing)}.safetensors"


def _unless_raw(preprocessing: str) -> str:
    return "" if preprocessing == "raw" else f"-{preprocessing}"


@lru_cache(maxsize=8)
def vocabulary_read(folder: str) -> tuple[str, ...]:
    """A model's token strings by id (see atlas/tokens.py for how odd bytes are held)."""
    return tuple(json.loads(file_read(f"{folder}/vocabulary.json")))


def readout_record(direction: Direction) -> dict[str, Any]:
    """A direction as exports and `show --json` print it.

    `tokens` is valid text; where a token is not valid UTF-8 it is escaped and its bytes stand, in
    hexadecimal, under its place in `token_bytes`.
    """
    tokens = direction.tokens
    return {
        "key": str(direction.key),
        "singular_value": direction.singular_value,
        "gap_above": direction.gap_above,
        "gap_below": direction.gap_below,
        "block": direction.block,
        **({} if direction.neuron is None else {"neuron": direction.neuron}),
        "tokens": [token if is_utf8(token) else token_escape(token) for token in tokens],
        "token_ids": direction.token_ids,
        "token_bytes": {
            str(place): token_bytes(token).hex() for place, token in enumerate(tokens) if not is_utf8(token)
        },
        "scores": direction.scores,
    }
