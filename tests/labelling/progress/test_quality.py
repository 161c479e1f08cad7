"""How well people judge: known answers."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from labelapp.judgements.models import Judgement
from labelapp.judgements.services import Draft, judge_of_user, judgement_record
from labelapp.labelling.checks.models import Gold
from labelapp.labelling.checks.services import GoldRow, gold_add
from labelapp.labelling.models import Project
from labelapp.labelling.progress.quality import OWN_STEP, quality
from labelapp.labelling.services import item_judge
from tests.labelling.progress.support import NO, UNSURE, YES, answered, judge_items, of

pytestmark = pytest.mark.django_db


def test_accuracy_on_gold(project, annotator, others):
    rows = [GoldRow(it.pk, YES if n % 2 else NO) for n, it in enumerate(others["own"][:20])]
    gold_add(project=project, rows=rows, origin="test")
    said = [(others["own"][n], row.verdict) for n, row in enumerate(rows)]
    said[3] = (said[3][0], NO)  # wrong
    said[4] = (said[4][0], YES)  # wrong
    said[5] = (said[5][0], UNSURE)
    answered(project, annotator, "gold", said)
    found = of(quality(project), annotator).gold
    assert (found.k, found.n, found.unsure) == (17, 19, 1)
    assert found.value == 17 / 19
    assert (found.low, found.high) == pytest.approx(proportion_confint(17, 19, method="wilson"))
    Gold.objects.filter(direction=said[0][0]).delete()  # nobody knows any more
    assert of(quality(project), annotator).gold.n == 18


def test_false_positives_on_noise_in_the_sample_and_mixed_in(project, annotator, others):
    answered(
        project, annotator, "control", [(it, YES if n < 3 else NO) for n, it in enumerate(others["gaussian"][:12])]
    )
    noise = others["gaussian"][12]
    project.items.create(direction=noise, position=40, inclusion_probability=1)
    item_judge(item=project.items.get(direction=noise), user=annotator, verdict=YES)
    found = of(quality(project), annotator).noise
    assert (found.k, found.n) == (4, 13)
    assert (found.low, found.high) == pytest.approx(proportion_confint(4, 13, method="wilson"))


def test_agreement_with_oneself(project, annotator):
    rng = np.random.default_rng(3)
    first = [YES if it else NO for it in rng.random(30) < 0.6]
    second = [it if keep else (NO if it == YES else YES) for it, keep in zip(first, rng.random(30) < 0.8, strict=True)]
    judge_items(project, annotator, first)
    items = list(project.items.order_by("position")[:30])
    rows = {it.direction_id: it for it in Judgement.objects.all()}
    repeats = [(it.direction, verdict) for it, verdict in zip(items, second, strict=True)]
    answered(project, annotator, "repeat", repeats, [rows[it.direction_id] for it in items])
    found = of(quality(project), annotator).oneself
    agreed = sum(a == b for a, b in zip(first, second, strict=True))
    assert found.raw.value == agreed / 30 and found.n == 30
    assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second))
    assert found.kappa.low < found.kappa.value < found.kappa.high


def test_a_first_judgement_that_was_taken_back_is_no_pair(project, annotator):
    judge_items(project, annotator, [YES] * 12)
    items = list(project.items.order_by("position")[:12])
    rows = {it.direction_id: it for it in Judgement.objects.all()}
    answered(
        project, annotator, "repeat", [(it.direction, YES) for it in items], [rows[it.direction_id] for it in items]
    )
    assert of(quality(project), annotator).oneself.n == 12
    item_judge(item=items[0], user=annotator, verdict=NO)
    assert of(quality(project), annotator).oneself.n == 11


def test_agreement_with_others_is_with_their_majority(project, owner, reviewer, annotator):
    Project.objects.update(overlap=3)
    project.items.update(is_open=True)
    project.refresh_from_db()
    mine = [YES, NO] * 10
    judge_items(project, annotator, mine)
    judge_items(project, owner, [YES] * 20)
    judge_items(project, reviewer, [YES] * 12 + [NO] * 8)  # with the owner divided evenly on the last eight
    found = of(quality(project), annotator).others
    assert found.n == 12 and found.raw.value == 0.5
    Judgement.objects.filter(judge__user=reviewer).update(verdict=UNSURE)  # now the owner alone says yes or no
    found = of(quality(project), annotator).others
    assert found.n == 20 and found.raw.value == 0.5 and found.table == ((10, 10), (0, 0))


def test_answers_changed_after_others_were_shown_are_left_out(project, owner, annotator, others):
    rows = [GoldRow(it.pk, YES) for it in others["own"][:12]]
    gold_add(project=project, rows=rows, origin="test")
    answered(project, annotator, "gold", [(it, NO) for it in others["own"][:12]])
    judge = judge_of_user(annotator)
    draft = Draft(others["own"][0].pk, YES)
    judgement_record(judge=judge, source=f"checks:{project.pk}", draft=draft)
    found = of(quality(project), annotator)
    assert (found.gold.k, found.gold.n, found.changed) == (0, 11, 1)


def test_small_numbers_have_a_sentence_and_no_rate(project, annotator, others):
    judge_items(project, annotator, [YES, NO, YES])
    answered(project, annotator, "control", [(it, YES) for it in others["gaussian"][:9]])
    found = of(quality(project), annotator)
    assert found.noise.value is None and "9 controls" in found.noise.why and "10 are needed" in found.noise.why
    assert found.gold.why.startswith("0 gold items") and found.oneself is None and found.others is None
    assert found.straight.probability is None and found.straight.warnings == ()


def test_seconds_and_straight_lining(project, owner, annotator):
    judge_items(project, annotator, [YES, NO] * 6 + [NO] * 28, seconds=1.0)
    judge_items(project, owner, [YES, NO] * 20, seconds=7.5)
    found = quality(project)
    assert of(found, owner).seconds == 7.5 and of(found, owner).straight.warnings == ()
    mine = of(found, annotator).straight
    assert mine.longest == 29 and 0.01 < mine.probability < 0.05  # at 34 of 40 such a run is no wonder
    (warning,) = mine.warnings
    assert "100% of the answers took less than 2 seconds" in warning


def test_one_sees_ones_own_in_steps_and_a_member_who_left_stays(project, owner, annotator):
    judge_items(project, annotator, [YES] * (OWN_STEP - 1))
    assert [it.n for it in quality(project, user_id=annotator.pk)] == [0]
    item_judge(item=project.items.order_by("position")[OWN_STEP - 1], user=annotator, verdict=NO)
    (own,) = quality(project, user_id=annotator.pk)
    assert own.n == OWN_STEP and own.is_member
    project.memberships.filter(user=annotator).delete()
    assert not of(quality(project), annotator).is_member


def test_quality_takes_the_same_queries_whatever_the_size(
    project, owner, reviewer, annotator, others, django_assert_num_queries
):
    judge_items(project, annotator, [YES] * 5)
    with django_assert_num_queries(6):
        quality(project)
    judge_items(project, owner, [YES, NO] * 20)
    answered(project, annotator, "control", [(it, YES) for it in others["gaussian"]])
    with django_assert_num_queries(6):
        quality(project)
