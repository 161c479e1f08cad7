"""The pages of tests: who may do what, what they show, what they keep to themselves; the files."""

import csv
import io
import re

import pytest
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.autolabel.prompts import prompts_load
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.projects.services import project_create
from labelapp.labelling.services import item_judge
from labelapp.labelling.trials.models import ChoiceTest, Trial, TrialAnswer
from labelapp.labelling.trials.queue import trials_take
from labelapp.labelling.trials.services import choice_test_end, choice_test_start, trial_answer
from tests.autolabel.conftest import provider_set

pytestmark = pytest.mark.django_db


@pytest.fixture
def started(spoken_project, owner):
    return choice_test_start(project=spoken_project, user=owner, kind="intrusion", ends=30, trials=2)


def address(name, test, *args):
    return reverse(f"labelling:{name}", args=[test.project.slug, test.pk, *args])


def answer_all(test, user, choose=lambda trial: trial.answer):
    while trials := trials_take(test, user):
        trial = Trial.objects.select_related("test__project").get(pk=trials[0].pk)
        trial_answer(trial=trial, user=user, choice=choose(trial))


@pytest.fixture
def clients(owner, reviewer, annotator, outsider, make_user, spoken_project, client_of):
    viewer = make_user("viewer")
    Membership.objects.create(project=spoken_project, user=viewer, role="viewer")
    people = {"owner": owner, "reviewer": reviewer, "annotator": annotator, "viewer": viewer, "outsider": outsider}
    return {name: client_of(user) for name, user in people.items()}


# owner, reviewer, annotator, viewer, outsider
@pytest.mark.parametrize(
    ("name", "method", "args", "expected"),
    [
        ("trials", "get", (), (200, 200, 200, 403, 404)),
        ("trials", "post", (), (405, 405, 405, 405, 405)),
        ("trials_beat", "post", (), (204, 204, 204, 403, 404)),
        ("trial_answer", "post", ("x",), (404, 404, 404, 403, 404)),
        ("trial_answer", "get", ("x",), (405, 405, 405, 405, 405)),
        ("test", "get", (), (200, 200, 403, 403, 404)),
        ("test_state", "post", (), (422, 403, 403, 403, 404)),
        ("test_state", "get", (), (405, 405, 405, 405, 405)),
        ("test_ask", "post", (), (422, 403, 403, 403, 404)),
        ("test_table", "get", ("figures",), (200, 200, 403, 403, 404)),
        ("test_table", "get", ("answers",), (200, 200, 403, 403, 404)),
        ("test_table", "get", ("keys",), (404, 404, 403, 403, 404)),
    ],
)
def test_who_may_do_what(clients, client, started, name, method, args, expected):
    path = address(name, started, *args)
    found = tuple(getattr(one, method)(path).status_code for one in clients.values())
    assert found == expected
    assert "/sign-in" in getattr(client, method)(path)["Location"], "nobody"


def test_who_may_start_one(clients, spoken_project):
    form = {"kind": "intrusion", "ends": 10, "trials": 2, "seed": 0}
    path = reverse("labelling:test_start", args=[spoken_project.slug])
    assert [clients[name].post(path, form).status_code for name in list(clients)[1:]] == [403, 403, 403, 404]
    assert not ChoiceTest.objects.exists()
    for _ in range(2):  # a double click
        assert clients["owner"].post(path, form).status_code == 302
    assert ChoiceTest.objects.count() == 1
    listed = [clients[name].get(reverse("labelling:tests", args=[spoken_project.slug])) for name in clients]
    assert [it.status_code for it in listed] == [200, 200, 200, 200, 404]
    assert ["Start a test" in it.content.decode() for it in listed] == [True, False, False, False, False]
    assert ["/trials/" in it.content.decode() for it in listed] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"kind": "intrusion", "ends": 0, "trials": 2, "seed": 0}, "greater than or equal to 1"),
        ({"kind": "x", "ends": 1, "trials": 2, "seed": 0}, "Choose a test."),
        ({"kind": "matching", "ends": 5, "trials": 2, "seed": 0}, "has a label yet"),
        ({"kind": "matching", "ends": 5, "trials": 2, "seed": 0, "labels": "99"}, "99"),
        ({}, "required"),
    ],
)
def test_bad_input_is_one_sentence(owner_client, spoken_project, form, says):
    response = owner_client.post(reverse("labelling:test_start", args=[spoken_project.slug]), form)
    assert response.status_code == 422 and says in response.content.decode()
    assert not ChoiceTest.objects.exists()


def test_another_projects_test_is_not_there(owner_client, started, spoken, owner):
    other = project_create(
        name="Other", owner=owner, directions=Direction.objects.filter(matrix__model=spoken), guidelines="x"
    )
    for name, args in (("test", ()), ("trials", ()), ("test_table", ("answers",))):
        path = reverse(f"labelling:{name}", args=[other.slug, started.pk, *args])
        assert owner_client.get(path).status_code == 404


def test_the_page_of_a_trial_is_blind(annotator_client, annotator, started):
    html = annotator_client.get(address("trials", started)).content.decode()
    shown = trials_take(started, annotator)
    assert re.findall(r'data-item="([^"]+)"', html) == [it.opaque_id for it in shown]
    assert html.count('name="choice"') == 12 and "Which one does not belong?" in html
    for secret in ("spoken", "mlp_in", "gaussian", "intruder", "right:", str(shown[0].direction_id) + "/"):
        assert secret not in html.replace(started.project.slug, "")
    assert "0 of" in html


def test_an_answer_by_form_and_by_script(annotator_client, annotator, started):
    first, second = trials_take(started, annotator)
    path = address("trial_answer", started, first.opaque_id)
    assert annotator_client.post(path, {"choice": "2", "seconds": "1.25"})["Location"] == address("trials", started)
    row = TrialAnswer.objects.get()
    assert (row.trial, row.choice, row.seconds, row.user) == (first, 2, 1.25, annotator)
    script = {"HTTP_HX_REQUEST": "true", "HTTP_X_JUDGE": str(annotator.pk)}
    part = annotator_client.post(address("trial_answer", started, second.opaque_id), {"choice": "0"}, **script)
    assert part.status_code == 200 and "<html" not in part.content.decode() and "2 of" in part.content.decode()
    stale = annotator_client.post(path, {"choice": "1"}, **script)
    assert stale.status_code == 422 and "in another tab: number 3" in stale.content.decode()
    for bad in ("", "x", "9", "²", "-1", "1" * 30):
        refused = annotator_client.post(path, {"choice": bad}, **script)
        assert refused.status_code == 422 and "notice" in refused.content.decode()
    script["HTTP_X_JUDGE"] = "0"
    assert annotator_client.post(path, {"choice": "2"}, **script).status_code == 403
    assert TrialAnswer.objects.count() == 2


@pytest.mark.parametrize("seconds", ["nan", "inf", "-3", "1e99", "soon", ""])
def test_odd_times_are_not_stored(annotator_client, annotator, started, seconds):
    trial = trials_take(started, annotator)[0]
    annotator_client.post(address("trial_answer", started, trial.opaque_id), {"choice": 0, "seconds": seconds})
    assert TrialAnswer.objects.get().seconds is None


def test_a_trial_that_went_to_somebody_else_is_told(annotator_client, annotator, owner, started):
    trial = trials_take(started, annotator)[0]
    beat = address("trials_beat", started)
    assert annotator_client.post(beat, {"item": trial.opaque_id}, HTTP_HX_REQUEST="true").status_code == 204
    Trial.objects.filter(pk=trial.pk).update(claimed_by=owner)
    told = annotator_client.post(beat, {"item": trial.opaque_id}, HTTP_HX_REQUEST="true")
    assert told.status_code == 409 and "with somebody else now" in told.content.decode()


def test_the_end_of_a_session_a_pause_and_an_ended_test(annotator_client, annotator, owner_client, started):
    answer_all(started, annotator)
    html = annotator_client.get(address("trials", started)).content.decode()
    assert "That was all: you answered" in html and "What it found" not in html
    assert "What it found" not in html and 'name="choice"' not in html
    Project.objects.update(state="paused")
    assert "is paused" in owner_client.get(address("trials", started)).content.decode()
    Project.objects.update(state="open")
    assert owner_client.post(address("test_state", started), {"act": "end"}).status_code == 302
    assert "This test has ended" in owner_client.get(address("trials", started)).content.decode()
    assert owner_client.post(address("test_state", started), {"act": "reopen"}).status_code == 302
    assert 'name="choice"' in owner_client.get(address("trials", started)).content.decode()
    assert owner_client.post(address("test_state", started), {"act": "x"}).status_code == 422


def _table(response):
    return list(csv.DictReader(io.StringIO(response.content.decode())))


def test_results_and_files(owner_client, owner, annotator, started):
    empty = owner_client.get(address("test", started)).content.decode()
    assert "Nobody has answered yet" in empty
    answer_all(started, annotator)  # always right
    answer_all(started, owner, lambda trial: (trial.answer + 1) % 6 if trial.direction_id % 2 else trial.answer)
    html = owner_client.get(address("test", started)).content.decode()
    assert "mark person" in html and "gaussian controls" in html and "1/6" in html and "<circle" in html
    rows = list(
        csv.DictReader(io.StringIO(owner_client.get(address("test_table", started, "answers")).content.decode()))
    )
    assert len(rows) == TrialAnswer.objects.count() == started.trials.count()
    right = {(row["key"], row["answered_by"]): row["right"] for row in rows}
    assert {value for (_, who), value in right.items() if who == "annotator"} == {"1"}
    assert {value for (_, who), value in right.items() if who == "owner"} == {"0", "1"}
    for row in rows:
        assert len(row["shown"].split(" | ")) == 6 and (row["right"] == "1") == (row["answer"] == row["choice"])
        assert (row["control"] == "gaussian") == ("gaussian" in row["key"])
    figures = list(
        csv.DictReader(io.StringIO(owner_client.get(address("test_table", started, "figures")).content.decode()))
    )
    by_group = {row["group"]: row for row in figures}
    for group, control in (("directions", ""), ("gaussian", "gaussian")):
        its = [row for row in rows if row["control"] == control]
        found = by_group[group]
        assert (int(found["trials"]), int(found["right"])) == (len(its), sum(row["right"] == "1" for row in its))
        assert float(found["precision"]) == pytest.approx(int(found["right"]) / len(its))
        few = int(found["vectors"]) < 10
        assert (found["low"] == "") == few and ("Fewer than 10 vectors" in found["note"]) == few


def test_too_few_for_an_interval_says_so(owner_client, owner, spoken_project):
    test = choice_test_start(project=spoken_project, user=owner, kind="intrusion", ends=8, trials=1)
    answer_all(test, owner)
    html = owner_client.get(address("test", test)).content.decode()
    assert "Fewer than 10 vectors were answered about" in html and "Fewer than 20 directions have two trials" in html


def test_unequal_probabilities_are_said(owner_client, started, spoken_project):
    assert "different probabilities" not in owner_client.get(address("test", started)).content.decode()
    spoken_project.items.filter(position__lt=10).update(inclusion_probability=0.5)
    assert "different probabilities" in owner_client.get(address("test", started)).content.decode()


def test_matching_shows_four_lists(client_of, annotator_client, owner, annotator, spoken_project):
    items = list(spoken_project.items.all()[:5])
    for number, item in enumerate(items):
        item_judge(item=item, user=owner, verdict="interpretable", label=f"<b>name {number}</b>")
    test = choice_test_start(project=spoken_project, user=owner, kind="matching", trials=1)
    html = annotator_client.get(address("trials", test)).content.decode()
    assert html.count('name="choice"') == 8 and "&lt;b&gt;name" in html and "<b>name" not in html
    own = client_of(owner).get(address("trials", test)).content.decode()
    assert "Nothing is left for you here" in own and "the labels that are left are your own" in own
    answer_all(test, annotator)
    html = client_of(owner).get(address("test", test)).content.decode()
    assert "1/4" in html and "Left out: 91 directions have no label." in html


def test_asking_a_language_model_from_the_page(owner_client, started, monkeypatch):
    provider_set(monkeypatch, URL="http://127.0.0.1:9", KEY="sk-none")
    prompts_load()
    page = owner_client.get(address("test", started)).content.decode()
    assert "test:model" in page and "intruder-few-shot@1" in page and "matcher" not in page
    path = address("test_ask", started)
    shown = owner_client.post(path, {"llm": "test:tiny", "budget": ""}).content.decode()
    n = started.trials.count()
    assert f"{n} calls, at an unknown price" in shown and "Start the run" in shown
    assert not started.asked_runs.exists(), "an estimate starts nothing"
    for form, says in (
        ({"llm": ""}, "required"),
        ({"llm": "replay:/etc/passwd"}, "for the command line"),
        ({"llm": "nobody:x"}, "nobody"),
        ({"llm": "test:tiny", "budget": "much"}, "much"),
        ({"llm": "test:tiny", "budget": "1"}, "price of test:tiny is unknown"),
        ({"llm": "test:tiny", "prompt": "matcher-few-shot@1"}, "matcher-few-shot@1"),
    ):
        refused = owner_client.post(path, {**form, "start": "1"})
        assert refused.status_code == 422 and says in refused.content.decode(), form
    assert not started.asked_runs.exists()
    runs = {owner_client.post(path, {"llm": "test:tiny", "start": "1"})["Location"] for _ in range(2)}
    run = started.asked_runs.get().run
    assert runs == {reverse("autolabel:run", args=[run.pk])}
    html = owner_client.get(reverse("autolabel:run", args=[run.pk])).content.decode()
    assert "intruder-few-shot-chat" in html and "judges nothing itself" in html
    assert owner_client.get(reverse("autolabel:runs")).status_code == 200


def test_a_page_costs_as_many_queries_however_many_trials(owner_client, owner, started, django_assert_max_num_queries):
    with django_assert_max_num_queries(20):
        owner_client.get(address("trials", started))
    answer_all(started, owner)
    with django_assert_max_num_queries(30):
        owner_client.get(address("test", started))
    choice_test_end(started)
