"""Rogan and Gladen's estimate, where another project's labels say how often the machine errs."""

from collections import defaultdict

import numpy as np
import pytest

from labelapp.atlas.models import Direction
from labelapp.figures.estimates import estimates
from labelapp.figures.kinds import KINDS
from labelapp.figures.query import Query
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import judgement_withdraw
from labelapp.labelling.models import Item
from labelapp.statistics.weighting import rogan_gladen
from tests.figures.conftest import NO, Census, by_method, query_of

pytestmark = pytest.mark.django_db


def test_another_project_calibrates(owner):
    """Rogan-Gladen from counts by hand; where nobody judged here, it is what may be claimed."""
    there = Census(signs="+", name="there", vectors=50)
    there.project(owner, name="There")
    here = Census(signs="+", name="here", seed=9)
    pairs = [(there.truth[pk], there.said[pk]) for pk in there.truth]
    yes, no = [said for true, said in pairs if true], [said for true, said in pairs if not true]
    se, sp = np.mean(yes), 1 - np.mean(no)
    q = np.mean(list(here.said.values()))
    expected = rogan_gladen(q, 80, sum(yes), len(yes), len(no) - sum(no), len(no))
    assert expected.value == pytest.approx((q + sp - 1) / (se + sp - 1))
    unjudged = here.project(owner, n=20, name="Unjudged", judged=0)
    for slug in ("none", unjudged.slug):
        found = estimates(Query(model=("here",), project=slug, calibration="there"))
        made = found.recommended.estimate
        assert (found.recommended.source, made.method) == ("corrected", "Rogan-Gladen")
        assert (made.value, made.low, made.high) == pytest.approx((expected.value, expected.low, expected.high))
        assert [it.estimate.method for it in found.lines] == ["machine alone"] and "There" in found.why
        text = KINDS["estimates"].compute(found.resolved)
        assert "as the machine says, corrected by its errors in There" in text.sentence
        assert "200 labels there" in text.sentence and "and none here" in text.sentence
        assert text.inputs.facts["sensitivity there"] == pytest.approx(se)
        # The rate is people's, so what noise passes must be people's too, and they judged no control.
        assert found.control.source == "person" and found.net.estimate.value is None
    project = here.project(owner, n=20, name="Here")
    beside = by_method(estimates(query_of(project, model=("here",), calibration="there")))
    assert beside["Rogan-Gladen"].interval == pytest.approx(expected.interval)
    layers = by_method(estimates(query_of(project, model=("here",), calibration="there", estimand="layers")))
    assert layers["Rogan-Gladen"].value is None and "this census" in layers["Rogan-Gladen"].why


@pytest.mark.parametrize(("unit", "of_ends"), [("either", any), ("both", all)])
def test_a_calibration_is_of_the_units_that_are_counted(owner, unit, of_ends):
    """Two projects of both ends: sensitivity and specificity of vectors, which are not those of ends."""
    there = Census(name="there", vectors=60)
    there.project(owner, name="There", ends="both", n=240)
    here = Census(name="here", seed=9, vectors=60)

    def vectors(census, told):
        ends = defaultdict(list)
        for it in Direction.objects.filter(matrix__model=census.model):
            ends[it.matrix_id, it.index].append(told[it.pk])
        return np.array([of_ends(it) for _, it in sorted(ends.items())])

    truth, said, told = vectors(there, there.truth), vectors(there, there.said), vectors(here, here.said)
    expected = rogan_gladen(
        told.mean(), len(told), (said & truth).sum(), truth.sum(), (~said & ~truth).sum(), (~truth).sum()
    )
    query = Query(model=("here",), project="none", calibration="there", unit=unit)
    made = by_method(estimates(query))["Rogan-Gladen"]
    assert (made.value, *made.interval, made.n) == pytest.approx((expected.value, *expected.interval, 240))
    by_ends = by_method(estimates(query.change(unit="ends")))["Rogan-Gladen"]
    assert abs(made.value - by_ends.value) > 0.02
    drawn_as_ends = there.project(owner, name="Ends", n=40)
    refused = by_method(estimates(query.change(calibration=drawn_as_ends.slug)))["Rogan-Gladen"]
    assert refused.value is None and "drew ends" in refused.why


def test_a_calibration_of_unequal_probability_is_weighted(owner):
    """Layer 0 was drawn three times as often: the rates are of what was drawn from."""
    there = Census(signs="+", name="there", vectors=60, layers=2)
    project = there.project(owner, name="There", n=120)
    # The machine is always right in layer 0 and right in about half of layer 1.
    Item.objects.filter(project=project, direction__matrix__layer=0).update(inclusion_probability=0.9)
    Item.objects.filter(project=project, direction__matrix__layer=1).update(inclusion_probability=0.3)
    here = Census(signs="+", name="here", seed=9)
    found = estimates(Query(model=("here",), project="none", calibration="there"))
    rows = Item.objects.filter(project=project).values_list("direction_id", "inclusion_probability")
    weight = {True: 0.0, False: 0.0}
    right = dict(weight)
    for pk, pi in rows:
        weight[there.truth[pk]] += 1 / pi
        right[there.truth[pk]] += (there.said[pk] is there.truth[pk]) / pi
    se, sp = right[True] / weight[True], right[False] / weight[False]
    q = np.mean(list(here.said.values()))
    assert found.calibration.sensitivity.value == pytest.approx(se)
    assert found.recommended.estimate.value == pytest.approx((q + sp - 1) / (se + sp - 1))
    plain = [
        np.mean([there.said[pk] is true for pk, true in there.truth.items() if true is it]) for it in (1 > 0, 1 < 0)
    ]
    assert abs(plain[0] - se) > 0.005 or abs(plain[1] - sp) > 0.005


def test_a_calibrated_share_beyond_0_or_1_is_not_claimed(owner):
    """The machine calls nothing interpretable here, and errs there: its errors are others here."""
    there = Census(signs="+", name="there", vectors=50)
    there.project(owner, name="There")
    here = Census(signs="+", name="here", seed=9)
    for row in Judgement.objects.filter(direction__matrix__model=here.model, judge=here.judge):
        judgement_withdraw(row)
    here.machine_says(dict.fromkeys(here.said, NO))
    found = estimates(Query(model=("here",), project="none", calibration="there"))
    made = by_method(found)["Rogan-Gladen"]
    assert found.recommended.source == "machine" and made.value < 0 and made.why.startswith("Below 0")
