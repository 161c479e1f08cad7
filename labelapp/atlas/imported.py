"""Directions that come without weights: a model's name, a place in it, and a readout.

They are stored under a revision of their own, so that the same model can be decomposed beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import Count

from labelapp.atlas.keys import CIRCUITS, DirectionKey, MatrixKey
from labelapp.atlas.models import Direction, Matrix, Model

BATCH = 500


class ImportedError(ValueError):
    """A readout that cannot be stored; the message says which and why in one sentence."""


@dataclass(frozen=True)
class Shape:
    """What is known of a model without its weights; 0 is unknown."""

    architecture: str = "imported"
    n_layers: int = 0
    n_heads: int = 0
    d_model: int = 0
    d_head: int = 0
    d_mlp: int = 0
    vocab_size: int = 0
    tied: bool = False


@dataclass(frozen=True)
class Readout:
    """One direction as it is imported; the key's model part is not looked at. `where` stands in errors ("line 7")."""

    key: DirectionKey
    tokens: Sequence[str]
    scores: Sequence[float] | None = None
    singular_value: float | None = None
    where: str = ""


def model_ensure(*, name: str, revision: str, source: str, shape: Shape | None = None) -> Model:
    """The model without weights of this name and revision, locked until the caller's transaction ends.

    Raises ImportedError where weights have that address.
    """
    shape = shape or Shape()
    model, _ = Model.objects.get_or_create(
        name=name,
        revision=revision,
        defaults={
            "is_default": not Model.objects.filter(name=name).exists(),
            "source": source[:500],
            "architecture": shape.architecture,
            "n_layers": shape.n_layers,
            "n_heads": shape.n_heads,
            "n_kv_heads": shape.n_heads,
            "d_model": shape.d_model,
            "d_head": shape.d_head,
            "d_mlp": shape.d_mlp,
            "vocab_size": shape.vocab_size,
            "tied": shape.tied,
            "circuits": [],
            "weights_hash": "",
        },
    )
    if model.has_weights:
        raise ImportedError(
            f"{name}@{revision} is stored with its weights; import the readouts under another --revision, "
            "and they stand beside it."
        )
    # One import of a model at a time: a second one waits here, and then sees what the first has stored.
    return Model.objects.select_for_update().get(pk=model.pk)


@dataclass
class ReadoutWriter:
    """Writes readouts of one model, batch by batch, in the caller's transaction; `finish` ends it.

    A readout that is stored already, with the same tokens, is left as it is.
    """

    model: Model
    n_new: int = 0
    _matrices: dict[str, Matrix] = field(default_factory=dict)
    _tops: dict[int, int] = field(default_factory=dict)

    def write(self, readouts: Iterable[Readout]) -> list[Direction]:
        """Store some readouts; return their directions in the same order. Raises ImportedError."""
        wanted = list(readouts)
        places = [(self._matrix(it.key.matrix).pk, it.key.side, it.key.index, it.key.sign) for it in wanted]
        stored = self._stored(places)
        rows: dict[tuple[int, str, int, str], Direction] = {}
        for readout, place in zip(wanted, places, strict=True):
            before = stored.get(place) or rows.get(place)
            if before is None:
                rows[place] = _row(readout, place)
            elif list(before.tokens) != list(readout.tokens):
                raise ImportedError(
                    f"{_where(readout)}{readout.key} is stored with other tokens; nothing was imported. "
                    "Other readouts of the same model go under another --revision."
                )
            self._tops[place[0]] = max(self._tops.get(place[0], 0), len(readout.tokens))
        Direction.objects.bulk_create(rows.values(), batch_size=BATCH)
        self.n_new += len(rows)
        return [stored.get(place) or rows[place] for place in places]

    def finish(self) -> None:
        """Bring what the matrices and the model say of themselves up to date."""
        touched = list(self._matrices.values())
        counted = Direction.objects.filter(matrix__in=touched).values_list("matrix_id").order_by()
        n_vectors = dict(counted.annotate(n=Count("index", distinct=True)))
        for matrix in touched:
            matrix.n_vectors = n_vectors.get(matrix.pk, 0)
            matrix.top = max(matrix.top, self._tops.get(matrix.pk, 0))
        Matrix.objects.bulk_update(touched, ["n_vectors", "top"], batch_size=BATCH)
        model = Model.objects.select_for_update().get(pk=self.model.pk)
        circuits = {*model.circuits, *(matrix.circuit for matrix in touched)}
        model.circuits = [name for name in CIRCUITS if name in circuits]
        model.n_layers = max([model.n_layers, *(it.layer + 1 for it in touched if it.layer is not None)])
        model.n_heads = max([model.n_heads, *(it.head + 1 for it in touched if it.head is not None)])
        model.n_kv_heads = max(model.n_kv_heads, model.n_heads)
        model.save(update_fields=["circuits", "n_layers", "n_heads", "n_kv_heads"])

    def _matrix(self, key: MatrixKey) -> Matrix:
        if key.address not in self._matrices:
            self._matrices[key.address], _ = Matrix.objects.get_or_create(
                model=self.model,
                address=key.address,
                defaults={
                    "circuit": key.circuit, "layer": key.layer, "head": key.head,
                    "preprocessing": key.preprocessing, "basis": key.basis, "basis_seed": key.basis_seed,
                    "control": key.control, "control_seed": key.control_seed,
                    "singular_values": [], "rank": 0, "n_vectors": 0, "top": 0, "vectors": {},
                },
            )  # fmt: skip
        return self._matrices[key.address]

    def _stored(self, places: Sequence[tuple[int, str, int, str]]) -> dict[tuple[int, str, int, str], Direction]:
        rows = Direction.objects.filter(
            matrix__in={matrix for matrix, _, _, _ in places}, index__in={index for _, _, index, _ in places}
        )
        wanted = set(places)
        found = {(row.matrix_id, row.side, row.index, row.sign): row for row in rows}
        return {place: row for place, row in found.items() if place in wanted}


def _row(readout: Readout, place: tuple[int, str, int, str]) -> Direction:
    matrix_id, side, index, sign = place
    return Direction(
        matrix_id=matrix_id,
        side=side,
        index=index,
        sign=sign,
        singular_value=readout.singular_value,
        tokens=list(readout.tokens),  # type: ignore[misc]  # a TextField that holds a list
        scores=None if readout.scores is None else list(readout.scores),
    )


def _where(readout: Readout) -> str:
    return f"{readout.where}: " if readout.where else ""
