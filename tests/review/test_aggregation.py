"""Crowds: majority and Dawid-Skene against values worked out by hand and an EM of our own; the job, page and rule."""

import numpy as np
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from labelapp.jobs.models import Job, State
from labelapp.review.aggregation import (
    AggregationError,
    Vote,
    aggregation_last,
    aggregation_start,
    aggregation_write,
    proposal_of,
    votes_of,
)
from labelapp.review.models import Aggregation
from labelapp.review.services import ReviewError, adjudicate
from labelapp.review.truth import truth_freeze
from labelapp.review.truth_rules import GroundTruthError, truth_rule, truth_rule_of
from tests.factories import cast_project
from tests.support.waiting import wait_for
from workers.tasks.crowd import aggregate

YES, NO, UNSURE = "interpretable", "not_interpretable", "unsure"
MAJORITY, DAWID_SKENE = Aggregation.Method.MAJORITY, Aggregation.Method.DAWID_SKENE


def votes(table):
    """`{judge: "yn-"}`: one letter for each item, numbered from 0."""
    words = {"y": YES, "n": NO}
    return [
        Vote(item, judge, words[letter])
        for judge, letters in table.items()
        for item, letter in enumerate(letters)
        if letter in words
    ]


def em(data, n_items, judges, rounds=3000):
    """Dawid and Skene (1979), equations 2.3 to 2.5, from the majority. Returns P(yes) and P(said | true)."""
    said = np.zeros((n_items, len(judges), 2))
    for vote in data:
        said[vote.item_id, judges.index(vote.judge_id), int(vote.verdict == NO)] += 1
    truth = said.sum(1) / said.sum((1, 2))[:, None]
    for _ in range(rounds):
        prior = truth.mean(0)
        errors = np.einsum("ic,iwl->wcl", truth, said)
        errors /= np.maximum(errors.sum(2, keepdims=True), 1e-300)
        logs = np.log(prior + 1e-300) + np.einsum("iwl,wcl->ic", said, np.log(np.maximum(errors, 1e-10)))
        truth = np.exp(logs - logs.max(1, keepdims=True))
        truth /= truth.sum(1, keepdims=True)
    return truth[:, 0], errors


def test_majority_by_hand():
    # item 0: yes 3 of 3; item 1: 1 of 3; item 2: 1 of 2
    found = aggregate(votes({1: "yny", 2: "ynn", 3: "yy-"}), MAJORITY)
    assert found.yes == pytest.approx({0: 1.0, 1: 1 / 3, 2: 1 / 2})
    # judge 3 says yes to weights of yes 1 + 1/3 and of no 2/3, and never no
    assert found.confusions[3] == {YES: {YES: 1.0, NO: 0.0}, NO: {YES: 1.0, NO: 0.0}}
    # judge 1 says yes to weights of yes 1 + 1/2 and of no 1/2, no to weights of yes 1/3 and of no 2/3
    assert found.confusions[1][YES][YES] == pytest.approx(1.5 / (1.5 + 1 / 3))
    assert found.confusions[1][NO][NO] == pytest.approx((2 / 3) / (2 / 3 + 1 / 2))


def test_dawid_skene_is_the_em_of_the_paper():
    random = np.random.default_rng(7)
    truth = random.random(150) < 0.6
    rates = {1: (0.9, 0.85), 2: (0.8, 0.9), 3: (0.85, 0.7), 4: (0.75, 0.8)}  # P(yes | yes), P(no | no)
    data = [
        Vote(item, judge, YES if random.random() < (yes if is_yes else 1 - no) else NO)
        for item, is_yes in enumerate(truth)
        for judge, (yes, no) in rates.items()
        if random.random() < 0.9 or judge == 1
    ]
    found = aggregate(data, DAWID_SKENE)
    yes, errors = em(data, 150, list(rates))
    assert [found.yes[item] for item in range(150)] == pytest.approx(list(yes), abs=2e-3)
    for place, judge in enumerate(rates):
        ours = [[found.confusions[judge][true][said] for said in (YES, NO)] for true in (YES, NO)]
        assert np.allclose(ours, errors[place], atol=2e-3)
        for true in (YES, NO):
            assert sum(found.confusions[judge][true].values()) == pytest.approx(1)


def test_dawid_skene_believes_the_careful_more_than_the_careless():
    careful, careless = "yyyyynnnnnyyyyynnnnn", "yyyyyyyyyyyyyyyyyyyy"
    found = aggregate(votes({1: careful, 2: careful, 3: careless, 4: careless}), DAWID_SKENE)
    assert {item: round(p) for item, p in found.yes.items()} == {i: int(c == "y") for i, c in enumerate(careful)}
    assert found.confusions[3][NO][YES] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("method", Aggregation.Method.values)
def test_where_only_one_verdict_was_ever_given(method):
    for letter, verdict, p in (("y", YES, 1.0), ("n", NO, 0.0)):
        found = aggregate(votes({1: letter * 3, 2: letter}), method)
        assert found.yes == {0: p, 1: p, 2: p}
        assert found.confusions[1][verdict][verdict] == pytest.approx(1)


@pytest.fixture
def judged(items, owner, reviewer, annotator, judge_all):
    judge_all(items, owner, [YES, YES, NO, UNSURE, YES])
    judge_all(items, reviewer, [YES, NO, NO, UNSURE, NO])
    judge_all(items, annotator, [YES, YES, NO])
    return items


def aggregated(project, user, method=MAJORITY):
    """As the job does it."""
    made = aggregation_start(project=project, method=method, user=user)
    found = votes_of(project)
    aggregation_write(made, found, aggregate(found, method))
    Job.objects.filter(pk=made.job_id).update(state=State.DONE)
    return Aggregation.objects.get(pk=made.pk)


@pytest.mark.django_db
def test_what_is_proposed(project, judged, owner):
    assert proposal_of(judged[0]) is None
    made = aggregated(project, owner)
    said = {it.item_id: (it.verdict, round(it.posterior, 3)) for it in made.proposals.all()}
    assert said == {
        judged[0].pk: (YES, 1.0),
        judged[1].pk: (YES, 0.667),
        judged[2].pk: (NO, 1.0),
        judged[4].pk: (UNSURE, 0.5),
    }
    assert [(it["name"], it["n"]) for it in made.annotators] == [("owner", 4), ("reviewer", 4), ("annotator", 3)]
    assert aggregation_last(project) == made and proposal_of(judged[1]).verdict == YES


@pytest.mark.django_db
def test_what_cannot_be_aggregated_is_one_sentence(project, items, owner, judge_all):
    with pytest.raises(AggregationError, match="Nobody has said yes or no in Animals yet"):
        aggregation_start(project=project, method=MAJORITY, user=owner)
    judge_all(items, owner, [YES])
    with pytest.raises(AggregationError, match="There is no method 'mace'; there is majority, dawid_skene"):
        aggregation_start(project=project, method="mace", user=owner)
    first = aggregation_start(project=project, method=MAJORITY, user=owner)
    assert aggregation_start(project=project, method=MAJORITY, user=owner) == first
    assert Aggregation.objects.count() == 1


@pytest.mark.django_db
def test_a_decision_after_a_proposal_names_it(project, judged, owner, owner_client):
    made = aggregated(project, owner, DAWID_SKENE)
    address = reverse("review:item", args=[project.slug, judged[1].opaque_id])
    html = owner_client.get(address).content.decode()
    assert "Dawid-Skene proposes" in html and f'name="proposal" value="{made.proposal_name}"' in html
    sent = {"verdict": YES, "proposal": made.proposal_name}
    owner_client.post(reverse("review:decide", args=[project.slug, judged[1].opaque_id]), sent)
    assert judged[1].adjudications.get().proposal == f"dawid_skene:{made.pk}"
    for wrong in ("dawid_skene:0", f"majority:{made.pk}", "x" * 500):
        with pytest.raises(ReviewError, match="is none of this project's"):
            adjudicate(item=judged[2], user=owner, verdict=NO, proposal=wrong)


@pytest.mark.django_db
def test_the_page(project, judged, owner, owner_client):
    address = reverse("review:aggregation", args=[project.slug])
    assert "Nothing is aggregated yet" in owner_client.get(address).content.decode()
    response = owner_client.post(reverse("review:aggregate", args=[project.slug]), {"method": "x"}, follow=True)
    assert "There is no method" in response.content.decode()
    response = owner_client.post(reverse("review:aggregate", args=[project.slug]), {"method": "majority"}, follow=True)
    assert "Aggregate Animals by majority: queued" in response.content.decode()
    aggregated(project, owner, DAWID_SKENE)
    html = owner_client.get(address).content.decode()
    assert "its verdicts are hidden" not in html and "Who says what" in html and "annotator" in html


@pytest.mark.django_db
def test_what_one_is_still_to_judge_blind_is_not_counted_out(project, judged, annotator, reviewer, reviewer_client):
    aggregated(project, reviewer)
    project.memberships.filter(user=annotator).update(role="reviewer")
    address = reverse("review:aggregation", args=[project.slug])
    assert "Who says what" in reviewer_client.get(address).content.decode()
    client = Client()  # this one has not judged the fifth item
    client.force_login(annotator, backend="django.contrib.auth.backends.ModelBackend")
    html = client.get(address).content.decode()
    assert "its verdicts are hidden" in html and "Who says what" not in html
    assert "Who says what" in client.get(address, {"all": 1}).content.decode()


@pytest.mark.django_db
def test_the_rule_aggregated_with_a_posterior_above_p(project, judged, owner):
    with pytest.raises(GroundTruthError, match="Nothing is aggregated in this project yet"):
        truth_rule("aggregated", posterior=0.9, project=project)
    made = aggregated(project, owner)
    for posterior in (None, 0.2, 1.0, float("nan")):
        with pytest.raises(GroundTruthError, match="needs a posterior to pass, at least"):
            truth_rule("aggregated", posterior=posterior, project=project)
    rule = truth_rule("aggregated", posterior=0.9, project=project)
    assert rule.aggregation == f"majority:{made.pk}" and truth_rule_of(rule.as_json()) == rule
    truth = truth_freeze(project=project, name="first", rule=rule).truth
    chosen = {it.direction_id: (it.verdict, it.origin, it.n_people) for it in truth.entries.all()}
    assert chosen == {
        judged[0].direction_id: (YES, "aggregated", 3),
        judged[2].direction_id: (NO, "aggregated", 3),
    }
    call_command("ground_truth", "freeze", project.slug, "second", "--rule", "aggregated", "--posterior", "0.6")
    assert project.ground_truths.get(name="second").n == 3


def test_aggregation_as_a_job(worker, owner, reviewer, annotator, judge_all):
    project = cast_project(owner, reviewer, annotator, n=4)
    items = list(project.items.select_related("project", "direction"))
    judge_all(items, owner, [YES, NO, YES, NO])
    judge_all(items, reviewer, [YES, NO, YES, YES])
    made = aggregation_start(project=project, method=DAWID_SKENE, user=owner)
    wait_for(lambda: Job.objects.get(pk=made.job_id).state in (State.DONE, State.FAILED))
    assert Job.objects.get(pk=made.job_id).state == State.DONE
    assert made.proposals.count() == 4 and len(Aggregation.objects.get(pk=made.pk).annotators) == 2
