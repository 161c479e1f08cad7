"""What a machine answered, direction by direction, with the readout that it saw: for reports and audits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from labelapp.atlas.keys import Variant
from labelapp.judgements.models import Judgement, Verdict, Verification, verifier_named
from labelapp.judgements.rules import Answers, verdicts_of
from labelapp.statistics.audits import Record

CHUNK = 2000


@dataclass(frozen=True)
class Answered:
    """One standing judgement with its place and the record that audits look at."""

    judgement_id: int
    direction_id: int
    model_id: int
    circuit: str  # with the variant, as in a key: "mlp_out", "mlp_out;neuron"
    layer: int | None
    index: int
    record: Record
    has_verifier: bool = False  # the judge, which may have asked it about labels alone

    def verdicts(self) -> dict[str, Verdict]:
        """Under each rule that applies."""
        verification = self.record.verification or None
        return verdicts_of(Answers(self.record.verdict, self.record.label, verification, self.has_verifier))


def answers_standing(judgements: QuerySet[Judgement]) -> Iterator[Answered]:
    """The standing ones of these judgements in the order of the keys, with two queries a chunk.

    Tokens are those that were shown: the first ones, where the judgement says how many.
    """
    rows = judgements.filter(current=True).order_by(
        "direction__matrix__model_id", "direction__matrix__circuit", "direction__matrix__layer",
        "direction__matrix__head", "direction__matrix__address", "direction__side", "direction__index",
        "direction__sign", "pk",
    ).values_list(
        "pk", "direction_id", "direction__matrix__model_id", "direction__matrix__circuit",
        "direction__matrix__preprocessing", "direction__matrix__basis", "direction__matrix__basis_seed",
        "direction__matrix__control", "direction__matrix__control_seed", "direction__matrix__layer",
        "direction__index", "verdict", "label", "evidence", "tokens_shown", "direction__tokens",
        "judge__parameters",
    )  # fmt: skip
    stream: Iterator[Any] = rows.iterator(chunk_size=CHUNK)
    while chunk := list(islice(stream, CHUNK)):
        checked = Verification.objects.filter(judgement__in=[row[0] for row in chunk]).order_by("pk")
        verifications = dict(checked.values_list("judgement_id", "answer"))
        for row in chunk:
            pk, direction, model, circuit, *variant, layer, index, verdict, label, evidence, shown, tokens, asked = row
            answer = evidence.get("answer", "")
            record = Record(
                tokens[:shown], verdict, label, answer if isinstance(answer, str) else "", verifications.get(pk, "")
            )
            circuit = f"{circuit}{Variant(*variant)}"
            yield Answered(pk, direction, model, circuit, layer, index, record, verifier_named(asked))
