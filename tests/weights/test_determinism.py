"""The same weights give the same keys, signs and readouts, whatever the threads, the order and the company."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from tests.weights.conftest import gpt2_config, random_gpt2, save_checkpoint
from workers.weights import readout
from workers.weights.checkpoint import Checkpoint, open_checkpoint
from workers.weights.engine import decompose_layer
from workers.weights.results import BASES, MatrixResult

ALL = ("ov", "qk", "mlp_in", "mlp_out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough for threads to share a product, and with a vocabulary full of near and exact ties."""
    model = random_gpt2(gpt2_config(n_embd=64, n_head=4, n_inner=150, vocab_size=3000))
    with torch.no_grad():
        table = model.transformer.wte.weight
        table[1000:3000] = table[:1000].repeat(2, 1)
        table[2000:3000].mul_(1 + 2.0**-23)
    return save_checkpoint(tmp_path_factory.mktemp("wide"), model)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return open_checkpoint(str(folder))


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


def assert_same(ours: list[MatrixResult], theirs: list[MatrixResult]) -> None:
    assert [(r.circuit, r.layer, r.head) for r in ours] == [(r.circuit, r.layer, r.head) for r in theirs]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.singular_values, other.singular_values, rtol=1e-10)
        np.testing.assert_array_equal(one.block, other.block)
        assert one.rank == other.rank
        for side, twin in zip(one.sides, other.sides, strict=True):
            np.testing.assert_allclose(side.vectors, twin.vectors, atol=1e-7)
            np.testing.assert_array_equal(side.token_ids, twin.token_ids)
            np.testing.assert_allclose(side.scores, twin.scores, rtol=2e-6)
            np.testing.assert_allclose(side.score_mean, twin.score_mean, atol=1e-6)


@pytest.mark.parametrize("basis", BASES)
def test_with_any_number_of_threads(checkpoint: Checkpoint, basis: str) -> None:
    runs = []
    for count in (1, 2, 3):
        with threads(count):
            runs.append(decompose_layer(checkpoint, 0, circuits=ALL, directions=12, top=30, basis=basis))
    assert_same(runs[0], runs[1])
    assert_same(runs[0], runs[2])


@pytest.mark.parametrize("size", [1, 100 * 4 * 3000])
def test_with_any_size_of_blocks(checkpoint: Checkpoint, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = decompose_layer(checkpoint, 1, circuits=ALL, top=30)
    monkeypatch.setattr(readout, "BLOCK_BYTES", size)
    assert_same(decompose_layer(checkpoint, 1, circuits=ALL, top=30), whole)


def test_alone_and_in_any_company(checkpoint: Checkpoint) -> None:
    whole = decompose_layer(checkpoint, 1, circuits=ALL, top=30)
    alone = [
        result
        for circuit, heads in (("ov", [[2], [3, 0], [1]]), ("qk", [[0, 1, 2, 3]]), ("mlp_out", [None]))
        for chosen in heads
        for result in decompose_layer(checkpoint, 1, circuits=[circuit], heads=chosen, top=30)
    ]
    named = {(result.circuit, result.head): result for result in whole}
    assert_same(alone, [named[result.circuit, result.head] for result in alone])


def test_fewer_directions_are_the_first_of_more(checkpoint: Checkpoint) -> None:
    """Few of an MLP's vectors are found by another routine than many."""
    few, more = (decompose_layer(checkpoint, 0, circuits=ALL, directions=n, top=10) for n in (12, None))
    for one, other in zip(few, more, strict=True):
        for side, twin in zip(one.sides, other.sides, strict=True):
            np.testing.assert_allclose(side.vectors, twin.vectors[:12], atol=1e-7)
            np.testing.assert_array_equal(side.token_ids, twin.token_ids[:12])


def test_equal_tokens_stand_by_their_ids(checkpoint: Checkpoint) -> None:
    """Tokens n and n + 1000 have equal rows in this model's unembedding, for n below 1,000."""
    seen = 0
    for result in decompose_layer(checkpoint, 0, circuits=["ov", "mlp_in"], top=30):
        for side in result.sides:
            for end in side.token_ids.reshape(-1, 30).tolist():
                for place, token in enumerate(end):
                    if 1000 <= token < 2000:
                        assert token - 1000 in end[:place]
                        seen += 1
    assert seen > 100


def digest_in_a_process_of_its_own(folder: Path, **environment: str) -> dict[str, Any]:
    code = (
        "import json, sys\n"
        "from workers.weights.checkpoint import open_checkpoint\n"
        "from workers.weights.engine import decompose_layer\n"
        "results = decompose_layer(open_checkpoint(sys.argv[1]), 0, circuits=['ov', 'mlp_in'], top=20,\n"
        "                          control='gaussian', control_seed=5)\n"
        "print(json.dumps([side.token_ids.tolist() for result in results for side in result.sides]))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    ids: dict[str, Any] = json.loads(done.stdout)
    return ids


def test_in_another_process_with_other_threads_and_another_hash_seed(folder: Path) -> None:
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}
    two = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "2"}
    assert digest_in_a_process_of_its_own(folder, **one) == digest_in_a_process_of_its_own(folder, **two)
