"""Writes on models, matrices and directions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max

from labelapp.atlas.keys import CIRCUITS_WITH_HEADS, CIRCUITS_WITHOUT_LAYER, UNSEEDED_BASES, MatrixKey, Variant
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selectors import matrix_dedupe_key, matrix_find, matrix_key_check
from labelapp.atlas.storing import directions_write
from labelapp.jobs.models import Job
from labelapp.jobs.services import JobError, job_create, storable
from workers.weights.info import model_slug
from workers.weights.spectrum import blocks_of_gaps

if TYPE_CHECKING:  # numbers come as plain dataclasses; the engine itself is never imported here
    from workers.weights.checkpoint import ModelInfo
    from workers.weights.results import MatrixResult

PREPARE_TASK = "workers.tasks.weights.prepare_model"
LAYER_TASK = "workers.tasks.weights.decompose_layer"


DIRECTIONS, TOP = 64, 50
DEVICE = "auto"


@dataclass(frozen=True)
class Extent:
    """How much of each matrix is wanted; `directions` None is all that there are."""

    directions: int | None = DIRECTIONS
    top: int = TOP

    def vectors_of(self, model: Model, circuit: str, basis: str) -> int:
        """How many vectors of a matrix that is."""
        possible = vectors_possible(model, circuit, basis)
        return possible if self.directions is None else min(self.directions, possible)


def decompose_start(
    *,
    source: str,
    name: str = "",
    circuits: Sequence[str] | None = None,
    layers: str = "",
    directions: int | None = DIRECTIONS,
    top: int = TOP,
    variants: Sequence[Variant] = (Variant(),),
    device: str = DEVICE,
    block_threshold: float | None = None,
    created_by: AbstractBaseUser | None = None,
) -> Job:
    """Enqueue the decomposition of a model; return the parent of its jobs.

    `source` is a folder or a Hugging Face name, `layers` like "0,5,9-11" (empty: all), `circuits` None for those of
    the post. `device` is one of torch's names, "auto" CUDA where there is one. `block_threshold` is from now on the
    one of all the model's matrices; None leaves it as it is. What is already stored is not computed again.
    """
    with contextlib.suppress(OSError):  # a name too long for a path is no folder
        if Path(source).exists():
            source = str(Path(source).resolve())
    params = {
        "source": storable(source),
        "name": model_slug(name) if name else "",
        "circuits": list(circuits) if circuits is not None else None,
        "layers": layers,
        "variants": [str(variant) for variant in variants],
        "device": device,
        "block_threshold": block_threshold,
        **asdict(Extent(directions, top)),
    }
    with transaction.atomic():
        parent = job_create(title=f"Decompose {name or Path(source).name}", created_by=created_by)
        job_create(title="Read the model", task=PREPARE_TASK, params=params, parent=parent)
    return parent


def decompose_more(
    *,
    model: Model,
    circuits: Sequence[str],
    layers: Iterable[int],
    extent: Extent,
    variants: Sequence[Variant],
    created_by: AbstractBaseUser | None = None,
) -> Job:
    """Enqueue more matrices of a stored model; return the parent of the jobs.

    Raises JobError where all of that is stored, or is stored so that it cannot be extended, and for imported readouts.
    """
    if not model.has_weights:
        raise JobError(f"{model} holds imported readouts; there are no weights to decompose.")
    with transaction.atomic():
        parent = job_create(title=f"Decompose more of {model.slug}", created_by=created_by)
        started = layer_jobs_create(
            parent=parent, model=model, circuits=circuits, layers=list(layers), extent=extent, variants=variants
        )
        if not started:
            raise JobError(f"All of that is stored of {model.slug} already; nothing was started.")
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
        "rotary": info.rotary,
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


def block_threshold_set(model: Model, threshold: float) -> int:
    """Bracket all the model's matrices anew, from the gaps that are stored; return how many that changed.

    Nothing is computed again: what a block is hangs on the gaps between neighbouring singular values alone.
    """
    with transaction.atomic():
        Model.objects.filter(pk=model.pk).update(block_threshold=threshold)
        model.block_threshold = threshold
        stored = Matrix.objects.filter(model=model, basis="svd").only("circuit").order_by("pk")
        return sum(_blocks_renew(matrix, threshold) for matrix in stored.iterator())


def _blocks_renew(matrix: Matrix, threshold: float) -> bool:
    ends = Direction.objects.filter(matrix=matrix)
    one = ends.filter(side=matrix.sides[0], sign="+").order_by("index").values_list("gap_below", "block")
    found = list(one)
    below = np.array([np.nan if gap is None else gap for gap, _ in found])
    blocks = [None if block < 0 else block for block in blocks_of_gaps(below, threshold).tolist()]
    changed = [(index, block) for index, block in enumerate(blocks) if block != found[index][1]]
    for block, group in groupby(sorted(changed, key=lambda it: (it[1] is None, it[1])), key=lambda it: it[1]):
        ends.filter(index__in=[index for index, _ in group]).update(block=block)
    return bool(changed)


def layer_jobs_create(
    *,
    parent: Job | None,
    model: Model,
    circuits: Sequence[str],
    layers: Iterable[int],
    extent: Extent,
    variants: Sequence[Variant] = (Variant(),),
    device: str = DEVICE,
) -> int:
    """One job for each layer and variant that lacks a matrix of these circuits; return how many.

    Raises JobError where a matrix is stored with another number of vectors and cannot be extended.
    """
    present = _stored_extents(model)
    created = 0
    every_layer = (*layers, None)
    for variant in variants:
        for layer in every_layer:  # None: what belongs to no layer
            wanted = [key.of_variant(variant) for circuit in circuits for key in layer_keys(model, circuit, layer)]
            missing = [key.address for key in wanted if not _is_present(model, key, present, extent)]
            if missing:
                covering = _extent_covering(model, missing, extent)
                layer_job_create(
                    model=model, layer=layer, addresses=missing, extent=covering, device=device, parent=parent
                )
                created += 1
    return created


def layer_job_create(
    *,
    model: Model,
    layer: int | None,
    addresses: Sequence[str],
    extent: Extent,
    device: str = DEVICE,
    parent: Job | None = None,
    created_by: AbstractBaseUser | None = None,
) -> Job:
    """Enqueue matrices of one layer and one variant; the same ones are never computed twice at once."""
    whole = f"/{', '.join(addresses)}"
    if len(addresses) > 1 and layer is not None:
        _, semicolon, variant = addresses[0].partition(";")
        whole = f" layer {layer}{semicolon}{variant}"
    return job_create(
        title=f"{model.slug}{whole}",
        task=LAYER_TASK,
        params={
            "model": model.pk,
            "layer": layer,
            "addresses": list(addresses),
            "device": device,
            **asdict(extent),
        },
        parent=parent,
        dedupe_key="" if parent else matrix_dedupe_key(model, addresses),
        total=len(addresses),
        created_by=created_by,
    )


def matrix_request(*, model: Model, key: MatrixKey, created_by: AbstractBaseUser | None = None) -> Job:
    """Enqueue one matrix that is not stored yet; asked for twice, it is computed once.

    A variant is computed as far as the matrix itself, so that the two can be compared. Raises NotStoredError where
    the model has no such matrix.
    """
    matrix_key_check(model, key)
    plain = matrix_find(model, key.of_variant(Variant()))
    extent = Extent(plain.n_vectors, plain.top) if plain and key.variant != Variant() else Extent()
    return layer_job_create(model=model, layer=key.layer, addresses=[key.address], extent=extent, created_by=created_by)


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
    variant = result_variant(result)
    key = MatrixKey(model.name, result.circuit, result.layer, result.head).of_variant(variant)
    side = result.sides[0]
    n_vectors, top = len(side.vectors), side.token_ids.shape[2]
    matrix, created = Matrix.objects.select_for_update().get_or_create(
        model=model,
        address=key.address,
        defaults={
            "circuit": key.circuit, "layer": key.layer, "head": key.head,
            **asdict(variant),
            "singular_values": result.singular_values, "rank": result.rank,
            "n_vectors": n_vectors, "top": top, "vectors": vectors,
            "neurons": None if result.neurons is None else result.neurons.tolist(),
        },
    )  # fmt: skip
    if not created:
        longer = n_vectors >= matrix.n_vectors if result.basis == "svd" else n_vectors == matrix.n_vectors
        extends = longer and top >= matrix.top
        if not extends or (n_vectors, top) == (matrix.n_vectors, matrix.top):
            return matrix
        matrix.n_vectors, matrix.top, matrix.vectors = n_vectors, top, vectors
        matrix.save(update_fields=["n_vectors", "top", "vectors"])
    directions_write(matrix, result, tokens)
    return matrix


def result_variant(result: MatrixResult) -> Variant:
    return Variant(result.preprocessing, result.basis, result.basis_seed, result.control, result.control_seed)


def _extent_covering(model: Model, addresses: Sequence[str], extent: Extent) -> Extent:
    """At least what is wanted and what is stored already: a matrix is extended, never cut."""
    stored = Matrix.objects.filter(model=model, address__in=addresses).aggregate(
        directions=Max("n_vectors", default=0), top=Max("top", default=0)
    )
    directions = None if extent.directions is None else max(extent.directions, stored["directions"])
    return Extent(directions, max(extent.top, stored["top"]))


def _stored_extents(model: Model) -> dict[str, tuple[int, int]]:
    """Of each stored matrix, by address, how many vectors and tokens it holds."""
    rows = Matrix.objects.filter(model=model).values_list("address", "n_vectors", "top")
    return {address: (n_vectors, top) for address, n_vectors, top in rows}


def _is_present(model: Model, key: MatrixKey, stored: Mapping[str, tuple[int, int]], extent: Extent) -> bool:
    """Whether a matrix is stored with at least what is wanted.

    Raises JobError where it is stored with another number of vectors in a basis in which that makes others.
    """
    n_vectors, top = stored.get(key.address, (0, 0))
    wanted = extent.vectors_of(model, key.circuit, key.basis)
    if key.basis != "svd" and n_vectors not in (0, wanted):
        seeds = "" if key.basis in UNSEEDED_BASES else f", or for another seed such as {key.basis}.{key.basis_seed + 1}"
        raise JobError(
            f"{key} is stored with {n_vectors} vectors, and {wanted} of this basis would be other ones: "
            f"ask for --directions {n_vectors}{seeds}."
        )
    return n_vectors >= wanted and top >= min(extent.top, model.vocab_size)


def vectors_possible(model: Model, circuit: str, basis: str = "svd") -> int:
    """How many vectors a matrix of this circuit can have in a basis."""
    if circuit in CIRCUITS_WITH_HEADS:
        inner = model.d_head
    elif circuit in CIRCUITS_WITHOUT_LAYER:
        inner = model.vocab_size
    else:
        inner = model.d_mlp
    return inner if basis == "neuron" else min(inner, model.d_model)
