"""Open a model's weights: check everything that can be checked without reading them, then read lazily.

torch and transformers are imported when a checkpoint is opened or read, not with this module.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.weights.architectures import SUPPORTED, adapter_class
from workers.weights.architectures.base import Adapter, UnsupportedVariant
from workers.weights.errors import DamagedWeights, NoWeights, UnsupportedArchitecture, WeightsError, first_line
from workers.weights.folding import fold_table
from workers.weights.headers import WIDTHS, TensorEntry, read_header
from workers.weights.info import ModelInfo, model_slug
from workers.weights.source import Located, content_hash, locate, read_json, weight_files
from workers.weights.vocabulary import copy_tokenizer, read_vocabulary

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Checkpoint", "ModelInfo", "model_slug", "open_checkpoint"]


def open_checkpoint(source: str, *, revision: str | None = None) -> Checkpoint:
    """Open a local folder, or a Hugging Face name (its cache is asked first, so this works offline).

    Checks at once that the configuration is of a supported architecture, that every weights file is whole,
    and that all tensors are there with the shapes that the configuration asks for.

    Raises UnknownModel (no such folder or name, or out of reach), NoWeights (no config.json or no
    safetensors), UnsupportedArchitecture, DamagedWeights.
    """
    found = locate(source, revision)
    try:
        return _open(found)
    except OSError as error:
        raise NoWeights(
            f"{error.filename or found.folder} cannot be read ({error.strerror}); check who may read it."
        ) from error


def _open(found: Located) -> Checkpoint:
    if not (found.folder / "config.json").exists():
        raise NoWeights(f"{found.folder} holds no config.json; point to a folder made by save_pretrained.")
    model_type = _model_type(found.folder)
    kind = adapter_class(model_type)
    files = weight_files(found.folder)
    entries = {name: entry for file in files for name, entry in read_header(file).items()}
    adapter = _make_adapter(kind, found.folder, entries)
    _check_tensors(adapter, entries, found.folder)
    return Checkpoint(found, model_type, adapter, files, entries)


class Checkpoint:
    """An opened model: ``info``, its ``adapter``, and tensors that are read when asked for, in float32."""

    def __init__(
        self,
        found: Located,
        model_type: str,
        adapter: Adapter,
        files: list[Path],
        entries: dict[str, TensorEntry],
    ) -> None:
        self.adapter = adapter
        self.folder = found.folder
        self._entries = entries
        self._unembeddings: dict[str, Tensor] = {}
        self.info = self._describe(found, model_type, files)

    def tensor(self, name: str) -> Tensor:
        """One tensor by its name in the file, float32 on the CPU.

        A large one in half precision is widened a block of rows at a time, so that it is never held twice.
        Raises DamagedWeights where it is missing, unreadable, or holds infinities or NaN.
        """
        entry = self._entries.get(name)
        if entry is None or entry.dtype == "F32" or math.prod(entry.shape) <= _BLOCK:
            return self._read(name, lambda tensors: tensors.get_tensor(name))
        import torch

        whole = torch.empty(entry.shape, dtype=torch.float32)
        for rows in _blocks_of_rows(entry.shape):
            whole[rows] = self._rows(name, rows)
        return whole

    def embedding(self, *, preprocessing: str = "raw") -> Tensor:
        """The token embedding [vocab_size, d_model] as it enters the residual stream, float32 on the CPU.

        Raw it is the file's (Gemma multiplies it by √D, a scalar that is left out); folded it is centred where
        the norms centre. Read each time and not kept; of a tied raw model it is the kept unembedding, if read.
        """
        name = self.adapter.embedding_name
        if preprocessing == "raw":
            kept = self._unembeddings.get("raw") if name == self.adapter.unembedding_name else None
            return self.tensor(name) if kept is None else kept
        return fold_table(self.tensor(name), None, centres=self.adapter.final_norm(self.tensor).centres)

    def unembedding(self, *, preprocessing: str = "raw") -> Tensor:
        """The unembedding [vocab_size, d_model], float32 on the CPU; read once and kept.

        ``raw`` is the file's. ``folded`` has the final norm's gain multiplied in and is centred over d_model
        where that norm centres; the constant that the norm's bias adds to each token's score is no part of it
        (``folding.unembedding_bias``). Each preprocessing is kept once it is asked for.
        """
        if preprocessing not in self._unembeddings:
            table = self.tensor(self.adapter.unembedding_name)
            if preprocessing == "folded":
                norm = self.adapter.final_norm(self.tensor)
                table = fold_table(table, norm.gain, centres=norm.centres)
            self._unembeddings[preprocessing] = table
        return self._unembeddings[preprocessing]

    def vocabulary(self) -> list[str]:
        """The string of each row of the unembedding (``vocabulary.py``). Raises NoWeights, DamagedWeights."""
        return read_vocabulary(self.folder, self.info.vocab_size)

    def save_tokenizer(self, folder: str | Path) -> None:
        """Copy the tokenizer's files into ``folder``, a ``tokenizer.json`` among them. Raises NoWeights."""
        copy_tokenizer(self.folder, Path(folder))

    def _describe(self, found: Located, model_type: str, files: list[Path]) -> ModelInfo:
        sizes = self.adapter.sizes
        cut = {"n_heads": sizes.n_heads, "n_kv_heads": sizes.n_kv_heads, "d_head": sizes.d_head}
        weights_hash = content_hash(files, {"architecture": model_type, **cut})
        return ModelInfo(
            name=found.name,
            source=found.source,
            revision=(found.commit or weights_hash)[:7],
            architecture=model_type,
            n_layers=sizes.n_layers,
            d_model=sizes.d_model,
            d_mlp=sizes.d_mlp,
            vocab_size=sizes.vocab_size,
            tied=self._is_tied(),
            circuits=self.adapter.circuits,
            weights_hash=weights_hash,
            rotary=self.adapter.rotary,
            **cut,
        )

    def _is_tied(self) -> bool:
        embedding, unembedding = self.adapter.embedding_name, self.adapter.unembedding_name
        if embedding == unembedding or not self.adapter.tie_flag:
            return embedding == unembedding
        # A tied head that was written out a second time, or a flag that is wrong: only the values can tell.
        return all(
            bool((self._rows(embedding, rows) == self._rows(unembedding, rows)).all())
            for rows in _blocks_of_rows(self._entries[unembedding].shape)
        )

    def _rows(self, name: str, rows: slice) -> Tensor:
        return self._read(name, lambda tensors: tensors.get_slice(name)[rows])

    def _read(self, name: str, take: Callable[[Any], Tensor]) -> Tensor:
        """What ``take`` gets from the opened file that holds the tensor ``name``, in float32 and checked."""
        import torch
        from safetensors import SafetensorError, safe_open

        if name not in self._entries:
            raise DamagedWeights(f"{self.folder} lacks the tensor {name}; download or copy the weights again.")
        file = self._entries[name].file
        try:
            # "pt" because numpy has no bfloat16.
            with safe_open(file, framework="pt") as tensors:
                tensor = take(tensors).to(torch.float32)
        except (SafetensorError, OSError) as error:
            raise DamagedWeights(
                f"{file} cannot be read any more ({first_line(error)}); download or copy it again."
            ) from error
        # Infinities and NaN show in the extremes, which cost no memory.
        if tensor.numel() and not all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor)):
            raise DamagedWeights(f"The tensor {name} in {file} holds infinite or undefined values; use other weights.")
        return tensor


_BLOCK = 2**23
"""How many values of a large tensor are read at once: 32 MiB in float32."""


def _blocks_of_rows(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of axis 0, each of about ``_BLOCK`` values."""
    rows = max(1, _BLOCK * shape[0] // math.prod(shape))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def _model_type(folder: Path) -> str:
    config = read_json(folder / "config.json")
    named = config.get("model_type") or next(iter(config.get("architectures") or ()), None)
    if not isinstance(named, str):
        raise DamagedWeights(f"{folder / 'config.json'} does not say which architecture it is; copy it again.")
    return named


def _make_adapter(kind: type[Adapter], folder: Path, entries: dict[str, TensorEntry]) -> Adapter:
    from transformers import AutoConfig

    config_log = logging.getLogger("transformers.configuration_utils")
    level = config_log.level
    config_log.setLevel(logging.ERROR)
    try:
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
        return kind(config, entries.keys())
    except WeightsError:
        raise
    except UnsupportedVariant as error:
        raise UnsupportedArchitecture(str(error), SUPPORTED) from error
    except Exception as error:  # a configuration's own validation raises many kinds
        raise DamagedWeights(
            f"{folder / 'config.json'} cannot be used ({first_line(error)}); download or copy it again."
        ) from error
    finally:
        config_log.setLevel(level)


def _check_tensors(adapter: Adapter, entries: dict[str, TensorEntry], folder: Path) -> None:
    for name, shape in adapter.expected_shapes().items():
        entry = entries.get(name)
        if entry is None and name == adapter.unembedding_name:
            raise DamagedWeights(
                f"{folder} lacks the tensor {name}, the unembedding; use the whole language model, not its base."
            )
        if entry is None:
            raise DamagedWeights(f"{folder} lacks the tensor {name}; download or copy the weights again.")
        if entry.shape != shape:
            raise DamagedWeights(
                f"The tensor {name} in {entry.file} has the shape {list(entry.shape)} where config.json "
                f"asks for {list(shape)}; the two do not belong together."
            )
        if entry.dtype not in WIDTHS:
            raise DamagedWeights(
                f"The tensor {name} in {entry.file} is stored as {entry.dtype}, which is not read here; "
                "use a checkpoint in float32, float16 or bfloat16."
            )
