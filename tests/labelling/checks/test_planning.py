"""Gold, controls and repeats: planned among the items, each person's own, and seeded."""

import re
from collections import Counter

import pytest

from labelapp.judgements.models import Judgement
from labelapp.labelling.checks import planning
from labelapp.labelling.checks.models import Check, CheckMix
from labelapp.labelling.checks.planning import AHEAD, checks_plan
from labelapp.labelling.checks.services import GoldRow, gold_add
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Item
from labelapp.labelling.projects.design import Design
from labelapp.labelling.projects.selection import ItemSelection
from labelapp.labelling.projects.services import project_draft, project_open
from labelapp.labelling.selectors import seat_of
from tests.factories import DirectionFactory, MatrixFactory, cast_project
from tests.labelling.checks.support import go, gold_of, mix, opened, outside, plan

pytestmark = pytest.mark.django_db


def test_without_a_mix_nothing_is_planned(project, annotator):
    assert checks_plan(seat_of(project, annotator)) == 0
    assert set(go(project, annotator, 20)) == {"item"} and not Check.objects.exists()


def test_the_plan_is_seeded_reaches_ahead_and_is_each_persons_own(project, annotator, reviewer):
    gold_of(project)
    mix(project, gold=0.1, control=0.1)
    assert checks_plan(seat_of(project, annotator)) > 0
    columns = ("ordinal", "after", "kind", "direction_id")
    first = list(Check.objects.filter(user=annotator).order_by("ordinal").values_list(*columns))
    assert [it[0] for it in first] == list(range(len(first))) and max(it[1] for it in first) <= AHEAD
    assert checks_plan(seat_of(project, annotator)) == 0  # it reaches far enough
    Check.objects.all().delete()
    checks_plan(seat_of(project, annotator))
    assert list(Check.objects.filter(user=annotator).order_by("ordinal").values_list(*columns)) == first
    checks_plan(seat_of(project, reviewer))
    assert list(Check.objects.filter(user=reviewer).order_by("ordinal").values_list(*columns)) != first


def test_the_chosen_shares_come(places, owner, annotator):
    design = Design(ItemSelection(("tiny",)), kind="all", seed=1)
    project = project_open(project_draft(name="All", owner=owner, guidelines="G", design=design))
    project.memberships.create(user=annotator, role="annotator")
    mix(project, control=0.2, controls=["gaussian", "covariance"])
    came = Counter(go(project, annotator, 120))
    assert came.total() == 120 and set(came) == {"item", "control"}
    assert 0.12 <= came["control"] / came.total() <= 0.28
    assert set(Check.objects.values_list("direction__matrix__control", flat=True)) == {"gaussian", "covariance"}


def test_rare_checks_come_too(places, owner, annotator):
    """A gap longer than a plan reaches is not drawn anew each time that the plan is looked at."""
    project = opened(owner, [(annotator, "annotator")], n=45)
    mix(project, control=0.02)

    def first(seed):
        return next(planning._places(f"{seed}:{annotator.pk}", 0.02 / 0.98, ends=1))[0]

    seed = next(it for it in range(1000) if AHEAD + 4 < first(it) < 40)
    CheckMix.objects.update(seed=seed)
    assert go(project, annotator, 42).index("control") == first(seed)


def test_nobody_meets_a_check_twice_and_none_is_an_item(project, annotator):
    gold_of(project, 5)
    mix(project, gold=0.25, control=0.25)
    go(project, annotator, 70)
    ids = list(Check.objects.filter(user=annotator).values_list("direction_id", flat=True))
    assert len(ids) == len(set(ids)) > 15
    assert not Item.objects.filter(project=project, direction__in=ids).exists()
    assert Check.objects.filter(user=annotator, kind="gold").count() == 5  # all there are; then there are none


def test_a_repeat_comes_after_its_distance_and_its_first_judgement_stays(project, annotator):
    mix(project, repeat=0.3, distance=10)
    came = go(project, annotator, 45, verdict="interpretable", check_verdict="not_interpretable")
    assert came.count("repeat") >= 4
    own = list(Judgement.objects.filter(source=project.source).order_by("pk").values_list("direction_id", flat=True))
    for check in Check.objects.filter(user=annotator, kind="repeat", is_open=False):
        assert own.index(check.direction_id) + 10 <= check.after
        assert check.first.current and check.first.verdict == "interpretable"
        again = Judgement.objects.get(source=f"checks:{project.pk}", direction=check.direction_id)
        assert again.verdict == "not_interpretable" and again.blind and again.supersedes is None


def test_whoever_decided_a_gold_verdict_does_not_meet_it(project, owner, annotator):
    directions = outside(project, 8)
    rows = [GoldRow(it.pk, "interpretable") for it in directions]
    gold_add(project=project, rows=rows, origin="decided by owner", user=owner)
    mix(project, gold=0.3)
    assert set(go(project, owner, 20)) == {"item"}
    assert "gold" in go(project, annotator, 20)


def test_with_both_ends_on_the_page_a_check_is_a_vector(places, owner, annotator):
    project = opened(owner, [(annotator, "annotator")], n=30, ends="both")
    one_end = outside(project, 40)[::2][:10]
    gold_add(project=project, rows=[GoldRow(it.pk, "interpretable") for it in one_end], origin="test")
    mix(project, control=0.3, gold=0.1)
    came = go(project, annotator, 60)
    assert came.count("control") >= 8 and "gold" not in came  # of no vector both ends are known
    checks = list(Check.objects.filter(user=annotator).order_by("ordinal").select_related("direction"))
    for plus, minus in zip(checks[::2], checks[1::2], strict=True):
        assert plus.after == minus.after and (plus.direction.sign, minus.direction.sign) == ("+", "-")
        assert plus.direction.index == minus.direction.index
    text = " ".join(came)
    assert re.fullmatch(r"(item|control control)( (item|control control))*", text)


def test_another_mix_holds_at_once_and_keeps_what_may_lie_in_a_browser(project, annotator):
    mix(project, control=0.3)
    plan(project, annotator)
    before = list(Check.objects.order_by("ordinal").values_list("pk", flat=True))
    mix(project, control=0.3, own_shown=True)
    assert list(Check.objects.order_by("ordinal").values_list("pk", flat=True)) == before  # nothing planned has changed
    mix(project, control=0.1)
    assert list(Check.objects.order_by("ordinal").values_list("pk", flat=True)) == before[:2]
    go(project, annotator, 30)
    assert Check.objects.count() > 2
    mix(project)
    assert set(go(project, annotator, 10)) == {"item"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"gold": 0.3, "repeat": 0.3}, "at most 50%"),
        ({"gold": -0.1}, "at most 50%"),
        ({"control": 0.1, "controls": []}, "Say which controls"),
        ({"control": 0.1, "controls": ["shuffled"]}, "there is gaussian, covariance"),
        ({"repeat": 0.1, "distance": 2}, "5 to 1000"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(project, fields, sentence):
    with pytest.raises(LabellingError, match=sentence):
        mix(project, **fields)
    assert not CheckMix.objects.exists()


def test_a_project_without_a_selection_takes_its_models_noise(owner, annotator):
    project = cast_project(owner, annotator=annotator, n=20)
    matrix = project.items.first().direction.matrix
    noise = MatrixFactory(model=matrix.model, head=9, control="gaussian", address="ov.0.9;gaussian")
    DirectionFactory.create_batch(5, matrix=noise)
    mix(project, control=0.3)
    assert "control" in go(project, annotator, 25)
