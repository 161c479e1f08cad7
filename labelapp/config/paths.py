"""Where the embedded default keeps its things. Plain functions: settings and the supervisor both call them."""

import hashlib
import os
import secrets
import tempfile
from pathlib import Path

# A Unix socket's path must fit into sockaddr_un (108 bytes with the final NUL on Linux, 104 on macOS).
SOCKET_PATH_LIMIT = 100


def broker_socket(data: Path) -> Path:
    """The private broker's socket: in the data directory, or in the temporary one where that path is too long."""
    inside = data / "broker.sock"
    if len(os.fsencode(inside)) < SOCKET_PATH_LIMIT:
        return inside
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"tealeaves-{os.getuid()}-{digest}.sock"


def secret_key(data: Path) -> str:
    """The secret key of this data directory, made at the first call.

    Raises OSError where the directory cannot be written.
    """
    path = data / "secret-key"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True, mode=0o700)  # passwords' hashes and blind labels lie there
        draft = data / f".secret-key-{os.getpid()}-{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
        try:  # a link, not a rename: of two processes that start at once the first one's key stands
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
