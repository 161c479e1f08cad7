"""Decomposition results as the engine hands them out, with made-up numbers."""

from __future__ import annotations

import numpy as np
from django.db import transaction

from labelapp.atlas.services import matrix_store
from workers.weights.info import ModelInfo
from workers.weights.results import MatrixResult, SideResult

VOCABULARY = tuple(f" token{n}" for n in range(32))
INFO = ModelInfo(
    name="tiny", source="/models/tiny", revision="abc1234", architecture="gpt2", n_layers=2, n_heads=2, n_kv_heads=2,
    d_model=8, d_head=4, d_mlp=16, vocab_size=32, tied=True, circuits=("ov", "mlp_in", "mlp_out"),
    weights_hash="f" * 64,
)  # fmt: skip


def matrix_result(n=4, top=5, *, circuit="ov", layer=0, head=0, seed=0, sides=("read", "write")):
    rng = np.random.default_rng(seed)
    values = np.sort(rng.random(8))[::-1]
    gaps = np.full(n, 0.1)
    return MatrixResult(
        circuit=circuit, layer=layer, head=head, preprocessing="raw", basis="svd", singular_values=values, rank=8,
        gap_above=np.r_[np.nan, gaps[1:]], gap_below=gaps, block=np.array([-1, 0, 0, *[-1] * n], np.int32)[:n],
        sides=tuple(_side(name, n, top, rng) for name in sides),
    )  # fmt: skip


def store(model, result, tokens=VOCABULARY):
    places = {side.side: {"file": f"{result.circuit}-{len(side.vectors)}", "row": 0} for side in result.sides}
    with transaction.atomic():  # as the task does it
        return matrix_store(model, result, vectors=places, tokens=tokens)


def _side(name, n, top, rng):
    return SideResult(
        side=name,
        vectors=rng.standard_normal((n, 8)).astype(np.float32),
        token_ids=rng.integers(0, 32, (n, 2, top)).astype(np.int32),
        scores=np.sort(rng.random((n, 2, top)).astype(np.float32))[..., ::-1],
        score_mean=rng.standard_normal(n).astype(np.float32),
        score_std=rng.random(n).astype(np.float32),
    )
