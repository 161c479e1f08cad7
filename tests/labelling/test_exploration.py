"""The exploration queue: beside the sample, without a probability, and in no estimate."""

import pytest
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.atlas.selection import MatrixSelection
from labelapp.exchange.rows import export_rows
from labelapp.exchange.subjects import subject_get
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.projects.design import Design
from labelapp.labelling.projects.exploration import exploration_add
from labelapp.labelling.projects.redraw import sample_check
from labelapp.labelling.projects.selection import ItemSelection
from labelapp.labelling.projects.services import project_create, project_draft, project_draw, project_open
from labelapp.labelling.services import item_judge
from tests.factories import DirectionFactory, MatrixFactory

pytestmark = pytest.mark.django_db
TINY = ItemSelection(("tiny",))


@pytest.fixture
def project(model, owner):
    return project_open(project_draft(name="P", owner=owner, guidelines="G", design=Design(TINY, n=10, seed=1)))


@pytest.fixture
def outside(project):
    return list(Direction.objects.exclude(items__project=project).order_by("pk"))


def queue(project):
    return project.items.filter(exploration=True).order_by("position")


def test_the_least_sure_come_in_and_never_into_an_estimate(project, owner, outside, machine_judges):
    said = {it: ("interpretable", "yes", {"confidence": 0.5 if place in (3, 5, 8) else 0.95})
            for place, it in enumerate(outside)}  # fmt: skip
    judge = machine_judges(said)
    assert exploration_add(project=project, user=owner, criterion="uncertain", judge=judge, n=3) == 3
    assert {it.direction_id for it in queue(project)} == {outside[place].pk for place in (3, 5, 8)}
    assert [it.position for it in queue(project)] == [10, 11, 12]
    assert {it.inclusion_probability for it in queue(project)} == {None}
    assert sample_check(project), "the sample is as it was"
    exploration_add(project=project, user=owner, criterion="uncertain", judge=judge, n=2)
    assert len({it.direction_id for it in queue(project)}) == 5, "the next ones, none twice"
    project.items.filter(exploration=False).first().delete()
    assert not sample_check(project)


def test_where_people_and_machine_disagree(model, project, owner, outsider, outside, machine_judges):
    first, second, third, fourth = outside[:4]
    judge = machine_judges({
        first: ("interpretable", "yes", {"confidence": 0.6}),
        second: ("interpretable", "yes", {"confidence": 0.95}),
        third: ("interpretable", "yes", {"confidence": 0.95}),
        fourth: ("interpretable", "yes", {"confidence": 0.95}),
    })  # fmt: skip
    mine = project_draw(model=model, selection=MatrixSelection(), name="Earlier", owner=owner, guidelines="")
    theirs = project_draw(model=model, selection=MatrixSelection(), name="Theirs", owner=outsider, guidelines="")
    for direction, verdict in ((first, "not_interpretable"), (second, "not_interpretable"), (third, "interpretable")):
        item_judge(item=mine.items.get(direction=direction), user=owner, verdict=verdict)
    item_judge(item=theirs.items.get(direction=fourth), user=outsider, verdict="not_interpretable")
    assert exploration_add(project=project, user=owner, criterion="disagree", judge=judge, n=1) == 1
    assert [it.direction_id for it in queue(project)] == [second.pk], "where the machine is surest of the contrary"
    assert exploration_add(project=project, user=owner, criterion="disagree", judge=judge, n=9) == 1
    assert {it.direction_id for it in queue(project)} == {first.pk, second.pk}, "what others' projects hold is theirs"
    with pytest.raises(LabellingError, match="nothing outside the sample"):
        exploration_add(project=project, user=owner, criterion="disagree", judge=judge, n=9)


def test_with_both_ends_vectors_come_in(model, owner, machine_judges):
    project = project_open(
        project_draft(name="B", owner=owner, guidelines="G", design=Design(TINY, n=4, seed=1), ends="both")
    )
    outside = Direction.objects.exclude(items__project=project).filter(sign="-").first()
    judge = machine_judges({outside: ("interpretable", "no", {})})
    assert exploration_add(project=project, user=owner, criterion="uncertain", judge=judge, n=5) == 1
    ends = [it.direction for it in queue(project).select_related("direction")]
    assert [it.sign for it in ends] == ["+", "-"] and ends[1] == outside and ends[0].index == ends[1].index


def test_a_shorter_readout_would_tell_itself(model, project, owner, machine_judges):
    short = DirectionFactory(matrix=MatrixFactory(model=model, head=7, top=4), index=0)
    judge = machine_judges({short: ("interpretable", "no", {})})
    with pytest.raises(LabellingError, match="has judged nothing"):
        exploration_add(project=project, user=owner, criterion="uncertain", judge=judge, n=5)


def test_a_draft_and_what_no_selection_names_have_none(model, owner, machine_judges):
    judge = machine_judges({Direction.objects.first(): ("interpretable", "no", {})})
    draft = project_draft(name="D", owner=owner, guidelines="G", design=Design(TINY, n=4))
    plain = project_create(name="Q", owner=owner, directions=Direction.objects.all(), guidelines="G", n=3)
    for project, sentence in ((draft, "not open yet"), (plain, "not drawn from a selection")):
        with pytest.raises(LabellingError, match=sentence):
            exploration_add(project=project, user=owner, criterion="uncertain", judge=judge, n=5)


def test_judgements_on_it_are_listed_and_counted_nowhere(project, owner, owner_client, machine_judges):
    judge = machine_judges({it: ("interpretable", "yes", {}) for it in Direction.objects.all()})
    exploration_add(project=project, user=owner, criterion="uncertain", judge=judge, n=3)
    sampled, explored = project.items.filter(exploration=False).first(), queue(project).first()
    item_judge(item=sampled, user=owner, verdict="interpretable")
    item_judge(item=explored, user=owner, verdict="not_interpretable")
    page = owner_client.get(reverse("review:comparison", args=[project.slug]) + "?all=1")
    assert page.content.decode().count(">exploration</span>") == 1
    assert page.context["tables"][0].crossing.n == 1, "the one that was drawn"
    assert len(page.context["rows"]) == 2
    rows = {row["item"]: row for row in export_rows(subject_get(f"project:{project.slug}", owner))}
    assert rows[explored.opaque_id]["exploration"] and rows[explored.opaque_id]["inclusion_probability"] is None
    assert not rows[sampled.opaque_id]["exploration"] and rows[sampled.opaque_id]["inclusion_probability"] == 10 / 64


def test_from_the_page(project, owner_client, outside, machine_judges):
    judge = machine_judges({it: ("interpretable", "yes", {}) for it in outside})
    address = reverse("labelling:explore", args=[project.slug])
    values = {"criterion": "uncertain", "machine": judge.pk, "n": 4}
    html = owner_client.post(address, values, follow=True).content.decode()
    assert "4 more to explore" in html and queue(project).count() == 4
    for change, sentence in (
        ({"criterion": "disagree"}, "There is nothing outside the sample"),
        ({"criterion": "other"}, "Select a valid choice"),
        ({"machine": "99999"}, "There is no such machine judge"),
        ({"n": 0}, "greater than or equal to 1"),
    ):
        response = owner_client.post(address, values | change)
        html = response.content.decode()
        assert response.status_code == 422 and sentence in html and html.count('class="notice bad"') == 1
    assert queue(project).count() == 4
