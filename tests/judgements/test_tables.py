"""Figures under every rule side by side, from the summaries."""

import pytest
from django.db.models import Q
from django.urls import reverse
from statsmodels.stats.proportion import proportion_confint

from labelapp.judgements.services import Draft, judge_ensure, judgements_record_new
from labelapp.judgements.tables import rule_tables
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory, cast_project

pytestmark = pytest.mark.django_db

# Labeler's verdict, label, verifier's answer.
SAID = [
    ("interpretable", "relate to war", "yes"),
    ("interpretable", "verbs", "yes"),
    ("interpretable", "animals", "no"),
    ("interpretable", "art", "unparsed"),
    ("not_interpretable", "", "yes"),
    ("not_interpretable", "", "no"),
    ("failed", "", ""),
]


@pytest.fixture
def model():
    return ModelFactory(name="tiny")


def judged(model, circuit, said=SAID, **fields):
    matrix = MatrixFactory(model=model, circuit=circuit, head=None, **fields)
    directions = [DirectionFactory(matrix=matrix, index=index) for index in range(len(said))]
    labeler, verifier = (judge_ensure(type="prompt", name=name, parameters={"n": name}) for name in ("L", "V"))
    judgements_record_new(
        judge=labeler,
        source="run:1",
        drafts=[Draft(it.pk, verdict, label) for it, (verdict, label, _) in zip(directions, said, strict=True)],
        verifier=verifier,
        verifications={it.pk: answer for it, (*_, answer) in zip(directions, said, strict=True) if answer},
    )
    return directions


def test_every_rule_stands_beside_the_others(model, owner, django_assert_num_queries):
    judged(model, "mlp_in")
    judged(model, "mlp_out", SAID[:3], layer=1)
    with django_assert_num_queries(3):
        (table,) = rule_tables(Q(matrix__model=model), owner)
    assert [rule.name for rule in table.rules] == ["labeler", "verifier", "both", "both_specific"]
    assert table.default.name == "both"
    first, second, whole = table.rows
    assert [row.name for row in table.rows] == ["mlp_in", "mlp_out", "all"]
    assert [(it.interpretable, it.n, it.left_out) for it in first.tallies] == [
        (4, 6, 1),
        (3, 5, 1),
        (2, 5, 1),
        (1, 5, 1),  # the failed answer was never verified
    ]
    assert [it.interpretable for it in second.tallies] == [3, 2, 2, 1]
    assert [it.interpretable for it in whole.tallies] == [7, 5, 4, 2] and whole.n == 10
    low, high = proportion_confint(4, 8, method="wilson")
    assert whole.tallies[2].interval == pytest.approx((100 * low, 100 * high))


def test_noise_and_other_bases_are_never_in_one_sum(model, owner):
    judged(model, "mlp_in")
    judged(model, "mlp_in", address="mlp_in.0;gaussian", control="gaussian")
    judged(model, "mlp_in", address="mlp_in.0;neuron", basis="neuron")
    (table,) = rule_tables(Q(matrix__model=model), owner)
    assert {row.name for row in table.rows} == {"mlp_in", "mlp_in;gaussian", "mlp_in;neuron"}


def test_a_judge_without_a_verifier_has_one_column(model, owner):
    direction = DirectionFactory(matrix=MatrixFactory(model=model))
    judge = judge_ensure(type="baseline", name="b", parameters={})
    judgements_record_new(judge=judge, source="run:1", drafts=[Draft(direction.pk, "failed")])
    (table,) = rule_tables(Q(judge=judge), owner)
    assert [rule.name for rule in table.rules] == ["labeler"] == [table.default.name]
    assert (table.rows[0].tallies[0].percent, table.rows[0].tallies[0].interval) == (None, None)
    assert rule_tables(Q(matrix__model=-1), owner) == []


def test_what_would_tell_a_hidden_verdict_is_hidden(owner, annotator, outsider):
    project = cast_project(owner, annotator=annotator, n=5)
    directions = [item.direction for item in project.items.all()]
    model = directions[0].matrix.model
    judge = judge_ensure(type="prompt", name="L", parameters={})
    judgements_record_new(judge=judge, source="run:1", drafts=[Draft(it.pk, "interpretable") for it in directions])
    judged(model, "mlp_in", SAID * 20)
    of_annotator, of_outsider = (
        {row.name: row.is_shown for table in rule_tables(Q(matrix__model=model), who) for row in table.rows}
        for who in (annotator, outsider)
    )
    assert of_annotator == {"ov": False, "mlp_in": True} and of_outsider == {"ov": True, "mlp_in": True}


def test_the_models_page_has_them(model, owner_client):
    judged(model, "mlp_in")
    html = owner_client.get(reverse("atlas:model", args=["tiny"])).content.decode()
    assert "under every rule" in html and "both_specific@1" in html and "2 · 40.0 %" in html
    assert html.count("interpretable when") == 4
