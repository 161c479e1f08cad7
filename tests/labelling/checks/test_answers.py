"""Checks are answered, skipped and taken back like items, and counted in nothing of theirs."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from labelapp.exchange.rows import export_rows
from labelapp.exchange.subjects import subject_get
from labelapp.judgements.models import Judgement
from labelapp.labelling.checks.models import Check
from labelapp.labelling.checks.queue import last_undo
from labelapp.labelling.models import Lease
from labelapp.labelling.selectors import queue_progress, seat_of
from labelapp.labelling.services import items_verify
from labelapp.review.selectors import comparison
from tests.labelling.checks.support import HX, bring, go, gold_of, is_check, mix, page, post, shown_on

pytestmark = pytest.mark.django_db


def test_answers_to_checks_are_no_judgements_of_the_project(project, annotator, reviewer, reviewer_client):
    gold_of(project)
    mix(project, gold=0.2, control=0.2, repeat=0.1, distance=5)
    came = go(project, annotator, 50)
    n = came.count("item")
    assert n < 50 and project.items.filter(n_judged=1).count() == n
    assert items_verify() == []
    assert queue_progress(seat_of(project, annotator)).done == n
    assert Judgement.objects.filter(source=project.source, current=True).count() == n
    assert Judgement.objects.filter(source=f"checks:{project.pk}", current=True).count() == 50 - n
    rows = list(export_rows(subject_get(f"project:{project.slug}", None)))
    assert len(rows) == 60
    assert sum(len(row["judgements"]) for row in rows) == n
    assert {it["source"] for row in rows for it in row["judgements"]} == {project.source}
    found = comparison(project)
    assert len(found.people) == n and all(len(said) == 1 for said in found.people.values())


def test_a_double_click_is_one_answer_and_another_tab_is_told(project, annotator, annotator_client):
    mix(project, control=0.4)
    check = shown_on(bring(annotator_client, project, second=False))[0]
    for _ in range(3):
        assert post(annotator_client, "judge", project, check, seen="0").status_code == 200
    rows = Judgement.objects.filter(source=f"checks:{project.pk}")
    assert rows.count() == 1
    response = post(annotator_client, "judge", project, check, verdict="unsure", seen="0")
    assert response.status_code == 422 and "in another tab" in response.content.decode()
    assert rows.count() == 1
    assert post(annotator_client, "judge", project, check, verdict="unsure", seen="1").status_code == 200
    assert rows.count() == 2 and rows.get(current=True).blind is False
    bad = post(annotator_client, "judge", project, check, label="x" * 201, seen="2")
    assert bad.status_code == 422 and "A label may have 200" in bad.content.decode() and rows.count() == 2


@pytest.mark.parametrize("headers", [{}, HX])
def test_undo_brings_a_check_back_as_it_was_answered(project, annotator, annotator_client, headers):
    mix(project, control=0.4)
    check = shown_on(bring(annotator_client, project, second=False))[0]
    post(annotator_client, "judge", project, check, label="pets", verdict="unsure", seen="0")
    path = reverse("labelling:undo", args=[project.slug])
    html = annotator_client.post(path, headers=headers, follow=not headers).content.decode()
    assert shown_on(html)[0] == check and 'value="pets"' in html and "You had answered" in html
    assert not Judgement.objects.filter(source=f"checks:{project.pk}", current=True).exists()
    assert Check.objects.get(opaque_id=check).is_open
    assert post(annotator_client, "judge", project, check, verdict="interpretable", seen="2").status_code == 200
    assert Judgement.objects.get(source=f"checks:{project.pk}", current=True).blind is False


def test_undo_takes_back_the_last_of_both(project, annotator, annotator_client):
    mix(project, control=0.4)
    html = page(annotator_client, project)
    order = []
    for _ in range(15):
        order.append(shown_on(html)[0])
        html = post(annotator_client, "judge", project, order[-1], seen="0").content.decode()
    assert any(map(is_check, order)) and not all(map(is_check, order))
    for opaque_id in reversed(order):
        assert last_undo(seat_of(project, annotator)).opaque_id == opaque_id
    assert last_undo(seat_of(project, annotator)) is None
    assert not Judgement.objects.filter(current=True).exists()
    assert not project.items.filter(n_judged__gt=0).exists()


def test_a_skipped_check_comes_when_nothing_else_is_left(project, annotator, annotator_client):
    mix(project, control=0.4)
    ids = shown_on(bring(annotator_client, project, second=False))
    response = post(annotator_client, "skip", project, ids[0], why="too_hard")
    assert response.status_code == 200 and ids[0] not in shown_on(response.content.decode())
    assert Check.objects.get(opaque_id=ids[0]).skip_reason == "too_hard"
    html = post(annotator_client, "undo", project).content.decode()
    assert shown_on(html)[0] == ids[0] and Check.objects.get(opaque_id=ids[0]).skipped_at is None
    post(annotator_client, "skip", project, ids[0])
    Check.objects.filter(skipped_at=None, is_open=True).delete()
    project.items.update(is_open=False)
    html = page(annotator_client, project)
    assert shown_on(html) == [ids[0]]
    assert "Nothing is left" in post(annotator_client, "judge", project, ids[0], seen="0").content.decode()
    assert post(annotator_client, "skip", project, ids[0], why="bored").status_code == 422


def test_the_heartbeat_knows_checks_and_plans(project, annotator, annotator_client):
    mix(project, control=0.4)
    ids = shown_on(bring(annotator_client, project, second=False))
    Lease.objects.update(until=timezone.now() - timedelta(minutes=1))
    planned = Check.objects.filter(is_open=True).order_by("-ordinal").exclude(opaque_id__in=ids)
    planned.delete()
    path = reverse("labelling:beat", args=[project.slug])
    assert annotator_client.post(path, {"item": ids}, headers=HX).status_code == 204
    assert Lease.objects.filter(item__opaque_id__in=ids, until__gt=timezone.now()).count() == 1
    assert Check.objects.filter(is_open=True).exclude(opaque_id__in=ids).exists()
