"""Pairs and matrices: what is drawn, how they are judged; and nothing of them reaches the figures of directions."""

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.urls import reverse

from labelapp.atlas.models import Direction, Matrix
from labelapp.exchange.rows import export_rows
from labelapp.judgements.models import Judgement, Subject, Summary
from labelapp.judgements.selectors import judgements_standing
from labelapp.judgements.services import Draft, JudgementError, judge_ensure, judgement_record, summaries_verify
from labelapp.labelling.blindness import directions_hidden_from, directions_to_judge
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.exports import project_subject
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.projects.design import Design
from labelapp.labelling.projects.drawing import people_said
from labelapp.labelling.projects.exploration import exploration_add
from labelapp.labelling.projects.redraw import sample_check, samples_verify
from labelapp.labelling.projects.selection import item_selection_parse
from labelapp.labelling.projects.services import project_create, project_draft, project_open, project_redesign
from labelapp.labelling.selectors import item_next
from labelapp.labelling.services import answer_undo, item_judge, items_verify
from labelapp.review.selectors import comparison
from tests.factories import DirectionFactory, MatrixFactory, drawn

pytestmark = pytest.mark.django_db


def everything(project):
    return Judgement.every.filter(source=project.source)


# What is drawn


def test_pairs_are_vectors_with_both_ends(model, owner):
    Direction.objects.get(matrix=Matrix.objects.first(), index=3, sign="-").delete()
    project = drawn(model, owner, "vector")
    ends = [item.direction for item in project.items.select_related("direction")]
    assert {end.sign for end in ends} == {"+"} and len({(it.matrix_id, it.index) for it in ends}) == len(ends) == 31
    assert project.ends == "both" and project.design["population"] == 31 and project.design["unit"] == "vector"
    assert sample_check(project) and samples_verify() == [] and items_verify() == []


def test_matrices_are_drawn_whole(matrices):
    stand = [item.direction for item in matrices.items.select_related("direction")]
    assert {it.matrix_id for it in stand} == set(Matrix.objects.values_list("pk", flat=True)) and len(stand) == 4
    assert {(it.index, it.sign) for it in stand} == {(0, "+")} and matrices.design["unit"] == "matrix"
    assert sample_check(matrices)


def test_the_side_that_keys_leave_out_is_shown(model, owner):
    for matrix in Matrix.objects.filter(circuit="ov"):
        for index in range(2):
            for sign in "+-":
                DirectionFactory(matrix=matrix, side="read", index=index, sign=sign)
    whole = drawn(model, owner, "matrix", circuits="ov")
    assert set(whole.items.values_list("direction__side", flat=True)) == {"write"}
    reading = drawn(model, owner, "matrix", circuits="ov", sides="read", slug="reading")
    assert set(reading.items.values_list("direction__side", flat=True)) == {"read"}


def test_each_has_its_probability(model, owner):
    simple = drawn(model, owner, "vector", kind="simple_random", n=8)
    assert set(simple.items.values_list("inclusion_probability", flat=True)) == {8 / 32}
    layers = drawn(model, owner, "vector", kind="stratified", strata="layer", n=8, slug="layers")
    # 24 of the vectors are in layer 0, 8 in layer 1: six and two of eight.
    of_layer = layers.items.values_list("direction__matrix__layer", "inclusion_probability")
    assert sorted(of_layer) == [(0, 6 / 24)] * 6 + [(1, 2 / 8)] * 2
    assert sample_check(layers) and [cell["n"] for cell in layers.design["cells"]] == [6, 2]
    two = drawn(model, owner, "matrix", kind="simple_random", n=2, slug="two")
    assert set(two.items.values_list("inclusion_probability", flat=True)) == {2 / 4}


def test_what_cannot_be_drawn_is_said(model, owner, machine_judges):
    judge = machine_judges({it: ("interpretable", None, {}) for it in Direction.objects.filter(sign="+")})
    selection = item_selection_parse([model])
    for design in (
        Design(selection, "uncertainty", 3, 1, machine=judge.digest),
        Design(selection, "stratified", 4, 1, "machine", "proportional", judge.digest),
        Design(selection, "stratified", 4, 1, "layer", "neyman", judge.digest),
    ):
        with pytest.raises(LabellingError, match="Machines judge directions, so they cannot say which pairs"):
            project_draft(name="P", owner=owner, guidelines="", design=design, subject="vector")
    with pytest.raises(LabellingError, match="A pair has both signs"):
        drawn(model, owner, "vector", signs="+")
    with pytest.raises(LabellingError, match="The selection holds 4 matrices, so 5 cannot be drawn"):
        drawn(model, owner, "matrix", kind="simple_random", n=5, slug="five")
    Direction.objects.filter(sign="-").delete()
    with pytest.raises(LabellingError, match="no vector with both its ends"):
        drawn(model, owner, "vector", slug="none")
    assert not Project.objects.exclude(state="draft").exists()


def test_a_draft_of_directions_becomes_one_of_pairs(model, owner):
    design = Design(item_selection_parse([model]), "all")
    draft = project_draft(name="P", owner=owner, guidelines="", design=design)
    project_redesign(draft, design=design, subject="vector")
    draft.refresh_from_db()
    assert (draft.subject, draft.ends) == ("vector", "both") and project_open(draft).items.count() == 32


def test_nothing_is_explored_beside_pairs(pairs, owner, machine_judges):
    judge = machine_judges({it: ("interpretable", None, {}) for it in Direction.objects.all()})
    with pytest.raises(LabellingError, match="Machines judge directions"):
        exploration_add(project=pairs, user=owner, criterion="uncertain", judge=judge, n=3)


def test_the_command_makes_them(model, owner, capsys):
    call_command("project", model.slug, "Fire and ice", "--owner", "owner", "--of", "pairs", "--n", "6")
    project = Project.objects.get(slug="fire-and-ice")
    assert (project.subject, project.items.count()) == ("vector", 6)
    assert "fire and ice" in project.guidelines.get().text
    call_command("project", model.slug, "Broad", "--owner", "owner", "--of", "matrices")
    assert "broad concept" in Project.objects.get(slug="broad").guidelines.get().text
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("project", model.slug, "X", "--owner", "owner", "--of", "words")


# Judging


@pytest.mark.parametrize(
    ("subject", "verdicts"),
    [
        ("vector", ["same_theme", "opposites", "unrelated", "unsure"]),
        ("matrix", ["concept", "no_concept", "unsure"]),
    ],
)
def test_each_has_its_verdicts(model, owner, subject, verdicts):
    project = drawn(model, owner, subject)
    for verdict in verdicts:
        row = item_judge(item=item_next(project, owner), user=owner, verdict=verdict, label=" cold ", seconds=2.5)
        assert (row.subject, row.verdict, row.label, row.blind) == (subject, verdict, "cold", True)
        assert (row.kind, row.reason, row.misfits, row.guidelines_version) == ("", "", [], 1)
    item = item_next(project, owner) or project.items.last()
    for wrong in ("interpretable", "failed", "", *({"same_theme", "concept"} - set(verdicts))):
        with pytest.raises(JudgementError, match="is not a verdict; it must be"):
            item_judge(item=item, user=owner, verdict=wrong)
    assert everything(project).count() == len(verdicts) and items_verify() == []


def test_a_pair_has_a_label_for_each_end(pairs, matrices, owner):
    row = item_judge(
        item=item_next(pairs, owner), user=owner, verdict="opposites", label="fire", second_label=" ice ", kind="topic"
    )
    assert (row.label, row.second_label, row.kind) == ("fire", "ice", "")
    assert row.tokens_shown == 10
    for label in ("x" * 201, "two\nlines"):
        with pytest.raises(JudgementError, match="A label may"):
            item_judge(item=item_next(pairs, owner), user=owner, verdict="opposites", second_label=label)
    row = item_judge(item=item_next(matrices, owner), user=owner, verdict="concept", label="law", second_label="ice")
    assert (row.label, row.second_label, row.tokens_shown) == ("law", "", 8)


def test_only_people_judge_them(model):
    machine = judge_ensure(type="baseline", name="m", parameters={})
    direction = Direction.objects.first()
    for subject in ("vector", "matrix"):
        with pytest.raises(JudgementError, match="Machines judge directions"):
            judgement_record(judge=machine, source="run:1", draft=Draft(direction.pk, "unsure", subject=subject))
    assert not Judgement.every.exists()


def test_a_correction_and_an_undo_keep_every_row(pairs, owner):
    item = item_next(pairs, owner)
    first = item_judge(item=item, user=owner, verdict="opposites")
    assert item_judge(item=item, user=owner, verdict="opposites") == first  # it came twice
    second = item_judge(item=item, user=owner, verdict="opposites", second_label="ice")
    assert (second.supersedes, second.blind) == (first, True)  # nobody else had said anything that could be seen
    assert answer_undo(project=pairs, user=owner) == item
    assert list(everything(pairs).filter(current=True)) == [first]
    assert answer_undo(project=pairs, user=owner) == item
    assert not everything(pairs).filter(current=True).exists() and everything(pairs).count() == 4
    assert set(everything(pairs).values_list("subject", flat=True)) == {"vector"}
    item.refresh_from_db()
    assert (item.n_judged, item.is_open) == (0, True) and answer_undo(project=pairs, user=owner) is None
    third = item_judge(item=item, user=owner, verdict="unsure")
    assert third.blind and items_verify() == []


def test_never_more_than_the_overlap(model, owner, annotator, reviewer):
    project = drawn(model, owner, "matrix", overlap=2)
    for user in (annotator, reviewer):
        Membership.objects.create(project=project, user=user, role="annotator")
    item = item_next(project, owner)
    item_judge(item=item, user=owner, verdict="concept")
    item_judge(item=item, user=annotator, verdict="no_concept")
    with pytest.raises(LabellingError, match="Enough"):
        item_judge(item=item, user=reviewer, verdict="concept")
    assert item_next(project, reviewer) != item and everything(project).count() == 2 and items_verify() == []


# Nothing of them reaches the figures of directions


def test_nothing_leaks_into_the_statistics_of_directions(pairs, matrices, model, owner):
    directions = project_create(name="D", owner=owner, directions=Direction.objects.all(), guidelines="")
    for project, verdict in ((pairs, "same_theme"), (matrices, "concept")):
        for item in project.items.all():
            item_judge(item=item, user=owner, verdict=verdict, label="animals")
    ids = list(Direction.objects.values_list("pk", flat=True))
    assert Judgement.every.count() == 16 + 4 and not Judgement.objects.exists()
    assert not Summary.objects.exists() and summaries_verify() == []
    assert not judgements_standing(ids) and not people_said(Direction.objects.all(), owner)
    assert not any(direction.judgements.exists() for direction in Direction.objects.all())
    rows = list(export_rows(project_subject(directions.slug, None)))
    assert len(rows) == 64 and not any(row["judgements"] for row in rows)
    assert not comparison(directions).people and not comparison(pairs).people
    answer_undo(project=pairs, user=owner)
    assert summaries_verify() == [] and not Summary.objects.exists()


def test_and_nothing_of_directions_into_theirs(pairs, model, owner):
    directions = project_create(
        name="D", owner=owner, directions=Direction.objects.filter(matrix__circuit="ov"), guidelines=""
    )
    for item in directions.items.all():
        item_judge(item=item, user=owner, verdict="interpretable")
    assert not everything(pairs).exists() and summaries_verify() == []
    assert item_next(pairs, owner) is not None and Judgement.objects.count() == 32


def test_the_database_keeps_one_judgement_an_item(pairs, owner):
    row = item_judge(item=item_next(pairs, owner), user=owner, verdict="unsure")
    with pytest.raises(IntegrityError), transaction.atomic():
        Judgement.every.create(
            direction=row.direction, judge=row.judge, source=row.source, subject=Subject.VECTOR, verdict="opposites"
        )


# Blind


def test_both_ends_are_hidden_until_the_pair_is_judged(pairs, matrices, owner, outsider):
    item = item_next(pairs, owner)
    ends = list(Direction.objects.filter(matrix=item.direction.matrix_id, index=item.direction.index))
    ids = {end.pk for end in ends}
    assert len(ids) == 2 and directions_hidden_from(owner, ids) == dict.fromkeys(ids, "vector")
    assert directions_to_judge(owner).count() == 32 and not directions_hidden_from(outsider, ids)
    item_judge(item=item, user=owner, verdict="unrelated")
    assert not directions_hidden_from(owner, ids) and directions_to_judge(owner).count() == 30
    # Whole matrices hide no single direction.
    of_mlp = Direction.objects.filter(matrix__circuit="mlp_in")
    assert not directions_hidden_from(owner, list(of_mlp.values_list("pk", flat=True)))


def test_a_machines_word_on_an_end_is_hidden_on_its_page(pairs, owner, owner_client, machine_judges):
    item = item_next(pairs, owner)
    other = Direction.objects.get(matrix=item.direction.matrix_id, index=item.direction.index, sign="-")
    machine_judges({other: ("interpretable", None, {})}, name="a machine that speaks")
    address = reverse("atlas:direction", args=[other.key])
    assert "a machine that speaks" not in owner_client.get(address).content.decode()
    item_judge(item=item, user=owner, verdict="unrelated")
    assert "a machine that speaks" in owner_client.get(address).content.decode()


def test_matrices_of_imported_features_show_what_there_is(model, owner):
    sparse = MatrixFactory(model=model, layer=1, head=1)
    for index in (5, 900, 20_000):
        for sign in "+-":
            DirectionFactory(matrix=sparse, index=index, sign=sign)
    project = drawn(model, owner, "matrix", circuits="ov", layers="1")
    item = project.items.get()
    assert (item.direction.index, item.direction.sign) == (5, "+")
