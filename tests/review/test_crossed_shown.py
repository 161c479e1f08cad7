"""The comparison's page over many judgements: the last counts are shown, said to be of earlier, and counted anew."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from labelapp.jobs.models import Job, State
from labelapp.judgements.models import Judgement
from labelapp.labelling.models import Membership
from labelapp.labelling.services import item_judge
from labelapp.review import crossed_shown as module
from labelapp.review.crossed import crossed, crossed_keep, crossed_kept
from labelapp.review.crossed_shown import crossed_of_job, crossed_shown, crossed_start
from labelapp.review.models import CrossedCount
from tests.factories import cast_project, machine_says
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db
YES, NO = "interpretable", "not_interpretable"


@pytest.fixture
def judged(owner, reviewer, annotator):
    """Eight of twelve items are judged by the owner; a machine says yes to all."""
    project = cast_project(owner, reviewer, annotator, n=12)
    for n, item in enumerate(project.items.order_by("direction_id")[:8]):
        item_judge(item=item, user=owner, verdict=NO if n % 4 == 0 else YES)
    machine_says({it.direction: YES for it in project.items.select_related("direction")})
    return project


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(module, "MOST_AT_ONCE", 5)


def counted(project, viewer, user):
    crossed_keep(crossed_of_job(crossed_start(project=project, viewer=viewer, user=user)))
    Job.objects.update(state=State.DONE)


def judge_one_more(project, user):
    item_judge(item=project.items.order_by("-direction_id")[0], user=user, verdict=YES)


def page(client, project, **query):
    return client.get(reverse("review:comparison", args=[project.slug]), query).content.decode()


def test_few_judgements_are_counted_at_once(judged, owner):
    assert crossed_shown(judged, owner).counts.n_judged == 8
    judge_one_more(judged, owner)
    shown = crossed_shown(judged, owner)
    assert shown.counts.n_judged == 9 and shown.counted_at is None and shown.job is None


@pytest.mark.parametrize("hides", [True, False])
def test_many_are_shown_as_they_were_until_a_job_has_counted(judged, many, owner, hides):
    viewer = owner if hides else None
    assert crossed_shown(judged, viewer).counts is None
    counted(judged, viewer, owner)
    shown = crossed_shown(judged, viewer)
    assert shown.counted_at is None and shown.counts == crossed(judged, viewer)
    before = shown.counts
    judge_one_more(judged, owner)
    with CaptureQueriesContext(connection) as queries:
        shown = crossed_shown(judged, viewer)
    assert not any("WITH people AS" in it["sql"] for it in queries), "no page counts them"
    assert shown.counts == before and shown.counted_at == crossed_kept(judged, viewer).counted_at
    counted(judged, viewer, owner)
    shown = crossed_shown(judged, viewer)
    assert shown.counted_at is None and shown.counts.n_judged == 9 and shown.counts == crossed(judged, viewer)


def test_counts_of_other_seats_are_not_shown(judged, many, owner, reviewer):
    """Who has come to judge elsewhere since may have to judge blind what was counted for him or her then."""
    counted(judged, owner, owner)
    assert crossed_shown(judged, reviewer).counts is None, "each viewer's own"
    other = cast_project(reviewer, n=1, name="Other")
    Membership.objects.create(project=other, user=owner, role="annotator")
    assert crossed_shown(judged, owner).counts is None


def test_the_page(judged, many, owner, owner_client):
    html = page(owner_client, judged)
    assert "Count it" in html and "Direction by direction" not in html
    address = reverse("review:count", args=[judged.slug])
    assert owner_client.post(address, {"show": "disagree"}).url.endswith("?show=disagree")
    assert owner_client.post(address, {"show": "x", "all": "1"}).url.endswith("?all=1")
    first, second = Job.objects.order_by("pk")
    assert [it.params["viewer"] for it in (first, second)] == [owner.pk, 0]
    html = page(owner_client, judged)
    assert "It is being counted" in html and "Count it" not in html
    crossed_keep(crossed_of_job(first))
    Job.objects.update(state=State.DONE)
    html = page(owner_client, judged)
    assert "8 of 12 judged" in html and "something was judged since" not in html
    judge_one_more(judged, owner)
    html = page(owner_client, judged)
    assert "something was judged since" in html and "Count anew" in html and "8 of 12 judged" in html
    last = judged.items.order_by("-direction_id")[0].direction
    assert str(last.key) in html, "the list is as it is now"
    job = crossed_start(project=judged, viewer=owner, user=owner)
    Job.objects.filter(pk=job.pk).update(state=State.FAILED, error="The worker fell over.")
    html = page(owner_client, judged)
    assert "The worker fell over." in html and "8 of 12 judged" in html


def test_a_withdrawal_of_all_is_no_error(judged, many, owner, owner_client):
    counted(judged, owner, owner)
    Judgement.objects.filter(judge__user=owner).update(current=False)
    assert "Direction by direction" in page(owner_client, judged)


def test_a_worker_counts(worker, judged, many, owner, owner_client):
    owner_client.post(reverse("review:count", args=[judged.slug]))
    wait_for(lambda: Job.objects.get().state in (State.DONE, State.FAILED))
    assert Job.objects.get().state == State.DONE, Job.objects.get().error
    assert CrossedCount.objects.get().viewer_key == owner.pk
    assert "8 of 12 judged" in page(owner_client, judged)
