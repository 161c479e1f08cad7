"""Who sees whose judgements on the atlas's pages, and which counts stay hidden from those who judge blind."""

import csv
import io

import pytest
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.autolabel.models import Run
from labelapp.autolabel.services import baseline_run_start
from labelapp.figures.selectors import claims
from labelapp.judgements.models import Judgement
from labelapp.judgements.visibility import count_is_shown
from labelapp.labelling.models import Project
from labelapp.labelling.projects.services import project_create
from labelapp.labelling.selectors import item_next
from labelapp.labelling.services import item_judge
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory, cast_project, machine_says

pytestmark = pytest.mark.django_db
YES, NO = "interpretable", "not_interpretable"
HIDDEN = "until you have judged what is still in your queue"


@pytest.fixture
def viewer(make_user):
    return make_user("viewer")


@pytest.fixture
def project(owner, reviewer, annotator, viewer):
    return cast_project(owner, reviewer, annotator, viewer, n=2)


def pages(client, direction):
    """The direction's page and its matrix's."""
    addresses = [reverse("atlas:direction", args=[direction.key]), reverse("atlas:matrix", args=[direction.matrix.key])]
    return [client.get(address).content.decode() for address in addresses]


# Whose judgements


def test_peoples_judgements_are_for_those_of_the_project(
    project, owner, reviewer, annotator, viewer, outsider, make_user, client_of
):
    colleague = make_user("colleague")
    project.memberships.create(user=colleague, role="annotator")
    item = project.items.select_related("direction__matrix__model").first()
    machine_says({item.direction: (YES, "pets")})
    item_judge(item=item, user=colleague, verdict="unsure", label="their words")

    def sees(user):
        direction, matrix = pages(client_of(user), item.direction)
        assert ("their words" in direction) is ("colleague: unsure" in matrix)
        return "pets" in direction, "their words" in direction

    assert sees(colleague) == (True, True)
    for user in (owner, reviewer, annotator):
        assert sees(user) == (False, False), user  # each is still to judge it blind
        item_judge(item=item, user=user, verdict=YES)
        assert sees(user) == (True, True), user
    for user in (viewer, outsider):
        assert sees(user) == (True, False), user  # what machines say is everybody's


def test_who_judged_in_one_project_sees_nothing_of_another(project, owner, annotator, annotator_client):
    item = project.items.first()
    other = project_create(
        name="Other", owner=owner, directions=Direction.objects.filter(pk=item.direction_id), guidelines=""
    )
    item_judge(item=item, user=annotator, verdict=YES, label="mine")
    item_judge(item=other.items.get(), user=owner, verdict=YES, label="words elsewhere")
    page, _ = pages(annotator_client, item.direction)
    assert "mine" in page and "words elsewhere" not in page


def test_who_left_a_project_sees_only_what_is_his_own(project, owner, annotator, annotator_client):
    item = project.items.first()
    item_judge(item=item, user=annotator, verdict=YES, label="mine")
    item_judge(item=item, user=owner, verdict=YES, label="owner said")
    assert "owner said" in pages(annotator_client, item.direction)[0]
    project.memberships.filter(user=annotator).delete()
    page, _ = pages(annotator_client, item.direction)
    assert "mine" in page and "owner said" not in page


def test_pausing_a_project_uncovers_nothing(project, annotator, annotator_client):
    item = project.items.first()
    machine_says({item.direction: (YES, "pets")})
    Project.objects.update(state="paused")
    assert not any("pets" in page or "baseline" in page for page in pages(annotator_client, item.direction))


# Counts


@pytest.mark.parametrize(
    ("n", "n_hidden", "is_shown"),
    [(1, 0, True), (1, 1, False), (49, 1, False), (50, 5, True), (50, 6, False), (1000, 100, True), (1000, 101, False)],
)
def test_a_count_is_shown_where_it_gives_no_single_verdict_away(n, n_hidden, is_shown):
    assert count_is_shown(n, n_hidden) is is_shown


def judged_model(n_by_layer, name="tiny"):
    """A model with so many judged ends a layer, each layer one matrix; every second end is interpretable."""
    model = ModelFactory(name=name, n_layers=len(n_by_layer), circuits=["ov"])
    for layer, n in enumerate(n_by_layer):
        matrix = MatrixFactory(model=model, layer=layer, head=0)
        for index in range(n):
            DirectionFactory(matrix=matrix, index=index)
    judge = machine_says({it: (NO, YES)[it.index % 2] for it in Direction.objects.filter(matrix__model=model)})
    return model, f"{judge.pk}-labeler"


def queue_of(owner, user, **wanted):
    project = project_create(name="Q", owner=owner, directions=Direction.objects.filter(**wanted), guidelines="")
    project.memberships.create(user=user, role="annotator")
    return project


def test_the_overview_hides_a_matrix_with_something_to_judge(owner, annotator, annotator_client, outsider_client):
    model, claim = judged_model([100, 4])
    project = queue_of(owner, annotator, matrix__layer=0, index=3)
    Judgement.objects.update(evidence={"statistic": 0.5})
    for colour in (claim, claim.replace("labeler", "coherence")):
        address = reverse("atlas:model", args=[model.slug]) + f"?colour={colour}"
        page = annotator_client.get(address).content.decode()
        assert page.count("hidden " + HIDDEN) == 2  # title and aria-label
        assert "of 100 ends" not in page
    page = annotator_client.get(reverse("atlas:model", args=[model.slug]) + f"?colour={claim}").content.decode()
    assert "2 of 4 ends interpretable" in page and "where you are still to judge one blind" in page
    outside = outsider_client.get(reverse("atlas:model", args=[model.slug]) + f"?colour={claim}").content.decode()
    assert "50 of 100 ends interpretable" in outside and HIDDEN not in outside
    item_judge(item=item_next(project, annotator), user=annotator, verdict="unsure")
    page = annotator_client.get(reverse("atlas:model", args=[model.slug]) + f"?colour={claim}").content.decode()
    assert "50 of 100 ends interpretable" in page and HIDDEN not in page


def figure(client, claim):
    """The page, the rows of the CSV, and the layers in the plot."""
    page = client.get(reverse("figures:machines")).content.decode()
    table = client.get(reverse("figures:fraction_file", args=["csv", "tiny", claim])).content.decode()
    spec = client.get(reverse("figures:fraction_file", args=["spec", "tiny", claim])).json()
    rows = [(row["layer"], row["interpretable"], row["n"]) for row in csv.DictReader(io.StringIO(table))]
    return page, rows, [value["layer"] for value in spec["data"]["values"]]


def test_figures_hide_small_groups_and_what_would_give_them_away(owner, annotator, annotator_client):
    _, claim = judged_model([100, 4, 60])
    queue_of(owner, annotator, index=3, matrix__layer__in=[0, 1])
    page, rows, plotted = figure(annotator_client, claim)
    assert rows == [("0", "50", "100"), ("2", "30", "60"), ("1", "", "")] and plotted == [0, 2]
    assert "OV in layer 1" in page and "The whole is hidden" in page  # 82 of 164 less 80 of 160 is 2 of 4
    assert "82 of" not in page and "n = 164" not in page


def test_figures_show_large_groups_to_those_who_judge(owner, annotator, annotator_client, outsider_client):
    _, claim = judged_model([100, 60])
    queue_of(owner, annotator, index=3)
    for client in (annotator_client, outsider_client):
        page, rows, plotted = figure(client, claim)
        assert rows == [("0", "50", "100"), ("1", "30", "60")] and plotted == [0, 1]
        assert "50.0 %" in page and "n = 160 ends" in page and HIDDEN not in page


def test_a_figure_of_hidden_groups_alone_is_a_sentence(owner, annotator, annotator_client):
    _, claim = judged_model([4])
    queue_of(owner, annotator, index=3)
    page, rows, plotted = figure(annotator_client, claim)
    assert rows == [("0", "", "")] and plotted == [] and "The whole is hidden" in page
    assert "2 of 4" not in page and "50.0 %" not in page
    (whole,) = claims()  # as the command line sees it
    assert whole.whole.n == 4 and not whole.hidden


def test_the_pages_of_a_run_hide_small_groups(owner, annotator, annotator_client, outsider_client):
    model, claim = judged_model([4])
    DirectionFactory(matrix=MatrixFactory(model=model))  # left to judge
    run = baseline_run_start(model=model, created_by=owner)
    Run.objects.update(judge=int(claim.partition("-")[0]))
    queue_of(owner, annotator, index=3)
    for address, count in (
        (reverse("autolabel:runs"), '<td class="num">2</td>'),
        (reverse("autolabel:run", args=[run.pk]), "2 · 50.0 %"),
    ):
        page, outside = (client.get(address).content.decode() for client in (annotator_client, outsider_client))
        assert HIDDEN in page and count not in page
        assert HIDDEN not in outside and count in outside


def test_the_queries_do_not_grow_with_what_is_hidden(owner, annotator, annotator_client, django_assert_max_num_queries):
    model, claim = judged_model([60, 60])
    addresses = [
        reverse("figures:index"),
        reverse("figures:machines"),
        reverse("autolabel:runs"),
        reverse("atlas:model", args=[model.slug]) + f"?colour={claim}",
    ]

    def queries():
        counts = []
        for address in addresses:
            with django_assert_max_num_queries(30) as captured:
                annotator_client.get(address)
            counts.append(len(captured))
        return counts

    queue_of(owner, annotator, index=3)
    few = queries()
    queue_of(owner, annotator, index__lt=40)
    assert queries() == few
