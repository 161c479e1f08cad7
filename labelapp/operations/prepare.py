"""What has to be done before the first request, and nothing where it was done before."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from labelapp.autolabel.prompts import prompts_load

STATIC_STAMP = ".collected"


def migrations_missing() -> int:
    """How many migrations the database lacks."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def database_prepare() -> int:
    """Migrate, and store the ready-made prompts; return how many migrations were applied."""
    missing = migrations_missing()
    if missing:
        call_command("migrate", verbosity=0, interactive=False)
    prompts_load()  # an upgrade may bring prompts without a migration
    return missing


def static_prepare() -> bool:
    """Collect the static files; False where none has changed since the last time."""
    stamp = Path(settings.STATIC_ROOT) / STATIC_STAMP
    fingerprint = static_fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return False
    call_command("collectstatic", verbosity=0, interactive=False, stdout=io.StringIO())
    stamp.write_text(fingerprint)
    return True


def static_fingerprint() -> str:
    digest = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
    for finder in get_finders():
        for path, storage in sorted(finder.list([]), key=lambda found: found[0]):
            status = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
