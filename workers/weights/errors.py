"""What can go wrong between a user's request and a decomposition.

Every message is one clear sentence for the user: what is wrong and what to do about it. Callers show it as it
stands; nothing here is ever turned into an empty result.
"""

from __future__ import annotations

from collections.abc import Iterable


def first_line(error: Exception) -> str:
    """What another library's exception says, short enough to stand inside a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")


class WeightsError(Exception):
    """Base of everything that this package refuses to do; ``str(error)`` is a sentence for the user."""


class UnknownModel(WeightsError):  # noqa: N818
    """There is no such folder or model, or it cannot be reached from here."""


class NoWeights(WeightsError):  # noqa: N818
    """The folder is there, and lacks its configuration, its safetensors files or its tokenizer."""


class UnsupportedArchitecture(WeightsError):  # noqa: N818
    """No adapter knows where this architecture keeps its weights."""

    def __init__(self, architecture: str, supported: Iterable[str]) -> None:
        self.architecture = architecture
        self.supported = tuple(sorted(supported))
        listed = ", ".join(self.supported)
        super().__init__(
            f"The architecture '{architecture}' is not supported; choose a model of one of these: {listed}."
        )


class DamagedWeights(WeightsError):  # noqa: N818
    """A file is cut short or unreadable, or a tensor is missing or has the wrong shape, type or values."""


class BadSelection(WeightsError):  # noqa: N818
    """The layers, heads, circuits or counts asked for do not exist in this model."""
