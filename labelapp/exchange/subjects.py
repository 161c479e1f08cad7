"""What can be exported. The rooms above register theirs, so that this one need not know them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction


class ExportError(ValueError):
    """Something that cannot be exported; the message says why in one sentence."""


@dataclass(frozen=True)
class Subject:
    """A selection of directions, and what an export says of it besides their readouts and judgements."""

    title: str
    directions: QuerySet[Direction]
    # Whose judgements belong to it: these sources, and every machine's.
    sources: tuple[str, ...]
    # For some directions by id what else their rows hold: the inclusion probability, say.
    extras: Callable[[Iterable[int]], dict[int, dict[str, Any]]]
    # Where its rows are not of directions: what they are instead, one for each of `directions`.
    rows: Callable[[], Iterator[dict[str, Any]]] | None = None


# For the name behind the colon and some directions by id what rows hold besides.
Extras = Callable[[str, Iterable[int]], dict[int, dict[str, Any]]]

# By kind; each takes the name behind the colon and the person who asks (None on the command line), and
# raises ExportError where there is no such subject or the person may not have it.
SUBJECTS: dict[str, Callable[[str, User | None], Subject]] = {}
# By kind: names and titles of the subjects that a person may have, for forms that offer them.
LISTS: dict[str, Callable[[User], list[tuple[str, str]]]] = {}
# By kind, what rooms above the subject's own add to its rows.
_extras: dict[str, list[Extras]] = {}


def register_extras(kind: str, extras: Extras) -> None:
    _extras.setdefault(kind, []).append(extras)


def subject_get(address: str, user: User | None) -> Subject:
    """The subject of an address such as `project:demo`. Raises ExportError."""
    kind, _, name = address.partition(":")
    if kind not in SUBJECTS:
        raise ExportError(f"{address!r} cannot be exported; what can is {', '.join(sorted(SUBJECTS))}.")
    subject = SUBJECTS[kind](name, user)
    return replace(subject, extras=_with_added(subject, kind, name)) if kind in _extras else subject


def _with_added(subject: Subject, kind: str, name: str) -> Callable[[Iterable[int]], dict[int, dict[str, Any]]]:
    def extras(direction_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        ids = list(direction_ids)
        rows = {pk: dict(row) for pk, row in subject.extras(ids).items()}
        for added in _extras[kind]:
            for pk, more in added(name, ids).items():
                rows.setdefault(pk, {}).update(more)
        return rows

    return extras


def subjects_listed(kind: str, user: User) -> list[tuple[str, str]]:
    """Name and title of each subject of a kind that a person may have."""
    return LISTS[kind](user) if kind in LISTS else []
