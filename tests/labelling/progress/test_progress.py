"""How far people are, and the page that says so."""

from datetime import timedelta

import pytest
from django.utils import timezone

from labelapp.judgements.models import Judgement
from labelapp.labelling.checks.models import CheckMix
from labelapp.labelling.models import Lease, Skip
from labelapp.labelling.progress.selectors import project_progress
from labelapp.labelling.services import item_skip
from tests.factories import cast_project
from tests.labelling.progress.support import HX, NO, UNSURE, YES, address, answered, judge_items, of

pytestmark = pytest.mark.django_db


def test_progress_by_person_and_by_item(project, owner, annotator, others):
    judge_items(project, annotator, [YES, NO, UNSURE, YES])
    judge_items(project, owner, [YES] * 2)
    answered(project, annotator, "control", [(others["gaussian"][0], YES)])
    item_skip(item=project.items.get(position=9), user=owner)
    Lease.objects.create(item=project.items.get(position=5), user=owner, until=timezone.now() + timedelta(minutes=1))
    found = project_progress(project)
    mine = of(found.people, annotator)
    assert (mine.n, mine.checks, mine.yes, mine.no, mine.unsure) == (4, 1, 2, 1, 1)
    assert mine.is_at_work and found.at_work == 2
    assert {it.name for it in found.people} == {"owner", "reviewer", "annotator"}  # a viewer does not judge
    assert found.sample.by_judged == [(0, 36), (1, 2), (2, 2)]
    assert (found.sample.judged, found.sample.wanted, found.left) == (6, 80, 74)
    assert (found.sample.skipped, found.sample.leased) == (1, 1)


def test_who_has_left_is_not_at_work(project, owner, annotator):
    judge_items(project, annotator, [YES] * 3, seconds=6.0)
    assert project_progress(project).at_work == 1
    project.memberships.get(user=annotator).delete()
    found = project_progress(project)
    assert found.at_work == 0 and of(found.people, annotator).n == 3


def test_the_rate_is_the_present_one_and_the_pace_where_nobody_is_at_work(project, owner, annotator):
    judge_items(project, annotator, [YES] * 10, seconds=6.0)
    judge_items(project, owner, [YES] * 5, seconds=12.0)
    now = timezone.now()
    for number, row in enumerate(Judgement.objects.filter(judge__user=annotator).order_by("pk")):
        Judgement.objects.filter(pk=row.pk).update(created_at=now - timedelta(seconds=300 - 30 * number))
    Judgement.objects.filter(judge__user=owner).update(created_at=now - timedelta(minutes=5))
    found = project_progress(project)
    assert of(found.people, annotator).a_minute == pytest.approx(2.0, rel=0.02)
    assert of(found.people, owner).a_minute is None and found.at_work == 1
    assert found.minutes_left == pytest.approx(65 / 2, rel=0.02)
    Judgement.objects.update(created_at=now - timedelta(hours=1))
    found = project_progress(project)
    assert found.a_minute is None and found.pace == pytest.approx(15 / 2)  # 15 answers in 2 minutes of work
    assert found.minutes_left == pytest.approx(65 / 7.5)


def test_checks_take_time_too(project, annotator):
    judge_items(project, annotator, [YES] * 10, seconds=6.0)
    Judgement.objects.update(created_at=timezone.now() - timedelta(hours=1))
    CheckMix.objects.create(project=project, share=0.2, repeat_share=0.2)
    assert project_progress(project).minutes_left == pytest.approx(70 / 10 / 0.8)


def test_the_page_keeps_itself_up_to_date(project, annotator, reviewer_client):
    page = reviewer_client.get(address("progress", project)).content.decode()
    assert f'hx-get="{address("progress", project)}"' in page and 'hx-trigger="every 5s"' in page
    judge_items(project, annotator, [YES] * 3)
    part = reviewer_client.get(address("progress", project), headers=HX).content.decode()
    assert "<html" not in part and '<strong class="num">3</strong>' in part


def test_progress_takes_the_same_queries_whatever_the_size(project, owner, annotator, django_assert_num_queries):
    for n in (1, 40):
        judge_items(project, annotator, [YES] * n)
        with django_assert_num_queries(6):
            project_progress(project)


def test_items_page_by_page(owner, reviewer, reviewer_client, annotator, viewer):
    project = cast_project(owner, reviewer, annotator, viewer, n=120, overlap=1)
    judge_items(project, annotator, [YES] * 60)
    item_skip(item=project.items.get(position=100), user=annotator)
    html = reviewer_client.get(address("items", project)).content.decode()
    assert "?after=49" in html and html.count("<tr>") == 51
    html = reviewer_client.get(address("items", project), {"show": "done", "after": "49"}).content.decode()
    assert html.count("<tr>") == 11 and "Next page" not in html
    html = reviewer_client.get(address("items", project), {"show": "skipped"}).content.decode()
    assert html.count("<tr>") == 2 and Skip.objects.count() == 1
    for bad in ({"show": "nice"}, {"after": "-1"}, {"after": "9" * 30}, {"after": "²"}):
        assert reviewer_client.get(address("items", project), bad).status_code == 404
