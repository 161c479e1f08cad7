"""The prompt lab over many directions: what a job finds is what the page would, and it is kept until asked anew."""

from dataclasses import replace

import pytest
from django.template.defaultfilters import floatformat
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.jobs.models import Job, State
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import judge_ensure, judgement_withdraw
from labelapp.review import lab_stored
from labelapp.review.lab import Reference, differing, is_shown, lab
from labelapp.review.lab_stored import Question, answer, lab_keep, lab_of_job, lab_start
from labelapp.review.models import LabDiffering, LabResult
from labelapp.review.truth import truth_freeze
from labelapp.review.truth_rules import truth_rule
from tests.factories import cast_project, machine_says
from tests.review.conftest import NO, YES, said
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def heavy(monkeypatch):
    monkeypatch.setattr(lab_stored, "MOST_AT_ONCE", 20)


def address(project):
    return reverse("review:lab", args=[project.slug])


def computed(question, user):
    """As the question's job does it; returns what it told of its progress."""
    told = []
    lab_keep(*lab_of_job(lab_start(question=question, user=user), told.append))
    Job.objects.update(state=State.DONE)
    return told


def test_what_a_job_keeps_is_what_the_page_would_find(many, judges, owner, heavy, monkeypatch):
    monkeypatch.setattr(lab_stored, "CHUNK", 4)
    monkeypatch.setattr("labelapp.review.lab.ROWS_A_PAGE", 3)
    question = Question(Reference(many), list(judges))
    assert question.is_heavy and answer(question).lab is None
    told = computed(question, owner)
    assert told == sorted(told) and told[-1] <= 100
    kept, alone = answer(question), lab(question.reference, question.judges)
    assert not kept.is_stale and kept.job is None and kept.computed_at is not None
    assert replace(kept.lab, words=None) == replace(alone, words=None)
    assert LabDiffering.objects.count() > 2
    after, pages = 0, []
    while after is not None:
        rows, more = differing(kept.lab, many, owner, after=after, show_hidden=True)
        assert (rows, more) == differing(alone, many, owner, after=after, show_hidden=True)
        pages += rows
        after = more
    assert len(pages) == len({it.direction.pk for it in pages}) > 8
    assert differing(kept.lab, many, owner)[0] == []  # still to be judged blind


def test_small_comparisons_need_no_job(many, judges, owner_client):
    assert not Question(Reference(many), list(judges)).is_heavy
    owner_client.post(reverse("review:lab_compute", args=[many.slug]), {"set": ""})
    assert not Job.objects.exists() and not LabResult.objects.exists()


def test_a_judge_of_many_controls_is_work_for_a_job(many, judges, monkeypatch):
    monkeypatch.setattr(lab_stored, "MOST_AT_ONCE", 60)
    question = Question(Reference(many), [judges[0]])
    assert not question.is_heavy
    matrix = many.items.first().direction.matrix
    noise = type(matrix).objects.get(pk=matrix.pk)
    noise.pk, noise.address, noise.control = None, "noise", "gaussian"
    noise.save()
    ends = Direction.objects.bulk_create(
        Direction(matrix=noise, side="write", index=n, sign="+", singular_value=1, tokens=["a"], scores=[1.0])
        for n in range(61)
    )
    said(judges[0], ends, lambda n: YES, source="run:7")
    assert Question(Reference(many), [judges[0]]).is_heavy


def test_the_page_says_what_is_to_be_computed_and_what_is_of_earlier(many, judges, owner, owner_client, heavy):
    asked = {"set": "", "all": "1", "judge": [it.pk for it in judges]}
    html = owner_client.get(address(many), asked).content.decode()
    assert "Compute it" in html and "Accuracy" not in html and "Where they differ" not in html
    assert owner_client.post(reverse("review:lab_compute", args=[many.slug]), asked).status_code == 302
    job = Job.objects.get()
    again = owner_client.post(reverse("review:lab_compute", args=[many.slug]), asked, follow=True)
    assert Job.objects.count() == 1 and "It is being computed" in again.content.decode()
    lab_keep(*lab_of_job(job, lambda percent: None))
    Job.objects.update(state=State.DONE)
    html = owner_client.get(address(many), asked).content.decode()
    found = lab(Reference(many), judges)
    assert floatformat(found.judges[1].scores.kappa.value, 3) in html and "Where they differ" in html
    assert "Computed 20" in html and "Newer judgements" not in html
    judgement_withdraw(Judgement.objects.filter(judge=judges[0], current=True).first())
    html = owner_client.get(address(many), asked).content.decode()
    assert "Newer judgements have come since this was computed" in html and "Compute it anew" in html
    assert f"{found.judges[0].scores.n} " in " ".join(html.split())  # as it was
    computed(Question(Reference(many), list(judges)), owner)
    html = owner_client.get(address(many), asked).content.decode()
    assert "Newer judgements" not in html and LabResult.objects.count() == 1


def test_each_question_is_kept_for_itself_and_the_oldest_go(many, judges, owner, heavy, monkeypatch):
    one, two = judges
    truth = truth_freeze(project=many, name="first", rule=truth_rule("adjudicated"), user=owner, seed=3).truth
    questions = [
        Question(Reference(many), [one, two]),
        Question(Reference(many), [two, one]),
        Question(Reference(many), [one, two], "labeler"),
        Question(Reference(many, truth, ""), [one, two]),
        Question(Reference(many, truth, "held_out"), [one, two]),
    ]
    assert len({it.key for it in questions}) == 5
    for question in questions:
        computed(question, owner)
    for question in questions:
        alone = lab(question.reference, question.judges, question.rule)
        assert replace(answer(question).lab, words=None) == replace(alone, words=None)
    monkeypatch.setattr(lab_stored, "MOST_KEPT", 2)
    computed(questions[0], owner)
    assert set(LabResult.objects.values_list("key", flat=True)) == {questions[0].key, questions[4].key}


def test_nothing_comparable_is_kept_as_none(many, owner, heavy):
    judge = judge_ensure(type="prompt", name="mute", parameters={"name": "mute"})
    said(judge, list(Direction.objects.filter(items__project=many)), lambda n: "failed")
    question = Question(Reference(many), [judge])
    computed(question, owner)
    (scored,) = answer(question).lab.judges
    assert scored.scores.accuracy.value is None and scored.scores.accuracy.why and scored.operating.sensitivity is None


def test_a_failed_job_is_shown_beside_what_was_kept(many, judges, owner, owner_client, heavy):
    question = Question(Reference(many), list(judges))
    computed(question, owner)
    judgement_withdraw(Judgement.objects.filter(judge=judges[0], current=True).first())
    job = lab_start(question=question, user=owner)
    Job.objects.filter(pk=job.pk).update(state=State.FAILED, error="The worker fell over.")
    html = owner_client.get(address(many), {"set": "", "all": "1", "judge": [it.pk for it in judges]}).content.decode()
    assert "The worker fell over." in html and "Accuracy" in html


@pytest.mark.parametrize("n_open", [0, 5, 6])
def test_scores_are_shown_up_to_a_tenth_of_hidden_ends(n_open, owner, reviewer, annotator):
    """Of 50 items 5 may be hidden, here and elsewhere together."""
    project = cast_project(owner, reviewer, annotator, n=50, overlap=1)
    ids = list(project.items.order_by("direction_id").values_list("pk", flat=True))
    project.items.filter(pk__in=ids[n_open:]).update(is_open=False)
    assert is_shown(Reference(project), owner) is (n_open <= 5)
    truth = truth_freeze_all(project, owner)
    assert is_shown(Reference(project, truth), owner) is (n_open <= 5)


def test_what_waits_elsewhere_counts_as_well(owner, reviewer, annotator):
    project = cast_project(owner, reviewer, annotator, n=50, overlap=1)
    project.items.update(is_open=False)
    other = type(project).objects.create(name="Other", slug="other", overlap=1)
    other.memberships.create(user=owner, role="owner")
    for n, direction in enumerate(Direction.objects.filter(items__project=project).order_by("pk")[:6]):
        other.items.create(direction=direction, position=n, inclusion_probability=1)
    assert not is_shown(Reference(project), owner)
    other.items.first().delete()
    assert is_shown(Reference(project), owner)


def truth_freeze_all(project, user):
    from labelapp.review.services import adjudicate

    for item in project.items.select_related("project", "direction"):
        adjudicate(item=item, user=user, verdict=YES if item.pk % 2 else NO)
    return truth_freeze(project=project, name="all", rule=truth_rule("adjudicated"), user=user, seed=3).truth


def test_the_number_of_queries_does_not_grow(many, judges, owner, owner_client, heavy, django_assert_max_num_queries):
    asked = {"set": "", "all": "1", "judge": [it.pk for it in judges]}
    computed(Question(Reference(many), list(judges)), owner)
    owner_client.get(address(many), asked)
    with django_assert_max_num_queries(24):
        owner_client.get(address(many), asked)


def test_a_worker_computes_it(worker, owner, reviewer, annotator, owner_client, monkeypatch):
    project = cast_project(owner, reviewer, annotator, n=30, overlap=1)
    truth_freeze_all(project, owner)
    machine_says({it.direction: YES for it in project.items.select_related("direction")})
    monkeypatch.setattr(lab_stored, "MOST_AT_ONCE", 20)
    owner_client.post(reverse("review:lab_compute", args=[project.slug]), {"set": ""})
    wait_for(lambda: Job.objects.get().state in (State.DONE, State.FAILED))
    assert Job.objects.get().state == State.DONE, Job.objects.get().error
    html = owner_client.get(address(project), {"set": "", "all": "1"}).content.decode()
    assert "Accuracy" in html and "Compute it" not in html
