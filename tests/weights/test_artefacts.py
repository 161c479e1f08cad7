from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workers.weights.artefacts import (
    arrays_from_bytes,
    arrays_to_bytes,
    artefact_digest,
    pseudo_inverse_factor,
    vectors_from_bytes,
    vectors_to_bytes,
)
from workers.weights.errors import DamagedWeights

MADE_OF: dict[str, Any] = {
    "weights_hash": "ab" * 32,
    "circuit": "ov",
    "side": "write",
    "layer": 3,
    "heads": [0, 1, 2],
    "directions": 64,
    "preprocessing": "raw",
    "basis": "svd",
    "basis_seed": 0,
    "control": "",
    "control_seed": 0,
}


@pytest.mark.parametrize(
    "change",
    [
        {"weights_hash": "cd" * 32},
        {"circuit": "mlp_in"},
        {"side": "read"},
        {"layer": 4},
        {"heads": [0, 1]},
        {"heads": None},
        {"directions": 63},
        {"directions": None},
        {"preprocessing": "folded"},
        {"basis": "rotated"},
        {"control": "gaussian"},
        {"control_seed": 1},
        {"basis_seed": 1},
        {"layer": None},
    ],
    ids=str,
)
def test_whatever_makes_other_vectors_makes_another_digest(change: dict[str, Any]) -> None:
    assert artefact_digest(**MADE_OF | change) != artefact_digest(**MADE_OF)


def test_a_digest_is_stable_and_safe_in_a_file_name() -> None:
    digest = artefact_digest(**MADE_OF)
    assert digest == artefact_digest(**MADE_OF | {"heads": np.array([0, 1, 2])})
    assert len(digest) == 64 and set(digest) <= set("0123456789abcdef")


@given(st.integers(0, 3), st.integers(0, 4), st.integers(1, 5), st.integers(0, 99))
def test_vectors_come_back(heads: int, k: int, width: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(heads, k, width)).astype(np.float32)
    chosen = list(range(5, 5 + heads))
    back, back_heads = vectors_from_bytes(vectors_to_bytes(vectors, chosen))
    np.testing.assert_array_equal(back, vectors)
    assert back.dtype == np.float32 and back_heads == chosen


def test_views_come_back_as_they_look() -> None:
    vectors = np.arange(24, dtype=np.float32).reshape(4, 3, 2).T
    back, _ = vectors_from_bytes(vectors_to_bytes(vectors, [7, 8]))
    np.testing.assert_array_equal(back, vectors)


def test_a_matrix_without_heads() -> None:
    vectors = np.ones((1, 3, 2), dtype=np.float32)
    assert vectors_from_bytes(vectors_to_bytes(vectors, None))[1] is None
    for wrong in (vectors[0], np.ones((2, 3, 2), np.float32)):
        with pytest.raises(ValueError, match="shape"):
            vectors_to_bytes(wrong, None)
    with pytest.raises(ValueError, match="shape"):
        vectors_to_bytes(vectors, [0, 1])


def test_equal_vectors_are_equal_bytes() -> None:
    vectors = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    assert vectors_to_bytes(vectors, [0, 1]) == vectors_to_bytes(vectors.copy(), [0, 1])


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:5], lambda data: b"", lambda data: data + b"x"]
)
def test_damaged_files_are_refused(damage: Any) -> None:
    data = vectors_to_bytes(np.ones((1, 2, 3), np.float32), None)
    with pytest.raises(DamagedWeights, match=r"damaged.*\.$"):
        vectors_from_bytes(damage(data))
    with pytest.raises(DamagedWeights, match="no vectors"):
        vectors_from_bytes(arrays_to_bytes({"other": np.ones(3)}))


def test_arrays_keep_names_and_types() -> None:
    arrays = {"a": np.arange(3), "b": np.eye(2), "c": np.float32([[1], [2]]).T}
    back = arrays_from_bytes(arrays_to_bytes(arrays))
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


@pytest.mark.parametrize("rank", [12, 5])
@pytest.mark.parametrize("rows", [40, 9000], ids=["one block", "two blocks"])
def test_the_pseudo_inverse_factor(rank: int, rows: int) -> None:
    random = np.random.default_rng(0)
    unembedding = (random.normal(size=(rows, rank)) @ random.normal(size=(rank, 12))).astype(np.float32)
    if rank < 12:  # an exact rank, which float32 rounding would blur
        unembedding[:, rank:] = 0
    factor = pseudo_inverse_factor(unembedding)
    expected = np.linalg.pinv(unembedding.astype(np.float64), rcond=1e-5)
    np.testing.assert_allclose(factor @ factor @ unembedding.T, expected, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_array_equal(factor, pseudo_inverse_factor(torch.from_numpy(unembedding)))
    assert factor.dtype == np.float64 and factor.shape == (12, 12)


def test_an_unembedding_of_zeros_has_a_pseudo_inverse_of_zeros() -> None:
    np.testing.assert_array_equal(pseudo_inverse_factor(np.zeros((5, 3), np.float32)), np.zeros((3, 3)))


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_web_process_can_read_vectors_without_torch() -> None:
    names = "artefacts, results, streams, errors, info, selection, spectrum, baseline_settings, source, vocabulary"
    loaded = modules_after(f"from workers.weights import {names}")
    assert not loaded & {"torch", "transformers", "huggingface_hub", "django", "labelapp", "celery", "scipy"}
    assert "numpy" in loaded


def test_importing_the_entrance_is_cheap() -> None:
    loaded = modules_after("import workers.weights.engine, workers.weights.checkpoint")
    assert not loaded & {"torch", "transformers", "django"}


def test_nothing_here_knows_django() -> None:
    code = (
        "import pkgutil, importlib, workers.weights\n"
        "for found in pkgutil.walk_packages(workers.weights.__path__, 'workers.weights.'):\n"
        "    importlib.import_module(found.name)"
    )
    loaded = modules_after(code)
    assert "torch" in loaded
    assert not loaded & {"django", "labelapp", "celery"}
