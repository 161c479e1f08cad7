"""Which of a reference's directions a judge's prompts show: it has been told what these mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from labelapp.autolabel.audits import exemplars_of
from labelapp.judgements.models import Judge
from labelapp.statistics.audits import Record, exemplar_leak

if TYPE_CHECKING:
    from labelapp.review.lab import Reference

CHUNK = 10_000


@dataclass(frozen=True)
class _Held:
    """What does not count as part of the cache's key: the reference's state does."""

    reference: Reference = field(compare=False)
    progress: Callable[[float], object] = field(compare=False)


def exemplars_among(
    reference: Reference, judge: Judge, progress: Callable[[float], object] = lambda share: None
) -> frozenset[int]:
    """The reference's directions that share nearly all tokens with an exemplar (`audits.exemplar_leak`); `progress` is
    told which share of them has been looked at."""
    exemplars = tuple(tuple(tokens) for tokens in exemplars_of(judge))
    return _leaks(reference.state, exemplars, _Held(reference, progress)) if exemplars else frozenset()


@lru_cache(maxsize=64)
def _leaks(state: tuple[Any, ...], exemplars: Sequence[Sequence[str]], held: _Held) -> frozenset[int]:
    """Kept in memory: readouts and prompts never change."""
    found: set[int] = set()
    n, done = held.reference.rows().count(), 0
    for chunk in _chunks(held.reference.directions().order_by().values_list("pk", "tokens").iterator(CHUNK)):
        records = [Record(tokens, "", "", "", "") for _, tokens in chunk]
        found |= {chunk[place][0] for place in exemplar_leak(records, exemplars)}
        done += len(chunk)
        held.progress(min(1.0, done / n))
    return frozenset(found)


def _chunks(rows: Iterator[Any]) -> Iterator[list[tuple[int, list[str]]]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk
