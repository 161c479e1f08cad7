"""What of judgements a person may see: whose rows, and which counts.

Machines' judgements are everybody's; of people's the rooms above say, which register their checks here. Counts
over directions that the person is still to judge blind are shown only where they give no single one away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from labelapp.accounts.models import User
from labelapp.judgements.models import Judgement

# A count is shown where of its directions at most this share is hidden from the person, and it has so many.
MOST_HIDDEN = 0.1
LEAST_COUNTED = 50
HIDDEN_COUNT = "hidden until you have judged what is still in your queue"

# Of other people's judgements the ids of those that the person may see.
SourceCheck = Callable[[User, Sequence[Judgement]], Collection[int]]

_source_checks: list[SourceCheck] = []


def register_source_check(check: SourceCheck) -> None:
    _source_checks.append(check)


def judgements_visible(user: User, rows: Sequence[Judgement]) -> list[Judgement]:
    """Those of machines, the person's own, and what a registered check allows; the rows have their judge at hand."""
    of_others = [row for row in rows if row.judge.is_person and row.judge.user_id != user.pk]
    withheld = {row.pk for row in of_others}
    if of_others:
        for check in _source_checks:
            withheld -= set(check(user, of_others))
    return [row for row in rows if row.pk not in withheld]


def count_is_shown(n: int, n_hidden: int) -> bool:
    """Whether a count over n directions may be shown to a person from whom n_hidden of them are still hidden."""
    return n_hidden == 0 or (n >= LEAST_COUNTED and n_hidden <= MOST_HIDDEN * n)
