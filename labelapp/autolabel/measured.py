"""What a run that is measured has said, and where its directions lie: reads for measurements and their figures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db.models import Max, Q, QuerySet

from labelapp.atlas.models import Direction, Model
from labelapp.autolabel.calls import ANSWER_FIELDS, LOOKED_UP_AT_ONCE
from labelapp.autolabel.models import Call, Run, RunItem
from labelapp.autolabel.prompts import prompt_of
from labelapp.judgements.models import Verdict
from workers.llm.parsing import parse
from workers.llm.requests import answer_from_mapping

Vector = tuple[int, str, int]  # matrix, side, index
VECTOR = ("direction__matrix_id", "direction__side", "direction__index")


@dataclass(frozen=True)
class Said:
    """One answered item of a run."""

    direction_id: int
    vector: Vector
    model_id: int
    verdict: str
    label: str
    verification: str
    call_id: int | None  # the labeler's

    @property
    def is_labelled(self) -> bool:
        return self.verdict == Verdict.INTERPRETABLE and bool(self.label)


def run_said(run: Run) -> list[Said]:
    """What a run has answered, in the order of keys: one query."""
    rows = RunItem.objects.filter(run=run, state=RunItem.State.DONE).order_by("position")
    found = rows.values_list(
        "direction_id", *VECTOR, "direction__matrix__model_id", "verdict", "label", "verification", "labeler_call_id"
    )
    return [Said(pk, (matrix, side, index), *rest) for pk, matrix, side, index, *rest in found.iterator()]


def tokens_of(direction_ids: Sequence[int], limit: int | None = None) -> dict[int, list[str]]:
    """The first `limit` tokens of some directions (None: all that are stored)."""
    found: dict[int, list[str]] = {}
    for start in range(0, len(direction_ids), LOOKED_UP_AT_ONCE):
        rows = Direction.objects.filter(pk__in=direction_ids[start : start + LOOKED_UP_AT_ONCE])
        for pk, tokens in rows.values_list("pk", "tokens"):
            found[pk] = list(tokens)[:limit]
    return found


def statements_of(run: Run, said: Collection[Said]) -> dict[int, str]:
    """The labeler's whole statement, by direction id: what a verifier is shown."""
    assert run.labeler is not None
    labeler = prompt_of(run.labeler)
    by_call: dict[int, str] = {}
    ids = sorted({it.call_id for it in said if it.call_id is not None})
    for start in range(0, len(ids), LOOKED_UP_AT_ONCE):
        calls = Call.objects.filter(pk__in=ids[start : start + LOOKED_UP_AT_ONCE]).values("pk", *ANSWER_FIELDS)
        for row in calls:
            answer = answer_from_mapping({name: row[name] for name in ANSWER_FIELDS})
            by_call[row["pk"]] = parse(labeler, answer).statement
    return {it.direction_id: by_call.get(it.call_id or 0, "") for it in said}


@dataclass(frozen=True)
class Place:
    """Where the model's own directions of a run lie; controls and contrasts are looked for at the same place."""

    model: Model
    matrices: frozenset[tuple[str, int | None]]  # circuit and layer
    preprocessings: tuple[str, ...]
    sides: tuple[str, ...]
    last_index: int
    indices: tuple[int, ...]  # where the run named some
    top: int  # tokens stored in each readout

    @property
    def circuits(self) -> tuple[str, ...]:
        return tuple(sorted({circuit for circuit, _ in self.matrices}))

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(sorted({layer for _, layer in self.matrices if layer is not None}))

    def condition(self, prefix: str = "") -> Q:
        """On directions (with `prefix` "direction__" on rows that point at one), whatever basis and control."""
        at = Q()
        for circuit in self.circuits:
            layers = [layer for name, layer in self.matrices if name == circuit]
            here = Q(**{f"{prefix}matrix__circuit": circuit})
            within = Q(**{f"{prefix}matrix__layer__in": [layer for layer in layers if layer is not None]})
            at |= here & (within | Q(**{f"{prefix}matrix__layer": None}) if None in layers else within)
        found = at & Q(
            **{
                f"{prefix}matrix__model": self.model.pk,
                f"{prefix}matrix__preprocessing__in": self.preprocessings,
                f"{prefix}side__in": self.sides,
                f"{prefix}index__lte": self.last_index,
            }
        )
        return found & Q(**{f"{prefix}index__in": self.indices}) if self.indices else found


def own_items(run: Run) -> QuerySet[RunItem]:
    """The items of a run that are of a model's own weights in the basis of the SVD."""
    own = {"direction__matrix__control": "", "direction__matrix__basis": "svd"}
    return RunItem.objects.filter(run=run, **own).order_by()


def place_of(run: Run) -> Place | None:
    """None where the run holds nothing of a model's own, or directions of several models."""
    items = own_items(run)
    matrix = "direction__matrix__"
    rows = items.values_list(f"{matrix}circuit", f"{matrix}layer", f"{matrix}preprocessing", "direction__side")
    found = list(rows.distinct())
    if run.model is None or not found:
        return None
    most = items.aggregate(index=Max("direction__index"), top=Max(f"{matrix}top"))
    return Place(
        model=run.model,
        matrices=frozenset((circuit, layer) for circuit, layer, _, _ in found),
        preprocessings=tuple(sorted({preprocessing for _, _, preprocessing, _ in found})),
        sides=tuple(sorted({side for *_, side in found})),
        last_index=most["index"],
        indices=tuple(run.selection.get("indices", ())),
        top=most["top"],
    )
