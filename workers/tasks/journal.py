"""Answers on disk from the moment they arrive, so that kill -9 between an answer and the database costs nothing.

One file for each lease of a job, under the data directory that all workers share; JSON Lines, appended to by plain
writes (what a process has written survives the process). The next worker of the job reads what is there; once
everything is in the database the files are removed.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from types import TracebackType

from django.conf import settings

from labelapp.jobs.models import Job
from workers.llm.requests import Answer, answer_from_mapping


class Journal:
    """The answers of one job; `recovered` are those that earlier workers of it had and did not store."""

    def __init__(self, job: Job) -> None:
        self.folder = Path(settings.DATA_DIR) / "answers" / f"job-{job.pk}"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.recovered = self._read()
        path = self.folder / f"{job.lease_token}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, request_hash: str, answer: Answer) -> None:
        """Note an answer; it is safe from the death of this process once this returns."""
        line = json.dumps({"hash": request_hash, "answer": vars(answer)}, separators=(",", ":"))
        os.write(self._file, line.encode() + b"\n")

    def remove(self) -> None:
        """Forget everything, now that it is stored."""
        for path in self.folder.glob("*.jsonl"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a worker that lost its lease writes there still
            self.folder.rmdir()

    def _read(self) -> dict[str, Answer]:
        found: dict[str, Answer] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line of a process that was killed
                    entry = json.loads(line)
                    found.setdefault(entry["hash"], answer_from_mapping(entry["answer"]))
        return found

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
