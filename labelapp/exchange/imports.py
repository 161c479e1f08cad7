"""Imports: released labels from a folder, readouts from a file. Each is one transaction, whole or not at all.

What is stored already with the same content is left as it is, so that an import can be repeated.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from labelapp.accounts.models import User
from labelapp.atlas.imported import ImportedError, Readout, ReadoutWriter, Shape, model_ensure
from labelapp.atlas.keys import DirectionKey, MatrixKey
from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.storing import tables_analyse
from labelapp.atlas.tokens import token_escape
from labelapp.exchange.models import Import
from labelapp.exchange.readouts import ReadoutsError, form_of, readouts_read
from labelapp.exchange.released import Entry, Place, ReleasedError, answer_verdict, released_read, verification_answer
from labelapp.jobs.services import job_create, storable
from labelapp.judgements.models import LABEL_LENGTH, Judge, Judgement, Verification
from labelapp.judgements.services import Draft, judge_ensure, judgements_record_new
from labelapp.statistics.audits import MEANING
from labelapp.statistics.labels import label_of

T = TypeVar("T")

BATCH = 500
READOUTS_TASK = "workers.tasks.export.readouts_import"
LABELS_REVISION = "released"
READOUTS_REVISION = "imported"
RELEASED_LLM = "text-davinci-002"
# Of the sizes that the post labelled or could have.
GPT2_SHAPES = {
    size: Shape("gpt2", layers, heads, width, 64, 4 * width, 50257, tied=True)
    for size, layers, heads, width in (
        ("small", 12, 12, 768), ("medium", 24, 16, 1024), ("large", 36, 20, 1280), ("xl", 48, 25, 1600),
    )
}  # fmt: skip
_REVISION = re.compile(r"[0-9a-z._-]{1,64}")

OnRow = Callable[[int], object]  # is told how many more are done


class ImportRefusedError(ValueError):
    """An import that cannot be made; the message says why in one sentence, and nothing was stored."""


REFUSALS = (ReleasedError, ReadoutsError, ImportedError)


def labels_import(
    entries: Mapping[Place, Entry],
    *,
    name: str,
    llm: str = RELEASED_LLM,
    revision: str = LABELS_REVISION,
    created_by: User | None = None,
    on_row: OnRow = lambda n: None,
) -> Import | None:
    """Store released labels as directions without weights, the labeler's judgements and the verifier's answers.

    Returns None, and changes nothing, where all of it is stored already. Raises ImportRefusedError.
    """
    _revision_check(revision)
    if not llm.strip():
        raise ImportRefusedError("Name the language model that gave the answers.")
    try:
        with transaction.atomic():
            labeler, verifier = _judges(llm.strip())
            made = Import.objects.create(
                kind=Import.Kind.LABELS, name=storable(name)[:200], judge=labeler, revision=revision,
                created_by=created_by,
            )  # fmt: skip
            for size, found in groupby(entries.items(), key=lambda it: it[0].size):
                writer = ReadoutWriter(_gpt2_ensure(size, revision, name))
                made.atlas_models.add(writer.model)
                for chunk in _chunks(found):
                    directions = writer.write(_readout(writer, place, entry) for place, entry in chunk)
                    pairs = [(it, entry) for it, (_, entry) in zip(directions, chunk, strict=True)]
                    drafts = [_draft(it, entry) for it, entry in pairs]
                    _answers_check(labeler, directions, drafts)
                    made.n_judgements += judgements_record_new(
                        judge=labeler,
                        source=made.source,
                        drafts=drafts,
                        verifier=verifier,
                        verifications={it.pk: verification_answer(entry.verification) for it, entry in pairs},
                    )
                    on_row(len(chunk))
                writer.finish()
                made.n_directions += writer.n_new
            return _finished(made)
    except REFUSALS as error:
        raise ImportRefusedError(str(error)) from None


def labels_read(folder: Path) -> dict[Place, Entry]:
    """What a folder of released labels holds. Raises ImportRefusedError."""
    try:
        return released_read(folder)
    except ReleasedError as error:
        raise ImportRefusedError(str(error)) from None


def readouts_count(path: Path, *, name: str = "", on_row: OnRow = lambda n: None) -> int:
    """Read a file through and store nothing: how many readouts it holds. Raises ImportRefusedError."""
    n = 0
    try:
        for _ in readouts_read(path, form=name):
            n += 1
            on_row(1)
    except ReadoutsError as error:
        raise ImportRefusedError(str(error)) from None
    return n


def upload_start(*, file: UploadedFile[bytes], revision: str, user: User) -> Import:
    """Keep a file of readouts that came through the page, and enqueue its import.

    Raises ImportRefusedError for what can be seen at once to be wrong; the job finds the rest.
    """
    name = storable(file.name or "")[-200:]
    revision = revision.strip() or READOUTS_REVISION
    _revision_check(revision)
    try:
        form_of(name)
    except ReadoutsError as error:
        raise ImportRefusedError(str(error)) from None
    lines = sum(chunk.count(b"\n") for chunk in file.chunks())
    file.seek(0)
    stored = default_storage.save(f"imports/{secrets.token_hex(8)}{Path(name).suffix.lower()}", file)
    with transaction.atomic():
        job = job_create(title=f"Import {name}", task=READOUTS_TASK, created_by=user, total=2 * max(lines, 1))
        made = Import.objects.create(
            kind=Import.Kind.READOUTS, name=name, revision=revision, file=stored, job=job, created_by=user
        )
        job.params = {"import": made.pk}
        job.save(update_fields=["params"])
    return made


def readouts_import(
    path: Path,
    *,
    name: str = "",
    revision: str = READOUTS_REVISION,
    created_by: User | None = None,
    on_row: OnRow = lambda n: None,
    made: Import | None = None,
) -> Import | None:
    """Store the readouts of a CSV or JSON Lines file, as directions without weights.

    `made` is the row that the page's job was given. Returns None, where all of it is stored already (and no row was
    given). Raises ImportRefusedError.
    """
    name = name or path.name
    _revision_check(revision)
    try:
        with transaction.atomic():
            row = made or Import.objects.create(
                kind=Import.Kind.READOUTS, name=storable(name)[:200], revision=revision, created_by=created_by
            )
            writers: dict[str, ReadoutWriter] = {}
            for chunk in _chunks(readouts_read(path, form=name)):
                for model, readouts in groupby(sorted(chunk, key=_slug), key=_slug):
                    if model not in writers:
                        writers[model] = ReadoutWriter(_model_of(model, revision, name))
                        row.atlas_models.add(writers[model].model)
                    writers[model].write(readouts)
                on_row(len(chunk))
            for writer in writers.values():
                writer.finish()
                row.n_directions += writer.n_new
            return _finished(row, keep=made is not None)
    except REFUSALS as error:
        raise ImportRefusedError(str(error)) from None


def _judges(llm: str) -> tuple[Judge, Judge]:
    """The labeler as it was released, and its verifier; both with the post's prompts."""
    labeler, verifier = (
        judge_ensure(
            type=Judge.Type.PROMPT,
            name=f"{llm}{named}, released"[:200],
            parameters={"llm": llm, "prompts": "post", "role": role},
        )
        for role, named in (("labeler", ""), ("verifier", " verifier"))
    )
    return labeler, verifier


def _gpt2_ensure(size: str, revision: str, name: str) -> Model:
    return model_ensure(
        name=f"gpt2-{size}", revision=revision, source=f"imported from {name}", shape=GPT2_SHAPES.get(size)
    )


def _readout(writer: ReadoutWriter, place: Place, entry: Entry) -> Readout:
    known = GPT2_SHAPES.get(place.size)
    if known and place.layer >= known.n_layers:
        raise ReleasedError(f"gpt2-{place.size} has the layers 0 to {known.n_layers - 1}, not {place.layer}.")
    side = "read" if place.circuit == "mlp_in" else "write"
    key = DirectionKey(MatrixKey(writer.model.name, place.circuit, place.layer), side, place.number, "+")
    return Readout(key, entry.tokens)


def _draft(direction: Direction, entry: Entry) -> Draft:
    verdict = answer_verdict(entry.answer)
    return Draft(
        direction.pk,
        verdict,
        label=token_escape(label_of(entry.answer))[:LABEL_LENGTH].strip() if verdict == MEANING else "",
        tokens_shown=len(entry.tokens),
        evidence={"answer": storable(entry.answer), "verifier_answer": storable(entry.verification)},
    )


def _answers_check(judge: Judge, directions: Sequence[Direction], drafts: Sequence[Draft]) -> None:
    """Raises ReleasedError where the judge's stored answer to one of the directions is another one."""
    evidence = {draft.direction_id: dict(draft.evidence) for draft in drafts}
    rows = Judgement.objects.filter(judge=judge, current=True, direction__in=directions)
    for row in rows.select_related("direction__matrix__model").order_by("pk"):
        if row.evidence != evidence[row.direction_id]:
            raise ReleasedError(
                f"{row.direction} is stored with another answer of {judge}; nothing was imported. "
                "Answers of another language model are imported with --llm NAME."
            )


def _model_of(slug: str, revision: str, source: str) -> Model:
    """The model that a key names; without a revision in the key, that of the import."""
    name, _, named = slug.partition("@")
    return model_ensure(name=name, revision=named or revision, source=f"imported from {source}")


def _slug(readout: Readout) -> str:
    return readout.key.matrix.model_part


def _chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    stream = iter(rows)
    while chunk := list(islice(stream, BATCH)):
        yield chunk


def _revision_check(revision: str) -> None:
    if not _REVISION.fullmatch(revision):
        raise ImportRefusedError(
            f"{revision!r} cannot be a revision; it stands in keys, so small letters, digits, '.', '_' and '-' only."
        )


def _finished(made: Import, *, keep: bool = False) -> Import | None:
    """The row with its counts; without anything new it goes again, unless somebody waits for it."""
    if not keep and not made.n_directions and not made.n_judgements:
        made.delete()
        return None
    made.save()
    tables_analyse(Matrix, Direction, Judgement, Verification)
    return made
