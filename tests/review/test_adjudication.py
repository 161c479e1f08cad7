"""Decisions: taken, replaced, taken back, by two at once; their trail; where they are seen."""

import json

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from labelapp.autolabel.models import Call, PromptVersion, Run, RunItem
from labelapp.exchange.rows import export_rows
from labelapp.exchange.subjects import subject_get
from labelapp.jobs.services import job_create
from labelapp.judgements.services import judge_ensure, judge_of_user
from labelapp.labelling.services import answer_undo, item_judge
from labelapp.review.models import REASON_LENGTH, Adjudication
from labelapp.review.services import ReviewError, adjudicate, adjudication_undo
from tests.factories import cast_project, machine_says

pytestmark = pytest.mark.django_db
YES, NO, UNSURE = "interpretable", "not_interpretable", "unsure"


def address(name, project, item=None, **query):
    found = reverse(f"review:{name}", args=[project.slug, *([item.opaque_id] if item else [])])
    return found + ("?" + "&".join(f"{key}={value}" for key, value in query.items()) if query else "")


def standing(item):
    return Adjudication.objects.filter(item=item, current=True).first()


def test_a_decision_says_who_what_and_over_which_judgements(project, items, owner, reviewer, annotator, judge_all):
    judge_all(items, owner, [YES])
    judge_all(items, annotator, [NO])
    answer_undo(project=project, user=annotator)
    machine_says({items[0].direction: NO})
    decision = adjudicate(item=items[0], user=reviewer, verdict=YES, label=" animals ", reason="all but one")
    assert (decision.by, decision.verdict, decision.label, decision.reason) == (reviewer, YES, "animals", "all but one")
    assert [(it["rule"], it["verdict"]) for it in decision.over] == [(None, YES), ("labeler@1", NO)]
    ids = items[0].direction.judgements.filter(current=True).order_by("pk").values_list("pk", flat=True)
    assert [it["judgement"] for it in decision.over] == list(ids)


def test_a_later_decision_replaces_and_an_undo_brings_back(project, items, owner, reviewer):
    first = adjudicate(item=items[0], user=owner, verdict=YES, label="animals")
    second = adjudicate(item=items[0], user=reviewer, verdict=NO, standing=first.pk)
    assert standing(items[0]) == second and second.supersedes == first
    assert adjudication_undo(project=project, user=owner) is None  # the owner's does not stand any more
    assert adjudication_undo(project=project, user=reviewer) == items[0]
    assert standing(items[0]) == first
    assert adjudication_undo(project=project, user=owner) == items[0]
    assert standing(items[0]) is None
    rows = list(Adjudication.objects.filter(item=items[0]).order_by("pk"))
    assert [(it.by, it.verdict, it.withdraws, it.current) for it in rows] == [
        (owner, YES, None, False),
        (reviewer, NO, None, False),
        (reviewer, "", second, False),
        (owner, "", first, False),
    ]
    assert adjudication_undo(project=project, user=owner) is None


def test_undo_takes_the_last_one_of_the_project(project, items, owner):
    other = cast_project(owner, name="Other", n=1)
    adjudicate(item=items[0], user=owner, verdict=YES)
    adjudicate(item=items[1], user=owner, verdict=NO)
    adjudicate(item=other.items.get(), user=owner, verdict=NO)
    assert adjudication_undo(project=project, user=owner) == items[1]
    assert adjudication_undo(project=project, user=owner) == items[0]
    assert standing(other.items.get()) is not None


def test_of_two_reviewers_at_once_the_second_gets_a_sentence(project, items, owner, reviewer):
    adjudicate(item=items[0], user=owner, verdict=YES)
    with pytest.raises(ReviewError, match="owner decided this item as interpretable meanwhile; nothing was saved"):
        adjudicate(item=items[0], user=reviewer, verdict=NO)
    assert Adjudication.objects.count() == 1 and standing(items[0]).by == owner


def test_what_was_taken_back_meanwhile_is_not_replaced(project, items, owner, reviewer):
    first = adjudicate(item=items[0], user=owner, verdict=YES)
    adjudication_undo(project=project, user=owner)
    with pytest.raises(ReviewError, match="was taken back meanwhile"):
        adjudicate(item=items[0], user=reviewer, verdict=NO, standing=first.pk)
    assert standing(items[0]) is None


def test_a_decision_that_came_twice_is_taken_once(project, items, owner):
    first = adjudicate(item=items[0], user=owner, verdict=YES, label="animals")
    assert adjudicate(item=items[0], user=owner, verdict=YES, label="animals") == first
    with pytest.raises(ReviewError, match="You decided this item"):
        adjudicate(item=items[0], user=owner, verdict=NO)
    assert Adjudication.objects.count() == 1


def test_the_database_holds_one_standing_decision(project, items, owner):
    adjudicate(item=items[0], user=owner, verdict=YES)
    with pytest.raises(IntegrityError), transaction.atomic():
        Adjudication.objects.create(item=items[0], by=owner, verdict=NO)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"verdict": ""}, "Choose a verdict"),
        ({"verdict": "failed"}, "Choose a verdict"),
        ({"verdict": YES, "label": "a" * 201}, "A label may have 200 characters; this one has 201"),
        ({"verdict": YES, "reason": "a" * (REASON_LENGTH + 1)}, "A reason may have 500 characters"),
        ({"verdict": YES, "label": "two\nlines"}, "A label may hold no control characters"),
        ({"verdict": YES, "reason": "a\u202eb"}, "A reason may hold no control characters"),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(project, items, owner, fields, sentence):
    with pytest.raises(ReviewError, match=sentence):
        adjudicate(item=items[0], user=owner, **fields)
    assert not Adjudication.objects.exists()


def test_only_owner_and_reviewers_decide(project, items, annotator, outsider):
    for user in (annotator, outsider):
        with pytest.raises(ReviewError, match="You do not review Animals"):
            adjudicate(item=items[0], user=user, verdict=YES)
        with pytest.raises(ReviewError):
            adjudication_undo(project=project, user=user)


# The page


@pytest.fixture
def asked(project, items):
    """A run of a language model over the first item, with the calls behind its answer."""
    direction = items[0].direction
    judge = judge_ensure(type="prompt", name="few-shot on tiny", parameters={"few": 1})
    run = Run.objects.create(judge=judge, model=direction.matrix.model, job=job_create(title="run"))
    prompt = PromptVersion.objects.filter(kind="labeler").first()
    calls = [
        Call.objects.create(
            request_hash=f"{n:064}", provider="local", llm="tiny", prompt_version=prompt, latency=1.0,
            prompt=f"prompt {n} <b>", texts=[text], finish_reasons=["stop"], created_at=run.created_at,
        )
        for n, text in enumerate(("most of these words are <script>pets</script>.", "No, it does not"))
    ]  # fmt: skip
    RunItem.objects.create(
        run=run, direction=direction, position=0, chunk=0, state="done", labeler_call=calls[0], verifier_call=calls[1]
    )
    machine_says({direction: (YES, "pets")}, name="few-shot on tiny", source=run.source, type="prompt")
    return run


def test_one_item_side_by_side(project, items, owner, annotator, judge_all, asked, owner_client):
    judge_all(items, owner, [YES])
    judge_all(items, annotator, [NO], "first")
    item_judge(item=items[0], user=annotator, verdict=UNSURE, label="second thoughts")
    machine_says({items[0].direction: NO}, source="run:99")
    html = owner_client.get(address("item", project, items[0])).content.decode()
    assert str(items[0].direction.key) in html and "no control" in html
    assert html.index("second thoughts") < html.index("first of annotator")  # what stands comes first
    assert html.count("superseded,") == 1 and html.count("second look") == 1
    assert "most of these words are &lt;script&gt;pets" in html and "No, it does not" in html
    assert "prompt 0 &lt;b&gt;" in html and "prompt 1" in html and "local:tiny" in html
    assert html.count("run:99") == 1 and "<script>pets" not in html and "\x00" not in html
    assert 'value="words of owner"' in html  # the label to start from


def test_a_control_is_revealed_to_those_who_review(owner, owner_client, judge_all):
    project = cast_project(owner, n=1)
    item = project.items.select_related("project", "direction__matrix__model").get()
    item.direction.matrix.control = "gaussian"
    item.direction.matrix.save()
    html = owner_client.get(address("item", project, item)).content.decode()
    assert "control" not in html and str(item.direction.key) not in html  # still to be judged blind
    assert "still in your own queue" in html and "·dog" in html and "Save and go on" not in html
    assert "control: gaussian" in owner_client.get(address("item", project, item, all="1")).content.decode()
    judge_all([item], owner, [NO])
    assert "control: gaussian" in owner_client.get(address("item", project, item)).content.decode()


def test_nothing_of_the_others_is_shown_to_whoever_is_still_to_judge(
    project, items, annotator, judge_all, asked, reviewer_client
):
    judge_all(items, annotator, [NO])
    html = reviewer_client.get(address("item", project, items[0])).content.decode()
    for secret in ("annotator", "pets", "prompt 0", "few-shot", "π"):
        assert secret not in html, secret


def test_an_item_of_another_project_is_not_found(project, owner, owner_client):
    other = cast_project(owner, name="Other", n=1)
    for act in (owner_client.get, owner_client.post):
        name = "item" if act == owner_client.get else "decide"
        assert act(address(name, project, other.items.get())).status_code == 404


def test_deciding_goes_on_to_the_next_of_the_same_queue(project, items, owner, annotator, judge_all, owner_client):
    judge_all(items, owner, [YES, YES, YES])
    judge_all(items, annotator, [NO, NO, NO])
    machine_says({items[2].direction: NO})
    first, (second, third) = items[2], sorted(items[:2], key=lambda it: it.pk)  # the heaviest first, then by id
    response = owner_client.post(
        address("decide", project, first, kind="people"), {"verdict": YES, "label": "pets", "reason": "so"}
    )
    assert response.status_code == 302 and response.url == address("item", project, second, kind="people")
    response = owner_client.post(address("decide", project, second), {"verdict": NO})
    assert response.url == address("item", project, third)
    response = owner_client.post(address("decide", project, third), {"verdict": UNSURE})
    assert response.url == address("disagreements", project)
    assert "That was the last one of this queue" in owner_client.get(response.url).content.decode()
    verdicts = [standing(it).verdict for it in (first, second, third)]
    assert verdicts == [YES, NO, UNSURE]
    response = owner_client.post(address("undo", project))
    assert response.url == address("item", project, third) and standing(third) is None
    html = owner_client.get(response.url).content.decode()
    assert "Your last decision is taken back" in html and "took a decision back" in html
    assert "decided over" not in html


def test_a_refused_decision_keeps_what_was_entered(project, items, owner, reviewer, judge_all, owner_client):
    judge_all(items, owner, [YES])
    adjudicate(item=items[0], user=reviewer, verdict=NO, reason="noise")
    response = owner_client.post(
        address("decide", project, items[0]), {"verdict": YES, "label": "mine", "reason": "because", "standing": ""}
    )
    html = response.content.decode()
    assert response.status_code == 422 and "reviewer decided this item as not interpretable meanwhile" in html
    assert 'value="mine"' in html and 'value="because"' in html
    assert f'name="standing" value="{standing(items[0]).pk}"' in html  # saving again would replace it, knowingly
    assert owner_client.post(address("decide", project, items[1]), {}).status_code == 422


def test_nothing_to_undo_is_said(project, owner_client):
    response = owner_client.post(address("undo", project), follow=True)
    assert "There is nothing to undo" in response.content.decode()


def test_the_page_of_an_item_has_a_fixed_number_of_queries(
    project, items, owner, annotator, judge_all, owner_client, django_assert_num_queries
):
    judge_all(items, owner, [YES] * 6)
    owner_client.get(address("item", project, items[0]))
    for n in range(3):
        with django_assert_num_queries(17 if n else 16):  # what was asked in runs
            owner_client.get(address("item", project, items[0]))
        for run in (1, 2, 3):
            machine_says({items[0].direction: YES}, name=f"{run} of {n}", source=f"run:{n}{run}")


# Where else decisions are seen


def test_the_comparison_shows_decisions_but_none_that_is_hidden(
    project, items, owner, reviewer, judge_all, owner_client
):
    judge_all(items, reviewer, [YES, YES])
    judge_all(items, owner, [YES])
    for item in items[:2]:
        adjudicate(item=item, user=reviewer, verdict=NO, label="decided words")
    html = owner_client.get(reverse("review:comparison", args=[project.slug])).content.decode()
    assert html.count("decided by reviewer") == 1 and html.count("decided words") == 1
    html = owner_client.get(reverse("review:comparison", args=[project.slug]), {"all": 1}).content.decode()
    assert html.count("decided by reviewer") == 2


def test_the_projects_export_has_every_decision(project, items, owner, reviewer):
    first = adjudicate(item=items[0], user=owner, verdict=YES, label="pets", reason="seen")
    adjudicate(item=items[0], user=reviewer, verdict=NO, standing=first.pk)
    adjudication_undo(project=project, user=reviewer)
    rows = {row["key"]: row for row in export_rows(subject_get(f"project:{project.slug}", owner))}
    found = rows[str(items[0].direction.key)]["adjudications"]
    assert [(it["by"], it["verdict"], it["current"], it["withdraws"]) for it in found] == [
        ("owner", YES, True, None),
        ("reviewer", NO, False, None),
        ("reviewer", None, False, found[1]["id"]),
    ]
    assert found[0]["label"] == "pets" and found[0]["reason"] == "seen" and found[1]["supersedes"] == found[0]["id"]
    assert rows[str(items[1].direction.key)]["adjudications"] == [] and json.dumps(found)
    assert judge_of_user(owner).judgements.count() == 0  # a decision is no judgement
