from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.weights.spectrum import BLOCK_THRESHOLD, degenerate_blocks, numerical_rank, relative_gaps


def test_gaps_by_hand() -> None:
    above, below = relative_gaps(np.array([4.0, 2.0, 2.0, 1.5, 0.0, 0.0]))
    np.testing.assert_allclose(below, [0.5, 0.0, 0.25, 1.0, 0.0, np.nan])
    np.testing.assert_allclose(above, [np.nan, 0.5, 0.0, 0.25, 1.0, 0.0])


def test_a_single_value_has_no_neighbours() -> None:
    above, below = relative_gaps(np.array([3.0]))
    assert np.isnan(above).all() and np.isnan(below).all()
    assert above.shape == below.shape == (1,)


def test_blocks_are_runs_of_near_neighbours() -> None:
    values = np.array([9.0, 5.0, 4.999, 4.998, 3.0, 2.0, 1.9999, 1.0])
    assert degenerate_blocks(values).tolist() == [-1, 0, 0, 0, -1, 1, 1, -1]
    assert degenerate_blocks(values, threshold=1e-5).tolist() == [-1] * 8
    assert degenerate_blocks(values, threshold=1.0).tolist() == [0] * 8


def test_neighbouring_blocks_are_told_apart() -> None:
    assert degenerate_blocks(np.array([2.0, 2.0, 1.0, 1.0])).tolist() == [0, 0, 1, 1]


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=20))
def test_a_block_joins_exactly_the_near(numbers: list[float]) -> None:
    values = np.array(sorted(numbers, reverse=True))
    blocks, (_, below) = degenerate_blocks(values), relative_gaps(values)
    for index in range(len(values) - 1):
        together = blocks[index] >= 0 and blocks[index] == blocks[index + 1]
        assert together == bool(below[index] <= BLOCK_THRESHOLD)


def test_rank_counts_what_float32_can_tell_from_zero() -> None:
    assert numerical_rank(np.array([3.0, 1.0, 1e-3])) == 3
    assert numerical_rank(np.array([3.0, 1.0, 1e-8])) == 2
    assert numerical_rank(np.zeros(4)) == 0
    rounded = np.random.default_rng(0).normal(size=(200, 3)) @ np.random.default_rng(1).normal(size=(3, 100))
    values = np.linalg.svd(rounded.astype(np.float32).astype(np.float64), compute_uv=False)
    assert values[3] > 1e-9  # what rounding left behind
    assert numerical_rank(values) == 3


@pytest.mark.parametrize("steepness", [0.0, 3.0], ids=["flat", "steep"])
def test_directions_outside_blocks_survive_rounding_to_float16(steepness: float) -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(60, 240)) * 10.0 ** np.linspace(0, -steepness, 60)[:, None] * 0.1
    left, values, _ = np.linalg.svd(matrix, full_matrices=False)
    rounded = np.linalg.svd(matrix.astype(np.float16).astype(np.float64), full_matrices=False)[0]
    alone = degenerate_blocks(values) == -1
    cosines = np.abs((left * rounded).sum(0))
    assert alone.sum() > 40
    assert cosines[alone].min() > np.cos(0.5)


def test_inside_a_block_only_the_span_survives_rounding() -> None:
    """Two values 2^-20 apart: their plane stays, the two directions in it do not."""
    random = np.random.default_rng(1)
    left, right = (np.linalg.qr(random.normal(size=(80, 3)))[0] for _ in range(2))
    matrix = (left * [2.0, 1.0 + 2.0**-20, 1.0]) @ right.T
    assert degenerate_blocks(np.array([2.0, 1.0 + 2.0**-20, 1.0])).tolist() == [-1, 0, 0]
    rounded = np.linalg.svd(matrix.astype(np.float16).astype(np.float64))[0][:, :3]
    cosines = np.abs(left.T @ rounded)
    assert cosines[0, 0] > 0.999 and np.linalg.svd(cosines[1:, 1:])[1].max() > 0.999
    assert np.linalg.norm(left[:, 1:].T @ rounded[:, 1:]) ** 2 == pytest.approx(2, rel=1e-3)
    assert cosines[1, 1] < 0.99
