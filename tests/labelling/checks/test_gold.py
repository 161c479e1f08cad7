"""What is known already: read, refused, forgotten."""

import pytest

from labelapp.atlas.models import Direction
from labelapp.labelling.checks.models import Check, Gold
from labelapp.labelling.checks.services import GoldRow, gold_add, gold_parse, gold_remove
from labelapp.labelling.errors import LabellingError
from tests.labelling.checks.support import go, gold_of, mix, outside, plan

pytestmark = pytest.mark.django_db


def test_gold_is_read_from_lines(project):
    text = """
    # a comment
    tiny/mlp_in.0/50+, interpretable, animals, wild ones
    tiny/mlp_in.0/51-\tno
    tiny/mlp_in.0/52+ yes "big cats"
    """
    rows = gold_parse(text)
    keys = [str(Direction.objects.get(pk=it.direction_id).key) for it in rows]
    assert keys == ["tiny/mlp_in.0/50+", "tiny/mlp_in.0/51-", "tiny/mlp_in.0/52+"]
    assert [(it.verdict, it.label) for it in rows] == [
        ("interpretable", "animals, wild ones"), ("not_interpretable", ""), ("interpretable", "big cats"),
    ]  # fmt: skip
    found = gold_add(project=project, rows=rows, origin="decided by owner")
    assert (found.added, found.changed, found.in_sample) == (3, 0, 0)
    again = gold_add(project=project, rows=[GoldRow(rows[0].direction_id, "not_interpretable")], origin="x")
    assert (again.added, again.changed) == (0, 1) and Gold.objects.count() == 3


def test_items_of_the_project_are_no_gold(project):
    item = project.items.first().direction
    rows = [GoldRow(item.pk, "interpretable"), GoldRow(outside(project, 1)[0].pk, "interpretable")]
    found = gold_add(project=project, rows=rows, origin="x")
    assert (found.added, found.in_sample) == (1, 1) and "1 left out" in found.sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no verdict in the list"),
        ("tiny/mlp_in.0/50+", "Line 1: write a key, a verdict"),
        ("tiny/mlp_in.0/50+, perhaps", "Line 1: write a key, a verdict"),
        ("\nnonsense, yes", "Line 2: "),
        ("tiny/mlp_in.0/99+, yes", "Line 1: tiny/mlp_in.0/99\\+ is not stored"),
        ("tiny/mlp_in.1/0+, yes", "Line 1: "),
        ("other/mlp_in.0/0+, yes", "Line 1: There is no model 'other'"),
        ("tiny/mlp_in.0/50+, yes\ntiny/mlp_in.0/50+, no", "Line 2: this direction stands above"),
        ("tiny/mlp_in.0/50+, yes, " + "x" * 201, "Line 1: A label is one line"),
    ],
)
def test_a_bad_list_of_gold_changes_nothing(project, text, sentence):
    with pytest.raises(LabellingError, match=sentence):
        gold_add(project=project, rows=gold_parse(text), origin="x")
    assert not Gold.objects.exists()


def test_forgotten_gold_is_planned_no_more(project, annotator):
    gold_of(project, 20)
    mix(project, gold=0.4)
    plan(project, annotator)
    assert gold_remove(project=project) == 20
    assert Check.objects.count() == 2  # which may lie in a browser
    go(project, annotator, 20)
    assert Check.objects.count() == 2
