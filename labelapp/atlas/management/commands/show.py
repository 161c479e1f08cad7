import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError

from labelapp.atlas.keys import KeyFormError, MatrixKey, direction_key_parse, matrix_key_parse
from labelapp.atlas.models import Direction, Matrix
from labelapp.atlas.records import (
    arrays_write,
    blocks_in_words,
    direction_vectors,
    first_tokens,
    matrix_blocks,
    matrix_directions,
    matrix_record,
    matrix_vectors,
)
from labelapp.atlas.selectors import (
    NotStoredError,
    direction_get,
    matrix_find,
    matrix_get,
    model_get,
    readout_record,
)
from labelapp.atlas.services import matrix_request
from labelapp.atlas.sizes import size_text
from labelapp.atlas.tokens import token_display
from labelapp.atlas.variants import qk_note, value_name, variant_notes
from labelapp.jobs.follow import job_follow


class Command(BaseCommand):
    help = (
        "Print one direction, or one matrix with the first tokens of its directions. "
        "A matrix that is not stored yet is computed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", help="like gpt2-medium/ov.22.10/1+, or gpt2-medium/ov.22.10 for the matrix")
        parser.add_argument("--json", action="store_true", help="as one JSON object")
        parser.add_argument("--vectors", metavar="OUT.npz", help="also write the vector of every side into this file")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = _found(options["key"])
            arrays = _vectors(found) if options["vectors"] else {}
        except (KeyFormError, NotStoredError) as error:
            raise CommandError(str(error)) from None
        if arrays:
            self._write(Path(options["vectors"]), arrays)
        if options["json"]:
            record = readout_record(found) if isinstance(found, Direction) else matrix_record(found)
            self.stdout.write(json.dumps(record))
        elif isinstance(found, Direction):
            self._print(found)
        else:
            self._print_matrix(found)

    def _write(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        try:
            arrays_write(path, arrays)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}. Nothing was changed.") from None
        names = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        self.stderr.write(f"Wrote {path}: {names}")  # not among what a script reads

    def _print(self, direction: Direction) -> None:
        matrix = direction.matrix
        unit = "" if direction.neuron is None else f"  hidden unit {direction.neuron}"
        name = value_name(matrix.basis).name
        self.stdout.write(f"{direction.key}{unit}  {name} {_size(direction.singular_value)}")
        if matrix.basis == "svd":
            self.stdout.write(
                f"gap above {_number(direction.gap_above)}, below {_number(direction.gap_below)}; "
                + ("in no block" if direction.block is None else f"block {direction.block}")
            )
        self._note(matrix)
        for token, score in zip(direction.tokens, direction.scores or [None] * len(direction.tokens), strict=True):
            self.stdout.write(f"{_number(score):>8}  {token_display(token)}")

    def _note(self, matrix: Matrix) -> None:
        notes = variant_notes(matrix.variant)
        control = f"A control, not the model: {notes.control}" if notes.control else ""
        for note in filter(None, [control, *notes.notes, qk_note(matrix.model, matrix.circuit)]):
            self.stdout.write(note)

    def _print_matrix(self, matrix: Matrix) -> None:
        directions = matrix_directions(matrix)
        values = matrix.singular_values[: matrix.rank]
        self.stdout.write(f"{matrix.key}  rank {matrix.rank}, {matrix.n_vectors} vectors stored")
        if values:
            name = value_name(matrix.basis).name
            self.stdout.write(f"{name} {_size(values[0])} to {_size(values[-1])}; all of them with --json")
        if matrix.basis == "svd":
            threshold = f"relative gap at most {matrix.model.block_threshold:.3g}"
            blocks = blocks_in_words(matrix_blocks(directions))
            self.stdout.write(f"blocks of near-equal singular values ({threshold}): {blocks}")
        self._note(matrix)
        side = ""
        for it in directions:
            if it.side != side:
                side = it.side
                self.stdout.write(f"\n{side} side")
            place = f"{it.index}{it.sign}"
            self.stdout.write(f"{place:>5} {_size(it.singular_value):>8}  {' '.join(first_tokens(it))}")


def _found(key: str) -> Direction | Matrix:
    """What the key points to; a matrix that is not stored is computed first, as when its page is opened.

    Raises KeyFormError, NotStoredError, CommandError.
    """
    try:
        matrix: MatrixKey = matrix_key_parse(key)
    except KeyFormError:
        if key.count("/") == 1 and not key.endswith("/"):
            raise
        direction = direction_key_parse(key)
        _ensure(direction.matrix)
        return direction_get(direction)
    _ensure(matrix)
    return matrix_get(matrix)


def _ensure(key: MatrixKey) -> None:
    model = model_get(key.model_part)
    if matrix_find(model, key) is None:
        job_follow(matrix_request(model=model, key=key))


def _vectors(found: Direction | Matrix) -> dict[str, np.ndarray]:
    return direction_vectors(found) if isinstance(found, Direction) else matrix_vectors(found)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _size(value: float | None) -> str:
    return "none" if value is None else size_text(value)
