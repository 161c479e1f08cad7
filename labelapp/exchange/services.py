"""Exports, to a file that the command line names or as a job whose file is downloaded."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.text import slugify

from labelapp.accounts.models import User
from labelapp.exchange.formats import FORMATS, Format
from labelapp.exchange.models import Export
from labelapp.exchange.rows import export_rows
from labelapp.exchange.subjects import ExportError, subject_get
from labelapp.jobs.services import job_create

EXPORT_TASK = "workers.tasks.export.export_write"


def format_get(name: str) -> Format:
    """Raises ExportError where there is no such format."""
    if name not in FORMATS:
        raise ExportError(f"There is no format {name!r}; there is {', '.join(sorted(FORMATS))}.")
    return FORMATS[name]


def export_start(*, subject: str, format: str, user: User) -> Export:
    """Enqueue an export. Raises ExportError where the person may not have it, or there is no such format."""
    format_get(format)
    found = subject_get(subject, user)
    with transaction.atomic():
        # The job learns the export's id before its message is sent, which is after the commit.
        job = job_create(title=f"Export {found.title}", task=EXPORT_TASK, params={}, created_by=user,
                         total=found.directions.count())  # fmt: skip
        export = Export.objects.create(subject=subject, format=format, job=job, created_by=user)
        job.params = {"export": export.pk}
        job.save(update_fields=["params"])
    return export


def export_to_path(*, subject: str, format: str, path: Path, on_row: Callable[[int], object] = lambda n: None) -> int:
    """Write an export to a file, whole or not at all; return the number of rows.

    Raises ExportError where it cannot be made or the file cannot be written.
    """
    entry = format_get(format)
    found = subject_get(subject, None)
    try:
        return _write_whole(entry, export_rows(found), path, on_row)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}.") from error


def _write_whole(entry: Format, rows: Iterable[dict[str, Any]], path: Path, on_row: Callable[[int], object]) -> int:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            n = _write(entry, rows, file, on_row)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return n


def export_write(export: Export, on_row: Callable[[int], object]) -> tuple[str, int]:
    """Write an export's file into the storage; return its name and number of rows. The rights are checked anew."""
    entry = format_get(export.format)
    found = subject_get(export.subject, export.created_by)
    with tempfile.TemporaryFile() as file:
        n = _write(entry, export_rows(found), file, on_row)
        file.seek(0)
        name = f"exports/{secrets.token_hex(8)}/{slugify(found.title) or 'export'}{entry.suffix}"
        return default_storage.save(name, File(file)), n


def _write(entry: Format, rows: Iterable[dict[str, Any]], file: IO[bytes], on_row: Callable[[int], object]) -> int:
    n = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal n
        for row in rows:
            yield row
            n += 1
            on_row(n)

    for chunk in entry.encode(counted()):
        file.write(chunk)
    return n
