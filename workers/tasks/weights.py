"""Tasks on weights: take a job's id, call the engine, hand its result to a service."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from labelapp.atlas.files import file_exists, file_write
from labelapp.atlas.keys import MatrixKey, matrix_key_parse, variant_parse
from labelapp.atlas.models import Direction, Model, model_folder
from labelapp.atlas.selection import selection_from_json
from labelapp.atlas.selectors import (
    directions_in_key_order,
    pseudo_inverse_file,
    unembedding_file,
    unembedding_read,
    vectors_read,
    vocabulary_read,
)
from labelapp.atlas.services import (
    Extent,
    block_threshold_set,
    layer_jobs_create,
    matrix_store,
    model_register,
    result_variant,
)
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
    from workers.weights.engine import choose_device
    from workers.weights.selection import parse_circuits, parse_layers

    params = job.params
    choose_device(params["device"])
    checkpoint = open_checkpoint(params["source"])
    info = checkpoint.info
    circuits = parse_circuits(params["circuits"] or default_circuits(info), info.circuits)
    layers = parse_layers(params["layers"], info.n_layers)
    model_files_write(checkpoint)
    with job_completion(job):
        model = model_register(info, name=params["name"])
        if params["block_threshold"] is not None and params["block_threshold"] != model.block_threshold:
            block_threshold_set(model, params["block_threshold"])
        layer_jobs_create(
            parent=job.parent,
            model=model,
            circuits=circuits,
            layers=layers,
            extent=Extent(params["directions"], params["top"]),
            variants=[variant_parse(variant) for variant in params["variants"]],
            device=params["device"],
        )


def default_circuits(info: ModelInfo) -> list[str]:
    """Those of the post, as far as the model has them; the others are for who names them."""
    return [circuit for circuit in info.circuits if circuit in POST_CIRCUITS]


@job_task("workers.tasks.weights.decompose_layer", user_errors=user_errors)
def decompose_layer(job: Job) -> None:
    """Decompose some matrices of one layer and variant and store them, all or none."""
    model = Model.objects.get(pk=job.params["model"])
    keys = [matrix_key_parse(f"{model.name}/{address}") for address in job.params["addresses"]]
    variant = keys[0].variant
    stamp = files_stamp(model.source)
    opened = open_models.get(model.source, model.weights_hash, stamp, variant.preprocessing, job.params["device"])
    results = layer_results(job, model, keys, opened)
    if files_stamp(model.source) != stamp:
        raise JobError(f"The weights in {model.source} changed while they were read; decompose the model again.")
    if variant.preprocessing != "raw":
        unembedding_files_write(model.folder, opened.checkpoint, variant.preprocessing)
    places = vectors_write(model, results, directions=job.params["directions"])
    with job_completion(job):
        # In a fixed order, so that two workers never wait for one another's rows.
        for result in sorted(results, key=lambda result: (result.circuit, result.head or 0)):
            matrix_store(model, result, vectors=places[result.circuit, result.head], tokens=opened.vocabulary)


def layer_results(job: Job, model: Model, keys: Sequence[MatrixKey], opened: OpenModel) -> list[MatrixResult]:
    """Call the engine for the matrices of one layer and variant, circuit by circuit."""
    from workers.weights.engine import decompose_layer as engine_decompose_layer

    params = job.params
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
            device=params["device"],
            block_threshold=model.block_threshold,
            on_matrix=lambda _: progress.step(),
            **asdict(keys[0].variant),
        )
    return results


Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class OpenModel:
    """What every layer of a model needs, kept from task to task."""

    checkpoint: Checkpoint
    unembedding: Any  # a torch tensor, [vocab_size, d_model] float32
    vocabulary: tuple[str, ...]


@job_task("workers.tasks.weights.baseline_layer")
def baseline_layer(job: Job) -> None:
    """Let the offline baseline judge the directions of one layer that it has not judged yet."""
    run = Run.objects.select_related("judge", "model").get(pk=job.params["run"])
    settings = BaselineSettings(**job.params["settings"])
    assert run.model is not None  # the baseline needs vectors, so it has one model
    model, selection = run.model, selection_from_json(run.selection)
    rows = directions_to_judge(model, run.judge, selection).filter(matrix__layer=job.params["layer"])
    progress = ProgressReport(job)
    drafts: list[Draft] = []
    for preprocessing in rows.values_list("matrix__preprocessing", flat=True).order_by().distinct():
        baseline = baseline_open(model.folder, settings, preprocessing)
        of_one = directions_in_key_order(rows.filter(matrix__preprocessing=preprocessing))
        for _, group in groupby(of_one, key=lambda row: (row.matrix_id, row.side)):
            directions = list(group)
            drafts += baseline_drafts(baseline, directions, vectors_read(directions[0].matrix, directions[0].side))
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
def baseline_open(folder: str, settings: BaselineSettings, preprocessing: str) -> Baseline:
    """The baseline for one model, kept from task to task: folded directions are judged in the folded unembedding."""
    from workers.weights.baseline import Baseline

    return Baseline(unembedding_read(folder, preprocessing), vocabulary_read(folder), **settings.arguments())


class OpenModels:
    """The model that the last layer belonged to. Only one is kept: the last is dropped before the next is read."""

    def __init__(self) -> None:
        self.asked_for: tuple[Any, ...] = ()
        self.opened: OpenModel | None = None

    def get(self, source: str, weights_hash: str, stamp: Stamp, preprocessing: str, device: str) -> OpenModel:
        """A stored model's checkpoint with its unembedding in a preprocessing, on a device.

        Weights are read lazily: `stamp` makes a replaced file another checkpoint, which is hashed anew. Raises
        WeightsError where the weights moved or are others by now.
        """
        asked_for = (source, weights_hash, stamp, preprocessing, device)
        if self.opened is None or self.asked_for != asked_for:
            self.opened = None
            self.opened = model_open(source, weights_hash, preprocessing, device)
            self.asked_for = asked_for
        return self.opened


open_models = OpenModels()


def model_open(source: str, weights_hash: str, preprocessing: str, device: str) -> OpenModel:
    from workers.weights.checkpoint import open_checkpoint
    from workers.weights.engine import choose_device
    from workers.weights.errors import DamagedWeights

    place = choose_device(device)
    checkpoint = open_checkpoint(source)
    if checkpoint.info.weights_hash != weights_hash:
        raise DamagedWeights(f"The weights in {source} changed since they were loaded; load them as a new model.")
    unembedding = checkpoint.unembedding(preprocessing=preprocessing).to(place)
    return OpenModel(checkpoint, unembedding, tuple(checkpoint.vocabulary()))


def files_stamp(source: str) -> Stamp:
    """Name, size, time and inode of a folder's weights; empty for a name on the hub, whose files never change."""
    files = sorted(Path(source).glob("*.safetensors"))
    return tuple((file.name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for file in files for stat in [file.stat()])


def model_files_write(checkpoint: Checkpoint) -> None:
    """Keep what pages, judges and tracing need of a model once its weights are out of reach."""
    folder = model_folder(checkpoint.info.weights_hash)
    unembedding_files_write(folder, checkpoint, "raw")
    file_write(f"{folder}/vocabulary.json", json.dumps(list(checkpoint.vocabulary())).encode("ascii"))
    with TemporaryDirectory() as temporary:
        checkpoint.save_tokenizer(Path(temporary))
        for path in sorted(Path(temporary).rglob("*")):
            if path.is_file():
                file_write(f"{folder}/tokenizer/{path.relative_to(temporary).as_posix()}", path.read_bytes())


def unembedding_files_write(folder: str, checkpoint: Checkpoint, preprocessing: str) -> None:
    """The unembedding in a preprocessing, and the factor of its pseudo-inverse; what is there stays."""
    from safetensors.numpy import save

    from workers.weights.artefacts import pseudo_inverse_factor

    places = unembedding_file(folder, preprocessing), pseudo_inverse_file(folder, preprocessing)
    if all(map(file_exists, places)):
        return
    unembedding = checkpoint.unembedding(preprocessing=preprocessing).numpy()
    file_write(places[0], save({"unembedding": unembedding}))
    file_write(places[1], save({"factor": pseudo_inverse_factor(unembedding)}))


def vectors_write(
    model: Model, results: Sequence[MatrixResult], *, directions: int | None
) -> dict[tuple[str, int | None], dict[str, dict[str, object]]]:
    """Store the vectors, one file for each circuit, side and layer with the heads stacked.

    The results are those of one layer and variant. Returns for each circuit and head: side -> where its vectors lie,
    as `Matrix.vectors` holds it.
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
                **asdict(result_variant(matrices[0])),
            )
            file = f"{model.folder}/vectors/{name}.safetensors"
            stacked = np.stack([result.side(side.side).vectors for result in matrices])
            file_write(file, vectors_to_bytes(stacked, heads))
            for row, result in enumerate(matrices):
                places[circuit, result.head][side.side] = {"file": file, "row": row}
    return places
