"""Who sees what of quality, progress and plan."""

import pytest

from labelapp.labelling.checks.models import CheckMix
from labelapp.labelling.checks.services import mix_change
from tests.labelling.progress.support import NO, YES, address, judge_items

pytestmark = pytest.mark.django_db


# Roles


PAGES = ("progress", "items", "plan", "quality", "checks")


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        ("owner", {"progress", "items", "plan", "quality", "checks"}),
        ("reviewer", {"progress", "items", "plan", "quality"}),
        ("annotator", {"progress"}),
        ("viewer", set()),
    ],
)
def test_who_may_open_what(project, who, allowed, request, client_of):
    client = client_of(request.getfixturevalue(who))
    for name in PAGES:
        assert client.get(address(name, project)).status_code == (200 if name in allowed else 403), name
    may = who == "owner"
    assert client.post(address("checks", project), {"repeat_share": 5, "distance": 20}).status_code == (
        302 if may else 403
    )
    assert CheckMix.objects.exists() is may
    assert client.post(address("gold", project), {"act": "remove_all"}).status_code == (302 if may else 403)


def test_an_outsider_finds_nothing(project, outsider_client, client):
    for name in PAGES:
        assert outsider_client.get(address(name, project)).status_code == 404
        assert client.get(address(name, project)).status_code == 302  # to sign in
    assert outsider_client.post(address("gold", project), {"rows": "x"}).status_code == 404


def test_annotators_see_their_own_quality_where_the_owner_allows_it(project, owner, annotator, annotator_client):
    judge_items(project, annotator, [YES, NO] * 10)
    judge_items(project, owner, [YES, NO] * 10)
    response = annotator_client.get(address("quality", project))
    assert response.status_code == 403 and "its owner can" in response.content.decode()
    assert address("quality", project) not in annotator_client.get(address("progress", project)).content.decode()
    mix_change(project=project, gold_share=0, control_share=0, repeat_share=0, own_shown=True)
    html = annotator_client.get(address("quality", project)).content.decode()
    assert "How well do you judge?" in html and html.count('class="mark person"') == 1 and "owner" not in html
    assert address("quality", project) in annotator_client.get(address("progress", project)).content.decode()


def test_an_annotator_sees_the_whole_and_only_his_own_line(project, owner, annotator, annotator_client):
    judge_items(project, annotator, [YES] * 3)
    judge_items(project, owner, [NO] * 5)
    html = annotator_client.get(address("progress", project)).content.decode()
    assert '<strong class="num">8</strong> of <span class="num">80</span>' in html
    assert html.count('class="mark person"') == 1 and "2 at work" in html and "Checks" not in html
    assert address("items", project) not in html


def test_a_reviewer_who_judges_sees_no_key_of_what_is_in_the_queue(project, reviewer, reviewer_client):
    judge_items(project, reviewer, [YES] * 2)
    html = reviewer_client.get(address("items", project)).content.decode()
    assert html.count("still in your queue") == 38 and html.count("/models/") >= 2
