"""Writes on models, matrices and directions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max

from labelapp.atlas.keys import CIRCUITS_WITH_HEADS, MatrixKey
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selectors import NotStoredError, matrix_dedupe_key, matrix_key_check
from labelapp.jobs.models import Job
from labelapp.jobs.services import JobError, job_create
from workers.weights.info import model_slug

if TYPE_CHECKING:  # numbers come as plain dataclasses; the engine itself is never imported here
    from workers.weights.checkpoint import ModelInfo
    from workers.weights.results import MatrixResult

PREPARE_TASK = "workers.tasks.weights.prepare_model"
LAYER_TASK = "workers.tasks.weights.decompose_layer"
READOUT_COLUMNS = [
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
        "source": source,
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
    for layer in layers:
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
    layer: int,
    addresses: Sequence[str],
    extent: Extent,
    parent: Job | None = None,
    created_by: AbstractBaseUser | None = None,
) -> Job:
    """Enqueue the matrices of one layer; the same ones are never computed twice at once."""
    title = f"{model.slug} layer {layer}" if len(addresses) > 1 else f"{model.slug}/{addresses[0]}"
    return job_create(
        title=title,
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


def layer_keys(model: Model, circuit: str, layer: int) -> list[MatrixKey]:
    """The keys of one circuit's matrices in one layer, raw and in the SVD's basis."""
    heads = range(model.n_heads) if circuit in CIRCUITS_WITH_HEADS else [None]
    revision = "" if model.is_default else model.revision
    return [MatrixKey(model.name, circuit, layer, head, revision) for head in heads]


def matrix_store(
    model: Model, result: MatrixResult, *, vectors: dict[str, dict[str, object]], tokens: Sequence[str]
) -> Matrix:
    """Write one decomposed matrix with all its directions, in the caller's transaction.

    A matrix that is stored already keeps its rows and their ids (judgements point at them) and is extended,
    where the result holds all of it and more; any other result changes nothing.
    `vectors` says for each side where its vectors lie, `tokens` is the model's vocabulary.
    """
    key = MatrixKey(model.name, result.circuit, result.layer, result.head,
                    preprocessing=result.preprocessing, basis=result.basis)  # fmt: skip
    side = result.sides[0]
    n_vectors, top = len(side.vectors), side.token_ids.shape[2]
    matrix, created = Matrix.objects.select_for_update().get_or_create(
        model=model,
        address=key.address,
        defaults={
            "circuit": key.circuit, "layer": key.layer, "head": key.head,
            "preprocessing": key.preprocessing, "basis": key.basis,
            "singular_values": result.singular_values, "rank": result.rank,
            "n_vectors": n_vectors, "top": top, "vectors": vectors,
        },
    )  # fmt: skip
    if not created:
        extends = n_vectors >= matrix.n_vectors and top >= matrix.top
        if not extends or (n_vectors, top) == (matrix.n_vectors, matrix.top):
            return matrix
        matrix.n_vectors, matrix.top, matrix.vectors = n_vectors, top, vectors
        matrix.save(update_fields=["n_vectors", "top", "vectors"])
    Direction.objects.bulk_create(
        _directions(matrix, result, tokens),
        update_conflicts=True,
        unique_fields=["matrix", "side", "index", "sign"],
        update_fields=READOUT_COLUMNS,
        batch_size=500,
    )
    return matrix


def _directions(matrix: Matrix, result: MatrixResult, vocabulary: Sequence[str]) -> list[Direction]:
    rows = []
    for side in result.sides:
        for index in range(len(side.vectors)):
            block = int(result.block[index])
            for end, sign in enumerate("+-"):
                ids = side.token_ids[index, end]
                rows.append(
                    Direction(
                        matrix=matrix,
                        side=side.side,
                        index=index,
                        sign=sign,
                        singular_value=float(result.singular_values[index]),
                        gap_above=_number(result.gap_above[index]),
                        gap_below=_number(result.gap_below[index]),
                        block=None if block < 0 else block,
                        token_ids=ids,
                        tokens=[vocabulary[token] for token in ids],  # type: ignore[misc]
                        scores=side.scores[index, end],
                        score_mean=float(side.score_mean[index]) * (1 if sign == "+" else -1),
                        score_deviation=float(side.score_std[index]),
                    )
                )
    return rows


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
