"""A judge without a language model: are a readout's tokens closer to one another than chance allows?

Statistic: the mean pairwise cosine of the readout's tokens in the centred unembedding, after the direction
itself has been projected out (top tokens share the direction by construction). Null: the same direction
written in the principal axes of the centred unembedding, with random signs on its coordinates: its profile is
kept, its meaning broken. Noise whose distribution is symmetric in those axes, isotropic or with the
unembedding's covariance, is rejected at exactly the nominal rate.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workers.weights.artefacts import gram_matrix
from workers.weights.baseline_settings import VERSION, BaselineSettings
from workers.weights.coherence import Coherence
from workers.weights.results import Array, Float32, Float64
from workers.weights.trained_tokens import label_of, trained_tokens

ROUNDING = 1e-5
"""A draw whose statistic falls short by no more than this counts as reaching it.

Where a flip changes (nearly) nothing, rounding, which depends on the size of the block, must not decide.
"""

_FIRST_ROUND = 10
_BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class BaselineVerdict:
    """One end's verdict; ``statistic`` is a mean cosine, -1 … 1, ``label`` empty unless ``interpretable``."""

    sign: str
    statistic: float
    p_value: float
    interpretable: bool
    label: str


class Baseline:
    """The judge for one model.

    ``unembedding`` [V, D] (numpy, or torch on the CPU) with its ``vocabulary`` of V strings. ``top`` is the
    number of tokens whose coherence is measured; ``draws`` (odd) the largest number of null draws for an end;
    a verdict is ``interpretable`` where p ≤ ``alpha``. ``n_left_out`` tokens count as hardly trained and are
    never read.

    Raises ValueError where the sizes do not fit, ``draws`` is even or too small for any p ≤ ``alpha``, or no
    more than ``top`` tokens are left.
    """

    def __init__(
        self,
        unembedding: Any,
        vocabulary: Sequence[str],
        *,
        top: int = 15,
        draws: int = 199,
        alpha: float = 0.05,
    ) -> None:
        rows: Float32 = np.asarray(unembedding, dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(vocabulary):
            raise ValueError(f"{len(vocabulary)} strings for an unembedding of shape {rows.shape}")
        if draws < 1 or draws % 2 == 0:
            raise ValueError("draws must be odd: both ends of each flipped vector, and the vector's own other end")
        self.settings = BaselineSettings(top, draws, alpha)
        self._hopeless = math.floor(alpha * (1 + draws) + 1e-9)
        if not 0 < alpha < 1 or self._hopeless < 1:
            raise ValueError(f"no p-value from {draws} draws can be as small as {alpha}")
        kept = trained_tokens(rows, vocabulary)
        if top < 2 or kept.sum() <= top:
            raise ValueError(f"a readout of {top} tokens needs at least 2, and more than {top} trained tokens")
        self.n_left_out = int((~kept).sum())
        self._token_ids = np.flatnonzero(kept)
        self._vocabulary = vocabulary
        self._axes = _principal_axes(rows)
        centred = rows[kept] - rows[kept].mean(0, dtype=np.float64).astype(np.float32)
        self._coherence = Coherence(torch.from_numpy(centred) @ self._axes, top)

    def parameters(self) -> dict[str, Any]:
        """Everything that fixes the judge, whichever the model: JSON values."""
        return self.settings.parameters()

    def judge(self, vectors: Array, seeds: Sequence[int]) -> list[BaselineVerdict]:
        """The verdicts on ``vectors`` [k, D], two for each: ``+``, then ``-``.

        Each vector has a seed of its own, which should come from its key, so that its verdict depends neither
        on the order nor on what else is judged. p is (1 + draws with a statistic at least as large) / (1 +
        draws). The draws are the vector's own other end and both ends of flipped vectors: under the null all
        of these are exchangeable with the end that is judged, so rejection at ``alpha`` is exact.

        Drawing for an end stops when p can no longer reach ``alpha``, which changes no verdict; its p-value
        is that of the draws up to there (Besag & Clifford 1991, Sequential Monte Carlo p-values), and above
        ``alpha``.

        Raises ValueError where there are not as many seeds as vectors.
        """
        if len(vectors) != len(seeds):
            raise ValueError(f"{len(vectors)} vectors and {len(seeds)} seeds")
        if len(vectors) == 0:
            return []
        coordinates = torch.from_numpy(np.array(vectors, dtype=np.float32)) @ self._axes
        profiles = torch.nn.functional.normalize(coordinates, dim=1)
        tokens, scores = self._coherence.readouts(profiles)
        own = self._coherence.of_readouts(tokens.flatten(0, 1), scores.flatten(0, 1)).reshape(-1, 2).numpy()
        p_values = self._p_values(self._exceedances(profiles, own, seeds))
        return [
            self._verdict(end, float(own[row, end]), float(p_values[row, end]), tokens[row, end], scores[row, end])
            for row in range(len(own))
            for end in (0, 1)
        ]

    def _verdict(self, end: int, statistic: float, p_value: float, tokens: Tensor, scores: Tensor) -> BaselineVerdict:
        interpretable = p_value <= self.settings.alpha + 1e-9
        return BaselineVerdict(
            "+-"[end], statistic, p_value, interpretable, self._label(tokens, scores) if interpretable else ""
        )

    def _exceedances(self, profiles: Tensor, own: Float32, seeds: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Whether each null draw reaches an end's statistic: [k, 2, draws], false for draws not made."""
        reached = np.zeros((*own.shape, self.settings.draws), dtype=np.bool_)
        least = own - ROUNDING
        reached[:, :, 0] = own[:, ::-1] >= least
        first, last = 0, _FIRST_ROUND
        while first < self.settings.draws // 2:
            last = min(last, self.settings.draws // 2)
            active = np.flatnonzero((reached.sum(2) < self._hopeless).any(1))
            null = self._null(profiles[active], [seeds[row] for row in active.tolist()], first, last)
            reached[active, :, 1 + 2 * first : 1 + 2 * last] = null[:, None] >= least[active, :, None]
            first, last = last, last + 2 * (last - first)
        return reached

    def _p_values(self, reached: npt.NDArray[np.bool_]) -> Float64:
        """p-values [k, 2] from the sequences [k, 2, draws] of ``_exceedances``."""
        running = reached.cumsum(2)
        stopped = running[:, :, -1] >= self._hopeless
        made = np.where(stopped, 1 + (running >= self._hopeless).argmax(2), self.settings.draws)
        p_values: Float64 = (1 + np.minimum(running[:, :, -1], self._hopeless)) / (1 + made)
        return p_values

    def _null(self, profiles: Tensor, seeds: Sequence[int], first: int, last: int) -> Float32:
        """The statistics [n, 2 · (last - first)] of flipped vectors first … last - 1, both ends of each."""
        width, flips = profiles.shape[1], last - first
        step = max(1, _BLOCK_BYTES // (4 * len(self._coherence) * flips))
        blocks = [np.zeros((0, 2 * flips), dtype=np.float32)]
        for start in range(0, len(seeds), step):
            signs = np.stack([_signs(seed, first, last, width) for seed in seeds[start : start + step]])
            flipped = profiles[start : start + step, None] * torch.from_numpy(signs)
            blocks.append(self._coherence.statistics(flipped.flatten(0, 1)).numpy().reshape(-1, 2 * flips))
        return np.concatenate(blocks)

    def _label(self, tokens: Tensor, scores: Tensor) -> str:
        central = self._coherence.central_first(tokens, scores).tolist()
        return label_of([self._vocabulary[int(self._token_ids[token])] for token in central])


def _signs(seed: int, first: int, last: int, width: int) -> Float32:
    """The signs [last - first, D] of the flips first … last - 1, +1 or -1, that belong to a seed.

    From SHAKE-256: the same on every machine and in every version of every library, and the first draws are
    the same however many are made.
    """
    stride = (width + 7) // 8
    stream = hashlib.shake_256(f"tealeaves baseline {VERSION} {seed}".encode()).digest(last * stride)
    raw = np.frombuffer(stream, dtype=np.uint8)[first * stride :].reshape(last - first, stride)
    return 1 - 2 * np.unpackbits(raw, axis=1, count=width).astype(np.float32)


def _principal_axes(rows: Float32) -> Tensor:
    """The principal axes of the centred unembedding [V, D], as columns [D, D].

    Of all tokens, those left out included: the null is then exact for noise with the covariance of the
    unembedding as it stands, which is what the control ``covariance`` is.
    """
    mean = rows.mean(0, dtype=np.float64)
    covariance = gram_matrix(rows) - len(rows) * np.outer(mean, mean)
    return torch.from_numpy(np.linalg.eigh(covariance)[1].astype(np.float32))
