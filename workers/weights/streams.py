"""Random numbers that are the same on every machine and with every version of numpy. numpy alone.

numpy promises to keep the bits of PCG64 and of SeedSequence, and reserves the right to change what its Generator
makes of them (NEP 19). So everything here is made of the bits themselves, each stream from a hash of its name.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import numpy.typing as npt

from workers.weights.results import Float64


class Stream:
    """A stream of random numbers, named by what it is for: other names give independent streams."""

    def __init__(self, *name: str | int | None) -> None:
        digest = hashlib.sha256(json.dumps(name).encode()).digest()
        self._bits = np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big")))

    def normal(self, *shape: int) -> Float64:
        """Independent standard normal numbers (Box & Muller 1958)."""
        count = int(np.prod(shape))
        half = (count + 1) // 2
        radius = np.sqrt(-2.0 * np.log1p(-self._uniform(half)))
        angle = 2.0 * np.pi * self._uniform(half)
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        return pairs.reshape(-1)[:count].reshape(shape)

    def orders(self, rows: int, count: int) -> npt.NDArray[np.int64]:
        """An independent uniformly random order of 0 … count - 1 in each row, [rows, count]."""
        return np.argsort(self._raw(rows * count).reshape(rows, count), axis=1, kind="stable")

    def rotation(self, size: int) -> Float64:
        """An orthogonal matrix [size, size], uniform (Haar): Q of a Gaussian, R's diagonal positive (Mezzadri 2007)."""
        q, r = np.linalg.qr(self.normal(size, size))
        signed: Float64 = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return signed

    def _uniform(self, count: int) -> Float64:
        """0 ≤ u < 1, multiples of 2^-53."""
        return (self._raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def _raw(self, count: int) -> npt.NDArray[np.uint64]:
        raw: npt.NDArray[np.uint64] = self._bits.random_raw(count)
        return raw
