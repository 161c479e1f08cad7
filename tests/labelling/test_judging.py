"""What an answer brings besides the next item: reasons, second tabs, others' judgements, the heartbeat, few queries."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from labelapp.accounts.models import User
from labelapp.exchange.rows import export_rows
from labelapp.judgements.models import Judgement, Kind, Reason
from labelapp.judgements.services import summaries_verify
from labelapp.labelling.exports import project_subject
from labelapp.labelling.models import Lease, Project, Skip
from labelapp.labelling.selectors import item_next
from labelapp.labelling.services import answer_undo, item_judge, items_verify
from tests.factories import cast_project, machine_says, overlap_set

pytestmark = pytest.mark.django_db
HX = {"HX-Request": "true"}
OURS = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")  # of transactions: no work of the database's


@pytest.fixture
def project(owner, reviewer, annotator):
    return cast_project(owner, reviewer, annotator, n=8)


def post(client, name, project, *args, **fields):
    return client.post(reverse(f"labelling:{name}", args=[project.slug, *args]), fields, headers=HX)


def judge(client, project, item, **fields):
    return post(client, "judge", project, item.opaque_id, **{"verdict": "interpretable", **fields})


def others(client, project, item):
    return client.get(reverse("labelling:others", args=[project.slug, item.opaque_id]))


# Queries


def statements(act):
    """What the database is asked, less what opens and closes transactions and finds out who is signed in."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert act().status_code == 200
    asked = [it["sql"] for it in captured if it["sql"].split()[0] not in OURS]
    return [sql for sql in asked if "django_session" not in sql and 'FROM "accounts_user"' not in sql]


@pytest.mark.parametrize("overlap", [1, 9])
def test_an_answer_and_the_next_item_take_eight_queries(owner, annotator, annotator_client, overlap):
    for n in (6, 60):
        project = cast_project(owner, annotator=annotator, n=n, name=f"Of {n}", overlap=overlap)
        annotator_client.get(reverse("labelling:queue", args=[project.slug]), headers=HX)
        judge(annotator_client, project, item_next(project, annotator))  # the first makes the judge
        for _ in range(2):
            item = item_next(project, annotator)
            asked = statements(lambda: judge(annotator_client, project, item, label="pets", seen=0))  # noqa: B023
            assert len(asked) <= 8, "\n".join(asked)
    assert summaries_verify() == [] and items_verify() == []


# Answers


def test_a_no_has_a_reason_and_a_yes_has_none(project, annotator, annotator_client):
    for verdict, kept in (("not_interpretable", "noise"), ("interpretable", ""), ("unsure", "")):
        item = item_next(project, annotator)
        assert judge(annotator_client, project, item, verdict=verdict, reason="noise").status_code == 200
        assert Judgement.objects.get(direction=item.direction).reason == kept
    response = judge(annotator_client, project, item_next(project, annotator), reason="boredom")
    assert response.status_code == 422 and "boredom is not a reason" in response.content.decode()
    rows = [row for line in export_rows(project_subject(project.slug, None)) for row in line["judgements"]]
    assert sorted(str(row["reason"]) for row in rows) == ["None", "None", "noise"]


def test_kinds_and_reasons_are_on_the_page(project, annotator_client):
    html = annotator_client.get(reverse("labelling:queue", args=[project.slug])).content.decode()
    for value in [*Kind.values, *Reason.values, *Skip.Reason.values]:
        assert f'value="{value}"' in html


def test_a_second_tab_gets_one_sentence(project, annotator, annotator_client):
    item = item_next(project, annotator)
    judge(annotator_client, project, item, label="pets", seen="0")
    response = judge(annotator_client, project, item, verdict="unsure", seen="0")
    assert response.status_code == 422 and "in another tab: interpretable, “pets”" in response.content.decode()
    assert judge(annotator_client, project, item, verdict="unsure", seen="1").status_code == 200
    assert judge(annotator_client, project, item, verdict="interpretable", seen="nonsense").status_code == 200
    assert Judgement.objects.filter(direction=item.direction).count() == 3


@pytest.mark.parametrize("headers", [{}, HX])
def test_an_item_that_is_full_is_refused_in_one_sentence(project, owner, annotator, annotator_client, headers):
    overlap_set(project, 1)
    item = item_next(project, annotator)
    item_judge(item=item, user=owner, verdict="unsure")
    address = reverse("labelling:judge", args=[project.slug, item.opaque_id])
    response = annotator_client.post(address, {"verdict": "unsure", "label": "my words"}, headers=headers)
    html = response.content.decode()
    assert response.status_code == 422 and "Somebody else has judged this one" in html
    assert html.count('class="notice bad"') == 1 and ("my words" in html or headers)
    assert Judgement.objects.count() == 1


def test_a_skip_keeps_its_reason(project, annotator, annotator_client):
    first = item_next(project, annotator)
    assert post(annotator_client, "skip", project, first.opaque_id, why="unreadable").status_code == 200
    second = item_next(project, annotator)
    assert post(annotator_client, "skip", project, second.opaque_id).status_code == 200
    assert set(Skip.objects.values_list("item", "reason")) == {(first.pk, "unreadable"), (second.pk, "later")}
    response = post(annotator_client, "skip", project, second.opaque_id, why="boredom")
    assert response.status_code == 422 and "boredom" in response.content.decode()


def test_both_ends_are_shown_where_the_project_says_so(project, annotator, annotator_client):
    address = reverse("labelling:queue", args=[project.slug])
    direction = item_next(project, annotator).direction
    direction.pk, direction.sign, direction.tokens = None, "-", [f" other{n}" for n in range(10)]
    direction.save()
    assert "other0" not in annotator_client.get(address).content.decode()
    Project.objects.update(ends="both")
    html = annotator_client.get(address).content.decode()
    assert "·other0" in html and "Judge this end" in html and html.count("The other end of the same vector") == 1


# Others' judgements


def test_an_answer_mended_before_there_was_anything_to_see_is_no_second_look(project, owner, annotator):
    overlap_set(project, 2)
    alone, seen = project.items.order_by("position")[:2]
    item_judge(item=seen, user=owner, verdict="unsure")
    for item, blind in ((alone, True), (seen, False)):
        item_judge(item=item, user=annotator, verdict="not_interpretable")
        assert answer_undo(project=project, user=annotator) == item
        assert item_judge(item=item, user=annotator, verdict="interpretable").blind is blind


def test_others_are_shown_once_ones_own_is_in(project, owner, annotator, annotator_client):
    item = item_next(project, annotator)
    item_judge(item=item, user=owner, verdict="not_interpretable", label="owner's words", reason="noise")
    machine_says({item.direction: ("interpretable", "a machine's words")})
    response = others(annotator_client, project, item)
    assert response.status_code == 403 and "words" not in response.content.decode()
    page = judge(annotator_client, project, item, label="mine").content.decode()
    assert reverse("labelling:others", args=[project.slug, item.opaque_id]) in page and "owner" not in page
    reloaded = annotator_client.get(reverse("labelling:queue", args=[project.slug])).content.decode()
    assert reverse("labelling:others", args=[project.slug, item.opaque_id]) in reloaded and "“mine”" in reloaded
    html = others(annotator_client, project, item).content.decode()
    assert "owner&#x27;s words" in html and "a machine&#x27;s words" in html and "mine" in html and "noise" in html
    Project.objects.update(reveal=False)
    assert others(annotator_client, project, item).status_code == 403
    page = judge(annotator_client, project, item_next(project, annotator)).content.decode()
    assert "What others said" not in page and "not shown here" in page


def test_an_annotator_sees_no_others_anywhere_where_the_project_shows_none(
    project, owner, annotator, annotator_client, owner_client
):
    Project.objects.update(reveal=False)
    item = item_next(project, annotator)
    for user in (owner, annotator):
        item_judge(item=item, user=user, verdict="interpretable", label=f"{user} said")
    machine_says({item.direction: ("interpretable", "machine said")})
    address = reverse("atlas:direction", args=[item.direction.key])
    html = annotator_client.get(address).content.decode()
    assert "owner said" not in html and "machine said" not in html
    assert "annotator said" in owner_client.get(address).content.decode()


# The heartbeat


def test_the_heartbeat_answers_for_what_is_shown(project, owner, annotator, annotator_client):
    overlap_set(project, 1)
    annotator_client.get(reverse("labelling:queue", args=[project.slug]))
    ids = list(Lease.objects.order_by("item__position").values_list("item__opaque_id", flat=True))
    assert post(annotator_client, "beat", project, item=ids).status_code == 204
    Lease.objects.update(user=owner)
    response = post(annotator_client, "beat", project, item=ids)
    assert response.status_code == 409 and "with somebody else now" in response.content.decode()
    item = project.items.get(opaque_id=ids[0])
    item_judge(item=item, user=annotator, verdict="unsure")
    assert post(annotator_client, "beat", project, item=ids).status_code == 204, "an answered one lies there to change"
    Project.objects.update(state="paused")
    assert post(annotator_client, "beat", project, item=["x"]).status_code == 204


def test_where_others_hold_the_rest_the_page_says_so(project, owner, annotator, annotator_client, owner_client):
    overlap_set(project, 1)
    project.items.filter(position__gte=2).delete()
    owner_client.get(reverse("labelling:queue", args=[project.slug]))
    html = annotator_client.get(reverse("labelling:queue", args=[project.slug])).content.decode()
    assert "The last 2 are with others just now" in html
    for item in project.items.all():
        item_judge(item=item, user=owner, verdict="unsure")
    html = annotator_client.get(reverse("labelling:queue", args=[project.slug])).content.decode()
    assert "Nothing is left for you: you judged 0 of 2, others the rest" in html


# Shortcuts


def test_shortcuts_are_kept_with_the_account(annotator, annotator_client, owner_client, project):
    address = reverse("accounts:shortcuts")
    chosen = {"Interpretable": "i", "Go to label": "g x", "Skip": ""}
    assert annotator_client.post(address, {"shortcuts": json.dumps(chosen)}).status_code == 204
    assert User.objects.get(pk=annotator.pk).shortcuts == chosen
    page = reverse("labelling:projects")
    assert "&quot;Interpretable&quot;: &quot;i&quot;" in annotator_client.get(page).content.decode()
    assert 'data-shortcuts="{}"' in owner_client.get(page).content.decode()


@pytest.mark.parametrize(
    "sent",
    ["", "{", "[]", '{"Undo": "5"}', '{"Undo": "ab"}', '{"Undo": 1}', json.dumps({f"{n}": "x" for n in range(101)})],
)
def test_shortcuts_that_are_none_are_refused(annotator, annotator_client, sent):
    response = annotator_client.post(reverse("accounts:shortcuts"), {"shortcuts": sent}, headers=HX)
    assert response.status_code == 422 and "The shortcuts were not kept" in response.content.decode()
    assert User.objects.get(pk=annotator.pk).shortcuts == {}
