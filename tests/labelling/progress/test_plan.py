"""How many labels are wanted: known answers, and what is not known."""

import numpy as np
import pytest

from labelapp.labelling.progress.label_plan import label_plan, machines_of
from labelapp.statistics.estimation import labels_needed
from tests.factories import machine_says
from tests.labelling.progress.support import NO, YES, address, judge_items

pytestmark = pytest.mark.django_db


def test_the_plan_without_a_machine_is_statsmodels_number(project, annotator):
    found = label_plan(project, half_width=0.05, share=0.58, is_census=False)
    assert found.alone.labels == 375 and found.with_machine is None and found.correlation is None
    assert [line.labels for line in found.lines] == [
        labels_needed(0.05, 0.58, rho) for rho in (0.0, 0.3, 0.5, 0.7, 0.85)
    ]
    assert found.wanted(found.best) == 375 and found.beyond_sample == 335


def test_the_plan_with_a_machine(project, annotator):
    rng = np.random.default_rng(2)
    human = (rng.random(40) < 0.6).tolist()
    machine = [it if keep else not it for it, keep in zip(human, rng.random(40) < 0.85, strict=True)]
    judge_items(project, annotator, [YES if it else NO for it in human])
    items = project.items.order_by("position")
    judge = machine_says({it.direction: YES if said else NO for it, said in zip(items, machine, strict=True)})
    assert machines_of(project) == [judge]
    found = label_plan(project, half_width=0.1, machine=judge)
    rho = np.corrcoef(human, machine)[0, 1]
    assert found.correlation.value == pytest.approx(rho) and found.correlation.n == 40
    assert found.share == pytest.approx(np.mean(human)) and found.is_share_known and found.done == 40
    assert found.with_machine.labels == labels_needed(0.1, np.mean(human), rho)
    assert found.with_machine.labels < found.alone.labels
    # a census of 40: n / (1 + n/40)
    assert found.wanted(found.best) == int(np.ceil(found.with_machine.labels / (1 + found.with_machine.labels / 40)))
    assert found.left == 0 and found.weighting == 1


def test_explored_items_and_even_votes_are_no_labels(project, owner, annotator):
    judge_items(project, annotator, [YES] * 30)
    judge_items(project, owner, [NO] * 2 + [YES] * 28)
    project.items.filter(position=29).update(exploration=True, inclusion_probability=None)
    assert label_plan(project, half_width=0.1).done == 27


def test_the_plans_page_says_what_is_not_known(project, annotator, reviewer_client):
    html = reviewer_client.get(address("plan", project)).content.decode()
    assert "ρ cannot be known yet: no machine has judged" in html and "there is no rate yet" in html
    judge_items(project, annotator, [YES, NO] * 5)
    machine_says({it.direction: YES for it in project.items.all()})
    html = reviewer_client.get(address("plan", project)).content.decode()
    assert "at least 20 items" in html and "There are 10 so far" in html
    html = reviewer_client.get(address("plan", project), {"half_width": 2, "share": 30, "about": "population"})
    assert "2,017" in html.content.decode()  # 1.96² · .3 · .7 / .02²


@pytest.mark.parametrize(
    "query", [{"half_width": "0"}, {"half_width": "x"}, {"confidence": "12"}, {"share": "150"}, {"machine": "999"}]
)
def test_a_plan_that_cannot_be_gets_one_sentence(project, reviewer_client, query):
    response = reviewer_client.get(address("plan", project), query)
    assert response.status_code == 422 and response.content.decode().count('class="notice bad"') == 1
