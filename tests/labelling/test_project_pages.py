"""Pages on which a project is made, opened, paused and changed; guidelines with versions; the command."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.exchange.rows import export_rows
from labelapp.exchange.subjects import subject_get
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Guidelines, Item, Project
from labelapp.labelling.projects.design import Design
from labelapp.labelling.projects.selection import ItemSelection
from labelapp.labelling.projects.services import guidelines_add, project_draft, project_open
from labelapp.labelling.services import item_judge
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory

pytestmark = pytest.mark.django_db
TINY = ItemSelection(("tiny",))
NEW = "/label/new/"


@pytest.fixture
def form(model):
    """What a browser sends of the form for a new project."""
    return {
        "name": "Beasts", "models": [model.pk], "circuits": "all", "layers": "all", "indices": "all", "sides": "all",
        "signs": "all", "preprocessing": "raw", "basis": "svd", "control": "none", "kind": "simple_random", "n": 10,
        "seed": 3, "strata": "layer", "allocation": "proportional", "machine": "", "overlap": 2, "reveal": "on",
        "ends": "one", "tokens_shown": 15, "guidelines": "Judge **well**.", "threshold": 75,
    }  # fmt: skip


@pytest.fixture
def project(model, owner, reviewer, annotator):
    project = project_open(project_draft(name="Beasts", owner=owner, guidelines="G", design=Design(TINY, n=10, seed=1)))
    for role, user in (("reviewer", reviewer), ("annotator", annotator)):
        project.memberships.create(user=user, role=role)
    return project


def address(name, project, *args):
    return reverse(f"labelling:{name}", args=[project.slug, *args])


# From a form to an open project


def test_a_project_is_made_looked_at_and_opened(form, owner, owner_client):
    html = owner_client.post(NEW, form, follow=True).content.decode()
    project = Project.objects.get()
    assert (project.state, project.overlap, project.threshold, project.reveal) == ("draft", 2, 0.75, True)
    assert "What would be drawn" in html and '<strong class="num">10</strong>' in html and not Item.objects.exists()
    assert project.memberships.get().user == owner and project.guidelines.get().threshold == 0.75
    html = owner_client.post(address("settings", project), form | {"kind": "stratified", "n": 16}, follow=True).content
    assert b"layer 0" in html and b"layer 1" in html and not Item.objects.exists()
    html = owner_client.post(address("state", project), {"act": "open"}, follow=True).content.decode()
    assert "Beasts is open, with 16 items" in html and "stratified by layer, proportional; 16, seed 3" in html
    assert "tiny: all circuits and layers" in html and "0.25" in html
    response = owner_client.post(address("state", project), {"act": "open"})
    assert response.status_code == 422 and "opened already" in response.content.decode()
    assert Item.objects.count() == 16


def test_imported_readouts_can_be_chosen(form, owner_client):
    imported = ModelFactory(name="read", weights_hash="", circuits=["mlp_in"])
    matrix = MatrixFactory(model=imported, circuit="mlp_in", head=None, layer=0, basis="dictionary")
    DirectionFactory.create_batch(3, matrix=matrix, side="read", singular_value=None, scores=None, token_ids=None)
    values = form | {"models": [imported.pk], "basis": "dictionary", "kind": "all"}
    owner_client.post(NEW, values)
    owner_client.post(address("state", Project.objects.get()), {"act": "open"})
    assert Item.objects.filter(direction__matrix=matrix).count() == 3


def test_a_draft_stands_in_its_form_as_it_was_typed(form, owner_client):
    typed = {"circuits": "mlp_in", "layers": "0-1", "indices": "0-2,5", "signs": "-", "control": "none,gaussian.3"}
    owner_client.post(NEW, form | typed)
    page = owner_client.get(address("settings", Project.objects.get()))
    assert {name: page.context["form"].initial[name] for name in typed} == typed
    assert page.context["form"].initial["models"] == form["models"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "a\x07b"}, "cannot be shown"),
        ({"name": "x" * 201}, "at most 200 characters"),
        ({"models": []}, "Choose at least one model."),
        ({"models": ["99999"]}, "There is no such model"),
        ({"models": ["x"]}, "There is no such model"),
        ({"layers": "7"}, "layer"),
        ({"circuits": "qk"}, "qk"),
        ({"indices": "x"}, "is not an index"),
        ({"sides": "left"}, "There is no side"),
        ({"signs": "*"}, "Select a valid choice"),
        ({"control": "noise"}, "There is no control"),
        ({"kind": "sorted"}, "Select a valid choice"),
        ({"n": ""}, "Say how many are to be drawn"),
        ({"n": 0}, "greater than or equal to 1"),
        ({"n": 10**9}, "less than or equal to"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"kind": "uncertainty"}, "needs a machine judge"),
        ({"kind": "stratified", "allocation": "neyman"}, "needs a machine judge"),
        ({"machine": "99999"}, "There is no such machine judge"),
        ({"overlap": 0}, "greater than or equal to 1"),
        ({"ends": "three"}, "Select a valid choice"),
        ({"tokens_shown": 1}, "greater than or equal to 5"),
        ({"threshold": 101}, "less than or equal to 100"),
        ({"guidelines": ""}, "This field is required."),
        ({"guidelines": "x" * 20_001}, "at most 20000 characters"),
    ],
)
def test_a_bad_form_gets_one_sentence_and_makes_nothing(form, owner_client, change, sentence):
    response = owner_client.post(NEW, form | change)
    html = response.content.decode()
    assert response.status_code == 422 and sentence in html
    assert html.count('class="errorlist"') + html.count('class="notice bad"') == 1
    assert not Project.objects.exists() and not Guidelines.objects.exists()


def test_a_person_is_no_machine_judge(form, project, annotator, owner_client):
    item_judge(item=project.items.first(), user=annotator, verdict="unsure")
    response = owner_client.post(NEW, form | {"machine": annotator.judge.pk, "kind": "uncertainty"})
    assert response.status_code == 422 and "no such machine judge" in response.content.decode()


def test_what_cannot_be_drawn_is_said_and_cannot_be_opened(form, owner_client):
    owner_client.post(NEW, form | {"n": 65})
    project = Project.objects.get()
    html = owner_client.get(address("settings", project)).content.decode()
    assert "holds 64 ends, so 65 cannot be drawn" in html and "disabled" in html
    response = owner_client.post(address("state", project), {"act": "open"})
    assert response.status_code == 422 and not Item.objects.exists()


def test_a_model_that_is_gone_is_said(form, owner_client):
    owner_client.post(NEW, form)
    Direction.objects.all().delete()
    MatrixFactory._meta.model.objects.all().delete()
    ModelFactory._meta.model.objects.all().delete()
    project = Project.objects.get()
    assert "There is no model" in owner_client.get(address("settings", project)).content.decode()
    assert owner_client.post(address("state", project), {"act": "open"}).status_code == 422


def test_without_a_model_the_page_teaches(owner_client):
    assert "./tea manage decompose MODEL" in owner_client.get(NEW).content.decode()


def test_no_project_takes_the_address_of_a_page(form, owner_client):
    for name in ("New", "Join", "new", "日本"):
        owner_client.post(NEW, form | {"name": name})
    assert set(Project.objects.values_list("slug", flat=True)) == {"new-2", "join-2", "new-3", "project"}


# Settings


def test_what_may_change_changes_and_nothing_else(project, owner_client):
    values = {"name": "Plants", "overlap": 3, "kind": "all", "ends": "both", "tokens_shown": 5}
    owner_client.post(address("settings", project), values)
    before = dict(project.design)
    project.refresh_from_db()
    assert (project.name, project.overlap, project.reveal) == ("Plants", 3, False)
    assert (project.design, project.ends, project.tokens_shown) == (before, "one", 10)


def test_a_reviewer_reads_the_settings(project, reviewer_client):
    html = reviewer_client.get(address("settings", project)).content.decode()
    assert "How the items were drawn" in html and "<button" not in html.split("<main")[1].split("</main>")[0]


def test_strata_of_a_machine_do_not_tell_what_is_still_to_be_judged(model, owner, owner_client, machine_judges):
    """All four of a stratum are drawn: its count would give their verdicts away."""
    directions = list(Direction.objects.order_by("pk"))
    judge = machine_judges({it: ("interpretable" if place < 4 else "not_interpretable", None, {})
                            for place, it in enumerate(directions)})  # fmt: skip
    design = Design(TINY, "stratified", 32, 1, "machine", "proportional", judge.digest)
    project = project_open(project_draft(name="M", owner=owner, guidelines="G", design=design))
    told = "<td>interpretable</td>"
    html = owner_client.get(address("settings", project)).content.decode()
    assert told not in html and "is hidden until you have judged" in html
    for item in project.items.all():
        item_judge(item=item, user=owner, verdict="unsure")
    assert told in owner_client.get(address("settings", project)).content.decode()


def test_another_overlap_opens_and_closes_items(project, owner, owner_client):
    item = project.items.first()
    item_judge(item=item, user=owner, verdict="unsure")

    def after(overlap):
        owner_client.post(address("settings", project), {"name": "Beasts", "overlap": overlap, "reveal": "on"})
        item.refresh_from_db()
        return item.is_open, project.items.filter(is_open=True).count()

    assert after(2) == (True, 10) and after(1) == (False, 9)


def test_a_paused_project_takes_no_judgements_until_it_is_resumed(project, owner_client, annotator_client):
    item = project.items.first()
    judge = address("judge", project, item.opaque_id)
    html = owner_client.post(address("state", project), {"act": "pause"}, follow=True).content.decode()
    assert "Beasts is paused" in html and "Resume it" in html
    response = annotator_client.post(judge, {"verdict": "unsure"}, headers={"HX-Request": "true"})
    assert response.status_code == 422 and "is paused" in response.content.decode()
    owner_client.post(address("state", project), {"act": "pause"})
    html = owner_client.post(address("state", project), {"act": "resume"}, follow=True).content.decode()
    assert "takes judgements again" in html and "Pause it" in html
    assert annotator_client.post(judge, {"verdict": "unsure"}).status_code == 302


def test_an_act_that_is_none_is_said(project, owner_client):
    response = owner_client.post(address("state", project), {"act": "burn"})
    assert response.status_code == 422 and "There is no act" in response.content.decode()


def test_a_draft_says_that_it_is_not_open(form, owner_client):
    owner_client.post(NEW, form)
    html = owner_client.get("/label/").content.decode()
    assert "it is a draft" in html and address("settings", Project.objects.get()) in html
    html = owner_client.get(address("queue", Project.objects.get())).content.decode()
    assert "is not open yet" in html and "data-item" not in html


def test_the_settings_take_the_same_queries_whatever_the_project(
    project, model, owner, owner_client, django_assert_num_queries
):
    def count():
        with django_assert_num_queries(8):
            owner_client.get(address("settings", project))

    owner_client.get(address("settings", project))
    count()
    larger = project_open(
        project_draft(name="L", owner=owner, guidelines="G",
                      design=Design(TINY, "stratified", 40, 1, "layer", "proportional"))
    )  # fmt: skip
    for item in larger.items.all():
        item_judge(item=item, user=owner, verdict="unsure")
    project = larger
    count()


# Guidelines


def version(project, text="Stricter.", threshold=80, after=1):
    return {"guidelines": text, "threshold": threshold, "after": after}


def test_a_changed_rubric_marks_older_judgements(project, owner, annotator, owner_client, annotator_client):
    first, second = project.items.all()[:2]
    item_judge(item=first, user=annotator, verdict="interpretable")
    html = owner_client.post(address("guidelines", project), version(project), follow=True).content.decode()
    assert "Version 2 holds from now on" in html and "at least 80 %" in html and "<p>Stricter.</p>" in html
    assert "As they were before: version 1" in html and "1 standing judgement under it" in html
    project.refresh_from_db()
    assert project.threshold == 0.8 and project.guidelines.get(version=2).created_by == owner
    assert project.guidelines.get(version=1).threshold == 0.7
    item_judge(item=second, user=annotator, verdict="interpretable")
    html = owner_client.get(reverse("review:comparison", args=[project.slug]) + "?all=1").content.decode()
    assert html.count(">guidelines v1</span>") == 1 and ">guidelines v2</span>" not in html
    rows = {row["item"]: row for row in export_rows(subject_get(f"project:{project.slug}", owner))}
    for item, under in ((first, 1), (second, 2)):
        row = rows[item.opaque_id]
        assert (row["judgements"][0]["guidelines_version"], row["guidelines_version_now"]) == (under, 2)
    html = annotator_client.get(address("guidelines", project)).content.decode()
    assert "Change them" not in html and "standing judgement" not in html and "by owner" not in html


def test_nothing_changed_is_no_version(project, owner_client):
    owner_client.post(address("guidelines", project), version(project, "G", 70))
    assert project.guidelines.count() == 1


def test_of_two_changes_at_once_the_second_is_told(project, owner, owner_client):
    guidelines_add(project=project, user=owner, text="Mine.", threshold=0.7, after=1)
    response = owner_client.post(address("guidelines", project), version(project, "Yours."))
    html = response.content.decode()
    assert response.status_code == 422 and "Version 2 was written while you changed version 1" in html
    assert "Yours." in html and project.guidelines.count() == 2, "what was typed is still there"
    with pytest.raises(LabellingError, match="written while"):
        guidelines_add(project=project, user=owner, text="Third.", threshold=0.7, after=1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"guidelines": " "}, "required"),
        ({"threshold": 0}, "greater than or equal to 1"),
        ({"threshold": "x"}, "Enter a whole number"),
        ({"guidelines": "x" * 20_001}, "at most 20000"),
    ],
)
def test_bad_guidelines_are_said_and_not_stored(project, owner_client, change, sentence):
    response = owner_client.post(address("guidelines", project), version(project) | change)
    assert response.status_code == 422 and sentence in response.content.decode()
    assert project.guidelines.count() == 1


def test_the_guidelines_take_the_same_queries_however_many_versions(
    project, owner, owner_client, django_assert_num_queries
):
    owner_client.get(address("guidelines", project))
    with django_assert_num_queries(6):
        owner_client.get(address("guidelines", project))
    for after in range(1, 9):
        guidelines_add(project=project, user=owner, text=f"V{after}", threshold=0.7, after=after)
    with django_assert_num_queries(6):
        owner_client.get(address("guidelines", project))


def test_the_list_of_projects_takes_the_same_queries_however_many(
    project, owner, owner_client, django_assert_num_queries
):
    owner_client.get("/label/")
    with django_assert_num_queries(6):
        owner_client.get("/label/")
    for n in range(5):
        project_draft(name=f"D{n}", owner=owner, guidelines="G", design=Design(TINY, n=3))
    with django_assert_num_queries(6):
        owner_client.get("/label/")


# The command


def make(*arguments):
    out = StringIO()
    call_command("project", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_takes_every_design(model, owner, machine_judges):
    judge = machine_judges({it: ("interpretable", "no", {}) for it in Direction.objects.all()})
    for name, options, n in (
        ("A", [], 64),
        ("B", ["--n", "7", "--indices", "0-3", "--signs=-", "--sides", "read"], 7),
        ("C", ["--n", "8", "--sample", "stratified", "--strata", "circuit"], 8),
        ("D", ["--n", "8", "--sample", "uncertainty", "--judge", str(judge.pk)], 8),
        ("E", ["--n", "8", "--ends", "both", "--overlap", "3", "--threshold", "80", "--hide-others"], 16),
    ):
        said = make("tiny", name, "--owner", "owner", *options)
        project = Project.objects.get(name=name)
        assert f"Made {project.slug} with {n} items" in said and project.state == "open"
        assert project.items.count() == n
    assert (project.overlap, project.threshold, project.reveal) == (3, 0.8, False)
    said = make("tiny", "F", "--owner", "owner", "--n", "5", "--draft")
    assert "/label/f/settings/" in said and Project.objects.get(name="F").state == "draft"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--n", "65"], "so 65 cannot be drawn"),
        (["--indices", "b"], "is not an index"),
        (["--n", "5", "--sample", "stratified"], "what the strata are"),
        (["--n", "5", "--sample", "uncertainty"], "needs a machine judge"),
        (["--n", "5", "--sample", "uncertainty", "--judge", "99999"], "no machine judge 99999"),
        (["--overlap", "0"], "--overlap must be at least 1"),
        (["--overlap", "101"], "--overlap must be at most 100"),
        (["--threshold", "200"], "--threshold must be at most 100"),
        (["--seed", "-1"], "--seed must be at least 0"),
    ],
)
def test_what_the_command_cannot_do_is_said_and_nothing_is_stored(model, owner, options, sentence):
    with pytest.raises(CommandError, match=sentence):
        make("tiny", "P", "--owner", "owner", *options)
    assert not Project.objects.exists()


def test_verify_draws_the_samples_again(project):
    out = StringIO()
    call_command("verify", stdout=out)
    assert "Every sample is the one that its design draws." in out.getvalue()
    project.items.first().delete()
    with pytest.raises(CommandError, match="1 samples differ"):
        call_command("verify", stdout=out)
    assert "beasts: its sample is not the one" in out.getvalue()
