"""A whole atlas of a model like GPT2-medium: decomposition, readout and storage, against their bare matrix product.

`./tea bench decompose` takes all 24 layers; `--layers 4` takes some, and the whole is those times 24 / 4: every layer
has the same shapes, so the same work. Weights are random, in temporary files, and gone afterwards. The other ways
(TransformerLens, where requirements-bench.txt is installed, and the post's) are timed on a few heads. GPT2-XL's
shape is run in a process of its own, two layers of 48, for its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import ROOT, Bench, paired, seconds

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
STEPS = ("decomposition", "readout", "files", "database")


def run(bench: Bench) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a busy machine makes OpenMP's threads spin
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
    os.environ.update(TEALEAVES_DATA=str(data), DJANGO_SETTINGS_MODULE="labelapp.config.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


class Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] += time.perf_counter() - start

    @property
    def total(self) -> float:
        return sum(self.spent[name] for name in STEPS)


def whole_atlas(bench: Bench, folder: Path, layers: int, all_layers: int) -> None:
    """Layer by layer as the task does it: decompose, read out, write the files, write the database.

    The bare product of the very same vectors follows each layer, so that a slow moment of the machine meets both.
    """
    import torch
    from django.db import transaction

    from labelapp.atlas.services import matrix_store, model_register
    from workers.tasks.weights import vectors_write
    from workers.weights.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(str(folder))
    model = model_register(checkpoint.info, name="gpt2-medium-like")
    vocabulary, unembedding = tuple(checkpoint.vocabulary()), checkpoint.unembedding()
    bare_product(torch.zeros(DIRECTIONS, unembedding.shape[1]), unembedding)  # what only the first product costs
    clock = Clock()
    with parts_timed(clock):
        for layer in range(layers):
            results = decompose(checkpoint, layer, unembedding)
            with clock.step("files"):
                places = vectors_write(model, results, directions=DIRECTIONS)
            with clock.step("database"), transaction.atomic():
                for result in results:
                    matrix_store(model, result, vectors=places[result.circuit, result.head], tokens=vocabulary)
            rows = torch.cat([torch.from_numpy(side.vectors) for result in results for side in result.sides])
            with clock.step("product"):
                bare_product(rows, unembedding)
    product, spent = clock.spent["product"], clock.spent
    bench.note(
        f"{layers} of {all_layers} layers of a model like GPT2-medium with random weights: {len(rows) * layers} "
        f"vectors, top {TOP} at both ends, in SQLite. "
        + ("" if layers == all_layers else "The whole atlas is in proportion.")
    )
    rows_of_table = [[name, spent[name], spent[name] * all_layers / layers, spent[name] / product] for name in STEPS]
    bench.table(
        ["step", f"seconds, {layers} layers", f"seconds, {all_layers} layers", "bare products"],
        [
            ["bare matrix product", product, product * all_layers / layers, 1.0],
            *rows_of_table,
            ["whole atlas", clock.total, clock.total * all_layers / layers, clock.total / product],
        ],
    )
    bench.at_most("readout_over_product", spent["readout"] / product, "x", 1.45)
    bench.at_most("atlas_over_product", clock.total / product, "x", 2.5)
    bench.at_most("database_share", spent["database"] / clock.total, "of whole", 0.15)


def decompose(checkpoint: Any, layer: int, unembedding: Tensor) -> list[Any]:
    from workers.weights.engine import decompose_layer

    return decompose_layer(
        checkpoint, layer, circuits=CIRCUITS, directions=DIRECTIONS, top=TOP, unembedding=unembedding, device="cpu"
    )


@contextmanager
def parts_timed(clock: Clock) -> Iterator[None]:
    """Within, what the engine spends on decomposing (with reading the weights) and on reading out goes to ``clock``."""
    from workers.weights import engine

    original = engine._decompose, engine._results

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with clock.step(name):
                made = function(*args, **kwargs)
                return list(made) if name == "readout" else made

        return call

    engine._decompose = timed("decomposition", original[0])
    engine._results = timed("readout", original[1])
    try:
        yield
    finally:
        engine._decompose, engine._results = original


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


def sizes(bench: Bench, folder: Path, layers: int = 2) -> None:
    """Two layers of each size of GPT-2, each in a process of its own: seconds for all layers, and memory."""
    rows = []
    for name, shape in SHAPES.items():
        make_checkpoint(folder / name, shape, layers)
        code = f"from benchmarks.decompose import one_size; one_size({str(folder / name)!r}, {layers})"
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        spent, before, peak = json.loads(done.stdout.splitlines()[-1])
        width, table = shape[2], 4 * VOCABULARY * shape[2] / 2**20
        allowed = table + 2 * 4 * 12 * width**2 / 2**20 + 1024
        rows.append([name, spent * shape[0] / layers, f"{peak - before:.0f}", f"{table:.0f}", f"{allowed:.0f}"])
        if name == "gpt2-xl":
            bench.at_most("gpt2_xl_peak_memory", peak - before, "MiB", allowed)
    bench.table(
        ["shape", "seconds, all layers, no database", "peak MiB over the libraries", "unembedding", "allowed"], rows
    )
    bench.note(f"From {layers} layers of each, in proportion. Allowed: the unembedding, two layers and 1 GiB.")


def one_size(folder: str, layers: int) -> None:
    """Prints the seconds of some layers, and resident MiB before the checkpoint is read and at the peak."""
    import importlib

    from workers.weights.checkpoint import open_checkpoint

    for library in ("scipy.linalg", "torch", "transformers", "workers.weights.readout"):
        importlib.import_module(library)
    before = resident()
    checkpoint = open_checkpoint(folder)
    unembedding = checkpoint.unembedding()
    spent = seconds(lambda: [decompose(checkpoint, layer, unembedding) and None for layer in range(layers)])
    print(json.dumps([spent, before, resident()]))


def resident() -> float:
    """The most MiB that this process has held at once so far."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss of a child starts with its parent's on Linux
        held = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(held.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
