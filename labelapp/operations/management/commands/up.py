import errno
import fcntl
import os
import socket
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError
from django.http.request import validate_host

from labelapp.config.paths import broker_socket
from labelapp.operations.broker import SCHEME, broker_binary, broker_recover
from labelapp.operations.health import broker_problem
from labelapp.operations.prepare import database_prepare, static_prepare
from labelapp.operations.supervisor import Plan, supervise
from labelapp.operations.upfile import upfile_read

HOST = "127.0.0.1"
FULL = (errno.ENOSPC, errno.EDQUOT)


class Command(BaseCommand):
    help = "Start everything: broker, worker, web server and the demo. Ctrl-C stops it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="of the web server (8000)")
        parser.add_argument("--exit-when-ready", action="store_true", help="stop once the demo is judged")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            plan = self._prepare(options["port"], exit_when_ready=options["exit_when_ready"])
        except KeyboardInterrupt:
            self.stderr.write("Stopped.")
            sys.exit(130)
        except OSError as error:
            raise CommandError(data_sentence(error)) from error
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {' '.join(str(error).split())}") from error
        supervise(plan)

    def _prepare(self, port: int, *, exit_when_ready: bool) -> Plan:
        data = settings.DATA_DIR
        lock = data_lock(data)
        listener = port_take(port)
        binary, private_socket = broker_find(data)
        if n := database_prepare():
            self.stdout.write(f"The database is up to date ({n} migrations applied).")
        static_prepare()
        return Plan(
            base=str(settings.BASE_DIR),
            data=str(data),
            port=listener.getsockname()[1],
            listener=listener.detach(),
            lock=lock,
            host_header=host_header(),
            broker_binary=binary,
            broker_socket=str(private_socket),
            exit_when_ready=exit_when_ready,
        )


def data_lock(data: Path) -> int:
    """One `up` for a data directory; the descriptor holds the lock as long as its process lives."""
    data.mkdir(parents=True, exist_ok=True)
    lock = os.open(data / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        address = upfile_read(data).get("address", "an address that it has not told yet")
        raise CommandError(f"Tealeaves is already running from {data}, at {address}") from error
    return lock


def port_take(port: int) -> socket.socket:
    """Listen at once, so that nobody else takes the port before the web server starts; 0 takes a free one."""
    if not 0 <= port <= 65535:
        raise CommandError(f"{port} is not a port: choose one from 1024 to 65535 with --port.")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise CommandError(f"Port {port} is in use; choose another one with --port.") from error
        if error.errno == errno.EACCES:
            raise CommandError(f"Port {port} is reserved for root; choose another with --port.") from error
        raise CommandError(f"Port {port} cannot be used: {error.strerror}.") from error
    return listener


def broker_find(data: Path) -> tuple[str | None, Path]:
    """The binary for the private broker (None where CELERY_BROKER_URL names another one) and its socket."""
    private_socket = broker_socket(data)
    if f"{SCHEME}{private_socket}" != settings.CELERY_BROKER_URL:
        if problem := broker_problem():
            raise CommandError(f"The broker of CELERY_BROKER_URL does not answer: {problem}")
        return None, private_socket
    binary = broker_binary()
    if binary is None:
        raise CommandError(
            "No broker was found: install redis-server, or set CELERY_BROKER_URL to a Redis that is running."
        )
    if not broker_recover(private_socket):
        raise CommandError(f"Something else answers at {private_socket} and does not stop; remove it.")
    return str(binary), private_socket


def host_header() -> str:
    """A name under which the health page answers the supervisor."""
    if validate_host(HOST, settings.ALLOWED_HOSTS):
        return HOST
    return next(iter(settings.ALLOWED_HOSTS), HOST).lstrip(".")


def data_sentence(error: OSError) -> str:
    if error.errno in FULL:
        return f"The disk is full: {settings.DATA_DIR} needs room."
    place = error.filename or settings.DATA_DIR
    return f"{place} cannot be written ({error.strerror}); choose another data directory with --data."
