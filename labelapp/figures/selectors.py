"""What figures are made of. Counts come from summary rows, added up in SQL."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count, F, Sum

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.atlas.models import Matrix, Model
from labelapp.atlas.presentation import CIRCUIT_NAMES
from labelapp.atlas.selectors import ModelHolding, models_with_holdings
from labelapp.figures.remembered import remembered
from labelapp.figures.specs import Fraction, Spectrum
from labelapp.judgements.models import Judge, Summary
from labelapp.judgements.rules import DEFAULT_RULE, RULES, Rule
from labelapp.judgements.visibility import count_is_shown
from labelapp.statistics.clusters import share_of_pairs

MAX_SPECTRA = 8
COUNTS = {
    "yes": Sum("interpretable"),
    "no": Sum("not_interpretable"),
    "open": Sum(F("unsure") + F("unparsed") + F("failed")),
    "both": Sum("ends_both"),
    "one": Sum("ends_one"),
    "none": Sum("ends_none"),
}
CENSUS = {"matrix__preprocessing": "raw", "matrix__basis": "svd", "matrix__control": ""}


@dataclass(frozen=True)
class Claim:
    """What one machine says of one model under one rule: the whole, and by layer and circuit."""

    model: Model
    judge: Judge
    rule: Rule
    n_stored: int  # ends of the model that are stored, judged or not
    n_judged: int
    whole: Fraction | None  # all layers and circuits together; None where it would give a hidden verdict away
    fractions: Sequence[Fraction]
    hidden: Sequence[tuple[str, int]]  # circuit and layer of those that would

    @property
    def slug(self) -> str:
        return f"{self.judge.pk}-{self.rule.name}"

    @property
    def noise_rate(self) -> float | None:
        """The rate at which noise passes by construction: the baseline's level."""
        alpha = self.judge.parameters.get("alpha") if self.judge.type == Judge.Type.BASELINE else None
        return float(alpha) if isinstance(alpha, int | float) else None


def claims(model: Model | None = None, *, viewer: User | None = None) -> list[Claim]:
    """One for each model, machine and rule of which a verdict is stored, in four queries and one for the viewer.

    People judge samples, not a census; their figures need the sampling design and are not made here. What would
    give away a verdict that the viewer must not see yet is left out; without a viewer, nothing is.
    """
    hidden: Counter[tuple[int, str, int | None]] = Counter()
    if viewer:
        hidden = remembered(viewer, "claims", lambda: _hidden(viewer), hidden)
    groups: dict[tuple[int, int, str], list[Cell]] = defaultdict(list)
    for row in _sums(model):
        group = groups[row["matrix__model_id"], row["judge_id"], row["rule"]]
        place = (row["matrix__model_id"], row["matrix__circuit"], row["matrix__layer"])
        counts = (row["yes"], row["no"], row["open"], row["both"], row["one"], row["none"])
        group.append(Cell(place[1], place[2], *counts, hidden[place]))
    judges = Judge.objects.in_bulk({judge_id for _, judge_id, _ in groups})
    holdings = {holding.model.pk: holding for holding in models_with_holdings()}
    return [
        _claim(holdings[model_id], judges[judge_id], RULES[rule], cells)
        for (model_id, judge_id, rule), cells in groups.items()
        if rule in RULES and any(cell.n for cell in cells)
    ]


@dataclass(frozen=True)
class RuleGroup:
    """One machine on one model: its claims under every rule, and the one that is drawn."""

    drawn: Claim
    claims: Sequence[Claim]


def claims_by_rule(found: Sequence[Claim], rule: str = "") -> list[RuleGroup]:
    """By model and judge; drawn is the claim under `rule` where there is one, else under the judge's default."""
    groups: dict[tuple[int, int], dict[str, Claim]] = defaultdict(dict)
    for claim in found:
        groups[claim.model.pk, claim.judge.pk][claim.rule.name] = claim
    return [
        RuleGroup(
            by_rule.get(rule) or by_rule.get(DEFAULT_RULE) or next(iter(by_rule.values())),
            [by_rule[name] for name in RULES if name in by_rule],
        )
        for by_rule in groups.values()
    ]


class Cell(NamedTuple):
    """The counts of one circuit in one layer."""

    circuit: str
    layer: int | None
    yes: int
    no: int
    left_out: int
    ends_both: int  # vectors with a yes or no on both ends, by how many of these are interpretable
    ends_one: int
    ends_none: int
    n_hidden: int  # directions that the viewer is still to judge blind

    @property
    def n(self) -> int:
        return self.yes + self.no

    @property
    def is_shown(self) -> bool:
        return count_is_shown(self.n, self.n_hidden)


def _sums(model: Model | None) -> list[dict[str, Any]]:
    rows = Summary.objects.exclude(judge__type=Judge.Type.PERSON).filter(**CENSUS)
    if model is not None:
        rows = rows.filter(matrix__model=model)
    columns = ("matrix__model_id", "judge_id", "rule", "matrix__circuit", "matrix__layer")
    return list(rows.values(*columns).annotate(**COUNTS).order_by(*columns))


def _hidden(viewer: User) -> Counter[tuple[int, str, int | None]]:
    """How many directions are hidden from a person, by model, circuit and layer."""
    place = ("matrix__model_id", "matrix__circuit", "matrix__layer")
    rows = panels.hidden_directions(viewer).filter(**CENSUS).order_by().values_list(*place)
    return Counter({(model, circuit, layer): n for model, circuit, layer, n in rows.annotate(n=Count("pk"))})


def _claim(holding: ModelHolding, judge: Judge, rule: Rule, cells: Sequence[Cell]) -> Claim:
    judged = [cell for cell in cells if cell.n]
    shown, hidden = [it for it in judged if it.is_shown], [it for it in judged if not it.is_shown]
    whole = _sum(cells)
    # The whole less what is shown is a count too: that of all hidden ones together.
    is_shown = whole.is_shown and (not hidden or _sum(hidden).is_shown)
    return Claim(
        holding.model,
        judge,
        rule,
        holding.n_directions_raw,
        whole.n + whole.left_out,
        _fraction("all", whole) if is_shown else None,
        [_fraction(CIRCUIT_NAMES[cell.circuit], cell) for cell in shown],
        [(CIRCUIT_NAMES[cell.circuit], cell.layer or 0) for cell in hidden],
    )


def _sum(cells: Sequence[Cell]) -> Cell:
    totals = [sum(counts) for counts in zip(*(cell[2:] for cell in cells), strict=True)]
    return Cell("", None, *totals)


def spectra(matrix: Matrix, others: str) -> tuple[list[Spectrum], list[str]]:
    """A matrix's spectrum and those of others of its model ("ov.22.3,ov.22.8"), and which of these are not there."""
    addresses = [part for part in spectrum_names(others) if part != matrix.address]
    stored = {row.address: row for row in Matrix.objects.filter(model=matrix.model, address__in=addresses)}
    found = [_spectrum(matrix), *(_spectrum(stored[address]) for address in addresses if address in stored)]
    return found, [address for address in addresses if address not in stored]


def spectrum_names(others: str) -> list[str]:
    """The addresses in a list with commas, each once, as many as a plot takes."""
    return list(dict.fromkeys(part.strip() for part in others.split(",") if part.strip()))[: MAX_SPECTRA - 1]


def _spectrum(matrix: Matrix) -> Spectrum:
    return Spectrum(matrix.address, list(matrix.singular_values[: matrix.rank]), matrix.basis == "svd")


def _fraction(circuit: str, cell: Cell) -> Fraction:
    """With its interval over vectors."""
    share = share_of_pairs(cell.yes, cell.n, (cell.ends_both, cell.ends_one, cell.ends_none))
    assert share.low is not None and share.high is not None
    return Fraction(circuit, cell.layer or 0, cell.yes, cell.n, share.low, share.high, cell.left_out)
