"""What the atlas shows of judgements, and from whom it hides them."""

import pytest
from django.urls import reverse

from labelapp.atlas import panels
from labelapp.judgements.models import Verification
from labelapp.judgements.services import (
    Draft,
    judge_ensure,
    judge_of_user,
    judgement_record,
    judgement_withdraw,
    verification_record,
)
from labelapp.labelling.services import item_judge
from tests.factories import DirectionFactory, MatrixFactory, cast_project, machine_says

pytestmark = pytest.mark.django_db


@pytest.fixture
def direction():
    matrix = MatrixFactory(head=0, n_vectors=3)
    for index in (0, 1, 2):
        DirectionFactory(matrix=matrix, index=index, sign="-")
        direction = DirectionFactory(matrix=matrix, index=index)
    return direction


def shown(client, subject):
    name = "direction" if hasattr(subject, "sign") else "matrix"
    return client.get(reverse(f"atlas:{name}", args=[str(subject.key)])).content.decode()


def test_who_says_what(owner_client, owner, direction):
    machine_says({direction: ("interpretable", "animals <b>")})
    judgement_record(judge=judge_of_user(owner), source="project:9", draft=Draft(direction.pk, "unsure", kind="topic"))
    page = shown(owner_client, direction)
    assert 'class="mark machine interpretable"' in page and 'class="mark person unsure"' in page
    assert "offline baseline (no language model)" in page and "✓ interpretable" in page and "? unsure" in page
    assert "animals &lt;b&gt;" in page and "labeler" in page


def test_a_withdrawn_judgement_is_not_shown(owner_client, owner, direction):
    judge = judge_of_user(owner)
    judgement_withdraw(
        judgement_record(judge=judge, source="project:9", draft=Draft(direction.pk, "interpretable", label="birds"))
    )
    assert "Nobody has judged this direction yet" in shown(owner_client, direction)


def test_the_verdict_is_that_of_the_rule(owner_client, direction):
    judge = judge_ensure(type="prompt", name="prompt 1", parameters={"n": 1})
    judgement = judgement_record(judge=judge, source="run:1", draft=Draft(direction.pk, "interpretable", label="x"))
    verification_record(judgement=judgement, judge=judge, answer=Verification.Answer.NO)
    page = shown(owner_client, direction)
    assert "✗ not interpretable" in page and "labeler: interpretable" in page
    assert "verifier: not interpretable" in page and "both_specific: not interpretable" in page
    assert "– prompt 1" in shown(owner_client, direction.matrix)


@pytest.mark.parametrize(
    ("verdicts", "note"),
    [
        (["interpretable"], "✓ baseline"),
        (["not_interpretable"], "– baseline"),
        (["unparsed"], "? baseline"),
        (["interpretable", "interpretable"], "✓ 2 of 2"),
        (["interpretable", "not_interpretable", "unsure"], "± 1 of 2"),
        (["not_interpretable", "not_interpretable"], "– 0 of 2"),
        (["unsure", "failed"], "? 0 of 0"),
    ],
)
def test_notes_under_the_columns(owner_client, direction, verdicts, note):
    for number, verdict in enumerate(verdicts):
        machine_says({direction: verdict}, name=f"machine {number}")
    assert note in shown(owner_client, direction.matrix)


def test_notes_cost_the_same_for_any_number_of_columns(owner_client, direction, django_assert_max_num_queries):
    directions = list(direction.matrix.directions.all())

    def queries():
        with django_assert_max_num_queries(20) as captured:
            shown(owner_client, direction.matrix)
        return len(captured)

    queries()
    machine_says({direction: "interpretable"})
    few = queries()
    machine_says(dict.fromkeys(directions, "interpretable"), name="another")
    assert queries() == few


def test_the_overview_by_a_machines_fraction(owner_client, owner, direction):
    judge = machine_says({it: "interpretable" if it.sign == "+" else "not_interpretable"
                          for it in direction.matrix.directions.all()})  # fmt: skip
    judgement_record(judge=judge_of_user(owner), source="project:1", draft=Draft(direction.pk, "interpretable"))
    address = reverse("atlas:model", args=[direction.matrix.model.slug])
    page = owner_client.get(address + f"?colour={judge.pk}-labeler").content.decode()
    assert "50 %" in page and "3 of 6 ends interpretable" in page and 'class="heat-10"' in page
    assert "Interpretable: owner" not in page


def test_the_overview_by_coherence(owner_client, direction):
    judge = judge_ensure(type="baseline", name="offline baseline", parameters={})
    more = DirectionFactory(matrix=MatrixFactory(model=direction.matrix.model, head=1), index=0)
    for it, statistic in ((direction, 0.25), (direction.matrix.directions.first(), 0.15), (more, 0.1)):
        said = Draft(it.pk, "not_interpretable", evidence={"statistic": statistic, "p_value": 0.5})
        judgement_withdraw(judgement_record(judge=judge, source="run:1", draft=said))
        judgement_record(judge=judge, source="run:1", draft=said)
    silent = MatrixFactory(model=direction.matrix.model, head=None, layer=1, circuit="mlp_in")
    judgement_record(judge=judge, source="run:1", draft=Draft(DirectionFactory(matrix=silent).pk, "failed"))
    address = reverse("atlas:model", args=[direction.matrix.model.slug])
    page = owner_client.get(address + f"?colour={judge.pk}-coherence").content.decode()
    assert "mean cosine 0.2 over 2 ends" in page and ">.200<" in page and 'class="heat-20"' in page
    assert "mean cosine 0.1 over 1 ends" in page and 'class="heat-10"' in page
    assert "nothing known" in page


# Blindness


def test_verdicts_are_hidden_until_one_has_judged(owner, annotator, annotator_client, outsider_client):
    project = cast_project(owner, annotator=annotator, n=3)
    items = list(project.items.select_related("direction__matrix__model"))
    machine_says({item.direction: ("interpretable", "animals") for item in items})
    matrix, first = items[0].direction.matrix, items[0]

    assert "Hidden until you have judged it in Animals." in shown(annotator_client, first.direction)
    for page in (shown(annotator_client, first.direction), shown(annotator_client, matrix)):
        assert "✓" not in page and "interpretable" not in page and ">animals" not in page
    assert shown(annotator_client, matrix).count("hidden until".capitalize()) == 3
    assert "✓ baseline" in shown(outsider_client, matrix)

    item_judge(item=first, user=annotator, verdict="not_interpretable")
    assert "offline baseline" in shown(annotator_client, first.direction)
    page = shown(annotator_client, matrix)
    assert page.count("1 of 2") == 1 and page.count("Hidden until") == 2


def test_every_registered_check_is_asked(owner, direction, monkeypatch):
    monkeypatch.setattr(panels, "_blind_checks", [])
    assert panels.hidden_from(owner, [direction.pk]) == {}
    panels.register_blind_check(lambda user, ids: {1: "A"})
    panels.register_blind_check(lambda user, ids: dict.fromkeys(ids, "B"))
    assert panels.hidden_from(owner, [1, 2]) == {1: "B", 2: "B"}
