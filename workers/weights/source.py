"""From what a user types to files on disk: a local folder, or a Hugging Face name through its cache."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workers.weights.errors import DamagedWeights, NoWeights, UnknownModel, WeightsError, first_line
from workers.weights.info import model_slug

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
)
_WANTED = ("config.json", SINGLE, "model-*.safetensors", INDEX, *TOKENIZER_FILES)


@dataclass(frozen=True)
class Located:
    """A model's folder on this machine; ``commit`` is the hub's, None for a folder of the user's."""

    source: str
    name: str
    folder: Path
    commit: str | None


def locate(source: str, revision: str | None) -> Located:
    """Find ``source``: a folder of that name, else a Hugging Face name, in the cache first, then on the network.

    Raises UnknownModel where neither is found, or the hub cannot be reached and the cache does not hold it.
    """
    path = _existing_folder(source)
    if path is not None:
        if revision is not None:
            raise UnknownModel(f"{source} is a local folder, which has no revision '{revision}'; leave it out.")
        return Located(source, model_slug(path.name), path, None)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source, flags=re.ASCII) or source.startswith("."):
        raise UnknownModel(f"There is no folder '{source}', and it is no Hugging Face name; check the spelling.")
    folder = _hub_folder(source, revision)
    return Located(source, model_slug(source), folder, folder.name)


def _existing_folder(source: str) -> Path | None:
    try:
        path = Path(source).expanduser()
        return path.resolve() if source.strip() and path.is_dir() else None
    except (OSError, RuntimeError) as error:  # no such home, a name too long, a parent that may not be read
        raise UnknownModel(f"There is no folder '{source[:80]}' ({first_line(error)[:80]}); check the path.") from error


def _hub_folder(source: str, revision: str | None) -> Path:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = _snapshot(source, revision, local_files_only=True)
        if (folder / "config.json").exists() and _has_weights(folder):
            return folder
    except LocalEntryNotFoundError:
        pass
    except ValueError as error:
        raise UnknownModel(f"'{source}' is neither a folder nor a valid Hugging Face name; check it.") from error
    return _download(source, revision)


def _has_weights(folder: Path) -> bool:
    """Whether every weights file is there: an interrupted download leaves an index without its shards."""
    if (folder / SINGLE).exists():
        return True
    return (folder / INDEX).exists() and all((folder / name).exists() for name in _shard_names(folder))


def _download(source: str, revision: str | None) -> Path:
    from huggingface_hub import errors

    at = "" if revision is None else f" at revision '{revision}'"
    try:
        return _snapshot(source, revision, local_files_only=False)
    except errors.GatedRepoError as error:
        raise UnknownModel(
            f"Access to '{source}' is restricted: accept its terms on huggingface.co and run 'hf auth login'."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UnknownModel(f"Hugging Face has no model '{source}'{at} that you may read; check the name.") from error
    except errors.HfHubHTTPError as error:
        raise UnknownModel(
            f"'{source}' could not be fetched from Hugging Face ({first_line(error)}); try again later."
        ) from error
    except OSError as error:
        raise _network_or_disk(source, at, error) from error
    except Exception as error:
        # The client lets its HTTP library's own errors through (no route, no name service, a broken proxy), and
        # its downloader's, which is written in Rust and knows RuntimeError alone.
        if isinstance(error, RuntimeError) or type(error).__module__.startswith(_HTTP):
            raise _network_or_disk(source, at, error) from error
        raise


_HTTP = ("httpx", "httpcore", "requests", "urllib3")


def _network_or_disk(source: str, at: str, error: Exception) -> WeightsError:
    if is_full(error):
        return WeightsError(
            f"The disk is full: '{source}' could not be stored in the Hugging Face cache; free some space."
        )
    if isinstance(error, PermissionError) and error.filename:
        return WeightsError(
            f"'{source}' could not be stored in the Hugging Face cache: {error.filename} may not be written; "
            "change who may, or set HF_HOME to another folder."
        )
    if isinstance(error, RuntimeError):
        return UnknownModel(
            f"'{source}' could not be fetched from Hugging Face ({first_line(error)}); try again later."
        )
    return UnknownModel(
        f"There is no folder '{source}', the Hugging Face cache does not hold a model '{source}'{at}, "
        "and the hub cannot be reached; check the name and the network."
    )


_FULL = ("No space left on device", "Disk quota exceeded", "database or disk is full")


def is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error, be it said by the system or only in another library's words."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(error) for words in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


def _snapshot(source: str, revision: str | None, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        source, revision=revision, local_files_only=local_files_only, allow_patterns=list(_WANTED)
    )
    return Path(folder)


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in ``file``. Raises DamagedWeights where it holds none."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedWeights(f"{file} is not valid JSON; download or copy it again.") from error
    if not isinstance(value, dict):
        raise DamagedWeights(f"{file} should hold a JSON object; download or copy it again.")
    return value


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, sharded or not, by name. Raises NoWeights or DamagedWeights."""
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if not (folder / INDEX).exists():
        raise NoWeights(f"{folder} holds no {SINGLE}{_other_format(folder)}; save the model with save_pretrained.")
    files = [folder / name for name in _shard_names(folder)]
    for file in files:
        if not file.exists():
            raise NoWeights(f"{folder} lacks {file.name}, which its {INDEX} names; download or copy it again.")
    return files


def _other_format(folder: Path) -> str:
    others = [name for name in ("pytorch_model.bin", "pytorch_model.bin.index.json") if (folder / name).exists()]
    return f" (only {others[0]}, which is not read because it can run code)" if others else ""


def _shard_names(folder: Path) -> list[str]:
    shards = read_json(folder / INDEX).get("weight_map")
    names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise DamagedWeights(f"{folder / INDEX} does not name files of its own folder; download or copy it again.")
    return names


def content_hash(files: Iterable[Path], sizes: dict[str, Any]) -> str:
    """A sha256 (hex) of the files' content, in the order of their names, and of ``sizes`` (JSON values)."""
    parts = {"files": [_file_hash(file) for file in files], "sizes": sizes}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _file_hash(file: Path) -> str:
    blob = file.resolve()
    # The hub's cache names large files by their sha256, which saves reading gigabytes.
    if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return blob.name
    status = blob.stat()
    return _hash_bytes(blob, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=256)
def _hash_bytes(file: Path, size: int, modified: int, inode: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
