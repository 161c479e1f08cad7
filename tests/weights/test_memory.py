"""How much memory a model takes: its unembedding and a few matrices, however many layers it has."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.decompose import VOCABULARY, make_checkpoint, measured

SIZES = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}
SIZES |= {"num_hidden_layers": 16, "intermediate_size": 8192, "vocab_size": 50_000}
WIDTH, INNER, VOCAB, LAYERS = 256, 8192, 50_000, 16
MIB = 2**20

PROGRAM = """
import sys
from pathlib import Path
from workers.weights.checkpoint import open_checkpoint
from workers.weights.circuits import factors

def peak():
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1])

checkpoint = open_checkpoint(sys.argv[1])
factors(checkpoint, "ov", 0, heads=[0])
start = peak()
checkpoint.unembedding(preprocessing=sys.argv[2])
for layer in range(checkpoint.info.n_layers):
    for circuit in ("ov", "qk", "mlp_in", "mlp_gate", "mlp_out"):
        factors(checkpoint, circuit, layer, preprocessing=sys.argv[2])
print(peak() - start)
"""


@pytest.fixture(scope="module")
def large_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bfloat16 checkpoint of 250 MiB, all zeros, in a file with holes that takes no room on the disk."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": False} | SIZES))
    shapes: dict[str, tuple[int, ...]] = {"model.norm.weight": (WIDTH,)}
    shapes |= dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), (VOCAB, WIDTH))
    for layer in range(LAYERS):
        block = f"model.layers.{layer}."
        shapes |= {f"{block}{name}_layernorm.weight": (WIDTH,) for name in ("input", "post_attention")}
        shapes |= {f"{block}self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qo"}
        shapes |= {f"{block}self_attn.{name}_proj.weight": (WIDTH // 2, WIDTH) for name in "kv"}
        shapes |= {f"{block}mlp.{name}_proj.weight": (INNER, WIDTH) for name in ("gate", "up")}
        shapes[f"{block}mlp.down_proj.weight"] = (WIDTH, INNER)
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    raw = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + end)
    return folder


LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")


@LINUX
def test_peak_memory_is_the_unembedding_and_two_layers(large_llama: Path) -> None:
    """Folded, which costs more than raw."""
    command = [sys.executable, "-c", PROGRAM, str(large_llama), "folded"]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1024
    unembedding, layer = 4 * VOCAB * WIDTH, 4 * (3 * WIDTH * INNER + 3 * WIDTH * WIDTH)
    assert LAYERS * layer > 1.5 * (unembedding + 2 * layer + 64 * MIB)
    assert grown < unembedding + 2 * layer + 64 * MIB


@LINUX
def test_decomposing_and_reading_out_stay_within_the_bound(tmp_path: Path) -> None:
    """All that the process holds, libraries included; this is how `./tea bench decompose` measures GPT2-XL's shape."""
    layers, width = 6, 256
    make_checkpoint(tmp_path / "wide", (layers, 2, width), layers)
    size = measured(tmp_path / "wide", layers)
    unembedding, layer = 4 * VOCABULARY * width / MIB, 4 * 12 * width**2 / MIB
    assert len(size.peaks) == layers and size.peaks == sorted(size.peaks)
    assert size.peaks[0] - size.peak_of_libraries > unembedding
    assert size.peaks[-1] < unembedding + 2 * layer + 1024
    assert size.seconds > size.product > 0


@LINUX
def test_the_peak_is_a_processs_own() -> None:
    """Not its parent's, which on Linux is in the rusage of a child that was forked from it."""
    held = bytearray(b"x") * (400 * MIB)
    code = (
        "from benchmarks.decompose import peak_resident\n"
        "before = peak_resident()\n"
        "held = bytearray(b'x') * (200 * 2**20)\n"
        "del held\n"
        "print(before, peak_resident())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, peak = map(float, done.stdout.split())
    del held
    assert 5 < before < 200
    assert 195 < peak - before < 210
