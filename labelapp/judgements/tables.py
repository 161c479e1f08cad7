"""Figures of a machine judge under every rule side by side: how much a conclusion hangs on the rule.

Counts come from summary rows, added up in SQL. What would give away a verdict that the viewer must not see yet is
left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count, Q, Sum

from labelapp.accounts.models import User
from labelapp.atlas import panels
from labelapp.atlas.keys import Variant
from labelapp.judgements.models import Judge, Summary, Verdict
from labelapp.judgements.rules import DEFAULT_RULE, RULES, Rule
from labelapp.judgements.visibility import count_is_shown
from labelapp.statistics.clusters import Share, share_of_pairs

SUMS = {column: Sum(column, default=0) for column in (*Verdict.values, "ends_both", "ends_one", "ends_none")}
# What makes a slice: circuit and variant, columns of Matrix.
PLACE = ("circuit", "preprocessing", "basis", "basis_seed", "control", "control_seed")
Place = tuple[Any, ...]


class Tally(NamedTuple):
    """How many directions have each verdict under one rule; `ends_…` count the vectors that have a yes or no on both
    ends, by how many of these are interpretable. `not_judged` is known only where somebody counted what is stored.
    """

    interpretable: int = 0
    not_interpretable: int = 0
    unsure: int = 0
    unparsed: int = 0
    failed: int = 0
    ends_both: int = 0
    ends_one: int = 0
    ends_none: int = 0
    not_judged: int = 0

    @property
    def verdicts(self) -> tuple[int, ...]:
        """In the order of `Verdict`."""
        return self[: len(Verdict.values)]

    @property
    def total(self) -> int:
        """All answers."""
        return sum(self.verdicts)

    @property
    def n(self) -> int:
        """Those with a yes or a no."""
        return self.interpretable + self.not_interpretable

    @property
    def left_out(self) -> int:
        return self.unsure + self.unparsed + self.failed

    @property
    def percent(self) -> float | None:
        return 100 * self.interpretable / self.n if self.n else None

    @property
    def share(self) -> Share:
        """Of interpretable among yes and no, its 95 % interval over vectors."""
        return share_of_pairs(self.interpretable, self.n, (self.ends_both, self.ends_one, self.ends_none))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % over vectors, in percent."""
        share = self.share
        return None if share.low is None or share.high is None else (100 * share.low, 100 * share.high)


@dataclass(frozen=True)
class RuleRow:
    """One slice under every rule, in the order of the table's rules; None where a rule does not apply."""

    name: str
    tallies: Sequence[Tally | None]
    n: int  # judged directions, whatever the verdict
    is_shown: bool


@dataclass(frozen=True)
class RuleTable:
    """What one judge says of some directions, by slice, and of all of them together (last, where there are several)."""

    judge: Judge
    rules: Sequence[Rule]
    rows: Sequence[RuleRow]

    @property
    def default(self) -> Rule:
        names = [rule.name for rule in self.rules]
        return self.rules[names.index(DEFAULT_RULE) if DEFAULT_RULE in names else 0]

    @property
    def is_partly_hidden(self) -> bool:
        return any(not row.is_shown for row in self.rows)


def rule_tables(summaries: Q, viewer: User) -> list[RuleTable]:
    """A table by circuit and variant for each machine judge with summaries that fulfil the condition.

    The oldest judge first. Three queries, whatever there is.
    """
    rows = Summary.objects.filter(summaries).exclude(judge__type=Judge.Type.PERSON)
    columns = [f"matrix__{name}" for name in PLACE]
    sums = list(rows.values_list("judge_id", "rule", *columns).annotate(**SUMS).order_by("judge_id", *columns))
    if not sums:
        return []
    blind = panels.hidden_directions(viewer).filter(matrix__in=rows.values("matrix_id")).order_by()
    hidden = {tuple(place): n for *place, n in blind.values_list(*columns).annotate(n=Count("pk"))}
    judges = Judge.objects.in_bulk({judge_id for judge_id, *_ in sums})
    slices: dict[int, dict[Place, dict[str, Tally]]] = defaultdict(lambda: defaultdict(dict))
    for judge_id, rule, *rest in sums:
        if rule in RULES:
            slices[judge_id][tuple(rest[: len(PLACE)])][rule] = Tally(*rest[len(PLACE) :])
    return [_table(judges[pk], found, hidden) for pk, found in sorted(slices.items())]


def _table(judge: Judge, slices: Mapping[Place, Mapping[str, Tally]], hidden: Mapping[Place, int]) -> RuleTable:
    rules = [rule for rule in RULES.values() if any(rule.name in found for found in slices.values())]
    rows = [_row(_name(place), found, rules, hidden.get(place, 0)) for place, found in slices.items()]
    if len(rows) > 1 and len({place[1:] for place in slices}) == 1:  # controls and the model's own never in one sum
        rows.append(_whole(slices, rules, rows, hidden))
    return RuleTable(judge, rules, rows)


def _name(place: Place) -> str:
    """As in a key: "mlp_out", "mlp_out;neuron"."""
    circuit, *variant = place
    return f"{circuit}{Variant(*variant)}"


def _row(name: str, found: Mapping[str, Tally], rules: Sequence[Rule], n_hidden: int) -> RuleRow:
    n = max(tally.total for tally in found.values())
    return RuleRow(name, [found.get(rule.name) for rule in rules], n, count_is_shown(n, n_hidden))


def _whole(
    slices: Mapping[Place, Mapping[str, Tally]],
    rules: Sequence[Rule],
    rows: Sequence[RuleRow],
    hidden: Mapping[Place, int],
) -> RuleRow:
    """All slices together. The whole less what is shown is a count too: that of all hidden ones together."""
    total = {}
    for rule in rules:
        tallies = [found[rule.name] for found in slices.values() if rule.name in found]
        total[rule.name] = Tally(*map(sum, zip(*tallies, strict=True)))
    row = _row("all", total, rules, sum(hidden.get(name, 0) for name in slices))
    covered = [(it.n, hidden.get(name, 0)) for it, name in zip(rows, slices, strict=True) if not it.is_shown]
    rest_is_shown = not covered or count_is_shown(sum(n for n, _ in covered), sum(n for _, n in covered))
    return RuleRow(row.name, row.tallies, row.n, row.is_shown and rest_is_shown)
