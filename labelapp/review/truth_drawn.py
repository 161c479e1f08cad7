"""Whether a ground-truth set is a sample: what reviewers decide comes to them because judges differ on it."""

from __future__ import annotations

from labelapp.labelling.models import Item
from labelapp.review.models import GroundTruth

DISPUTED = (
    "{name} is no sample: {decided:,} of its {n:,} entries were decided by a reviewer, to whom disputed items come "
    "first, and {inside:,} of the {drawn:,} items that the project drew are in it. So accuracy, precision, recall and "
    "sensitivity are those on disputed items{rest}, and not what the judges would reach on all directions."
)
AND_AGREED = " together with those on which people agreed"
BY_DECISION = ("adjudicated", "adjudicated_else_agreed")


def disputed_words(truth: GroundTruth) -> str:
    """The sentence to put above scores on a set that reviewers' decisions chose; empty where the set holds all that its
    project drew and nothing else, or was chosen by another rule.
    """
    if truth.rule.get("name") not in BY_DECISION:
        return ""
    drawn = Item.objects.filter(project=truth.project, exploration=False)
    n_drawn = drawn.count()
    inside = drawn.filter(direction__in=truth.entries.values("direction")).count()
    decided = truth.entries.filter(adjudication__isnull=False).count()
    if not decided or (inside == n_drawn and truth.n == inside):
        return ""
    rest = "" if decided == truth.n else AND_AGREED
    return DISPUTED.format(name=truth, decided=decided, n=truth.n, inside=inside, drawn=n_drawn, rest=rest)
