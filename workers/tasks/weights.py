"""Tasks on weights: take a job's id, call the engine, hand its result to a service."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from labelapp.atlas.files import file_write
from labelapp.atlas.keys import matrix_key_parse
from labelapp.atlas.models import Direction, Model, model_folder
from labelapp.atlas.selection import selection_from_json
from labelapp.atlas.selectors import directions_in_key_order, unembedding_read, vectors_read, vocabulary_read
from labelapp.atlas.services import Extent, layer_jobs_create, matrix_store, model_register
from labelapp.autolabel.models import Run
from labelapp.autolabel.selectors import directions_to_judge
from labelapp.autolabel.services import direction_seed
from labelapp.jobs.models import Job
from labelapp.jobs.services import JobError, job_completion
from labelapp.judgements.models import LABEL_LENGTH, Verdict
from labelapp.judgements.services import Draft, judgements_record_new
from workers.tasks.base import ProgressReport, job_task
from workers.weights.baseline_settings import BaselineSettings

POST_CIRCUITS = ("ov", "mlp_in", "mlp_gate", "mlp_out")

if TYPE_CHECKING:  # torch comes in with the first task, not with the worker
    from workers.weights.baseline import Baseline
    from workers.weights.checkpoint import Checkpoint
    from workers.weights.info import ModelInfo
    from workers.weights.results import MatrixResult


def user_errors() -> tuple[type[Exception], ...]:
    from workers.weights.errors import WeightsError

    return (WeightsError,)


@job_task("workers.tasks.weights.prepare_model", user_errors=user_errors)
def prepare_model(job: Job) -> None:
    """Read a checkpoint's configuration, keep what the web needs of it, and enqueue its layers."""
    from workers.weights.checkpoint import open_checkpoint
    from workers.weights.selection import parse_circuits, parse_layers

    params = job.params
    checkpoint = open_checkpoint(params["source"])
    info = checkpoint.info
    circuits = parse_circuits(params["circuits"] or default_circuits(info), info.circuits)
    layers = parse_layers(params["layers"], info.n_layers)
    model_files_write(checkpoint)
    with job_completion(job):
        model = model_register(info, name=params["name"])
        extent = Extent(params["directions"], params["top"])
        layer_jobs_create(parent=job.parent, model=model, circuits=circuits, layers=layers, extent=extent)


def default_circuits(info: ModelInfo) -> list[str]:
    """Those of the post, as far as the model has them; the others are for who names them."""
    return [circuit for circuit in info.circuits if circuit in POST_CIRCUITS]


@job_task("workers.tasks.weights.decompose_layer", user_errors=user_errors)
def decompose_layer(job: Job) -> None:
    """Decompose some matrices of one layer and store them, all or none."""
    model = Model.objects.get(pk=job.params["model"])
    opened = model_open(model.source, model.weights_hash, files_stamp(model.source))
    results = layer_results(job, model, opened)
    if files_stamp(model.source) != opened.stamp:
        raise JobError(f"The weights in {model.source} changed while they were read; decompose the model again.")
    places = vectors_write(model, results, directions=job.params["directions"])
    with job_completion(job):
        # In a fixed order, so that two workers never wait for one another's rows.
        for result in sorted(results, key=lambda result: (result.circuit, result.head or 0)):
            matrix_store(model, result, vectors=places[result.circuit, result.head], tokens=opened.vocabulary)


def layer_results(job: Job, model: Model, opened: OpenModel) -> list[MatrixResult]:
    """Call the engine for the addresses that a job names, circuit by circuit."""
    from workers.weights.engine import decompose_layer as engine_decompose_layer

    params = job.params
    keys = [matrix_key_parse(f"{model.name}/{address}") for address in params["addresses"]]
    progress = ProgressReport(job)
    results: list[MatrixResult] = []
    for circuit, group in groupby(keys, key=lambda key: key.circuit):
        heads = [key.head for key in group if key.head is not None]
        results += engine_decompose_layer(
            opened.checkpoint,
            params["layer"],
            circuits=[circuit],
            directions=params["directions"],
            top=min(params["top"], model.vocab_size),
            heads=heads or None,
            unembedding=opened.unembedding,
            on_matrix=lambda _: progress.step(),
        )
    return results


Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class OpenModel:
    """What every layer of a model needs, kept from task to task."""

    checkpoint: Checkpoint
    unembedding: Any  # a torch tensor, [vocab_size, d_model] float32
    vocabulary: tuple[str, ...]
    stamp: Stamp


@job_task("workers.tasks.weights.baseline_layer")
def baseline_layer(job: Job) -> None:
    """Let the offline baseline judge the directions of one layer that it has not judged yet."""
    run = Run.objects.select_related("judge", "model").get(pk=job.params["run"])
    settings = BaselineSettings(**job.params["settings"])
    assert run.model is not None
    baseline = baseline_open(run.model.folder, settings)
    rows = directions_to_judge(run.model, run.judge, selection_from_json(run.selection)).filter(
        matrix__layer=job.params["layer"]
    )
    progress = ProgressReport(job)
    drafts: list[Draft] = []
    for (_, side), group in groupby(directions_in_key_order(rows), key=lambda row: (row.matrix_id, row.side)):
        directions = list(group)
        drafts += baseline_drafts(baseline, directions, vectors_read(directions[0].matrix, side))
        progress.step(len(directions))
    with job_completion(job):
        judgements_record_new(judge=run.judge, source=run.source, drafts=drafts)


def baseline_drafts(baseline: Baseline, directions: Sequence[Direction], vectors: np.ndarray) -> list[Draft]:
    """The baseline's judgements on some directions of one side of one matrix; `vectors` [n_vectors, d_model]."""
    by_index = {index: list(group) for index, group in groupby(directions, key=lambda row: row.index)}
    seeds = [direction_seed(group[0]) for group in by_index.values()]
    verdicts = iter(baseline.judge(vectors[list(by_index)], seeds))
    drafts = []
    for group in by_index.values():
        of_sign = {verdict.sign: verdict for verdict in (next(verdicts), next(verdicts))}
        for direction in group:
            verdict = of_sign[direction.sign]
            drafts.append(
                Draft(
                    direction_id=direction.pk,
                    verdict=Verdict.INTERPRETABLE if verdict.interpretable else Verdict.NOT_INTERPRETABLE,
                    label=verdict.label[:LABEL_LENGTH],
                    evidence={"statistic": verdict.statistic, "p_value": verdict.p_value},
                )
            )
    return drafts


@lru_cache(maxsize=1)
def baseline_open(folder: str, settings: BaselineSettings) -> Baseline:
    """The baseline for one model, kept from task to task."""
    from workers.weights.baseline import Baseline

    return Baseline(unembedding_read(folder), vocabulary_read(folder), **settings.arguments())


@lru_cache(maxsize=1)
def model_open(source: str, weights_hash: str, stamp: Stamp) -> OpenModel:
    """Open a stored model's checkpoint. Raises WeightsError where its weights moved or are others by now.

    Weights are read lazily: `stamp` makes a replaced file another checkpoint, which is hashed anew.
    """
    from workers.weights.checkpoint import open_checkpoint
    from workers.weights.errors import DamagedWeights

    checkpoint = open_checkpoint(source)
    if checkpoint.info.weights_hash != weights_hash:
        raise DamagedWeights(f"The weights in {source} changed since they were loaded; load them as a new model.")
    return OpenModel(checkpoint, checkpoint.unembedding(), tuple(checkpoint.vocabulary()), stamp)


def files_stamp(source: str) -> Stamp:
    """Name, size, time and inode of a folder's weights; empty for a name on the hub, whose files never change."""
    files = sorted(Path(source).glob("*.safetensors"))
    return tuple((file.name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for file in files for stat in [file.stat()])


def model_files_write(checkpoint: Checkpoint) -> None:
    """Keep what pages, judges and tracing need of a model once its weights are out of reach."""
    from safetensors.numpy import save

    from workers.weights.artefacts import pseudo_inverse_factor

    folder = model_folder(checkpoint.info.weights_hash)
    unembedding = checkpoint.unembedding().numpy()
    file_write(f"{folder}/unembedding.safetensors", save({"unembedding": unembedding}))
    file_write(f"{folder}/pseudo-inverse.safetensors", save({"factor": pseudo_inverse_factor(unembedding)}))
    file_write(f"{folder}/vocabulary.json", json.dumps(list(checkpoint.vocabulary())).encode("ascii"))
    with TemporaryDirectory() as temporary:
        checkpoint.save_tokenizer(Path(temporary))
        for path in sorted(Path(temporary).rglob("*")):
            if path.is_file():
                file_write(f"{folder}/tokenizer/{path.relative_to(temporary).as_posix()}", path.read_bytes())


def vectors_write(
    model: Model, results: Sequence[MatrixResult], *, directions: int
) -> dict[tuple[str, int | None], dict[str, dict[str, object]]]:
    """Store the vectors, one file for each circuit, side and layer with the heads stacked.

    Returns for each circuit and head: side -> where its vectors lie, as `Matrix.vectors` holds it.
    """
    from workers.weights.artefacts import artefact_digest, vectors_to_bytes

    places: dict[tuple[str, int | None], dict[str, dict[str, object]]] = defaultdict(dict)
    for circuit, group in groupby(results, key=lambda result: result.circuit):
        matrices = list(group)
        heads = [result.head for result in matrices if result.head is not None] or None
        for side in matrices[0].sides:
            name = artefact_digest(
                weights_hash=model.weights_hash,
                circuit=circuit,
                side=side.side,
                layer=matrices[0].layer,
                heads=heads,
                directions=directions,
                preprocessing=matrices[0].preprocessing,
                basis=matrices[0].basis,
            )
            file = f"{model.folder}/vectors/{name}.safetensors"
            stacked = np.stack([result.side(side.side).vectors for result in matrices])
            file_write(file, vectors_to_bytes(stacked, heads))
            for row, result in enumerate(matrices):
                places[circuit, result.head][side.side] = {"file": file, "row": row}
    return places
