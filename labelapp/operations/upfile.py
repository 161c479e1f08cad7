"""up.json in the data directory: what scripts want to know of a running Tealeaves. Standard library only."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

NAME = "up.json"


def upfile_read(data: Path) -> dict[str, Any]:
    """What up.json says; empty where there is none, or none that can be read."""
    try:
        content = json.loads((data / NAME).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def upfile_update(data: Path, **changes: Any) -> None:
    """Change some of its fields. It holds a password, so it is for its owner's eyes alone."""
    directory = os.open(data, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # the supervisor and the web process may both write
        draft = data / f".{NAME}-{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({**upfile_read(data), **changes}, file, indent=2)
            file.write("\n")
        draft.replace(data / NAME)
    finally:
        os.close(directory)
