"""Checks look like items, on the page, on the card and in what it asks the database."""

import json
import re
from collections import Counter

import pytest
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judgement
from labelapp.labelling.blindness import directions_hidden_from, directions_to_judge
from labelapp.labelling.checks.models import Check
from labelapp.labelling.models import Project
from labelapp.labelling.selectors import queue_progress, seat_of
from tests.labelling.checks.support import (
    HX,
    bring,
    card_of,
    gold_of,
    is_check,
    mix,
    normal,
    opened,
    page,
    plan,
    post,
    shown_on,
    sql,
)

pytestmark = pytest.mark.django_db


def test_card_and_page_tell_nothing(project, annotator, annotator_client):
    gold_of(project)
    mix(project, gold=0.15, control=0.15, repeat=0.15, distance=5)
    cards, heads = {}, {}
    html = page(annotator_client, project)
    for n in range(85):
        if n >= 50 and len(cards) == 4:  # which kinds come when is drawn
            break
        if n % 8 == 7:  # the heartbeat plans what comes next
            beat = reverse("labelling:beat", args=[project.slug])
            assert annotator_client.post(beat, {"item": shown_on(html)}, headers=HX).status_code == 204
        first = shown_on(html)[0]
        check = Check.objects.filter(opaque_id=first).first()
        kind = check.kind if check else "item"
        assert not re.search(r"gold|control|gaussian|repeat|check(?!ed|box)|mlp_in", normal(card_of(html)).lower())
        cards[kind] = normal(card_of(html))
        response = post(annotator_client, "judge", project, first, seen="0")
        assert response.status_code == 200
        html = response.content.decode()
        if n > 5:  # by then there is a rate
            heads.setdefault(kind, []).append(normal(html.split('id="place"')[0]))
        last = html.split('id="last"')[1]
        assert "What others said" in last
        others = annotator_client.get(reverse("labelling:others", args=[project.slug, first]), headers=HX)
        assert others.status_code == 200 and others.content.decode().count("annotator") == 1
    assert set(cards) == {"item", "gold", "control", "repeat"}
    assert len(set(cards.values())) == 1
    assert len({head for found in heads.values() for head in found}) == 1


def test_the_counter_counts_every_answer(project, annotator, annotator_client):
    mix(project, control=0.3)
    html, seen = page(annotator_client, project), []
    for n in range(1, 25):
        html = post(annotator_client, "judge", project, shown_on(html)[0], seen="0").content.decode()
        assert f"{n} of about" in html
        seen.append(int(re.search(rf"{n} of about (\d+)", html)[1]))
        assert f"{n} in a row" in html or n == 1
    assert Check.objects.filter(is_open=False).exists()
    assert all(it % 10 == 0 for it in seen) and max(seen) - min(seen) <= 20  # 60 items at .3: about 86 answers
    progress = queue_progress(seat_of(project, annotator))
    assert progress.answered == 24 and progress.done + progress.checks == 24 and progress.checks > 0


def test_a_reload_shows_the_same_two(project, annotator_client):
    mix(project, control=0.3)
    ids = shown_on(bring(annotator_client, project))
    assert shown_on(page(annotator_client, project)) == ids
    html = post(annotator_client, "judge", project, ids[0], seen="0").content.decode()
    assert shown_on(html)[0] == ids[1]  # the check is before the person now
    assert shown_on(page(annotator_client, project))[0] == ids[1]


def test_a_saved_answer_takes_at_most_eight_queries(project, annotator_client, django_assert_max_num_queries):
    gold_of(project)
    mix(project, gold=0.2, control=0.1)
    html, found = page(annotator_client, project), Counter()
    post(annotator_client, "judge", project, shown_on(html)[0], seen="0")
    html = page(annotator_client, project)
    for _ in range(25):
        ids = shown_on(html)
        with django_assert_max_num_queries(30) as captured:
            html = post(annotator_client, "judge", project, ids[0], seen="0").content.decode()
        found[tuple(map(is_check, [ids[0], *shown_on(html)]))] += 1
        assert len(sql(captured)) <= 8, sql(captured)
    assert {it[0] for it in found} == {True, False}  # checks were answered,
    assert any(any(it[1:]) for it in found)  # and brought


def test_a_check_is_one_persons_own(project, annotator_client, reviewer_client, outsider_client):
    mix(project, control=0.4)
    check = shown_on(bring(annotator_client, project, second=False))[0]
    for client in (reviewer_client, outsider_client):
        for act in ("judge", "skip"):
            assert post(client, act, project, check, seen="0").status_code == 404
    assert reviewer_client.get(reverse("labelling:others", args=[project.slug, check])).status_code == 404
    assert annotator_client.get(reverse("labelling:others", args=[project.slug, check])).status_code == 403
    assert reviewer_client.get(reverse("labelling:queue", args=[project.slug]), {"item": check}).status_code == 404
    assert not Judgement.objects.filter(source=f"checks:{project.pk}").exists()


def test_a_removed_member_is_told_and_nothing_is_written(project, annotator, annotator_client):
    mix(project, control=0.4)
    ids = shown_on(bring(annotator_client, project, second=False))
    assert directions_hidden_from(annotator, [Check.objects.get(opaque_id=ids[0]).direction_id])
    project.memberships.filter(user=annotator).delete()
    n = Judgement.objects.count()
    for act in ("judge", "skip"):
        response = post(annotator_client, act, project, ids[0], seen="0")
        assert response.status_code == 404 and "There is no project" in response.content.decode()
    assert Judgement.objects.count() == n
    assert not directions_hidden_from(annotator, [Check.objects.get(opaque_id=ids[0]).direction_id])


def test_a_paused_project_takes_no_answer_to_a_check(project, annotator_client):
    mix(project, control=0.4)
    check = shown_on(bring(annotator_client, project, second=False))[0]
    Project.objects.update(state="paused")
    for act in ("judge", "skip"):
        response = post(annotator_client, act, project, check, seen="0")
        assert response.status_code == 422 and "is paused" in response.content.decode()
    assert not Judgement.objects.filter(source=f"checks:{project.pk}").exists()


def test_the_atlas_hides_what_is_to_come(project, annotator, outsider, annotator_client, outsider_client):
    mix(project, control=0.4)
    plan(project, annotator)
    check = Check.objects.order_by("ordinal").first()
    direction = check.direction
    assert directions_hidden_from(annotator, [direction.pk]) == {direction.pk: "Beasts"}
    assert directions_to_judge(annotator).filter(pk=direction.pk).exists()
    assert not directions_hidden_from(outsider, [direction.pk])
    address = reverse("atlas:direction", args=[direction.key])
    token = direction.tokens[0].strip()
    assert token in outsider_client.get(address).content.decode()
    assert token not in annotator_client.get(address).content.decode()


def test_odd_tokens_survive_the_snapshot(places, owner, annotator, annotator_client):
    project = opened(owner, [(annotator, "annotator")])
    odd = ["\x00", "\udce2\udc80", "<script>alert(1)</script>", *[f" t{n}" for n in range(7)]]
    Direction.objects.filter(matrix__control="gaussian").update(tokens=odd, scores=None)
    mix(project, control=0.4)
    html = card_of(bring(annotator_client, project, second=False))
    assert "\\x00" in html and "\\xe2\\x80" in html and "&lt;script&gt;" in html and "of the best score" not in html


def test_a_snapshot_holds_what_the_card_shows_and_no_key(project, annotator):
    mix(project, control=0.4)
    plan(project, annotator)
    stored = json.loads(Check.objects.first().snapshot)
    assert len(stored["tokens"]) == project.tokens_shown and "gaussian" not in json.dumps(
        {name: value for name, value in stored.items() if name != "tokens"}
    )
