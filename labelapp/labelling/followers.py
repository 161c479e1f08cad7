"""Rooms above that keep something in step with items: they register here, the services call them.

Each call comes inside the transaction that changed the items, after the change, with the items' rows locked or new.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from labelapp.labelling.models import Project


@dataclass(frozen=True)
class ItemsFollower:
    """`changed` is told the ids of items that are new, or on which people's judgements changed; `reopened` the project
    whose items were opened or closed anew."""

    changed: Callable[[Collection[int]], None]
    reopened: Callable[[Project], None]


_followers: list[ItemsFollower] = []


def register_items_follower(follower: ItemsFollower) -> None:
    _followers.append(follower)


def items_changed(item_ids: Collection[int]) -> None:
    for follower in _followers:
        follower.changed(item_ids)


def items_reopened(project: Project) -> None:
    for follower in _followers:
        follower.reopened(project)
