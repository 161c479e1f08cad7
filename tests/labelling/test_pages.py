"""The labelling pages: who may open them, what they hide, what an answer does, with and without a script."""

import re

import pytest
from django.urls import reverse

from labelapp.judgements.models import Judgement
from labelapp.labelling.models import Project, Skip
from labelapp.labelling.selectors import item_next
from labelapp.labelling.services import item_judge
from labelapp.labelling.templatetags.rubric import rubric
from tests.factories import cast_project, machine_says, overlap_set

pytestmark = pytest.mark.django_db
HX = {"HX-Request": "true"}


@pytest.fixture
def viewer(make_user):
    return make_user("viewer")


@pytest.fixture
def project(owner, reviewer, annotator, viewer):
    return cast_project(owner, reviewer, annotator, viewer)


def address(name, project, *args):
    return reverse(f"labelling:{name}", args=[project.slug, *args])


def addresses(project):
    item = project.items.first().opaque_id
    yield "get", address("queue", project)
    yield "get", address("guidelines", project)
    yield "post", address("judge", project, item)
    yield "post", address("skip", project, item)
    yield "post", address("undo", project)
    yield "post", address("beat", project)
    yield "get", address("others", project, item)


def answer(client, project, item, headers=None, **fields):
    values = {"verdict": "interpretable", "label": "animals", "kind": "topic", "misfit": [0, 3]} | fields
    return client.post(address("judge", project, item.opaque_id), values, headers=headers or {})


def mine(user):
    return Judgement.objects.filter(judge__user=user)


# Who may


@pytest.mark.parametrize("who", ["owner", "reviewer", "annotator"])
def test_who_judges_may_open_everything(project, who, request, client_of):
    client = client_of(request.getfixturevalue(who))
    for method, path in addresses(project):
        if not path.endswith("/others/"):  # which asks for a judgement first
            assert getattr(client, method)(path).status_code in (200, 204, 302, 422)


def test_a_viewer_reads_the_guidelines_only(project, viewer, client_of):
    client = client_of(viewer)
    for method, path in addresses(project):
        expected = 200 if path.endswith("/guidelines/") else 403
        assert getattr(client, method)(path).status_code == expected, path
    assert "Your role does not allow this" in client.get(address("queue", project)).content.decode()


def test_an_outsider_finds_nothing(project, outsider_client):
    for method, path in addresses(project):
        assert getattr(outsider_client, method)(path).status_code == 404
    assert "Animals" not in outsider_client.get("/label/").content.decode()
    assert not Judgement.objects.exists() and not Skip.objects.exists()


def test_other_methods_are_refused(project, owner_client):
    for method, path in addresses(project):
        taken = {"get", "post"} if path.endswith("/guidelines/") else {method}  # an owner posts the next version
        for other in {"get", "post", "put", "patch", "delete"} - taken:
            assert getattr(owner_client, other)(path).status_code == 405


def test_an_item_of_another_project_is_not_found(project, owner, owner_client):
    other = cast_project(owner, name="Other").items.first()
    for name in ("judge", "skip"):
        assert owner_client.post(address(name, project, other.opaque_id), {"verdict": "unsure"}).status_code == 404
    assert owner_client.get(address("queue", project), {"item": other.opaque_id}).status_code == 404
    assert not Judgement.objects.exists()


def test_a_script_gets_the_sentence_of_a_refusal(project, owner, annotator, annotator_client):
    other = cast_project(owner, name="Other").items.first()
    path = address("judge", project, other.opaque_id)
    response = annotator_client.post(path, {"verdict": "unsure"}, headers=HX)
    assert response.status_code == 404 and "This item is not part of the project." in response.content.decode()
    project.memberships.filter(user=annotator).update(role="viewer")
    for refused, sentence, status in (("viewer", "As viewer of Animals", 403), ("gone", "There is no project", 404)):
        if refused == "gone":
            project.memberships.filter(user=annotator).delete()
        for method, path in addresses(project):
            if method == "post":
                response = annotator_client.post(path, {"verdict": "unsure"}, headers=HX)
                html = response.content.decode()
                assert response.status_code == status and sentence in html
                assert html.count('class="notice bad"') == 1 and "<html" not in html
    assert not Judgement.objects.exists()


def test_what_one_person_entered_is_not_anothers(project, owner, annotator, annotator_client):
    item = item_next(project, annotator)
    response = answer(annotator_client, project, item, headers={**HX, "X-Judge": str(owner.pk)})
    assert response.status_code == 403 and "You are signed in as annotator now" in response.content.decode()
    assert not Judgement.objects.exists()
    assert answer(annotator_client, project, item, headers={**HX, "X-Judge": str(annotator.pk)}).status_code == 200


# What it shows, and what not


def test_the_page_is_blind(project, owner, reviewer, reviewer_client):
    direction = item_next(project, reviewer).direction
    machine_says({item.direction: ("unsure", "machine's words") for item in project.items.all()})
    for item in project.items.all():
        item_judge(item=item, user=owner, verdict="not_interpretable", label="owner's words")
    for headers in ({}, HX):
        html = reviewer_client.get(address("queue", project), headers=headers).content.decode()
        key = direction.key
        for secret in (str(key), key.url, key.matrix.address, str(key.matrix), key.matrix.model, "ov."):
            assert secret not in html
        for secret in ("owner&#x27;s words", "machine&#x27;s words", "baseline", "layer", "σ", "/models/x"):
            assert secret not in html
        assert not re.search(rf"/{direction.pk}(?![\w-])", html)  # an item's own id may begin with it


def test_others_labels_are_suggested_once_the_own_answer_is_in_and_the_project_shows_them(
    project, owner, reviewer, reviewer_client
):
    overlap_set(project, 2)
    item = item_next(project, reviewer)
    item_judge(item=item, user=owner, verdict="interpretable", label="owner's words")
    item_judge(item=item, user=reviewer, verdict="unsure")

    def suggested(opened):
        page = reviewer_client.get(address("queue", project), {"item": opened.opaque_id}).content.decode()
        return "owner&#x27;s words" in page

    assert suggested(item)
    assert not suggested(item_next(project, reviewer)), "blind still"
    Project.objects.update(reveal=False)
    assert not suggested(item)


def test_odd_tokens_are_shown_harmlessly(project, owner_client):
    html = owner_client.get(address("queue", project)).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html and "<script>alert" not in html
    assert "\\x00" in html and "\\xe2\\x80" in html and "·dog" in html and "\\u202e" in html
    assert "\x00" not in html and "bytes e2 80" in html


def test_the_next_item_comes_with_the_page(project, owner, owner_client):
    first = item_next(project, owner)
    second = item_next(project, owner, after=first)
    html = owner_client.get(address("queue", project)).content.decode()
    shown, following = html.split('<template id="following">')
    assert f'data-item="{first.opaque_id}"' in shown
    assert f'data-item="{second.opaque_id}"' in following


def test_bars_and_heat_are_relative_to_the_best(project, owner_client):
    html = owner_client.get(address("queue", project)).content.decode()
    assert "w-100" in html and "heat-20" in html and "w-55" in html and "heat-11" in html
    assert "55 % of the best score" in html


def test_readouts_without_scores_have_no_bars(project, owner, owner_client):
    project.items.first().direction.matrix.directions.update(scores=None)
    html = owner_client.get(address("queue", project)).content.decode()
    assert "of the best score" not in html and "heat-" not in html


def test_only_the_shown_tokens_are_on_the_page(project, owner_client):
    Project.objects.update(tokens_shown=6)
    html = owner_client.get(address("queue", project)).content.decode().split("<template")[0]
    assert html.count('name="misfit"') == 6
    assert "6 of" not in html.split("tokens")[0]


def test_a_page_takes_the_same_queries_whatever_the_project(owner, owner_client, django_assert_max_num_queries):
    for n in (3, 40):
        project = cast_project(owner, n=n, name=f"With {n}")
        with django_assert_max_num_queries(16):
            owner_client.get(address("queue", project))
    with django_assert_max_num_queries(7):
        owner_client.get("/label/")


# Answers


def test_an_answer_is_taken_and_leads_to_the_next(project, annotator, annotator_client):
    item = item_next(project, annotator)
    response = answer(annotator_client, project, item, seconds="4.25")
    assert response.status_code == 302 and response.url == address("queue", project)
    row = mine(annotator).get()
    assert (row.verdict, row.label, row.kind, row.misfits) == ("interpretable", "animals", "topic", [0, 3])
    assert (row.seconds, row.tokens_shown, row.guidelines_version) == (4.25, 10, 1)
    assert f'data-item="{item.opaque_id}"' not in annotator_client.get(response.url).content.decode()


def test_with_a_script_the_answer_brings_what_changes(project, annotator, annotator_client):
    item = item_next(project, annotator)
    response = answer(annotator_client, project, item, headers=HX)
    html = response.content.decode()
    assert response.status_code == 200 and "<html" not in html
    assert "1 of 5" in html and f'data-item="{item.opaque_id}"' not in html
    assert item_next(project, annotator).opaque_id in html


@pytest.mark.parametrize("headers", [{}, HX])
def test_the_same_answer_twice_is_one_judgement(project, annotator, annotator_client, headers):
    item = item_next(project, annotator)
    for _ in range(3):
        assert answer(annotator_client, project, item, headers=headers).status_code in (200, 302)
    assert mine(annotator).count() == 1


def test_of_two_annotators_each_keeps_their_own(project, annotator, owner, annotator_client, owner_client):
    item = item_next(project, owner)
    answer(annotator_client, project, item)
    answer(owner_client, project, item, verdict="not_interpretable")
    assert mine(annotator).get().verdict == "interpretable"
    assert mine(owner).get().verdict == "not_interpretable"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"verdict": "perhaps"}, "is not a verdict"),
        ({"verdict": "failed"}, "is not a verdict"),
        ({"verdict": ""}, "Choose a verdict"),
        ({"label": "x" * 201}, "A label may have 200 characters"),
        ({"label": "two\nlines"}, "no control characters"),
        ({"label": "a\x07bell"}, "no control characters"),
        ({"kind": "mood"}, "mood is not a kind"),
        ({"misfit": [10]}, "one of the 10 tokens shown"),
        ({"misfit": ["-1"]}, "not the place of a token"),
        ({"misfit": ["two"]}, "not the place of a token"),
        ({"misfit": ["9" * 5000]}, "99999…"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HX])
def test_a_bad_answer_gets_one_sentence_and_changes_nothing(
    project, annotator, annotator_client, fields, sentence, headers
):
    item = item_next(project, annotator)
    response = answer(annotator_client, project, item, headers=headers, **fields)
    html = response.content.decode()
    assert response.status_code == 422 and sentence in html and html.count('class="notice bad"') == 1
    assert not Judgement.objects.exists()
    if not headers:  # the page comes back with what was entered
        assert item.opaque_id in html and fields.get("label", "animals")[:1] in html


def test_a_clock_that_cannot_be_right_costs_nothing(project, annotator, annotator_client):
    for seconds in ("-3", "1e9", "abc", "nan", "9" * 5000):
        response = answer(annotator_client, project, item_next(project, annotator), headers=HX, seconds=seconds)
        assert response.status_code == 200
    assert list(mine(annotator).values_list("seconds", flat=True)) == [None] * 5


def test_a_paused_project_takes_nothing(project, annotator, annotator_client):
    item = item_next(project, annotator)
    answer(annotator_client, project, item)
    Project.objects.update(state="paused")
    second = item_next(project, annotator)
    for path in (
        address("judge", project, second.opaque_id),
        address("skip", project, second.opaque_id),
        address("undo", project),
    ):
        response = annotator_client.post(path, {"verdict": "unsure"}, headers=HX)
        assert response.status_code == 422 and "is paused" in response.content.decode()
    assert mine(annotator).count() == 1 and not Skip.objects.exists()
    html = annotator_client.get(address("queue", project)).content.decode()
    assert "is paused" in html and "data-item" not in html


# Undo and skip


@pytest.mark.parametrize("headers", [{}, HX])
def test_undo_brings_the_item_back_as_it_was_answered(project, annotator, annotator_client, headers):
    item = item_next(project, annotator)
    answer(annotator_client, project, item, label="pets & more", verdict="unsure")
    answer(annotator_client, project, item_next(project, annotator), label="second")
    answer_undone = annotator_client.post(address("undo", project), headers=headers, follow=not headers)
    html = answer_undone.content.decode().split("<template")[0]
    assert "second" in html
    html = annotator_client.post(address("undo", project), headers=HX).content.decode().split("<template")[0]
    assert item.opaque_id in html and 'value="pets &amp; more"' in html and "unsure" in html
    assert html.count("checked") == 2 and '<option value="topic" selected' in html
    assert not mine(annotator).filter(current=True).exists()


def test_an_item_opened_again_shows_what_stands(project, annotator, annotator_client):
    item = item_next(project, annotator)
    answer(annotator_client, project, item, label="older")
    annotator_client.post(address("undo", project))
    answer(annotator_client, project, item, label="newer", verdict="unsure")
    html = annotator_client.get(address("queue", project), {"item": item.opaque_id}).content.decode()
    assert 'value="newer"' in html and 'value="older"' not in html
    annotator_client.post(address("undo", project))  # the last one withdrawn, where none stands
    html = annotator_client.get(address("queue", project), {"item": item.opaque_id}).content.decode()
    assert 'value="newer"' in html and 'value="older"' not in html


def test_undo_with_nothing_to_undo_says_so(project, annotator_client):
    response = annotator_client.post(address("undo", project), headers=HX)
    assert response.status_code == 422 and "nothing to undo" in response.content.decode()


def test_undo_is_ones_own(project, owner_client, annotator, annotator_client):
    answer(annotator_client, project, item_next(project, annotator))
    assert owner_client.post(address("undo", project), headers=HX).status_code == 422
    assert mine(annotator).filter(current=True).count() == 1


def test_a_skipped_item_comes_back_last(project, annotator, annotator_client):
    item = item_next(project, annotator)
    response = annotator_client.post(address("skip", project, item.opaque_id))
    assert item.opaque_id not in response.url
    for _ in range(4):
        answer(annotator_client, project, item_next(project, annotator))
    assert item_next(project, annotator) == item
    response = annotator_client.post(address("skip", project, item.opaque_id), headers=HX)
    assert item.opaque_id in response.content.decode()  # nothing else is left


# The ends


def test_an_empty_queue_says_what_was_done(project, owner, annotator, owner_client, annotator_client):
    for user in (owner, annotator):
        while item := item_next(project, user):
            item_judge(item=item, user=user, verdict="unsure")
    comparison = reverse("review:comparison", args=[project.slug])
    html = owner_client.get(address("queue", project)).content.decode()
    assert "You have judged all 5" in html and comparison in html
    html = annotator_client.get(address("queue", project)).content.decode()
    assert "You have judged all 5" in html and comparison not in html


def test_projects_are_listed_with_role_and_progress(project, annotator, annotator_client, owner_client):
    answer(annotator_client, project, item_next(project, annotator))
    html = annotator_client.get("/label/").content.decode()
    assert "Animals" in html and "you are its annotator" in html and "1 of 5" in html
    assert reverse("review:comparison", args=[project.slug]) not in html
    assert reverse("review:comparison", args=[project.slug]) in owner_client.get("/label/").content.decode()


def test_no_project_teaches(outsider_client):
    assert "You are in no project yet" in outsider_client.get("/label/").content.decode()


def test_guidelines_are_marked_up_and_escaped(project, owner_client):
    html = owner_client.get(address("guidelines", project)).content.decode()
    assert "<p>Judge <strong>well</strong>.</p>" in html
    assert "<li>&lt;b&gt;Yes&lt;/b&gt;: most fit.</li>\n<li>No: they do not.</li>" in html


def test_rubric_of_plain_text():
    assert rubric("One.\n\nTwo\nlines.") == "<p>One.</p>\n<p>Two\nlines.</p>\n"
    assert rubric("Say:\n- a\n  b\n- c") == "<p>Say:</p>\n<ul>\n<li>a\nb</li>\n<li>c</li>\n</ul>\n"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>\n"),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>\n"),
        ("[a](data:text/html,b)", "<p>[a](data:text/html,b)</p>\n"),
        ('[a](https://b.org "c")', None),
        ("![a](https://b.org/c.png)", None),
        ("# A\n\n###### B", "<h3>A</h3>\n<h6>B</h6>\n"),
        ("| a |\n| - |\n| 1 |", None),
    ],
)
def test_rubric_of_markdown(text, html):
    shown = rubric(text)
    if html is not None:
        assert shown == html
    else:
        assert "<script" not in shown and "<img" not in shown
        assert "<table>" in shown or 'rel="noopener noreferrer nofollow"' in shown
