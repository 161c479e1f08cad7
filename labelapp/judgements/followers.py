"""Rooms above that keep something in step with judgements: they register here, the service calls them.

A follower is entered before anything is locked or written and left when all is written, in the same transaction. So
it can lock rows of its own first: whoever judges in a project locks the item before the direction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

# Is given the ids of the directions on which something will be written.
Follower = Callable[[Collection[int]], AbstractContextManager[None]]

_followers: list[Follower] = []


def register_follower(follower: Follower) -> None:
    _followers.append(follower)


@contextmanager
def followed(direction_ids: Collection[int]) -> Iterator[None]:
    """Around a write on these directions, inside its transaction."""
    with ExitStack() as stack:
        for follower in _followers:
            stack.enter_context(follower(direction_ids))
        yield
