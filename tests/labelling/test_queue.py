"""Projects, queues and judgements in them, without pages."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import timezone

from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import JudgementError
from labelapp.labelling.blindness import directions_hidden_from
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Guidelines, Membership, Project
from labelapp.labelling.projects.services import demo_project_ensure, project_create
from labelapp.labelling.selectors import (
    REVIEWING_ROLES,
    item_get_for,
    item_next,
    project_get_for,
    queue_progress,
    seat_of,
)
from labelapp.labelling.services import answer_undo, item_judge, item_skip
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory, overlap_set

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(owner, annotator) -> Project:
    DirectionFactory.create_batch(6, matrix=MatrixFactory())
    project = project_create(
        name="Animals", owner=owner, directions=Direction.objects.all(), n=5, seed=3, guidelines="Judge."
    )
    Membership.objects.create(project=project, user=annotator, role="annotator")
    return overlap_set(project, 2)


def test_a_sample_is_seeded_and_keeps_its_inclusion_probability(project, owner):
    again = project_create(
        name="Animals", owner=owner, directions=Direction.objects.all(), n=5, seed=3, guidelines="Judge."
    )
    other = project_create(
        name="Animals", owner=owner, directions=Direction.objects.all(), n=5, seed=4, guidelines="Judge."
    )

    def drawn(it):
        return list(it.items.order_by("position").values_list("direction_id", flat=True))

    assert drawn(project) == drawn(again) != drawn(other)
    assert set(project.items.values_list("inclusion_probability", flat=True)) == {5 / 6}
    assert project.design == {"kind": "simple_random", "seed": 3, "population": 6, "n": 5}
    assert [project.slug, again.slug, other.slug] == ["animals", "animals-2", "animals-3"]


def test_a_project_of_nothing_is_refused(owner):
    with pytest.raises(LabellingError, match="no directions"):
        project_create(name="Empty", owner=owner, directions=Direction.objects.none(), guidelines="")
    assert not Project.objects.exists()


def test_the_queue_goes_through_every_item_once(project, annotator):
    seen = []
    while item := item_next(project, annotator):
        seen.append(item.position)
        item_judge(item=item, user=annotator, verdict="interpretable", label="animals")
    assert seen == [0, 1, 2, 3, 4]
    progress = queue_progress(seat_of(project, annotator))
    assert (progress.done, progress.total, progress.left) == (5, 5, 0)
    assert progress.a_minute is not None and progress.seconds_left == 0


def test_the_rate_is_that_of_work_and_not_of_pauses(owner):
    DirectionFactory.create_batch(8, matrix=MatrixFactory())
    project = project_create(name="Paced", owner=owner, directions=Direction.objects.all(), guidelines="")
    start = timezone.now()
    for number, seconds in enumerate([0, 6, 12, 3612, 3618, 3624]):
        item_judge(item=item_next(project, owner), user=owner, verdict="unsure")
        assert number >= 4 or queue_progress(seat_of(project, owner)).a_minute is None
        last = Judgement.objects.order_by("pk").last()
        Judgement.objects.filter(pk=last.pk).update(created_at=start + timedelta(seconds=seconds))
    assert queue_progress(seat_of(project, owner)).a_minute == pytest.approx(10)


def test_undo_after_a_skip_brings_the_skipped_item_back(project, annotator):
    first = item_next(project, annotator)
    item_judge(item=first, user=annotator, verdict="unsure")
    second = item_next(project, annotator)
    item_skip(item=second, user=annotator)
    assert answer_undo(project=project, user=annotator) == second
    assert item_next(project, annotator) == second
    assert answer_undo(project=project, user=annotator) == first


def test_a_skipped_item_comes_back_last(project, annotator):
    first = item_next(project, annotator)
    item_skip(item=first, user=annotator)
    item_skip(item=first, user=annotator)
    rest = []
    while (item := item_next(project, annotator)) != first:
        rest.append(item)
        item_judge(item=item, user=annotator, verdict="unsure")
    assert len(rest) == 4


def test_two_people_judge_the_same_item_and_neither_replaces_the_other(project, owner, annotator):
    item = item_next(project, annotator)
    item_judge(item=item, user=annotator, verdict="interpretable")
    assert item_next(project, owner) == item
    item_judge(item=item, user=owner, verdict="not_interpretable")
    assert Judgement.objects.filter(direction=item.direction, current=True).count() == 2


def test_a_double_click_is_one_judgement_and_a_change_of_mind_two(project, annotator):
    item = item_next(project, annotator)
    one = item_judge(item=item, user=annotator, verdict="interpretable", label="dogs", misfits=[2, 1])
    same = item_judge(item=item, user=annotator, verdict="interpretable", label=" dogs ", misfits=[1, 2])
    assert one == same and Judgement.objects.count() == 1
    assert one.guidelines_version == 1 and one.tokens_shown == 10
    item_judge(item=item, user=annotator, verdict="not_interpretable")
    assert Judgement.objects.count() == 2


def test_undo_brings_the_item_back_with_what_was_answered(project, annotator):
    item = item_next(project, annotator)
    item_judge(item=item, user=annotator, verdict="interpretable", label="dogs")
    assert answer_undo(project=project, user=annotator) == item
    assert item_next(project, annotator) == item
    assert answer_undo(project=project, user=annotator) is None


def test_a_judgement_remembers_the_guidelines_it_was_made_under(project, annotator):
    Guidelines.objects.create(project=project, version=2, text="Judge better.")
    assert item_judge(item=item_next(project, annotator), user=annotator, verdict="unsure").guidelines_version == 2


def test_what_cannot_be_judged_is_refused_and_nothing_changes(project, annotator, outsider):
    item = item_next(project, annotator)
    with pytest.raises(LabellingError, match="not one of those"):
        item_judge(item=item, user=outsider, verdict="unsure")
    with pytest.raises(JudgementError, match="10 tokens shown"):
        item_judge(item=item, user=annotator, verdict="interpretable", misfits=[10])
    Membership.objects.filter(user=annotator).update(role="viewer")
    with pytest.raises(LabellingError, match="not one of those"):
        item_judge(item=item, user=annotator, verdict="unsure")
    Membership.objects.filter(user=annotator).update(role="annotator")
    Project.objects.update(state="paused")
    with pytest.raises(LabellingError, match="paused"):
        item_judge(item=item, user=annotator, verdict="unsure")
    with pytest.raises(LabellingError, match="paused"):
        answer_undo(project=project, user=annotator)
    assert not Judgement.objects.exists()


def test_a_direction_outside_the_project_is_no_item_of_it(project, owner):
    other = project_create(name="Other", owner=owner, directions=Direction.objects.all(), guidelines="")
    with pytest.raises(Http404):
        item_get_for(project, other.items.first().opaque_id)
    assert item_get_for(project, project.items.first().opaque_id) == project.items.first()


def test_roles(project, owner, annotator, outsider):
    assert project_get_for(owner, project.slug, REVIEWING_ROLES) == project
    with pytest.raises(PermissionDenied):
        project_get_for(annotator, project.slug, REVIEWING_ROLES)
    with pytest.raises(Http404):
        project_get_for(outsider, project.slug)


def test_what_is_still_to_be_judged_blind_is_hidden(project, annotator, outsider):
    ids = list(Direction.objects.values_list("pk", flat=True))
    items = set(project.items.values_list("direction_id", flat=True))
    assert set(directions_hidden_from(annotator, ids)) == items
    assert directions_hidden_from(outsider, ids) == {}
    item = item_next(project, annotator)
    item_judge(item=item, user=annotator, verdict="unsure")
    assert set(directions_hidden_from(annotator, ids)) == items - {item.direction_id}


def test_the_demo_project_is_made_once(owner):
    model = ModelFactory()
    for matrix in MatrixFactory.create_batch(10, model=model):
        for index in range(20):
            DirectionFactory(matrix=matrix, index=index)
    project = demo_project_ensure(model=model, owner=owner)
    assert demo_project_ensure(model=model, owner=owner) == project
    assert project.items.count() == 120
    assert not project.items.filter(direction__index__gte=16).exists()


def test_the_next_item_takes_a_constant_number_of_queries(project, annotator, django_assert_max_num_queries):
    with django_assert_max_num_queries(2):
        item_next(project, annotator)
    with django_assert_max_num_queries(4):
        queue_progress(seat_of(project, annotator))


def test_skipped_items_come_round_in_the_order_of_their_skips(project, annotator):
    order = []
    for _ in range(12):
        item = item_next(project, annotator)
        order.append(item.position)
        item_skip(item=item, user=annotator)
    assert order == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_hiding_takes_one_query_however_many_projects(project, owner, annotator, django_assert_num_queries):
    for _ in range(3):
        other = project_create(name="Other", owner=owner, directions=Direction.objects.all(), guidelines="")
        overlap_set(other, 2)
        Membership.objects.create(project=other, user=annotator, role="annotator")
    ids = [project.items.first().direction_id]
    with django_assert_num_queries(1):
        assert set(directions_hidden_from(annotator, ids)) == set(ids)
