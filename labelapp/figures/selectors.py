"""What figures are made of. Counts come from summary rows, added up in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import F, Sum

from labelapp.atlas.models import Matrix, Model
from labelapp.atlas.presentation import CIRCUIT_NAMES
from labelapp.atlas.selectors import ModelHolding, models_with_holdings
from labelapp.figures.specs import Fraction, Spectrum
from labelapp.judgements.models import Judge, Summary
from labelapp.judgements.rules import RULES, Rule
from labelapp.statistics.estimation import wilson_interval

MAX_SPECTRA = 8


@dataclass(frozen=True)
class Claim:
    """What one machine says of one model under one rule: the whole, and by layer and circuit."""

    model: Model
    judge: Judge
    rule: Rule
    n_stored: int  # ends of the model that are stored, judged or not
    fractions: Sequence[Fraction]
    n_unread: int  # ends in layers where no end has a verdict at all

    @property
    def slug(self) -> str:
        return f"{self.judge.pk}-{self.rule.name}"

    @property
    def whole(self) -> Fraction:
        """All layers and circuits together."""
        yes, n = sum(it.interpretable for it in self.fractions), sum(it.n for it in self.fractions)
        return _fraction("all", 0, yes, n, sum(it.left_out for it in self.fractions) + self.n_unread)

    @property
    def n_judged(self) -> int:
        return self.whole.n + self.whole.left_out

    @property
    def noise_rate(self) -> float | None:
        """The rate at which noise passes by construction: the baseline's level."""
        alpha = self.judge.parameters.get("alpha") if self.judge.type == Judge.Type.BASELINE else None
        return float(alpha) if isinstance(alpha, int | float) else None


def claims(model: Model | None = None) -> list[Claim]:
    """One for each model, machine and rule of which a verdict is stored, in four queries.

    People judge samples, not a census; their figures need the sampling design and are not made here.
    """
    groups: dict[tuple[int, int, str], list[Cell]] = defaultdict(list)
    for row in _sums(model):
        group = groups[row["matrix__model_id"], row["judge_id"], row["rule"]]
        group.append(Cell(row["matrix__circuit"], row["matrix__layer"], row["yes"], row["no"], row["open"]))
    judges = Judge.objects.in_bulk({judge_id for _, judge_id, _ in groups})
    holdings = {holding.model.pk: holding for holding in models_with_holdings()}
    return [
        _claim(holdings[model_id], judges[judge_id], RULES[rule], cells)
        for (model_id, judge_id, rule), cells in groups.items()
        if rule in RULES and any(cell.n for cell in cells)
    ]


class Cell(NamedTuple):
    """The counts of one circuit in one layer."""

    circuit: str
    layer: int | None
    yes: int
    no: int
    left_out: int

    @property
    def n(self) -> int:
        return self.yes + self.no


def _sums(model: Model | None) -> list[dict[str, Any]]:
    rows = Summary.objects.exclude(judge__type=Judge.Type.PERSON).filter(
        matrix__preprocessing="raw", matrix__basis="svd", matrix__control=""
    )
    if model is not None:
        rows = rows.filter(matrix__model=model)
    columns = ("matrix__model_id", "judge_id", "rule", "matrix__circuit", "matrix__layer")
    counts = {
        "yes": Sum("interpretable"),
        "no": Sum("not_interpretable"),
        "open": Sum(F("unsure") + F("unparsed") + F("failed")),
    }
    return list(rows.values(*columns).annotate(**counts).order_by(*columns))


def _claim(holding: ModelHolding, judge: Judge, rule: Rule, cells: Sequence[Cell]) -> Claim:
    fractions = [
        _fraction(CIRCUIT_NAMES[cell.circuit], cell.layer or 0, cell.yes, cell.n, cell.left_out)
        for cell in cells
        if cell.n
    ]
    n_unread = sum(cell.left_out for cell in cells if not cell.n)
    return Claim(holding.model, judge, rule, holding.n_directions_raw, fractions, n_unread)


def spectra(matrix: Matrix, others: str) -> tuple[list[Spectrum], list[str]]:
    """A matrix's spectrum and those of others of its model ("ov.22.3,ov.22.8"), and which of these are not there."""
    wanted = list(dict.fromkeys(part.strip() for part in others.split(",") if part.strip()))[: MAX_SPECTRA - 1]
    addresses = [part for part in wanted if part != matrix.address]
    stored = {row.address: row for row in Matrix.objects.filter(model=matrix.model, address__in=addresses)}
    found = [_spectrum(matrix), *(_spectrum(stored[address]) for address in addresses if address in stored)]
    return found, [address for address in addresses if address not in stored]


def _spectrum(matrix: Matrix) -> Spectrum:
    return Spectrum(matrix.address, list(matrix.singular_values[: matrix.rank]))


def _fraction(circuit: str, layer: int, yes: int, n: int, left_out: int) -> Fraction:
    low, high = wilson_interval(yes, n)
    return Fraction(circuit, layer, yes, n, low, high, left_out)
