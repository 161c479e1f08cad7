"""A whole atlas of a model like GPT2-medium: decomposition, readout and storage, against their bare matrix product.

`./tea bench decompose` takes all 24 layers; `--layers 4` takes some, and the whole is in proportion: every layer has
the same shapes, so the same work. Weights are random, in temporary files, and gone afterwards. The atlas is made by
the very tasks that a worker runs, one after the other in this process, on the CPU. The other ways (TransformerLens,
where requirements-bench.txt is installed, and the post's) are timed on the heads of one layer. The sizes of GPT-2 are
run in processes of their own, for their memory and for how time grows.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import ROOT, Bench, paired

if TYPE_CHECKING:
    from torch import Tensor

SHAPES = {  # layers, heads, width
    "gpt2-small": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}
VOCABULARY = 50257
DIRECTIONS, TOP = 64, 50
CIRCUITS = ("ov", "mlp_in", "mlp_out")
PARTS = ("decomposition", "readout", "files", "database")
QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": ""}  # a busy machine makes OpenMP's threads spin
XL_LAYERS = 6
"""How many layers of GPT2-XL's shape are run: enough to see whether memory grows with them."""


def run(bench: Bench) -> None:
    os.environ.update(QUIET)
    options = arguments(bench.arguments)
    bench.libraries += ["torch", "numpy", "scipy", "Django"]
    with tempfile.TemporaryDirectory(prefix="tealeaves-bench-") as temporary:
        folder = Path(temporary)
        shape = SHAPES["gpt2-medium"]
        make_checkpoint(folder / "medium", shape, options.layers)
        prepare_django(folder / "data")
        whole_atlas(bench, folder / "medium", options.layers, shape[0])
        other_ways(bench, folder / "medium")
        if options.sizes:
            sizes(bench, folder)


def arguments(given: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./tea bench decompose")
    layers = SHAPES["gpt2-medium"][0]
    parser.add_argument("--layers", type=int, default=layers, help=f"how many of the {layers} layers to run")
    parser.add_argument("--no-sizes", dest="sizes", action="store_false", help="leave out the other GPT-2 sizes")
    options = parser.parse_args(given)
    options.layers = max(1, min(options.layers, layers))
    return options


def make_checkpoint(folder: Path, shape: tuple[int, int, int], layers: int) -> None:
    """GPT-2's tensors with random values in one safetensors file, and a tokenizer of made-up words."""
    import torch
    from safetensors.torch import save_file

    _, heads, width = shape
    draw = torch.Generator().manual_seed(0)

    def weights(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=draw) * 0.02

    tensors = {"wte.weight": weights(VOCABULARY, width), "ln_f.weight": torch.ones(width), "ln_f.bias": weights(width)}
    for layer in range(layers):
        for name, sizes in {
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (width, 4 * width),
            "mlp.c_proj": (4 * width, width),
        }.items():
            tensors[f"h.{layer}.{name}.weight"] = weights(*sizes)
            tensors[f"h.{layer}.{name}.bias"] = weights(sizes[1])
        for name in ("ln_1", "ln_2"):
            tensors[f"h.{layer}.{name}.weight"] = 1 + weights(width)
            tensors[f"h.{layer}.{name}.bias"] = weights(width)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "gpt2", "n_layer": layers, "n_head": heads, "n_embd": width, "vocab_size": VOCABULARY,
        "n_positions": 1024, "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    words = {f"Ġword{token}": token for token in range(VOCABULARY)}
    tokenizer: dict[str, Any] = {
        "version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": words, "merges": []},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def prepare_django(data: Path) -> None:
    (data / "static").mkdir(parents=True)
    os.environ.pop("DATABASE_URL", None)
    settings = {"DJANGO_SETTINGS_MODULE": "labelapp.config.settings", "CELERY_BROKER_URL": "memory://"}
    os.environ.update(settings, TEALEAVES_DATA=str(data))
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


class Clock:
    """Seconds by step, one number for each time that it was taken."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name].append(time.perf_counter() - start)

    def total(self, name: str) -> float:
        return sum(self.spent[name])


def whole_atlas(bench: Bench, folder: Path, layers: int, all_layers: int) -> None:
    """Job by job as a worker does it: read the model, then each layer.

    The bare product of the very vectors that were stored follows each layer, so that a slow moment of the machine
    meets both.
    """
    from django.db import connection

    from labelapp.atlas.models import Direction, Matrix
    from labelapp.atlas.services import PREPARE_TASK, decompose_start
    from labelapp.jobs.models import Job
    from workers.weights.checkpoint import open_checkpoint

    unembedding = open_checkpoint(str(folder)).unembedding()
    bare_product(unembedding[:DIRECTIONS].contiguous(), unembedding)  # what only the first product costs
    parent = decompose_start(
        source=str(folder), name="gpt2-medium-like", circuits=CIRCUITS, directions=DIRECTIONS, top=TOP
    )
    clock = Clock()
    with clock.step("preparation"):
        perform(Job.objects.get(parent=parent))
    with parts_timed(clock):
        for job in Job.objects.filter(parent=parent).exclude(task=PREPARE_TASK).order_by("pk"):
            with clock.step("layer"):
                perform(job)
            vectors = stored_vectors(job.params["layer"])
            with clock.step("product"):
                bare_product(vectors, unembedding)
    readouts = Direction.objects.count()
    bench.note(
        f"{layers} of {all_layers} layers of a model like GPT2-medium with random weights: "
        f"{Matrix.objects.count()} matrices, {readouts // 2} vectors, {readouts} readouts of {TOP} tokens in "
        f"{connection.display_name}. " + ("" if layers == all_layers else "The whole atlas is in proportion.")
    )
    tell_the_atlas(bench, clock, all_layers / layers)


def tell_the_atlas(bench: Bench, clock: Clock, scale: float) -> None:
    """The table of the steps and its figures; ``scale`` is how many times the layers were run the whole has."""
    product = scale * clock.total("product")
    spent = {name: scale * clock.total(name) for name in PARTS}
    spent["jobs, opening the weights"] = scale * clock.total("layer") - sum(spent.values())
    spent["reading the model"] = clock.total("preparation")
    whole = sum(spent.values())
    ratios = {
        name: statistics.median(a / b for a, b in zip(clock.spent[name], clock.spent["product"], strict=True))
        for name in (*PARTS, "layer")
        if len(clock.spent[name]) == len(clock.spent["product"])
    }
    ratios["whole atlas"] = ratios.pop("layer")
    rows = [("bare matrix product", product), *spent.items(), ("whole atlas", whole)]
    bench.table(
        ["step", "seconds, whole atlas", "bare products", "median layer"],
        [[name, took, took / product, ratios.get(name, "")] for name, took in rows],
    )
    bench.at_most("readout_over_product", spent["readout"] / product, "x", 1.45)
    bench.at_most("atlas_over_product", whole / product, "x", 2.5)
    bench.at_most("database_share", spent["database"] / whole, "of whole", 0.15)


def perform(job: Any) -> None:
    """Run a job's task here and now, as a worker would."""
    from labelapp.jobs.models import State
    from workers.celery import app

    app.loader.import_default_modules()
    app.tasks[job.task].run(job.pk)
    job.refresh_from_db()
    if job.state != State.DONE:
        raise RuntimeError(f"{job.title}: {job.state} ({job.error})")


def stored_vectors(layer: int) -> Tensor:
    """All vectors [n, D] of a layer, as they were stored."""
    import torch

    from labelapp.atlas.models import Matrix
    from labelapp.atlas.selectors import vectors_read

    matrices = Matrix.objects.filter(layer=layer)
    return torch.cat([torch.from_numpy(vectors_read(matrix, side)) for matrix in matrices for side in matrix.vectors])


@contextmanager
def parts_timed(clock: Clock) -> Iterator[None]:
    """Within, each layer's seconds go to ``clock``: decomposing (and reading the weights), reading out, and so on."""
    tasks: Any = importlib.import_module("workers.tasks.weights")
    engine: Any = importlib.import_module("workers.weights.engine")
    a_layer: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            a_layer[name] += time.perf_counter() - start

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with part(name):
                made = function(*args, **kwargs)
                return list(made) if name == "readout" else made

        return call

    @contextmanager
    def stored(*args: Any) -> Iterator[None]:
        with part("database"), originals[2](*args):
            yield
        for name in PARTS:  # a layer ends with what it stores
            clock.spent[name].append(a_layer.pop(name))

    originals = engine._decompose, engine._results, tasks.job_completion, tasks.vectors_write
    engine._decompose = timed("decomposition", originals[0])
    engine._results = timed("readout", originals[1])
    tasks.job_completion = stored
    tasks.vectors_write = timed("files", originals[3])
    try:
        yield
    finally:
        engine._decompose, engine._results, tasks.job_completion, tasks.vectors_write = originals


def decompose(checkpoint: Any, layer: int, unembedding: Tensor) -> list[Any]:
    from workers.weights.engine import decompose_layer

    return decompose_layer(
        checkpoint, layer, circuits=CIRCUITS, directions=DIRECTIONS, top=TOP, unembedding=unembedding, device="cpu"
    )


def bare_product(vectors: Tensor, unembedding: Tensor) -> None:
    """The product alone, in blocks of the readout's size; nothing is done with the scores."""
    import math

    import torch

    from workers.weights.readout import block_rows

    blocks = math.ceil(len(vectors) / block_rows(len(unembedding)))
    for block in torch.tensor_split(vectors, blocks):
        block @ unembedding.T


def other_ways(bench: Bench, folder: Path, heads: int = 16) -> None:
    """All singular vectors of one layer's OV matrices: here, TransformerLens's way, and the post's way."""
    import torch

    from workers.weights.checkpoint import open_checkpoint
    from workers.weights.circuits import factors
    from workers.weights.decomposition import svd_of_product

    checkpoint = open_checkpoint(str(folder))
    ov = factors(checkpoint, "ov", 0, heads=range(heads))
    assert ov.right is not None
    left, right = ov.left, ov.right

    def here() -> object:
        return svd_of_product(left, right)

    post = paired(here, lambda: torch.linalg.svd(left[0].float() @ right[0].float()), repeats=5)
    rows: list[list[object]] = [["here", *times(post.first, heads)], ["the post's: full SVD", *times(post.second, 1)]]
    by_lens = lens_way(left.float(), right.float())
    if by_lens is None:
        bench.note("TransformerLens is not installed (requirements-bench.txt), so there is no comparison with it.")
    else:
        lens = paired(here, by_lens, repeats=5)
        rows.insert(1, ["TransformerLens's SVDInterpreter", *times(lens.second, heads)])
        bench.libraries.append("transformer-lens")
        bench.at_least("ov_times_as_fast_as_transformer_lens", lens.ratio, "x", 2.5)
    bench.table(["OV, one layer", "milliseconds a head, median", "fastest"], rows)
    bench.at_least("ov_times_as_fast_as_the_post", post.ratio * heads, "x", 30)


def times(spent: list[float], heads: int) -> tuple[float, float]:
    middle = sorted(spent)[len(spent) // 2]
    return 1000 * middle / heads, 1000 * min(spent) / heads


def lens_way(value: Tensor, output: Tensor) -> Callable[[], object] | None:
    """What TransformerLens's SVDInterpreter does for each head, without its readout; None where it is missing."""
    try:
        from transformer_lens import SVDInterpreter  # type: ignore[import-not-found]
    except ImportError:
        return None

    interpreter = SVDInterpreter.__new__(SVDInterpreter)  # its __init__ wants a whole model
    interpreter.params = {"blocks.0.attn.W_V": value, "blocks.0.attn.W_O": output}
    interpreter.cfg = type("Sizes", (), {"n_layers": 1, "n_heads": len(value)})()
    return lambda: [interpreter._get_OV_matrix(0, head).svd() for head in range(len(value))]


@dataclass(frozen=True)
class Size:
    """What a process of its own says of some layers of a shape: seconds, and MiB held at the most so far."""

    seconds: float
    product: float
    peak_of_libraries: float
    peaks: list[float]
    """After each layer."""


def sizes(bench: Bench, folder: Path) -> None:
    """Some layers of each size of GPT-2, each in a process of its own: seconds for all layers, and memory."""
    rows: list[list[object]] = []
    smallest = None
    for name, (layers, heads, width) in SHAPES.items():
        some = XL_LAYERS if name == "gpt2-xl" else 2
        make_checkpoint(folder / name, (layers, heads, width), some)
        size = measured(folder / name, some)
        # Read off the layers that were run; each has the same shapes.
        whole, work = size.seconds * layers / some, layers * (2 * heads + 2) * width
        smallest = smallest or (whole, work)
        table, layer = 4 * VOCABULARY * width / 2**20, 4 * 12 * width**2 / 2**20
        allowed = table + 2 * layer + 1024
        row = [name, whole, whole / smallest[0], work / smallest[1], size.seconds / size.product]
        rows.append([*row, f"{size.peaks[-1]:.0f}", f"{allowed:.0f}"])
        if name == "gpt2-xl":
            bench.at_most("gpt2_xl_peak_memory", size.peaks[-1], "MiB", allowed)
            bench.at_most("gpt2_xl_memory_grown_after_two_layers", size.peaks[-1] - size.peaks[1], "MiB", 2 * layer)
            libraries = size.peak_of_libraries
        for file in (folder / name).iterdir():
            file.unlink()
    header = ["shape", "seconds, all layers", "times small", "product's work", "bare products", "peak MiB", "allowed"]
    bench.table(header, rows)
    bench.note(
        f"From two layers of each ({XL_LAYERS} of gpt2-xl), in proportion, without files and database. The product's "
        "work: multiplications in vectors times unembedding, against gpt2-small. Memory is all that the process held "
        f"at once, its libraries ({libraries:.0f} MiB) among it; allowed are the unembedding, two layers and 1 GiB."
    )


def measured(folder: Path, layers: int) -> Size:
    """``one_size`` in a process of its own."""
    code = f"from benchmarks.decompose import one_size; one_size({str(folder)!r}, {layers})"
    environment = {**os.environ, **QUIET}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return Size(*json.loads(done.stdout.splitlines()[-1]))


def one_size(folder: str, layers: int) -> None:
    """Prints a Size as JSON."""
    import torch

    from workers.weights.checkpoint import open_checkpoint

    for library in ("scipy.linalg", "transformers", "workers.weights.readout"):
        importlib.import_module(library)
    libraries = peak_resident()
    checkpoint = open_checkpoint(folder)
    unembedding = checkpoint.unembedding()
    clock, peaks = Clock(), []
    for layer in range(layers):
        with clock.step("layer"):
            results = decompose(checkpoint, layer, unembedding)
        peaks.append(peak_resident())
        vectors = torch.cat([torch.from_numpy(side.vectors) for result in results for side in result.sides])
        with clock.step("product"):
            bare_product(vectors, unembedding)
    print(json.dumps([clock.total("layer"), clock.total("product"), libraries, peaks]))


def peak_resident() -> float:
    """The most MiB that this process has held at once so far, files that it has mapped among them."""
    status = Path("/proc/self/status")
    if status.exists():  # where Linux says ru_maxrss, a child's starts with its parent's
        held = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(held.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
