"""The pages of figures: what they state, keep, hide, refuse and hand out."""

import csv
import io

import pytest
from django.urls import reverse

from labelapp.figures.kinds import KINDS
from labelapp.figures.models import Figure
from labelapp.figures.plots import SHAPES
from labelapp.labelling.models import Item, Membership
from tests.figures.conftest import NO, YES, Census

pytestmark = pytest.mark.django_db
ALL = "?all=1"


def page_of(name):
    return reverse("figures:index") if name == "estimates" else reverse("figures:page", args=[name])


def html(client, name, query="", status=200):
    response = client.get(page_of(name) + query)
    assert response.status_code == status
    return response.content.decode()


def rows(client, name, what, query=""):
    address = reverse("figures:file", args=[name, "csv"]) if what == "csv" else f"/figures/{name}/{what}.csv"
    response = client.get(address + query)
    assert response.status_code == 200, response.content.decode()[:500]
    return list(csv.DictReader(io.StringIO(response.content.decode())))


@pytest.fixture
def project(census, owner):
    return census.project(owner, n=60)


@pytest.mark.parametrize("name", KINDS)
def test_an_empty_page_teaches(owner_client, name):
    page = html(owner_client, name)
    assert "Nothing" in page or "Nobody" in page or "No " in page or "needs a project" in page or "Compute it" in page
    assert "NaN" not in page and "None" not in page


@pytest.mark.parametrize("name", KINDS)
def test_every_figure_answers_and_its_plot_is_valid(owner_client, project, name):
    altair = pytest.importorskip("altair")
    page = html(owner_client, name)
    assert KINDS[name].question in page
    response = owner_client.get(reverse("figures:file", args=[name, "spec"]))
    if KINDS[name].needs_job or name == "bases":  # nothing is computed, or there is no other basis
        assert response.status_code == 404
        return
    spec = response.json()
    altair.Chart.from_dict(spec, validate=True)
    assert rows(owner_client, name, "csv")


def test_the_estimates_state_what_they_hang_on(owner_client, project):
    page = html(owner_client, "estimates")
    for part in (
        "stratified Beta", "60 labels", "this census of directions", "rule labeler@1", "the majority of people",
        "human only (Wilson", "PPI++", "finite-census difference", "post-stratified", "machine alone",
        "No control was mixed among the items",
    ):  # fmt: skip
        assert part in page, part


def test_what_cannot_be_is_one_sentence(owner_client, project):
    for query in (
        "?rule=nonsense",
        "?layer=9-1",
        "?model=other",
        "?unit=heads",
        "?judge=x",
        "?index=a",
        "?project=secret",
    ):
        page = html(owner_client, "layers", query, status=400)
        assert page.count('class="notice bad"') == 1 and "Traceback" not in page
    assert owner_client.get("/figures/nonsense/").status_code == 404
    assert owner_client.get(reverse("figures:file", args=["layers", "exe"])).status_code == 404


def test_person_machine_and_corrected_stand_in_one_plot(owner_client, project):
    spec = owner_client.get(reverse("figures:file", args=["layers", "spec"])).json()
    marks = [layer["encoding"].get("shape", {}).get("scale") for layer in spec["layer"]]
    assert [it["range"] for it in marks if it] == [list(SHAPES.values())] * 3
    sources = {row["source"] for layer in spec["layer"] for row in layer["data"]["values"]}
    assert sources == {"machine", "people", "corrected"}
    points = rows(owner_client, "layers", "csv")
    assert [int(it["layer"]) for it in points if it["source"] == "machine"] == [0, 1, 2, 3]
    assert [float(it["depth"]) for it in points if it["source"] == "person"] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_several_models_stand_in_one_plot(owner_client, project):
    Census(name="second", layers=2, seed=3)
    spec = owner_client.get(reverse("figures:file", args=["layers", "spec"]) + "?project=none").json()
    assert spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["tiny", "second"]
    only = rows(owner_client, "layers", "csv", "?project=none&model=second")
    assert {it["model"] for it in only} == {"second"}


def test_a_layer_with_few_labels_has_no_estimate_of_people(owner_client, census, owner):
    census.project(owner, n=20)
    people = [it for it in rows(owner_client, "layers", "csv") if it["source"] == "person"]
    few = [it for it in people if int(it["n"]) < 10]
    assert few and all(it["value"] == "" and "too few" in it["why"] for it in few)


def test_the_permanent_address_shows_the_figure_as_it_was_kept(owner_client, census, owner, project):
    address = html(owner_client, "estimates").split("Permanent address")[0].rpartition('href="')[2].partition('"')[0]
    address = address.replace("&amp;", "&")
    assert f"judge={census.judge.pk}" in address and "rule=labeler" in address and "project=sample" in address
    assert "data=" in address
    fields = dict(part.split("=") for part in address.partition("?")[2].split("&"))
    response = owner_client.post(reverse("figures:keep", args=["estimates"]), fields)
    assert response.status_code == 302 and response["Location"] == address
    assert "The data are as this address names them" in owner_client.get(address).content.decode()
    before = rows(owner_client, "estimates", "csv", "?" + address.partition("?")[2])

    item = Item.objects.filter(project=project).order_by("position").first()
    census.person_says(project, item.direction_id, owner, NO if census.truth[item.direction_id] else YES)
    page = owner_client.get(address).content.decode()
    assert "The data have changed since this figure was kept" in page and "It is shown as it was then" in page
    assert "Called interpretable by people" in page
    assert rows(owner_client, "estimates", "csv", "?" + address.partition("?")[2]) == before
    labels = rows(owner_client, "estimates", "labels", "?" + address.partition("?")[2])
    assert len(labels) == 60  # the labels of then are kept too
    now = owner_client.get(address + "&show=now").content.decode()
    assert "This is the figure as it is now" in now
    assert rows(owner_client, "estimates", "csv") != before


def test_an_address_that_nobody_kept_says_that_the_data_have_changed(owner_client, project):
    page = html(owner_client, "estimates", "?data=0123456789ab")
    assert "Nobody kept that figure" in page


def test_a_kept_figure_is_one_row(owner_client, project):
    for _ in range(2):
        owner_client.post(reverse("figures:keep", args=["layers"]), {"project": project.slug})
    assert Figure.objects.count() == 1


def test_projects_and_labels_are_for_their_people(
    project, census, reviewer, annotator, reviewer_client, annotator_client, outsider_client
):
    Membership.objects.create(project=project, user=reviewer, role="reviewer")
    Membership.objects.create(project=project, user=annotator, role="viewer")
    query = f"?project={project.slug}"
    html(outsider_client, "estimates", query, status=400)
    assert outsider_client.get("/figures/estimates/labels.csv" + query).status_code == 404
    assert "60 labels" in html(annotator_client, "estimates", query)
    assert annotator_client.get("/figures/estimates/labels.csv" + query).status_code == 404
    assert len(rows(reviewer_client, "estimates", "labels", query + "&all=1")) == 60
    assert "no person took part" in html(outsider_client, "estimates")


def test_what_is_to_be_judged_blind_stays_hidden(owner, annotator, annotator_client, census, owner_client):
    """Half of a sample is judged by the owner; the annotator still has it all before him."""
    project = census.project(owner, n=60, judged=30, overlap=2)
    Item.objects.filter(project=project).update(is_open=True)
    Membership.objects.create(project=project, user=annotator, role="annotator")
    query = f"?project={project.slug}"
    page = html(annotator_client, "estimates", query)
    assert "hidden until you have judged" in page and "Show them all the same" not in page
    assert "Of 160 ends" not in page
    points = annotator_client.get(reverse("figures:file", args=["estimates", "csv"]) + query)
    assert points.status_code == 200
    assert not [it for it in csv.DictReader(io.StringIO(points.content.decode())) if it["n"] not in ("", "0")]
    hidden = html(annotator_client, "estimates", query + "&all=1")
    assert "hidden until you have judged" in hidden  # an annotator may not look
    assert annotator_client.get("/figures/estimates/census.csv" + query).status_code == 404
    mine = html(owner_client, "estimates", query)  # 30 items are still his to judge
    assert "Show them all the same" in mine
    assert "30 labels" in html(owner_client, "estimates", query + "&all=1")


def test_what_is_calibrated_is_hidden_with_the_machines_share(owner, annotator, annotator_client, owner_client, census):
    """A Rogan-Gladen estimate is the machine's share in other words."""
    there = Census(name="there", seed=3)
    Membership.objects.create(project=there.project(owner, n=160, name="There"), user=annotator, role="viewer")
    query = "?project=none&calibration=there&model=tiny"
    assert "corrected by its errors in There" in html(owner_client, "estimates", query)
    assert "corrected by its errors in There" in html(annotator_client, "estimates", query)
    here = census.project(owner, n=60, judged=0)
    Membership.objects.create(project=here, user=annotator, role="annotator")
    page = html(annotator_client, "estimates", query)
    assert "hidden until you have judged" in page and "corrected by its errors" not in page
    table = annotator_client.get(reverse("figures:file", args=["estimates", "csv"]) + query).content.decode()
    assert not [it for it in csv.DictReader(io.StringIO(table)) if it["method"] == "Rogan-Gladen"]


def test_htmx_gets_what_stands_below_the_filters(owner_client, project):
    response = owner_client.get(page_of("layers") + "?x=depth", headers={"HX-Request": "true"})
    fragment = response.content.decode()
    assert fragment.lstrip().startswith('<div id="figure"') and "<html" not in fragment
    assert "x=depth" in response["HX-Replace-Url"]


def test_the_queries_do_not_grow(owner_client, census, owner, project, django_assert_max_num_queries):
    def counts():
        found = []
        for name in ("estimates", "layers", "models", "judgements", "trends"):
            with django_assert_max_num_queries(40) as captured:
                html(owner_client, name, f"?project={project.slug}")
            found.append(len(captured))
        return found

    few = counts()
    census.project(owner, n=100, name="Second")
    Census(name="more", layers=8, seed=2)
    assert counts() == few


@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_a_figure_is_saved_as_a_picture(owner_client, project, form):
    response = owner_client.get(reverse("figures:file", args=["layers", form]))
    start = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}[form]
    assert response.status_code == 200 and response.content.startswith(start)


def test_every_row_says_what_it_hangs_on(owner_client, project, census):
    """The points, counts and labels of a figure can be read without the page that they came from."""
    found = rows(owner_client, "layers", "csv", f"?project={project.slug}&all=1")
    data = {it["data"] for it in found}
    assert len(data) == 1 and len(data.pop()) == 12
    assert {(it["unit"], it["project"]) for it in found} == {("ends", project.slug)}
    for it in found:
        is_person = it["source"] == "person"
        assert (it["rule"], it["judge"]) == (("", "") if is_person else ("labeler@1", "machine")), it
        assert it["judge_digest"] == ("" if is_person else census.judge.digest)
    counts = rows(owner_client, "layers", "census", f"?project={project.slug}&all=1")
    labels = rows(owner_client, "layers", "labels", f"?project={project.slug}&all=1")
    assert {it["model"] for it in counts} == {it["model"] for it in labels} == {census.model.slug}
    assert {it["sign"] for it in labels} == {"+", "-"}
    assert all(it["direction"] == it["vector"] + it["sign"] for it in labels)


def test_the_specification_says_what_it_states(owner_client, project):
    response = owner_client.get(reverse("figures:file", args=["layers", "spec"]) + f"?project={project.slug}&all=1")
    spec = response.json()
    data = spec["usermeta"]["figure"]["data"]
    assert response["Content-Disposition"] == f'attachment; filename="layers-{data}.vl.json"'
    assert "Ends interpretable by layer" in spec["description"] and KINDS["layers"].question in spec["description"]
    assert spec["usermeta"]["figure"]["rule"] == "labeler@1" and "title" not in spec


def test_a_file_of_what_is_to_be_computed_first_says_so(owner_client, project, monkeypatch):
    monkeypatch.setattr("labelapp.figures.services.MOST_LABELS_AT_ONCE", 5)
    for what in ("estimates/labels.csv", "estimates/census.csv", "estimates.svg", "estimates.spec"):
        response = owner_client.get(f"/figures/{what}?project={project.slug}")
        page = response.content.decode()
        assert response.status_code == 404 and "is to be computed first" in page and "nothing here" not in page, what
        assert 'href="/figures/?' in page and f"project={project.slug}" in page


def test_a_legend_lists_only_whose_word_is_in_the_plot(owner_client, census):
    spec = owner_client.get(reverse("figures:file", args=["layers", "spec"]) + "?project=none").json()
    shapes = [it["encoding"]["shape"]["scale"] for it in spec["layer"] if "shape" in it["encoding"]]
    assert shapes == [{"domain": ["machine"], "range": ["square"]}]
