"""Controls among a project's items: nothing that a blind judge is shown tells them from the model's own directions."""

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.atlas.selection import MatrixSelection
from labelapp.labelling.models import Item, Project
from labelapp.labelling.projects.services import project_draw
from labelapp.labelling.services import item_judge
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory, overlap_set

pytestmark = pytest.mark.django_db
MIXED = MatrixSelection(controls=("none", "gaussian"))


@pytest.fixture
def model(settings, tmp_path):
    """A matrix and its control, whose readouts are shorter; each holds a token of its own."""
    model = ModelFactory(name="tiny", circuits=["ov"])
    own = MatrixFactory(model=model, head=0, top=10)
    noise = MatrixFactory(model=model, head=0, top=8, control="gaussian", address="ov.0.0;gaussian")
    for index in range(4):
        DirectionFactory(matrix=own, index=index, tokens=[f" real{index}{n}" for n in range(10)])
        DirectionFactory(
            matrix=noise, index=index, tokens=[f" noise{index}{n}" for n in range(8)],
            token_ids=list(range(20, 28)), scores=[1.0 - 0.05 * n for n in range(8)],
        )  # fmt: skip
    return model


@pytest.fixture
def project(model, owner, annotator):
    project = project_draw(model=model, selection=MIXED, name="Mixed", owner=owner, guidelines="Judge.", seed=1)
    project.memberships.create(user=annotator, role="annotator")
    return overlap_set(project, 2)


def of_control(project, control):
    return project.items.filter(direction__matrix__control=control).select_related("direction__matrix__model").first()


def page(client, *address, query=""):
    return client.get(reverse(address[0], args=address[1:]) + query).content.decode()


def test_controls_are_drawn_only_where_they_are_named(model, owner, project):
    assert project.items.count() == 8 and project.design["selection"]["controls"] == ["none", "gaussian"]
    plain = project_draw(model=model, selection=MatrixSelection(), name="Own", owner=owner, guidelines="")
    assert set(plain.items.values_list("direction__matrix__control", flat=True)) == {""}


def test_a_card_of_a_control_has_the_same_form(project, annotator_client):
    """The pages of two items differ in their tokens and opaque ids alone."""
    assert project.tokens_shown == 8, "as many as the shortest readout has"
    shown = []
    for item in (of_control(project, ""), of_control(project, "gaussian")):
        html = page(annotator_client, "labelling:queue", project.slug, query=f"?item={item.opaque_id}")
        card = html[html.index('<section class="card"') : html.index("</section>", html.index('<section class="card"'))]
        for other in Item.objects.filter(project=project):
            card = card.replace(other.opaque_id, "ID")
        assert "gaussian" not in html and "control" not in card.lower() and "ov.0.0" not in html
        card = re.sub(r"(real|noise)\d+", "TOKEN", card)
        shown.append(re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", card))
    assert shown[0] == shown[1]


def test_the_atlas_shows_no_readout_of_a_control_that_is_to_be_judged_blind(
    project, annotator, annotator_client, outsider_client
):
    item = of_control(project, "gaussian")
    direction = item.direction
    first = direction.tokens[0].strip()
    addresses = [
        reverse("atlas:direction", args=[direction.key]),
        reverse("atlas:matrix", args=[direction.matrix.key]),
        reverse("atlas:matrix", args=[direction.matrix.key]) + "?as=markdown",
    ]
    for address in addresses:
        assert first in outsider_client.get(address).content.decode()
        assert first not in annotator_client.get(address).content.decode()
    item_judge(item=item, user=annotator, verdict="not_interpretable")
    for address in addresses:
        assert first in annotator_client.get(address).content.decode()
    for others in project.items.exclude(pk=item.pk).filter(direction__matrix=direction.matrix):
        assert others.direction.tokens[0].strip() not in annotator_client.get(addresses[1]).content.decode()


def test_nor_what_the_same_noise_gives_in_another_preprocessing_or_basis(
    project, model, annotator, annotator_client, outsider_client
):
    """Folded noise has nearly the readouts of raw noise, so it would uncover an item as well."""
    for changes, suffix in (
        ({"preprocessing": "folded"}, "folded;gaussian"),
        ({"basis": "rotated"}, "rotated;gaussian"),
    ):
        alike = MatrixFactory(model=model, head=0, top=8, control="gaussian", address=f"ov.0.0;{suffix}", **changes)
        direction = DirectionFactory(matrix=alike, index=0, tokens=[f" alike{n}" for n in range(8)])
        address = reverse("atlas:matrix", args=[alike.key])
        for shown in (address, address + "?as=markdown", reverse("atlas:direction", args=[direction.key])):
            assert "alike0" in outsider_client.get(shown).content.decode()
            assert "alike0" not in annotator_client.get(shown).content.decode()
    other = MatrixFactory(
        model=model, head=0, top=8, control="gaussian", control_seed=5, address="ov.0.0;gaussian.5"
    )  # other noise
    DirectionFactory(matrix=other, index=0, tokens=[f" other{n}" for n in range(8)])
    assert "other0" in page(annotator_client, "atlas:matrix", other.key)
    for item in project.items.all():
        item_judge(item=item, user=annotator, verdict="unsure")
    assert "alike0" in annotator_client.get(address).content.decode()


def test_a_search_for_the_tokens_of_an_item_does_not_tell(
    project, model, annotator_client, outsider_client, monkeypatch
):
    """Controls are never found, so what is waiting is not found either."""
    vocabulary = tuple(f" real0{n}" for n in range(10)) + tuple(f" noise0{n}" for n in range(22))
    monkeypatch.setattr("labelapp.atlas.search.vocabulary_read", lambda folder: vocabulary)
    own = of_control(project, "").direction
    query = "?token=real0"
    assert str(own.key) in page(outsider_client, "atlas:search", "tiny", query=query + "&match=prefix")

    def results(client, query):
        html = page(client, "atlas:search", "tiny", query=query)
        return "still to judge blind" in html, "0 directions hold" in html

    assert results(annotator_client, "?token=real00") == results(annotator_client, "?token=noise00") == (True, True)
    assert results(outsider_client, "?token=real00")[1] is False


def test_the_comparison_does_not_uncover_what_the_reviewer_is_to_judge(project, owner_client, annotator):
    item = of_control(project, "gaussian")
    item_judge(item=item, user=annotator, verdict="interpretable", label="chaos")
    html = page(owner_client, "review:comparison", project.slug)
    assert "still in your queue" in html
    assert "gaussian" not in html and item.direction.tokens[0].strip() not in html


# The command


def make(*arguments):
    out = StringIO()
    call_command("project", *arguments, stdout=out)
    return out.getvalue()


def test_a_project_from_the_command_line(model, owner):
    said = make("tiny", "Blind", "--owner", "owner", "--control", "none,gaussian", "--n", "6", "--seed", "3")
    project = Project.objects.get(slug="blind")
    assert "6 items: /label/blind/" in said
    assert project.items.count() == 6
    assert set(project.items.values_list("direction__matrix__control", flat=True)) == {"", "gaussian"}
    assert project.items.first().inclusion_probability == pytest.approx(6 / 8)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["other", "P", "--owner", "owner"], "no model 'other'"),
        (["tiny", "P", "--owner", "nobody"], "no user 'nobody'"),
        (["tiny", "P", "--owner", "owner", "--n", "0"], "at least 1"),
        (["tiny", "P", "--owner", "owner", "--control", "noise"], "no control 'noise'"),
        (["tiny", "P", "--owner", "owner", "--control", "shuffled"], "holds no directions"),
        (["tiny", "P", "--owner", "owner", "--guidelines", "/no/such/file"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(model, owner, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        make(*arguments)
    assert not Project.objects.exists() and Direction.objects.count() == 8
