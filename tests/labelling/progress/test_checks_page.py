"""What is mixed in: the page of checks and of gold."""

from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import Draft, judge_of_user, judgement_record
from labelapp.labelling.checks.models import CheckMix, Gold
from labelapp.labelling.checks.services import GoldRow, gold_add
from labelapp.review.truth import truth_freeze
from labelapp.review.truth_rules import truth_rule
from tests.factories import cast_project
from tests.labelling.progress.support import NO, YES, address, judge_items

pytestmark = pytest.mark.django_db


def test_an_owner_chooses_what_is_mixed_in(project, owner_client, others):
    html = owner_client.get(address("checks", project)).content.decode()
    assert "gaussian" in html and "No verdict is known yet" in html
    sent = {"gold_share": 5, "control_share": 10, "repeat_share": "", "controls": ["gaussian"], "distance": 30}
    assert owner_client.post(address("checks", project), sent).status_code == 302
    mix = CheckMix.objects.get()
    assert (mix.gold_share, mix.control_share, mix.repeat_share) == (0.05, 0.1, 0.0)
    assert mix.share == pytest.approx(0.15) and mix.controls == ["gaussian"] and mix.distance == 30
    assert "40 directions of noise" in owner_client.get(address("checks", project)).content.decode()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gold_share": 60}, "less than or equal to 50"),
        ({"gold_share": 30, "repeat_share": 30}, "at most 50%"),
        ({"control_share": 10}, "Say which controls"),
        ({"controls": ["shuffled"]}, "No control shuffled is stored"),
        ({"distance": 1}, "greater than or equal to 5"),
    ],
)
def test_a_mix_that_cannot_be_gets_one_sentence(project, owner_client, others, change, sentence):
    response = owner_client.post(address("checks", project), {"distance": 20} | change)
    html = response.content.decode()
    assert response.status_code == 422 and sentence in html and html.count('class="notice bad"') == 1
    assert not CheckMix.objects.exists()


def test_where_no_noise_is_stored_the_page_says_how_it_is_made(project, owner_client):
    html = owner_client.get(address("checks", project)).content.decode()
    name = project.items.first().direction.matrix.model.name
    assert f"./tea manage decompose nowhere --name {name} --circuits ov --control gaussian" in html


def test_gold_is_typed_uploaded_and_forgotten(project, owner, owner_client, others):
    key = others["own"][0].key
    owner_client.post(address("gold", project), {"rows": f"{key}, interpretable, animals"})
    upload = SimpleUploadedFile("gold.csv", f"{others['own'][1].key}\tno\n".encode())
    owner_client.post(address("gold", project), {"rows": "", "file": upload})
    assert dict(Gold.objects.values_list("verdict", "label")) == {YES: "animals", NO: ""}
    assert Gold.objects.first().added_by == owner
    html = owner_client.get(address("checks", project)).content.decode()
    assert str(key) in html and "decided by owner" in html and "of which 2 can be mixed in" in html
    again = owner_client.post(address("gold", project), {"rows": f"{key}, interpretable, animals"}, follow=True)
    assert "these verdicts are gold already" in again.content.decode()
    owner_client.post(address("gold", project), {"act": "remove", "direction": [others["own"][0].pk]})
    assert Gold.objects.count() == 1
    owner_client.post(address("gold", project), {"act": "remove"})  # nothing was chosen
    assert Gold.objects.count() == 1
    for bad in ({"rows": "nonsense"}, {"rows": "", "file": SimpleUploadedFile("x", b"\xff\xfe")}, {}):
        response = owner_client.post(address("gold", project), bad)
        assert response.status_code == 422 and response.content.decode().count('class="notice bad"') == 1
    assert Gold.objects.count() == 1


def test_a_ground_truth_set_becomes_the_gold_of_another_project(project, owner, owner_client, reviewer_client, others):
    judge_items(project, owner, [YES, NO] * 5)
    Judgement.objects.filter(source=project.source).update(blind=True)
    second = judge_of_user(project.memberships.get(role="reviewer").user)
    for row in Judgement.objects.filter(source=project.source):
        judgement_record(judge=second, source=project.source, draft=Draft(row.direction_id, row.verdict))
    truth = truth_freeze(project=project, name="first", rule=truth_rule("agreed", 2), user=owner).truth
    other = cast_project(owner, name="Other", n=3)
    html = owner_client.get(reverse("review:truth", args=[project.slug, "first", 1])).content.decode()
    assert "Make it the gold of" in html and "Other" in html
    path = reverse("review:gold", args=[project.slug, "first", 1])
    assert owner_client.post(path, {"into": other.slug}).url == address("checks", other)
    assert Gold.objects.filter(project=other).count() == truth.n == 10
    assert Gold.objects.first().origin == f"ground truth first@1 of {project.slug}"
    reviewer_client.post(path, {"into": other.slug})  # who does not own it changes nothing
    owner_client.post(path, {"into": project.slug})  # these are its items
    assert not Gold.objects.filter(project=project).exists()
    out = StringIO()
    call_command("ground_truth", "gold", project.slug, "first", "--into", other.slug, stdout=out)
    assert "Nothing new" in out.getvalue()


def test_directions_are_left_alone(project, others):
    """No check adds an item or a direction."""
    n = Direction.objects.count()
    gold_add(project=project, rows=[GoldRow(others["own"][0].pk, YES)], origin="test")
    assert Direction.objects.count() == n and project.items.count() == 40
