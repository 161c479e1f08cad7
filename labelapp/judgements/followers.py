"""Rooms above that keep something in step with judgements: they register here, the service calls them.

A follower is entered before anything is locked or written and left when all is written, in the same transaction. So
it can lock rows of its own first: whoever judges in a project locks the item before the direction. A counter is entered
under the directions' locks and left before the followers are, which may look its counts up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from labelapp.judgements.models import Judge

# Is given the judge, and the ids of the directions on which something of this judge will be written.
Follower = Callable[[Judge, Collection[int]], AbstractContextManager[None]]

_followers: list[Follower] = []
_counters: list[Follower] = []


def register_follower(follower: Follower) -> None:
    _followers.append(follower)


def register_counter(counter: Follower) -> None:
    _counters.append(counter)


def followed(judge: Judge, direction_ids: Collection[int]) -> AbstractContextManager[None]:
    """Around a write on these directions, inside its transaction and outside its locks."""
    return _around(_followers, judge, direction_ids)


def counted(judge: Judge, direction_ids: Collection[int]) -> AbstractContextManager[None]:
    """Around a write on these directions, inside its locks."""
    return _around(_counters, judge, direction_ids)


@contextmanager
def _around(followers: Collection[Follower], judge: Judge, direction_ids: Collection[int]) -> Iterator[None]:
    with ExitStack() as stack:
        for follower in followers:
            stack.enter_context(follower(judge, direction_ids))
        yield
