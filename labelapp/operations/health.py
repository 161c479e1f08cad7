"""What must be well for Tealeaves to work; read by the health page, `status` and `up`."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone
from kombu.exceptions import KombuError

from labelapp.jobs.selectors import workers_alive
from labelapp.operations.prepare import migrations_missing
from workers.celery import QUEUES, app

BROKER_SECONDS = 2.0


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    detail: str


def health_checks() -> list[Check]:
    """Every check, each standing on those before it. The page is public: no paths, no addresses."""
    checks = [_check("database", _database)]
    if checks[0].ok:
        checks += [_check("migrations", _migrations), _check("workers", _workers)]
    return [*checks, _check("broker", _broker), _check("storage", _storage)]


def _check(name: str, look: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *look())
    except (DatabaseError, OSError) as error:
        return Check(name, False, f"does not answer ({type(error).__name__})")


def _database() -> tuple[bool, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone() == (1,), f"{connection.display_name} answers"


_all_applied = False


def _migrations() -> tuple[bool, str]:
    global _all_applied  # once they are, they stay; finding out reads every migration file
    if not _all_applied:
        if missing := migrations_missing():
            return False, f"{missing} are not applied: run manage.py migrate"
        _all_applied = True
    return True, "all applied"


def _workers() -> tuple[bool, str]:
    alive = workers_alive()
    unserved = sorted(set(QUEUES) - {queue for beat in alive for queue in beat.queues.split(",")})
    if unserved:
        return False, f"no worker was heard of lately for {', '.join(unserved)}: work waits until one runs"
    seconds = min((timezone.now() - beat.seen_at).total_seconds() for beat in alive)
    return True, f"{len(alive)} alive, the last one heard of {max(0, seconds):.0f} s ago"


def _broker() -> tuple[bool, str]:
    problem = broker_problem()
    return (False, f"does not answer ({problem})") if problem else (True, "answers")


def broker_problem() -> str:
    """Why the broker cannot be used, in a few words; empty where it answers."""
    with app.connection_for_read(
        connect_timeout=BROKER_SECONDS,
        transport_options={**app.conf.broker_transport_options, "max_retries": 0},
    ) as broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=BROKER_SECONDS)
            broker.channel().close()
        except (KombuError, *broker.connection_errors, *broker.channel_errors) as error:
            return type(error.__cause__ or error).__name__
    return ""


def _storage() -> tuple[bool, str]:
    name = default_storage.save(f"health/{uuid.uuid4().hex}", ContentFile(b"tea"))
    try:
        with default_storage.open(name) as file:
            return file.read() == b"tea", "can be written and read"
    finally:
        default_storage.delete(name)
