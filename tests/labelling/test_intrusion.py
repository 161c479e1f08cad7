"""Tests of a project: how their trials are drawn from the database, and how people's answers are taken."""

from datetime import timedelta
from threading import Barrier, Thread

import numpy as np
import pytest
from django.db import connections
from django.utils import timezone

from labelapp.atlas.models import Direction
from labelapp.atlas.records import direction_vectors
from labelapp.atlas.selectors import unembedding_read
from labelapp.judgements.services import Draft, judge_of_user, judgement_record
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.members.services import member_remove
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.projects.services import project_create
from labelapp.labelling.services import item_judge
from labelapp.labelling.trials.models import ChoiceTest, Trial, TrialAnswer
from labelapp.labelling.trials.queue import CLAIM_SECONDS, choice_progress, claims_prolong, trials_take
from labelapp.labelling.trials.services import (
    choice_test_end,
    choice_test_reopen,
    choice_test_start,
    trial_answer,
)
from labelapp.labelling.trials.sources import NO_SCORES
from labelapp.statistics.intrusion import NO_READOUTS, is_visible
from tests.factories import cast_project, overlap_set

pytestmark = pytest.mark.django_db


def start(project, kind="intrusion", **options):
    return choice_test_start(project=project, user=None, kind=kind, **options)


def test_the_trials_of_a_project(spoken_project):
    test = start(spoken_project, ends=96, trials=2)
    trials = list(test.trials.order_by("position").select_related("direction__matrix__model"))
    left_out = sum(n for reasons in test.left_out.values() for n in reasons.values())
    assert len(trials) == 2 * (96 - left_out) and left_out < 40
    numbers = [trial.number for trial in trials]
    assert numbers == sorted(numbers), "one trial of each end before the second of any"
    directions = Direction.objects.select_related("matrix").in_bulk()
    unembedding = unembedding_read(trials[0].direction.matrix.model.folder)
    for trial in trials:
        end, of = trial.direction, directions[trial.drawn["intruder_of"]]
        five = [word for place, word in enumerate(trial.shown) if place != trial.answer]
        intruder, token = trial.shown[trial.answer], trial.drawn["token_ids"][trial.answer]
        assert set(five) <= set(end.tokens[:15]) and len({*five, intruder}) == 6
        assert all(is_visible(word) for word in trial.shown)
        # Of another vector, the same circuit and control kind, at most two layers away.
        assert intruder == of.tokens[trial.drawn["ranks"][trial.answer] - 1] and intruder not in end.tokens
        assert (of.matrix_id, of.index) != (end.matrix_id, end.index)
        assert of.matrix.control == end.matrix.control and abs(of.matrix.layer - end.matrix.layer) <= 2
        # In the middle of the scores of all tokens on this vector.
        scores = unembedding @ direction_vectors(end)["read"]
        low, high = np.percentile(scores, (25, 75))
        assert low <= scores[token] <= high
    gaussian = [trial for trial in trials if trial.direction.matrix.control]
    assert gaussian and {trial.direction.matrix.layer for trial in trials} == {0, 1, 4}


def test_the_same_seed_draws_the_same_and_another_others(spoken_project):
    test = start(spoken_project, ends=20)
    assert start(spoken_project, ends=20) == test, "two clicks make one test"
    choice_test_end(test)
    again, other = start(spoken_project, ends=20), start(spoken_project, ends=20, seed=1)
    assert again != test
    shown = [
        list(it.trials.order_by("position").values_list("direction", "shown", "answer")) for it in (test, again, other)
    ]
    assert shown[0] == shown[1] != shown[2]


def test_ends_of_a_vector_are_drawn_together(spoken_project):
    test = start(spoken_project, ends=10, trials=1)
    drawn = {it.direction for it in test.trials.select_related("direction")}
    vectors = {(it.matrix_id, it.index) for it in drawn}
    assert len(drawn) + sum(n for it in test.left_out.values() for n in it.values()) == 10 and len(vectors) <= 5


def test_imported_readouts_are_left_out_with_the_reason(owner):
    project = cast_project(owner, n=4)
    with pytest.raises(LabellingError, match=f"4 directions {NO_SCORES}"):
        start(project)
    assert not ChoiceTest.objects.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ends": 0}, "1 to 2,000 ends, not 0"),
        ({"ends": 2001}, "not 2,001"),
        ({"trials": 21}, "1 to 20 trials of an end"),
        ({"seed": -1}, "The seed is a whole number"),
        ({"kind": "guessing"}, "There is no test 'guessing'"),
        ({"kind": "matching"}, "Nothing in Words has a label yet"),
        ({"kind": "matching", "labels": "77"}, "There is no machine judge '77'"),
        ({"kind": "matching", "labels": "²"}, "There is no machine judge"),
    ],
)
def test_what_cannot_be_started_says_why(spoken_project, options, says):
    with pytest.raises(LabellingError, match=says):
        start(spoken_project, **options)
    assert not ChoiceTest.objects.exists()


def test_a_draft_has_nothing_to_test(spoken_project):
    Project.objects.update(state="draft")
    with pytest.raises(LabellingError, match="is a draft"):
        start(spoken_project)


# Answers


@pytest.fixture
def ten(spoken_project):
    return start(spoken_project, ends=10, trials=2)


def answered(trial, user, choice=0, **more):
    return trial_answer(
        trial=Trial.objects.select_related("test__project").get(pk=trial.pk), user=user, choice=choice, **more
    )


def test_a_person_meets_an_end_once_and_a_trial_one_person(ten, owner, annotator):
    n = ten.trials.values("direction").distinct().count()
    for user in (owner, annotator):
        met = []
        while trials := trials_take(ten, user):
            answered(trials[0], user, seconds=1.5)
            met.append(trials[0].direction_id)
        assert len(met) == len(set(met)) == n
        assert choice_progress(ten, user).done == n and choice_progress(ten, user).left == 0
    assert TrialAnswer.objects.count() == 2 * n == ten.trials.filter(is_answered=True).count()
    second = ten.trials.first()
    Trial.objects.filter(pk=second.pk).update(is_answered=False)
    TrialAnswer.objects.filter(trial=second).delete()
    with pytest.raises(LabellingError, match="You have answered about this one before"):
        answered(second, TrialAnswer.objects.get(direction=second.direction_id).user)
    assert not Trial.objects.get(pk=second.pk).is_answered, "nothing is half written"


def test_twice_the_same_is_taken_once_and_another_tab_changes_nothing(ten, owner, annotator):
    trial = trials_take(ten, owner)[0]
    first = answered(trial, owner, 3)
    assert answered(trial, owner, 3) == first
    with pytest.raises(LabellingError, match="in another tab: number 4"):
        answered(trial, owner, 2)
    with pytest.raises(LabellingError, match="Somebody else answered"):
        answered(trial, annotator, 3)
    assert TrialAnswer.objects.get().choice == 3
    with pytest.raises(TypeError):
        first.save()


@pytest.mark.parametrize("choice", [-1, 6, 10**8])
def test_what_cannot_be_chosen(ten, owner, choice):
    with pytest.raises(LabellingError, match="There are 6 to choose from"):
        answered(trials_take(ten, owner)[0], owner, choice)


def test_who_may_answer_and_when(ten, owner, annotator, outsider):
    trial = trials_take(ten, annotator)[0]
    with pytest.raises(LabellingError, match="not one of those who judge"):
        answered(trial, outsider)
    Project.objects.update(state="paused")
    with pytest.raises(LabellingError, match="is paused"):
        answered(trial, annotator)
    Project.objects.update(state="open")
    assert choice_test_end(ten) and not choice_test_end(ten)
    with pytest.raises(LabellingError, match="has ended"):
        answered(trial, annotator)
    assert choice_test_reopen(ten) and not choice_test_reopen(ten)
    assert answered(trial, annotator)
    member_remove(project=ten.project, user=annotator)
    with pytest.raises(LabellingError, match="not one of those"):
        answered(Trial.objects.filter(is_answered=False).first(), annotator)
    assert TrialAnswer.objects.count() == 1


def test_claims_keep_people_apart_until_they_end(ten, owner, annotator):
    mine = trials_take(ten, owner)
    assert len({it.direction_id for it in mine}) == 2 and trials_take(ten, owner) == mine, "the same after a reload"
    others = trials_take(ten, annotator)
    assert not {it.pk for it in mine} & {it.pk for it in others}
    assert claims_prolong(ten, owner, [it.opaque_id for it in mine])
    Trial.objects.filter(pk=mine[0].pk).update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert trials_take(ten, annotator)[0] == mine[0], "given to somebody else after it ends"
    assert not claims_prolong(ten, owner, [mine[0].opaque_id])
    assert answered(mine[0], owner), "a claim decides nothing"
    assert Trial.objects.get(pk=mine[1].pk).claimed_until <= timezone.now() + timedelta(seconds=CLAIM_SECONDS)


@pytest.mark.django_db(transaction=True)
def test_many_at_once_answer_each_trial_once(spoken_project, make_user):
    test = start(spoken_project, ends=12, trials=3)
    people = [make_user(f"p{n}") for n in range(4)]
    for user in people:
        Membership.objects.create(project=spoken_project, user=user, role="annotator")
    barrier, wrong = Barrier(len(people)), []

    def work(user):
        try:
            barrier.wait()
            while trials := trials_take(test, user):
                answered(trials[0], user)
        except Exception as error:
            wrong.append(error)
        finally:
            connections.close_all()

    threads = [Thread(target=work, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    rows = list(TrialAnswer.objects.values_list("user", "direction", "trial"))
    assert len(rows) == test.trials.count() == len({row[2] for row in rows}) == len({row[:2] for row in rows})


# Label matching


@pytest.fixture
def labelled(spoken_project, owner, annotator):
    """The annotator has named six items, the owner one of them as well."""
    overlap_set(spoken_project, 2)
    items = list(spoken_project.items.order_by("position")[:6])
    for number, item in enumerate(items):
        item_judge(item=item, user=annotator, verdict="interpretable", label=f"name {number}")
    item_judge(item=items[0], user=owner, verdict="interpretable", label="Another")
    return items


def test_matching_shows_a_label_and_four_readouts(spoken_project, labelled, annotator):
    test = start(spoken_project, "matching", ends=96, trials=2)
    trials = list(test.trials.select_related("direction__matrix"))
    assert {trial.direction_id for trial in trials} == {item.direction_id for item in labelled}
    assert test.left_out[""]["have no label"] == 90
    named = {item.direction_id: f"name {number}" for number, item in enumerate(labelled)}
    for trial in trials:
        assert len(set(trial.shown)) == 4 and trial.shown[trial.answer] == trial.direction_id
        assert trial.label in (named[trial.direction_id], "Another")
        others = Direction.objects.select_related("matrix").filter(pk__in=trial.shown).exclude(pk=trial.direction_id)
        for other in others:
            assert other.matrix.control == trial.direction.matrix.control
            assert abs(other.matrix.layer - trial.direction.matrix.layer) <= 2
            assert (other.matrix_id, other.index) != (trial.direction.matrix_id, trial.direction.index)
    both = {trial.label for trial in trials if trial.direction_id == labelled[0].direction_id}
    assert both == {"name 0", "Another"}, "each label of an end has its turn"


def test_nobody_is_asked_about_an_own_label_or_one_that_is_still_to_be_judged_blind(
    spoken_project, labelled, owner, annotator, reviewer
):
    test = start(spoken_project, "matching", ends=96, trials=2)
    assert {it.label for it in trials_take(test, annotator)} == {"Another"}
    with pytest.raises(LabellingError, match="your own"):
        answered(test.trials.exclude(author=owner).first(), annotator)
    # The owner has judged one of the items; the others wait in the queue, and a label would give them away.
    assert {it.label for it in trials_take(test, owner)} == {"name 0"}
    assert trials_take(test, reviewer) == []
    overlap_set(spoken_project, 1)  # these are full: they come before nobody any more
    assert len(trials_take(test, reviewer)) == 2


def test_labels_of_a_machine(spoken_project, machine_judges, reviewer):
    directions = [item.direction for item in spoken_project.items.all()[:3]]
    judge = machine_judges({it: ("interpretable", None, {}) for it in directions[:2]})
    with pytest.raises(LabellingError, match="has a label yet"):
        start(spoken_project, "matching", labels=str(judge.pk))
    judgement_record(judge=judge, source="run:10", draft=Draft(directions[2].pk, "interpretable", "pets"))
    spoken_project.items.update(is_open=False)
    test = start(spoken_project, "matching", labels=str(judge.pk), trials=1)
    assert [(it.label, it.author) for it in test.trials.all()] == [("pets", None)]
    assert [it.label for it in trials_take(test, reviewer)] == ["pets"]
    with pytest.raises(LabellingError, match="There is no machine judge"):
        start(spoken_project, "matching", labels=str(judge_of_user(reviewer).pk))


def test_readouts_with_equal_words_are_no_choice(owner):
    project = cast_project(owner, n=6)  # all with the same ten tokens
    for item in project.items.all():
        item_judge(item=item, user=owner, verdict="interpretable", label="odd")
    with pytest.raises(LabellingError, match=f"6 directions {NO_READOUTS}"):
        start(project, "matching")


def test_exploration_is_no_sample(spoken, owner):
    project = project_create(
        name="Few", owner=owner, directions=Direction.objects.filter(matrix__model=spoken), guidelines="x", n=6
    )
    project.items.filter(position__lt=3).update(exploration=True, inclusion_probability=None)
    test = start(project, trials=1)
    explored = set(project.items.filter(exploration=True).values_list("direction", flat=True))
    assert not explored & set(test.trials.values_list("direction", flat=True))
