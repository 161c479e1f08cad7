"""What projects draw: by every design, with the probability of each item, and again from what was stored."""

import threading
from importlib import import_module
from math import sqrt

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from labelapp.atlas.models import Direction
from labelapp.atlas.selection import MatrixSelection, SelectionError
from labelapp.judgements.models import Verification
from labelapp.judgements.services import Draft, judgement_record
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.machine import Said, answers_of, uncertainty
from labelapp.labelling.models import Item, Project
from labelapp.labelling.projects.design import Design, design_check, design_from_json
from labelapp.labelling.projects.drawing import Until, plan_make
from labelapp.labelling.projects.redraw import redrawn
from labelapp.labelling.projects.selection import ItemSelection, item_selection_from_json, item_selection_parse
from labelapp.labelling.projects.services import (
    project_create,
    project_draft,
    project_draw,
    project_open,
    project_pause,
    project_redesign,
    project_resume,
)
from labelapp.labelling.services import item_judge
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory, cast_project

pytestmark = pytest.mark.django_db
TINY = ItemSelection(("tiny",))


def opened(owner, design, **fields):
    return project_open(project_draft(name="P", owner=owner, guidelines="G", design=design, **fields))


def drawn(project):
    """By direction: its probability."""
    return dict(project.items.values_list("direction_id", "inclusion_probability"))


# Selections


def test_a_selection_by_model_circuit_layer_index_side_and_sign(model):
    other = ModelFactory(name="other", n_layers=9)
    DirectionFactory(matrix=MatrixFactory(model=other, layer=7), index=0)
    imported = ModelFactory(name="read", weights_hash="", circuits=["mlp_in"])
    DirectionFactory(matrix=MatrixFactory(model=imported, circuit="mlp_in", head=None), side="read", index=1)

    def found(*models, **typed):
        selection = item_selection_parse(models, **typed)
        assert item_selection_from_json(selection.as_json()) == selection
        return selection.directions().count()

    assert found(model) == 64 and found(model, other, imported) == 66
    assert found(model, circuits="ov") == 32 and found(model, layers="1") == 16
    assert found(model, indices="0-1,7", signs="+") == 12
    assert found(model, sides="read") == 32 and found(imported, indices="1") == 1
    assert found(model, other, layers="7") == 1, "a layer that only one of the models has"
    assert found(model, control="gaussian") == 0


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"layers": "2"}, "layer"),
        ({"circuits": "qk"}, "qk"),
        ({"indices": "5-2"}, "run backwards"),
        ({"sides": "left"}, "no side 'left'"),
        ({"signs": "*"}, r"no sign '\*'"),
        ({"control": "noise"}, "no control 'noise'"),
    ],
)
def test_a_selection_that_cannot_be_is_said_in_a_sentence(model, typed, sentence):
    with pytest.raises(SelectionError, match=sentence):
        item_selection_parse([model], **typed)


def test_no_model_is_no_selection():
    with pytest.raises(SelectionError, match="choose at least one"):
        item_selection_parse([])


# Designs


def test_all_of_them(model, owner):
    project = opened(owner, Design(TINY, "all", seed=1))
    assert len(drawn(project)) == 64 and set(drawn(project).values()) == {1.0}
    assert sorted(project.items.values_list("position", flat=True)) == list(range(64))


def test_simple_random(model, owner):
    project = opened(owner, Design(TINY, n=16, seed=1))
    assert set(drawn(project).values()) == {0.25} and len(drawn(project)) == 16
    assert drawn(opened(owner, Design(TINY, n=16, seed=2))).keys() != drawn(project).keys()
    assert drawn(opened(owner, Design(TINY, n=16, seed=1))) == drawn(project)


@pytest.mark.parametrize(("strata", "given"), [("layer", {0: 15, 1: 5}), ("circuit", {"ov": 10, "mlp_in": 10})])
def test_stratified_in_proportion(model, owner, strata, given):
    project = opened(owner, Design(TINY, "stratified", 20, 1, strata, "proportional"))
    found = [getattr(item.direction.matrix, strata) for item in project.items.select_related("direction__matrix")]
    assert {name: found.count(name) for name in found} == given
    assert set(drawn(project).values()) == {20 / 64}
    assert sum(cell["n"] for cell in project.design["cells"]) == 20


def test_strata_stand_in_their_own_order(owner):
    model = ModelFactory(name="deep", n_layers=12)
    for layer in (10, 2, 0):
        DirectionFactory.create_batch(2, matrix=MatrixFactory(model=model, layer=layer, head=0))
    project = opened(owner, Design(ItemSelection(("deep",)), "stratified", 6, 1, "layer", "proportional"))
    assert [cell["name"] for cell in project.design["cells"]] == ["layer 0", "layer 2", "layer 10"]


def test_by_neyman_a_layer_that_the_machine_is_of_one_mind_about_gives_less(model, owner, machine_judges):
    verdicts = {}
    for place, direction in enumerate(Direction.objects.select_related("matrix").order_by("pk")):
        mixed = direction.matrix.layer == 1 and place % 2
        verdicts[direction] = ("not_interpretable" if mixed else "interpretable", None, {})
    judge = machine_judges(verdicts)
    project = opened(owner, Design(TINY, "stratified", 20, 1, "layer", "neyman", judge.digest))
    cells = {cell["name"]: cell for cell in project.design["cells"]}
    # Layer 0: 48 of 48 yes, (48 + 1)/(48 + 2) = .98; layer 1: 8 of 16, one half.
    assert cells["layer 0"]["deviation"] == pytest.approx(sqrt(0.98 * 0.02))
    assert cells["layer 1"]["deviation"] == pytest.approx(0.5)
    # N S: 48 · .14 = 6.72 and 16 · .5 = 8: 9.13 and 10.87 of 20.
    assert (cells["layer 0"]["n"], cells["layer 1"]["n"]) == (9, 11)
    assert set(drawn(project).values()) == {9 / 48, 11 / 16}


def test_by_machine_cell_with_a_pilot_of_people(model, owner, machine_judges):
    directions = list(Direction.objects.order_by("pk"))
    answers = [("interpretable", "yes"), ("interpretable", "no"), ("not_interpretable", "no"), ("unparsed", "yes")]
    said = {it: (*answers[place % 4], {}) for place, it in enumerate(directions[:-4])}
    judge = machine_judges(said)
    design = Design(TINY, "stratified", 20, 1, "machine", "neyman", judge.digest)
    names = ["labeler yes, verifier yes", "labeler yes, verifier no", "labeler none, verifier no",
             "unparsed or failed", "not judged"]  # fmt: skip
    project = opened(owner, design)
    assert [(it["name"], it["population"]) for it in project.design["cells"]] == list(
        zip(names, [15, 15, 15, 15, 4], strict=True)
    )
    assert {it["deviation"] for it in project.design["cells"]} == {0.5}, "nobody has judged anything yet"
    pilot = project_draw(model=model, selection=MatrixSelection(), name="Pilot", owner=owner, guidelines="")
    sure = [it for place, it in enumerate(directions[:-4]) if place % 4 == 0]
    for item in pilot.items.filter(direction__in=sure):
        item_judge(item=item, user=owner, verdict="interpretable")
    cells = opened(owner, design).design["cells"]
    assert cells[0]["deviation"] == pytest.approx(sqrt(16 / 17 * 1 / 17)) and cells[0]["n"] < cells[1]["n"]


def test_a_pilot_is_of_projects_that_the_owner_may_see(model, owner, outsider, machine_judges):
    judge = machine_judges({Direction.objects.first(): ("interpretable", "yes", {})})
    elsewhere = project_draw(model=model, selection=MatrixSelection(), name="Theirs", owner=outsider, guidelines="")
    for item in elsewhere.items.all():
        item_judge(item=item, user=outsider, verdict="interpretable")
    cells = opened(owner, Design(TINY, "stratified", 20, 1, "machine", "neyman", judge.digest)).design["cells"]
    assert {it["deviation"] for it in cells} == {0.5}


def test_weighted_by_uncertainty(model, owner, machine_judges):
    directions = list(Direction.objects.order_by("pk"))
    said = {it: ("interpretable", "yes", {"confidence": 0.5 if place < 32 else 1.0})
            for place, it in enumerate(directions)}  # fmt: skip
    project = opened(owner, Design(TINY, "uncertainty", 20, 1, machine=machine_judges(said).digest))
    # Weights √(.5 · .5) = .5 and √(.98 · .02) = .14: 20 · .5/20.48 and 20 · .14/20.48.
    unsure, sure = 20 * 0.5 / (32 * 0.64), 20 * 0.14 / (32 * 0.64)
    expected = {it.pk: unsure if place < 32 else sure for place, it in enumerate(directions)}
    found = drawn(project)
    assert len(found) == 20 and all(chance == pytest.approx(expected[pk]) for pk, chance in found.items())


def test_with_both_ends_vectors_are_drawn(model, owner):
    project = opened(owner, Design(TINY, n=8, seed=1), ends="both")
    assert set(drawn(project).values()) == {0.25} and len(drawn(project)) == 16
    rows = list(project.items.select_related("direction").order_by("position"))
    for plus, minus in zip(rows[::2], rows[1::2], strict=True):
        ends = plus.direction, minus.direction
        assert [it.sign for it in ends] == ["+", "-"]
        assert ends[0].matrix_id == ends[1].matrix_id and ends[0].index == ends[1].index
    assert project.design["unit"] == "vector" and project.design["population"] == 32


def test_equally_many_tokens_are_shown_of_every_item(model, owner):
    DirectionFactory(matrix=MatrixFactory(model=model, layer=1, head=0, top=6))
    assert opened(owner, Design(TINY, "all"), tokens_shown=9).tokens_shown == 6


@pytest.mark.parametrize(
    ("design", "sentence"),
    [
        (Design(TINY, "sorted", 5), "no design 'sorted'"),
        (Design(TINY, n=None), "how many"),
        (Design(TINY, n=0), "how many"),
        (Design(TINY, "stratified", 5), "what the strata are"),
        (Design(TINY, "stratified", 5, strata="layer"), "how the strata share"),
        (Design(TINY, "uncertainty", 5), "needs a machine judge"),
        (Design(TINY, "stratified", 5, strata="machine", allocation="proportional"), "needs a machine judge"),
    ],
)
def test_a_design_that_cannot_be_is_said_in_a_sentence(owner, design, sentence):
    with pytest.raises(LabellingError, match=sentence):
        project_draft(name="P", owner=owner, guidelines="G", design=design)
    assert not Project.objects.exists()


@pytest.mark.parametrize(
    ("design", "sentence"),
    [
        (Design(TINY, n=65), "holds 64 ends, so 65 cannot be drawn"),
        (Design(TINY, "stratified", 3, strata="layer", allocation="proportional"), "draw 4 or more, not 3"),
        (Design(TINY, "uncertainty", 3, machine="gone"), "has judged nothing"),
        (Design(ItemSelection(("tiny",), indices=(99,)), n=1), "holds no directions"),
    ],
)
def test_what_cannot_be_drawn_stays_a_draft(model, owner, design, sentence):
    project = project_draft(name="P", owner=owner, guidelines="G", design=design)
    with pytest.raises(LabellingError, match=sentence):
        project_open(project)
    project.refresh_from_db()
    assert project.state == "draft" and project.opened_at is None and not Item.objects.exists()


# Frozen


def test_an_opened_design_is_frozen(model, owner):
    project = project_draft(name="P", owner=owner, guidelines="G", design=Design(TINY, n=5))
    project_redesign(project, design=Design(TINY, n=7, seed=3), overlap=2)
    project = project_open(project)
    assert project.items.count() == 7 and project.overlap == 2 and project.opened_at is not None
    with pytest.raises(LabellingError, match="frozen"):
        project_redesign(project, design=Design(TINY, n=9))
    with pytest.raises(LabellingError, match="opened already"):
        project_open(project)
    assert project.items.count() == 7


DESIGNS = [
    Design(TINY, "all", seed=4),
    Design(TINY, n=11, seed=5),
    Design(TINY, "stratified", 20, 6, "layer", "proportional"),
    Design(TINY, "stratified", 20, 7, "machine", "neyman", "MACHINE"),
    Design(TINY, "stratified", 20, 7, "circuit", "neyman", "MACHINE"),
    Design(TINY, "uncertainty", 13, 8, machine="MACHINE"),
]


@pytest.mark.parametrize("ends", ["one", "both"])
@pytest.mark.parametrize("place", range(len(DESIGNS)))
def test_a_draw_can_be_repeated_whatever_was_stored_since(model, owner, machine_judges, place, ends):
    directions = list(Direction.objects.order_by("pk"))
    said = {it: (("interpretable", "not_interpretable")[n % 3 > 1], "yes", {"confidence": n / 64})
            for n, it in enumerate(directions[:50])}  # fmt: skip
    judge = machine_judges(said)
    design = DESIGNS[place]
    if design.machine:
        design = Design(**{**vars(design), "machine": judge.digest})
    assert design_from_json(design.as_json()) == Design(
        **{**vars(design), "n": None if design.kind == "all" else design.n}
    )
    project = opened(owner, design, ends=ends)
    before = list(project.items.order_by("position").values_list("direction_id", "inclusion_probability"))
    DirectionFactory(matrix=MatrixFactory(model=model, layer=0, head=5), index=0)
    for direction in directions[40:]:
        row = judgement_record(judge=judge, source="run:10", draft=Draft(direction.pk, "interpretable"))
        Verification.objects.create(judgement=row, judge=judge, answer="no")
    project.refresh_from_db()
    assert redrawn(project) == before


def test_what_was_drawn_from_no_selection_cannot_be_repeated(model, owner):
    project = project_create(name="P", owner=owner, directions=Direction.objects.all(), guidelines="", n=3)
    with pytest.raises(LabellingError, match="from a selection"):
        redrawn(project)


def test_a_population_that_is_not_the_same_is_noticed(model, owner):
    project = opened(owner, Design(TINY, n=5))
    Direction.objects.exclude(items__project=project).first().delete()
    with pytest.raises(LabellingError, match="no longer what it was"):
        redrawn(project)


def test_pause_and_resume_count_once(model, owner):
    project = opened(owner, Design(TINY, n=5))
    assert project_pause(project) and not project_pause(project)
    assert project_resume(project) and not project_resume(project)
    draft = project_draft(name="D", owner=owner, guidelines="G", design=Design(TINY, n=5))
    assert not project_resume(draft) and not project_pause(draft)


def test_a_draft_takes_no_judgements(model, owner):
    project = opened(owner, Design(TINY, n=5))
    Project.objects.filter(pk=project.pk).update(state="draft")
    with pytest.raises(LabellingError, match="not open yet"):
        item_judge(item=project.items.first(), user=owner, verdict="unsure")


def test_projects_made_before_go_on_as_they_were(owner, reviewer, annotator, outsider):
    """Everybody who may judge could judge every item, and the rubric had the project's threshold."""
    project = cast_project(owner, reviewer, annotator, outsider)
    Project.objects.update(opened_at=None, threshold=0.8, overlap=1)
    import_module("labelapp.labelling.migrations.0003_projects_as_they_were").keep_as_it_was(apps, None)
    project.refresh_from_db()
    assert (project.overlap, project.opened_at) == (3, project.created_at), "a viewer does not judge"
    assert project.guidelines.get().threshold == 0.8


@pytest.mark.parametrize("values", [(False, None), (True, 0.5), (False, 0.0), (False, 1.1)])
def test_an_item_has_a_probability_unless_it_is_for_exploration(model, owner, values):
    project = opened(owner, Design(TINY, n=5))
    with pytest.raises(IntegrityError), transaction.atomic():
        Item.objects.filter(pk=project.items.first().pk).update(exploration=values[0], inclusion_probability=values[1])


@pytest.mark.django_db(transaction=True)
def test_two_who_open_it_at_once_draw_once(model, owner):
    project = project_draft(name="P", owner=owner, guidelines="G", design=Design(TINY, n=5))
    ready, outcomes = threading.Barrier(2), []

    def act():
        ready.wait()
        try:
            outcomes.append(project_open(project).state)
        except LabellingError as error:
            outcomes.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=act) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(it.split()[-1] for it in outcomes) == ["frozen.", "open"]
    assert project.items.count() == 5


# What a machine's answer says of itself


def test_the_cells_of_a_machine():
    cells = {
        Said("interpretable", "yes").cell: "labeler yes, verifier yes",
        Said("interpretable", "no").cell: "labeler yes, verifier no",
        Said("not_interpretable", "yes").cell: "labeler none, verifier yes",
        Said("not_interpretable", "no").cell: "labeler none, verifier no",
        Said("interpretable", "unparsed").cell: "unparsed or failed",
        Said("failed", "yes").cell: "unparsed or failed",
        Said("unparsed").cell: "unparsed or failed",
        Said("interpretable").cell: "interpretable",
        Said("not_interpretable").cell: "not interpretable",
    }
    assert all(found == expected for found, expected in cells.items()) and len(cells) == 7


@pytest.mark.parametrize(
    ("said", "probability"),
    [
        (Said("interpretable", "yes", confidence=0.7), 0.7),
        (Said("interpretable", "no", confidence=0.2), 0.2),
        (Said("interpretable", "no"), 0.5),
        (Said("not_interpretable", "yes"), 0.5),
        (Said("interpretable", "yes"), 0.9),
        (Said("not_interpretable", "no"), 0.1),
        (Said("unparsed"), 0.5),
        # The normal's tail by table: p = .05 is z = 1.645, p = .001 is 3.090, p = .5 is 0.
        (Said("interpretable", p_value=0.05), 0.5),
        (Said("interpretable", p_value=0.001), 0.9258),
        (Said("not_interpretable", p_value=0.5), 0.05),
        (Said("not_interpretable", p_value=1.0), 0.0),
    ],
)
def test_how_sure_a_machine_is(said, probability):
    assert said.probability == pytest.approx(probability, abs=1e-3)
    assert uncertainty(said) == pytest.approx(
        sqrt(min(max(probability, 0.02), 0.98) * (1 - min(max(probability, 0.02), 0.98))), abs=1e-3
    )


def test_what_was_not_judged_is_as_uncertain_as_can_be():
    assert uncertainty(None) == 0.5


def test_answers_are_read_in_two_queries(model, machine_judges, django_assert_num_queries):
    directions = list(Direction.objects.order_by("pk")[:30])
    judge = machine_judges({it: ("interpretable", "yes", {"p_value": 0.01}) for it in directions}, alpha=0.1)
    with django_assert_num_queries(2):
        found = answers_of(judge, Direction.objects.all())
    assert found == {it.pk: Said("interpretable", "yes", None, 0.01, 0.1) for it in directions}


def test_a_plan_takes_few_queries_whatever_the_size(model, owner, machine_judges, django_assert_max_num_queries):
    judge = machine_judges({it: ("interpretable", "yes", {}) for it in Direction.objects.all()})
    design = design_check(Design(TINY, "stratified", 20, 1, "machine", "proportional", judge.digest))
    with django_assert_max_num_queries(12):
        plan = plan_make(design, ends="one", owner=owner)
    assert isinstance(plan.until, Until) and len(plan.draw().units) == 20
