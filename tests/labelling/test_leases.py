"""Leases and the overlap: who gets which item, what happens after a lease has ended, and fifty people at once."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from labelapp.accounts.models import User
from labelapp.judgements.models import Judgement
from labelapp.labelling import queue
from labelapp.labelling.blindness import directions_hidden_from
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Lease, Membership, Project, Skip
from labelapp.labelling.queue import items_take, leases_prolong
from labelapp.labelling.selectors import LEFT_AT_MOST, labels_used, queue_progress, seat_get_for, seat_of
from labelapp.labelling.services import answer_undo, item_judge, item_skip, items_verify
from tests.factories import cast_project, overlap_set

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(owner, reviewer, annotator):
    return cast_project(owner, reviewer, annotator, n=5, overlap=1)


def seat(project, user):
    return seat_get_for(user, project.slug)


def take(project, user, **options):
    return [item.position for item in items_take(seat(project, user), **options)]


def judge(project, user, position, verdict="unsure", **fields):
    return item_judge(item=project.items.get(position=position), user=user, verdict=verdict, **fields)


def leases_are_over():
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))


def counted(project):
    return list(project.items.order_by("position").values_list("n_judged", "is_open"))


# Who gets which


def test_what_lies_before_one_person_does_not_come_to_another(project, owner, annotator, reviewer):
    assert take(project, annotator) == [0, 1]
    assert take(project, annotator) == [0, 1]  # asked again, the same
    assert take(project, owner) == [2, 3]
    assert take(project, reviewer) == [4]
    assert Lease.objects.count() == 5


def test_who_comes_too_late_for_some_items_gets_the_next_ones_without_waiting(owner, annotator, monkeypatch):
    """As when many begin at once: somebody has leased the items between the choice and the lock, six times over."""
    project = cast_project(owner, annotator=annotator, n=20, overlap=1)
    lease, lost = queue._lease, []

    def lease_too_late(at, items, releasing):
        if at.user == annotator and len(lost) < 6:
            lost.append([item.position for item in items])
            lease(seat(project, owner), items, None)
            return False
        return lease(at, items, releasing)

    monkeypatch.setattr(queue, "_lease", lease_too_late)
    monkeypatch.setattr(queue, "_items_take_last", lambda *_: pytest.fail("waited for others"))
    assert take(project, annotator) == [12, 13]
    assert lost == [[n, n + 1] for n in range(0, 12, 2)]


def test_as_many_as_the_overlap_asks_for_get_the_same_item(project, owner, annotator, reviewer):
    overlap_set(project, 2)
    assert take(project, annotator) == take(project, owner) == [0, 1]
    assert take(project, reviewer) == [2, 3]


def test_an_answer_hands_its_lease_on(project, owner, annotator):
    first, _ = items_take(seat(project, annotator))
    judge(project, annotator, 0)
    assert take(project, annotator, releasing=first) == [1, 2]
    held = Lease.objects.filter(user=annotator).values_list("item__position", flat=True)
    assert sorted(held) == [1, 2]
    assert take(project, owner) == [3, 4]


def test_the_queue_goes_on_from_where_the_person_is_and_comes_back_at_the_end(owner, annotator):
    project = cast_project(owner, annotator=annotator, n=6, overlap=1)
    items_take(seat(project, owner))  # 0 and 1
    judge(project, annotator, 2)
    assert take(project, annotator) == [3, 4]
    Lease.objects.filter(user=owner).delete()  # given back
    judge(project, annotator, 3)
    assert take(project, annotator, releasing=project.items.get(position=3)) == [4, 5], "0 and 1 would be a step back"
    judge(project, annotator, 4)
    judge(project, annotator, 5)
    assert take(project, annotator, releasing=project.items.get(position=5)) == [0, 1]


def test_what_is_preloaded_comes_next_also_after_a_later_item_was_changed(owner, annotator):
    project = cast_project(owner, annotator=annotator, n=6, overlap=1)
    later = project.items.get(position=4)
    judge(project, annotator, 4)
    assert take(project, annotator, but=[later.pk]) == [0, 1]  # beside the item that was opened by itself
    judge(project, annotator, 4, "interpretable")
    assert take(project, annotator, releasing=later) == [0, 1]


def test_what_was_left_lying_goes_to_somebody_else(project, owner, annotator):
    take(project, annotator)
    assert take(project, owner) == [2, 3]
    leases_are_over()
    assert take(project, owner) == [0, 1]
    assert take(project, annotator) == [2, 3]


def test_a_heartbeat_keeps_the_items_and_none_that_others_have(project, owner, annotator):
    ids = [item.opaque_id for item in items_take(seat(project, annotator))]
    soon = timezone.now() + timedelta(seconds=5)
    Lease.objects.update(until=soon)
    assert leases_prolong(seat(project, annotator), ids) == set(ids)
    assert not Lease.objects.filter(until__lte=soon).exists()
    leases_are_over()
    assert leases_prolong(seat(project, annotator), ids) == set(ids), "nobody wanted them meanwhile"
    leases_are_over()
    take(project, owner)
    assert leases_prolong(seat(project, annotator), ids) == set()
    assert leases_prolong(seat(project, owner), [*ids, "no-such-item"]) == set(ids)


def test_a_person_who_leaves_reserves_nothing(project, owner, annotator):
    take(project, annotator)
    item_skip(item=project.items.get(position=0), user=annotator)
    assert take(project, owner) == [0, 2]


def test_skipped_items_are_for_others_and_come_back_last(project, owner, annotator):
    item_skip(item=project.items.get(position=0), user=annotator, reason="unreadable")
    assert Skip.objects.get().reason == "unreadable"
    assert take(project, annotator) == [1, 2]
    for position in (1, 2, 3, 4):
        judge(project, annotator, position)
    assert take(project, annotator) == [0]
    with pytest.raises(LabellingError, match="'bored' is not a reason to skip"):
        item_skip(item=project.items.get(position=0), user=annotator, reason="bored")


# Never more than the overlap


def test_a_late_answer_is_taken_while_there_is_room(project, owner, annotator):
    take(project, annotator)
    leases_are_over()
    take(project, owner)
    judge(project, annotator, 0)  # the lease is the owner's now, and the answer counts all the same
    with pytest.raises(LabellingError, match="Somebody else has judged this one while it lay here"):
        judge(project, owner, 0)
    assert counted(project)[0] == (1, False)
    assert Judgement.objects.count() == 1


def test_the_overlap_is_never_exceeded_and_one_person_counts_once(project, owner, annotator, reviewer):
    overlap_set(project, 2)
    judge(project, annotator, 0)
    judge(project, annotator, 0, "interpretable")  # a change of mind: a new judgement, the old one kept
    assert counted(project)[0] == (1, True)
    judge(project, owner, 0)
    assert counted(project)[0] == (2, False)
    judge(project, owner, 0, "not_interpretable")  # in a full item too
    with pytest.raises(LabellingError, match="2 other people have judged"):
        judge(project, reviewer, 0)
    standing = Judgement.objects.filter(current=True).values_list("judge__user__username", "verdict")
    assert sorted(standing) == [("annotator", "interpretable"), ("owner", "not_interpretable")]
    assert Judgement.objects.count() == 4 and counted(project)[0] == (2, False)


def test_undo_makes_room_and_undoing_a_change_of_mind_does_not(project, owner, annotator):
    judge(project, annotator, 0)
    judge(project, annotator, 0, "interpretable")
    answer_undo(project=project, user=annotator)
    assert counted(project)[0] == (1, False)
    assert Judgement.objects.get(current=True).verdict == "unsure"
    answer_undo(project=project, user=annotator)
    assert counted(project)[0] == (0, True)
    assert take(project, owner) == [0, 1]


def test_a_second_tab_that_knows_of_nothing_changes_nothing(project, annotator):
    judge(project, annotator, 0, "interpretable", label="pets", seen=0)
    assert judge(project, annotator, 0, "interpretable", label="pets", seen=0)  # the same, sent again
    with pytest.raises(LabellingError, match="You judged this one in another tab: interpretable, “pets”"):
        judge(project, annotator, 0, "not_interpretable", seen=0)
    assert Judgement.objects.count() == 1 and counted(project)[0] == (1, False)
    judge(project, annotator, 0, "not_interpretable", seen=1)
    assert Judgement.objects.get(current=True).verdict == "not_interpretable"


def test_another_overlap_opens_and_closes_items(project, owner, annotator):
    judge(project, annotator, 0)
    overlap_set(project, 2)
    assert counted(project)[0] == (1, True)
    judge(project, owner, 0)
    overlap_set(project, 1)
    assert counted(project)[0] == (2, False)


def test_verify_recounts(project, annotator):
    judge(project, annotator, 0)
    assert items_verify() == []
    project.items.filter(position=1).update(n_judged=1, is_open=False)
    (line,) = items_verify()
    assert "is counted as judged by 1, should be 0" in line
    assert items_verify(repair=True) == [line] and items_verify() == []
    assert counted(project)[:2] == [(1, False), (0, True)]


# What is left, and what is shown


def test_progress_counts_what_still_falls_to_a_person(project, owner, annotator):
    assert (queue_progress(seat_of(project, owner)).share, queue_progress(seat_of(project, owner)).streak) == (5, 0)
    for position in (0, 1, 2):
        judge(project, annotator, position)
    judge(project, owner, 3)
    mine, others = (queue_progress(seat_of(project, user)) for user in (annotator, owner))
    assert (mine.done, mine.left, mine.share, mine.total, mine.streak) == (3, 1, 4, 5, 3)
    assert (others.done, others.left, others.streak) == (1, 1, 1)
    Judgement.objects.update(created_at=timezone.now() - timedelta(seconds=121))
    assert queue_progress(seat_of(project, annotator)).streak == 0


def test_what_is_left_of_many_is_counted_up_to_a_limit(project, owner, monkeypatch):
    monkeypatch.setattr("labelapp.labelling.selectors.LEFT_AT_MOST", 3)
    progress = queue_progress(seat_of(project, owner))
    assert progress.left == 4 and LEFT_AT_MOST > 3
    monkeypatch.setattr("labelapp.labelling.selectors.LEFT_AT_MOST", 5)
    assert queue_progress(seat_of(project, owner)).left == 5


def test_labels_are_ones_own_while_it_is_blind(project, owner, annotator):
    overlap_set(project, 2)
    for position, label in enumerate(["pets", "verbs", "verbs"]):
        judge(project, annotator, position, "interpretable", label=label)
    judge(project, owner, 0, "interpretable", label="animals")
    judge(project, annotator, 3, "not_interpretable", label="nothing")
    assert labels_used(seat(project, annotator)) == ["verbs", "pets"]
    assert labels_used(seat(project, owner)) == ["animals"]


def test_what_nobody_asks_a_person_for_any_more_is_not_hidden(project, owner, annotator):
    ids = list(project.items.order_by("position").values_list("direction_id", flat=True))
    judge(project, annotator, 0)
    assert set(directions_hidden_from(owner, ids)) == set(ids[1:])
    Project.objects.update(reveal=False)
    assert set(directions_hidden_from(annotator, ids)) == set(ids), "an annotator sees nothing, judged or not"
    assert set(directions_hidden_from(owner, ids)) == set(ids[1:])


# Many at once


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("overlap", [1, 2])
def test_fifty_people_at_once(owner, overlap):
    """Each takes and judges until nothing is left: nobody is refused, and nothing is judged too often."""
    people = [User.objects.create_user(f"p{n}") for n in range(50)]
    project = cast_project(owner, n=60, overlap=overlap)
    Membership.objects.bulk_create(Membership(project=project, user=user, role="annotator") for user in people)
    start = threading.Barrier(len(people))
    problems = []

    def work(user):
        try:
            start.wait()
            done = None
            while items := items_take(seat_get_for(user, project.slug), releasing=done):
                done = items[0]
                item_judge(item=done, user=user, verdict="interpretable", label=f"by {user}")
        except Exception as error:
            problems.append(repr(error))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=[user]) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    standing = Judgement.objects.filter(current=True).values_list("direction_id", "judge_id")
    assert len(standing) == len(set(standing)) == Judgement.objects.count() == 60 * overlap
    assert set(Counter(direction for direction, _ in standing).values()) == {overlap}
    assert set(project.items.values_list("n_judged", "is_open")) == {(overlap, False)}
    assert len({judge for _, judge in standing}) > 1, "the work is shared"


@pytest.mark.django_db(transaction=True)
def test_many_answers_to_one_item_at_once(owner):
    """Leases or not: of twenty answers as many are taken as the overlap says, each person's once."""
    people = [User.objects.create_user(f"p{n}") for n in range(10)]
    project = cast_project(owner, n=1, overlap=3)
    Membership.objects.bulk_create(Membership(project=project, user=user, role="annotator") for user in people)
    item = project.items.select_related("direction", "project").get()
    start = threading.Barrier(2 * len(people))
    taken, refused = [], []

    def work(user):
        try:
            start.wait()
            taken.append(item_judge(item=item, user=user, verdict="unsure").judge_id)
        except LabellingError as error:
            refused.append(str(error))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=[user]) for user in people * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) + len(refused) == 20 and len(set(taken)) == 3
    assert Judgement.objects.count() == 3 == Judgement.objects.filter(current=True).count()
    assert list(project.items.values_list("n_judged", "is_open")) == [(3, False)]
    assert items_verify() == []
