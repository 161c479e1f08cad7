"""Whether anything has come since something was computed."""

from __future__ import annotations

from django.db.models import Max

from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judgement, Verification
from labelapp.labelling.models import Item
from labelapp.review.models import Adjudication


def stamp_now() -> str:
    """The newest rows of all that figures and comparisons are made of; where it has not changed, none of them has.

    Five index look-ups.
    """
    newest = (
        rows.objects.order_by().aggregate(newest=Max("pk"))["newest"] or 0
        for rows in (Judgement, Verification, Adjudication, Item, Direction)
    )
    return ".".join(str(it) for it in newest)
