"""Writes on models, matrices and directions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, transaction
from django.db.models import Max

from labelapp.atlas.keys import CIRCUITS_WITH_HEADS, CIRCUITS_WITHOUT_LAYER, MatrixKey
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selectors import NotStoredError, matrix_dedupe_key, matrix_key_check
from labelapp.jobs.models import Job
from labelapp.jobs.services import JobError, job_create, storable
from workers.weights.info import model_slug

if TYPE_CHECKING:  # numbers come as plain dataclasses; the engine itself is never imported here
    from workers.weights.checkpoint import ModelInfo
    from workers.weights.results import MatrixResult

PREPARE_TASK = "workers.tasks.weights.prepare_model"
LAYER_TASK = "workers.tasks.weights.decompose_layer"
ADDRESS_FIELDS = ["matrix", "side", "index", "sign"]
READOUT_FIELDS = [
    "singular_value", "gap_above", "gap_below", "block",
    "token_ids", "tokens", "scores", "score_mean", "score_deviation",
]  # fmt: skip


@dataclass(frozen=True)
class Extent:
    """How much of each matrix is wanted."""

    directions: int = 64
    top: int = 50


def decompose_start(
    *,
    source: str,
    name: str = "",
    circuits: Sequence[str] | None = None,
    layers: str = "",
    directions: int = 64,
    top: int = 50,
    created_by: AbstractBaseUser | None = None,
) -> Job:
    """Enqueue the decomposition of a model; return the parent of its jobs.

    `source` is a folder or a Hugging Face name, `layers` like "0,5,9-11" (empty: all), `circuits` None for
    all that the architecture has. What is already stored is not computed again.
    """
    with contextlib.suppress(OSError):  # a name too long for a path is no folder
        if Path(source).exists():
            source = str(Path(source).resolve())
    params = {
        "source": storable(source),
        "name": model_slug(name) if name else "",
        "circuits": list(circuits) if circuits is not None else None,
        "layers": layers,
        **asdict(Extent(directions, top)),
    }
    with transaction.atomic():
        parent = job_create(title=f"Decompose {name or Path(source).name}", created_by=created_by)
        job_create(title="Read the model", task=PREPARE_TASK, params=params, parent=parent)
    return parent


def model_register(info: ModelInfo, *, name: str = "") -> Model:
    """Store a model, or return the one that is stored; the first revision of a name is its default.

    Raises JobError where name and revision are taken by other weights.
    """
    name = name or info.name
    values = {
        "source": info.source,
        "architecture": info.architecture,
        "n_layers": info.n_layers,
        "n_heads": info.n_heads,
        "n_kv_heads": info.n_kv_heads,
        "d_model": info.d_model,
        "d_head": info.d_head,
        "d_mlp": info.d_mlp,
        "vocab_size": info.vocab_size,
        "tied": info.tied,
        "circuits": list(info.circuits),
        "weights_hash": info.weights_hash,
        "is_default": not Model.objects.filter(name=name).exists(),
    }
    model, created = Model.objects.get_or_create(name=name, revision=info.revision, defaults=values)
    if model.weights_hash != info.weights_hash:
        raise JobError(
            f"The name {model.slug} belongs to other weights ({model.source}); give this model another --name."
        )
    if not created and model.source != info.source:
        Model.objects.filter(pk=model.pk).update(source=info.source)  # the same weights have moved
    return model


def layer_jobs_create(
    *, parent: Job | None, model: Model, circuits: Sequence[str], layers: Iterable[int], extent: Extent
) -> int:
    """One job for each layer that lacks a matrix of these circuits; return how many."""
    present = _addresses_present(model, extent)
    created = 0
    for layer in (*layers, None):  # None: what belongs to no layer
        wanted = [key for circuit in circuits for key in layer_keys(model, circuit, layer)]
        missing = [key.address for key in wanted if key.address not in present]
        if missing:
            covering = _extent_covering(model, missing, extent)
            layer_job_create(model=model, layer=layer, addresses=missing, extent=covering, parent=parent)
            created += 1
    return created


def layer_job_create(
    *,
    model: Model,
    layer: int | None,
    addresses: Sequence[str],
    extent: Extent,
    parent: Job | None = None,
    created_by: AbstractBaseUser | None = None,
) -> Job:
    """Enqueue the matrices of one layer; the same ones are never computed twice at once."""
    whole = f" layer {layer}" if len(addresses) > 1 and layer is not None else f"/{', '.join(addresses)}"
    return job_create(
        title=f"{model.slug}{whole}",
        task=LAYER_TASK,
        params={"model": model.pk, "layer": layer, "addresses": list(addresses), **asdict(extent)},
        parent=parent,
        dedupe_key="" if parent else matrix_dedupe_key(model, addresses),
        total=len(addresses),
        created_by=created_by,
    )


def matrix_request(*, model: Model, key: MatrixKey, created_by: AbstractBaseUser | None = None) -> Job:
    """Enqueue one matrix that is not stored yet; asked for twice, it is computed once.

    Raises NotStoredError where the model has no such matrix.
    """
    matrix_key_check(model, key)
    if key.layer is None:
        raise NotStoredError(f"{key} cannot be computed alone; `manage.py decompose` does it.")
    return layer_job_create(
        model=model, layer=key.layer, addresses=[key.address], extent=Extent(), created_by=created_by
    )


def layer_keys(model: Model, circuit: str, layer: int | None) -> list[MatrixKey]:
    """The keys of one circuit's matrices in one layer (None: of no layer), raw and in the SVD's basis."""
    if (layer is None) != (circuit in CIRCUITS_WITHOUT_LAYER):
        return []
    heads = range(model.n_heads) if circuit in CIRCUITS_WITH_HEADS else [None]
    revision = "" if model.is_default else model.revision
    return [MatrixKey(model.name, circuit, layer, head, revision) for head in heads]


def matrix_store(
    model: Model, result: MatrixResult, *, vectors: dict[str, dict[str, object]], tokens: Sequence[str]
) -> Matrix:
    """Write one decomposed matrix with all its directions, in the caller's transaction.

    A matrix that is stored already keeps its rows and their ids (judgements point at them) and is extended,
    where the result holds all of it and more; any other result changes nothing. Outside the SVD's basis more
    vectors are other vectors (a rotation of the first n), so such a matrix keeps the number that it has.
    `vectors` says for each side where its vectors lie, `tokens` is the model's vocabulary.
    """
    key = MatrixKey(model.name, result.circuit, result.layer, result.head,
                    preprocessing=result.preprocessing, basis=result.basis, basis_seed=result.basis_seed,
                    control=result.control, control_seed=result.control_seed)  # fmt: skip
    side = result.sides[0]
    n_vectors, top = len(side.vectors), side.token_ids.shape[2]
    matrix, created = Matrix.objects.select_for_update().get_or_create(
        model=model,
        address=key.address,
        defaults={
            "circuit": key.circuit, "layer": key.layer, "head": key.head,
            "preprocessing": key.preprocessing, "basis": key.basis, "basis_seed": key.basis_seed,
            "control": key.control, "control_seed": key.control_seed,
            "singular_values": result.singular_values, "rank": result.rank,
            "n_vectors": n_vectors, "top": top, "vectors": vectors,
        },
    )  # fmt: skip
    if not created:
        longer = n_vectors >= matrix.n_vectors if result.basis == "svd" else n_vectors == matrix.n_vectors
        extends = longer and top >= matrix.top
        if not extends or (n_vectors, top) == (matrix.n_vectors, matrix.top):
            return matrix
        matrix.n_vectors, matrix.top, matrix.vectors = n_vectors, top, vectors
        matrix.save(update_fields=["n_vectors", "top", "vectors"])
    _directions_write(matrix, result, tokens)
    return matrix


def _directions_write(matrix: Matrix, result: MatrixResult, vocabulary: Sequence[str]) -> None:
    """Insert a matrix's directions, or renew the readouts of those that are there.

    `bulk_create` does the same, and spends five times as long on it: an atlas has a hundred thousand directions.
    """
    quote = connection.ops.quote_name
    named = {field.name: quote(str(field.column)) for field in Direction._meta.concrete_fields}
    address, readout = ([named[name] for name in names] for names in (ADDRESS_FIELDS, READOUT_FIELDS))
    columns = [*address, *readout]
    renewed = ", ".join(f"{column} = EXCLUDED.{column}" for column in readout)
    statement = (
        f"INSERT INTO {quote(Direction._meta.db_table)} ({', '.join(columns)}) "
        f"VALUES ({', '.join(['%s'] * len(columns))}) ON CONFLICT ({', '.join(address)}) DO UPDATE SET {renewed}"
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, list(_direction_rows(matrix, result, _tokens_encoded(tuple(vocabulary)))))


def _direction_rows(matrix: Matrix, result: MatrixResult, encoded: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The values of ADDRESS_FIELDS and READOUT_FIELDS, as the database takes them."""
    values, above, below = (
        [_number(value) for value in numbers.tolist()]
        for numbers in (np.asarray(result.singular_values, float), result.gap_above, result.gap_below)
    )
    blocks = [None if block < 0 else block for block in result.block.tolist()]
    ids_as_array = connection.vendor == "postgresql"
    for side in result.sides:
        token_ids, means, deviations = side.token_ids.tolist(), side.score_mean.tolist(), side.score_std.tolist()
        id_bytes, scores = side.token_ids.astype("<i4", copy=False), side.scores.astype("<f4", copy=False)
        for index, ends in enumerate(token_ids):
            facts = (values[index], above[index], below[index], blocks[index])
            for end, ids in enumerate(ends):
                yield (
                    matrix.pk, side.side, index, "+-"[end], *facts,
                    ids if ids_as_array else id_bytes[index, end].tobytes(),
                    f"[{','.join([encoded[token] for token in ids])}]",
                    scores[index, end].tobytes(),
                    -means[index] if end else means[index],
                    deviations[index],
                )  # fmt: skip


@lru_cache(maxsize=2)
def _tokens_encoded(vocabulary: tuple[str, ...]) -> list[str]:
    """Each token as `TokensField` writes it: a vocabulary is encoded once, not once for every readout."""
    return [json.dumps(token) for token in vocabulary]


def _number(value: float) -> float | None:
    return None if value != value else float(value)  # NaN: there is no neighbour


def _extent_covering(model: Model, addresses: Sequence[str], extent: Extent) -> Extent:
    """At least what is wanted and what is stored already: a matrix is extended, never cut."""
    stored = Matrix.objects.filter(model=model, address__in=addresses).aggregate(
        directions=Max("n_vectors", default=0), top=Max("top", default=0)
    )
    return Extent(max(extent.directions, stored["directions"]), max(extent.top, stored["top"]))


def _addresses_present(model: Model, extent: Extent) -> set[str]:
    """The addresses of stored matrices that hold at least what is wanted."""
    rows = Matrix.objects.filter(model=model, top__gte=min(extent.top, model.vocab_size))
    return {
        address
        for address, circuit, n_vectors in rows.values_list("address", "circuit", "n_vectors")
        if n_vectors >= min(extent.directions, vectors_possible(model, circuit))
    }


def vectors_possible(model: Model, circuit: str) -> int:
    """How many singular vectors a matrix of this circuit can have."""
    if circuit in CIRCUITS_WITH_HEADS:
        return min(model.d_head, model.d_model)
    if circuit in ("mlp_in", "mlp_gate", "mlp_out"):
        return min(model.d_model, model.d_mlp)
    return min(model.d_model, model.vocab_size)
