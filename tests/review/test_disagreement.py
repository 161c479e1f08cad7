"""The disagreement queue: who differs, what a decision would tell, worked out by hand; filters, pages, queries."""

import pytest
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.atlas.panels import hidden_from
from labelapp.judgements.models import Judge, Judgement, Verdict, Verification
from labelapp.judgements.rules import Answers, rule_for, verdicts_of
from labelapp.judgements.services import Draft, judge_ensure, judgements_record_new, verification_record
from labelapp.labelling.models import Item, Membership
from labelapp.labelling.projects.services import project_change, project_create
from labelapp.labelling.services import answer_undo
from labelapp.review.disagreement import ROWS_A_PAGE, item_ranked, queue_of
from labelapp.review.filters import CELLS, KIND_NAMES, FilterError, Filters, filters_of
from labelapp.review.label_tallies import tallies_verify
from labelapp.review.models import Disagreement
from labelapp.review.scores import scored, scores_verify, scores_write_all
from labelapp.review.services import adjudicate, adjudication_undo
from tests.factories import DirectionFactory, MatrixFactory, cast_project, machine_says

pytestmark = pytest.mark.django_db
YES, NO, UNSURE = "interpretable", "not_interpretable", "unsure"
EVERYTHING = Filters(state="")


@pytest.fixture(autouse=True)
def kept_right(db):
    """Whatever a test did, what is kept is what stands."""
    yield
    assert tallies_verify() == scores_verify() == []


def queue(project, viewer, filters=EVERYTHING, show_hidden=True):
    return queue_of([project], filters, viewer, show_hidden=show_hidden).page(filters.kind, None, 1000)


def verified(judge, answers):
    """A verifier's answers to a judge's standing judgements, by direction."""
    verifier = judge_ensure(type="prompt", name="verifier", parameters={"verifier": 1})
    for direction, answer in answers.items():
        row = Judgement.objects.get(judge=judge, direction=direction, current=True)
        verification_record(judgement=row, judge=verifier, answer=answer)


def page_of(client, project, status=200, **query):
    response = client.get(reverse("review:disagreements", args=[project.slug]), query)
    assert response.status_code == status
    return response.content.decode()


def test_who_differs(project, items, owner, annotator, judge_all):
    judge_all(items, owner, [YES, YES, YES, "", UNSURE, YES])
    judge_all(items, annotator, [NO, YES, "", "", YES, YES])
    ones = [it.direction for it in items]
    machine_says({ones[1]: NO, ones[2]: YES, ones[3]: YES, ones[4]: "unparsed", ones[5]: YES})
    machine_says({ones[3]: NO}, name="another", source="run:2")
    found = {it.item_id: it.kinds for it in queue(project, owner)}
    assert found == {items[0].pk: ["people"], items[1].pk: ["people_machine"], items[3].pk: ["machine"]}
    counts = queue_of([project], EVERYTHING, owner, show_hidden=True).counts().kinds
    assert counts == {"any": 3, "people": 1, "people_machine": 1, "machine": 1}


def test_what_a_decision_would_tell(project, items, owner, annotator, reviewer, judge_all):
    judge_all(items, owner, [YES, YES, YES])
    judge_all(items, annotator, [NO, YES, YES])
    judge_all(items, reviewer, ["", YES, NO])
    for name in ("one", "two", "three"):
        machine_says({items[1].direction: NO}, name=name, source=f"run:{name}")
    Item.objects.filter(pk=items[0].pk).update(inclusion_probability=0.25)
    Item.objects.filter(pk=items[1].pk).update(inclusion_probability=0.5)
    scores_write_all(project)
    first, second, third = queue(project, owner)
    # people 3 : 0, machines 0 : 3: the two sides weigh the same, p = (1 + 0) / 2, six judges, π = 1/2
    assert (first.item_id, first.uncertainty, first.weight, first.score) == (items[1].pk, 1.0, 6, 12.0)
    # people 1 : 1, p = 1/2, two judges, π = 1/4
    assert (second.item_id, second.uncertainty, second.weight, second.score) == (items[0].pk, 1.0, 2, 8.0)
    # people 2 : 1, 4 · 2/3 · 1/3 = 8/9, three judges, π = 1
    assert (third.item_id, third.weight) == (items[2].pk, 3)
    assert third.uncertainty == pytest.approx(8 / 9) and third.score == pytest.approx(24 / 9)
    assert item_ranked(items[2]).score == third.score


def test_a_verifier_that_contradicts_its_labeler_is_half_a_vote(project, items, owner, judge_all):
    ones = [it.direction for it in items]
    judge = machine_says({ones[0]: YES, ones[1]: NO, ones[2]: YES, ones[3]: NO}, name="few-shot", type="prompt")
    verified(judge, {ones[0]: "no", ones[1]: "yes", ones[2]: "yes", ones[3]: "no"})
    found = {it.item_id: it for it in queue(project, owner)}
    assert set(found) == {items[0].pk, items[1].pk}
    for it in found.values():
        assert (it.kinds, it.uncertainty, it.ruled_yes, it.ruled_no) == (["machine"], 1.0, 0, 1)
    judge_all(items[:1], owner, [NO])  # people 0, machines 1/2: p = 1/4
    assert item_ranked(items[0]).uncertainty == pytest.approx(0.75)


def test_one_machine_in_two_runs_can_differ_with_itself(project, items, owner):
    machine_says({items[0].direction: YES}, source="run:1")
    machine_says({items[0].direction: NO}, source="run:2")
    (found,) = queue(project, owner)
    assert (found.kinds, found.weight) == (["machine"], 1)  # two answers of one judge


@pytest.mark.parametrize("verdict", [YES, NO, UNSURE, "unparsed", "failed"])
@pytest.mark.parametrize("answer", [None, *Verification.Answer.values])
def test_the_rule_in_sql_is_the_rule(project, items, owner, verdict, answer):
    """Every cell of labeler × verifier, against the functions that define the rules."""
    direction = items[0].direction
    judge = machine_says({direction: verdict}, name="few-shot", type="prompt")
    if answer:
        verified(judge, {direction: answer})
    said = Answers(verdict, "", answer)
    ruled = rule_for(has_verifier=answer is not None).verdict(said)
    (weighed,) = scored([items[0].pk])
    assert (weighed.ruled_yes, weighed.ruled_no) == (int(ruled == YES), int(ruled == NO))
    two_valued = {it for it in verdicts_of(said).values() if it in (Verdict.INTERPRETABLE, Verdict.NOT_INTERPRETABLE)}
    differs = verdict in (YES, NO) and answer in ("yes", "no") and len(two_valued) == 2
    assert weighed.machine is differs and Disagreement.objects.filter(score__gt=0).count() == differs


def test_what_was_withdrawn_or_said_elsewhere_does_not_count(project, items, owner, annotator, judge_all):
    judge_all(items, owner, [YES])
    judge_all(items, annotator, [NO])
    assert len(queue(project, owner)) == 1
    answer_undo(project=project, user=annotator)
    other = cast_project(owner, annotator=annotator, name="Other", n=1)
    Item.objects.filter(project=other).update(direction=items[0].direction_id)
    scores_write_all()
    judge_all(list(other.items.select_related("project", "direction")), annotator, [NO])
    assert queue(project, owner) == []


def test_items_of_other_projects_on_the_same_direction_are_not_listed(project, items, owner):
    other = cast_project(owner, name="Other", n=1)
    Item.objects.filter(project=other).update(direction=items[0].direction_id)
    scores_write_all()
    machine_says({items[0].direction: YES}, source="run:1")
    machine_says({items[0].direction: NO}, source="run:2")
    (found,) = queue(project, owner)
    assert (found.item_id, found.ruled_yes, found.ruled_no) == (items[0].pk, 1, 1)
    assert [it.item_id for it in queue(other, owner)] == [other.items.get().pk]


def test_of_two_verifiers_the_last_one_counts_once(project, items, owner):
    judge = machine_says({items[0].direction: YES}, name="few-shot", type="prompt")
    verified(judge, {items[0].direction: "yes"})
    second = judge_ensure(type="prompt", name="second verifier", parameters={"verifier": 2})
    row = Judgement.objects.get(judge=judge, current=True)
    verification_record(judgement=row, judge=second, answer="no")
    (found,) = queue(project, owner)
    assert (found.ruled_yes, found.ruled_no, found.weight, found.uncertainty) == (0, 1, 1, 1.0)


def test_an_item_without_a_probability_is_ranked_as_if_it_were_1(project, items, owner):
    machine_says({items[0].direction: YES}, source="run:1")
    machine_says({items[0].direction: NO}, source="run:2")
    Item.objects.filter(pk=items[0].pk).update(inclusion_probability=None, exploration=True)
    scores_write_all(project)
    (row,) = queue(project, owner)
    assert (row.score, row.uncertainty, row.weight) == (1.0, 1.0, 1)


def test_hidden_items_are_left_out_until_they_are_asked_for(project, items, owner, annotator, judge_all, owner_client):
    judge_all(items, annotator, [YES, YES])
    machine_says({items[0].direction: NO, items[1].direction: NO})
    judge_all(items, owner, [YES])
    html = page_of(owner_client, project)
    assert str(items[0].direction.key) in html and str(items[1].direction.key) not in html
    assert "5 items of this project are still in your own queue" in html
    assert 'All <span class="num">1</span>' in html
    html = page_of(owner_client, project, all="1")
    assert str(items[1].direction.key) in html and "still in your own queue" not in html


def test_the_state(project, items, owner):
    for item in items[:2]:
        machine_says({item.direction: YES}, source="run:1")
        machine_says({item.direction: NO}, source="run:2")
    adjudicate(item=items[0], user=owner, verdict=YES)
    shown = {state: [it.item_id for it in queue(project, owner, Filters(state=state))] for state in ("open", "decided")}
    assert shown == {"open": [items[1].pk], "decided": [items[0].pk]}
    assert len(queue(project, owner)) == 2


@pytest.fixture
def places(owner):
    """Two matrices of two models, with a machine that contradicts itself on every direction."""
    first, second = MatrixFactory(circuit="mlp_in", layer=0, head=None), MatrixFactory(circuit="ov", layer=1, head=0)
    for matrix in (first, second):
        for sign in "+-":
            DirectionFactory(matrix=matrix, index=0, sign=sign)
    project = cast_project(owner, n=1)
    project.items.all().delete()
    directions = [it for matrix in (first, second) for it in matrix.directions.order_by("sign")]
    for position, direction in enumerate(directions):
        Item.objects.create(project=project, direction=direction, position=position, inclusion_probability=1.0)
        machine_says({direction: YES}, source="run:1")
        machine_says({direction: NO}, source="run:2")
    return project, directions


def test_filters_by_place(places, owner):
    project, ones = places
    model = ones[0].matrix.model_id

    def found(**fields):
        names = {it.pk: it.direction_id for it in project.items.all()}
        return {names[it.item_id] for it in queue(project, owner, Filters(state="", **fields))}

    assert found() == {it.pk for it in ones}
    assert found(model=model) == {ones[0].pk, ones[1].pk}
    assert found(circuit="ov") == {ones[2].pk, ones[3].pk}
    assert found(layer="0") == {ones[0].pk, ones[1].pk}
    assert found(sign="-") == {it.pk for it in ones if it.sign == "-"}
    assert found(circuit="ov", sign="+") == {it.pk for it in ones[2:] if it.sign == "+"}
    assert found(circuit="mlp_out") == set()


def test_filters_by_judge_and_cell(project, items, owner):
    ones = [it.direction for it in items]
    few_shot = machine_says({ones[0]: YES, ones[1]: NO}, name="few-shot", type="prompt")
    verified(few_shot, {ones[0]: "no", ones[1]: "yes"})
    other = machine_says({ones[2]: YES}, name="other", source="run:2")
    machine_says({ones[2]: NO}, name="third", source="run:3")

    def found(**fields):
        return {it.item_id for it in queue(project, owner, Filters(state="", **fields))}

    assert found(judge=few_shot.pk) == {items[0].pk, items[1].pk}
    assert found(judge=other.pk) == {items[2].pk}
    cells = {cell: found(cell=cell) for cell in CELLS}
    assert cells == {
        "meaning-yes": set(), "meaning-no": {items[0].pk}, "none-yes": {items[1].pk}, "none-no": set(),
    }  # fmt: skip
    assert found(judge=other.pk, cell="meaning-no") == set()


def test_the_filter_by_a_person_is_of_the_items_own_project(project, items, owner, annotator, judge_all):
    """What the person says of the same directions in another project is no answer here; undone it is none either."""
    ones = [it.direction for it in items]
    elsewhere = project_create(
        name="Elsewhere", owner=owner, directions=Direction.objects.filter(pk__in=[it.pk for it in ones]),
        guidelines="Judge.",
    )  # fmt: skip
    for one in ones[:4]:
        machine_says({one: YES}, source="run:1")
        machine_says({one: NO}, source="run:2", name="second")
    judge_all(items[:2], owner, [YES, UNSURE])
    there = list(elsewhere.items.select_related("project", "direction").order_by("direction_id"))
    judge_all(there[2:4], owner, [NO, NO])
    person = Filters(state="", judge=Judge.objects.get(user=owner).pk)

    def found(projects):
        page = queue_of(projects, person, owner, show_hidden=True).page("", None, 1000)
        return {it.item_id for it in page}

    assert found([project]) == {it.pk for it in items[:2]}
    assert found([elsewhere]) == {it.pk for it in there[2:4]}
    assert found([project, elsewhere]) == found([project]) | found([elsewhere])
    answer_undo(project=project, user=owner)
    assert found([project]) == {items[0].pk}
    assert queue(project, owner, Filters(state="", judge=10 * person.judge + 1)) == []  # ",1," is not in ",11,"


@pytest.mark.parametrize(
    "query",
    [
        {"kind": "x"}, {"state": "x"}, {"model": "x"}, {"model": "9" * 40}, {"layer": "-1"}, {"layer": "²"},
        {"circuit": "x"}, {"sign": "x"}, {"judge": "x"}, {"cell": "x"}, {"audit": "x"},
    ],
)  # fmt: skip
def test_a_made_up_filter_is_one_sentence_and_not_found(project, owner_client, query):
    with pytest.raises(FilterError, match=r"is no \w+;"):
        filters_of(query)
    page_of(owner_client, project, status=404, **query)


@pytest.mark.parametrize("after", ["x", "1", "1,x", "nan,1", "inf,1", "-1,1", "1,-1", "1," + "9" * 40])
def test_a_made_up_place_is_not_found(project, owner_client, after):
    page_of(owner_client, project, status=404, after=after)


def test_what_is_kept_follows_every_change(project, items, owner, annotator, judge_all):
    """A correction, an undo, a decision and its undoing, another overlap, a draw of what machines have judged."""
    first = items[0]

    def kept():
        row = Disagreement.objects.filter(item=first.pk, score__gt=0).first()
        return row and (row.people_yes, row.people_no, row.is_open, row.is_decided)

    judge_all([first], owner, [YES])
    assert kept() is None
    judge_all([first], annotator, [NO])
    assert kept() == (1, 1, True, False)
    judge_all([first], annotator, [YES])
    assert kept() is None
    judge_all([first], annotator, [NO])
    adjudicate(item=first, user=owner, verdict=YES)
    assert kept() == (1, 1, True, True)
    adjudication_undo(project=project, user=owner)
    assert kept() == (1, 1, True, False)
    project_change(project, name=project.name, overlap=2, reveal=True)
    assert kept() == (1, 1, False, False)
    answer_undo(project=project, user=annotator)
    assert kept() is None
    machine_says({items[1].direction: YES}, source="run:1")
    machine_says({items[1].direction: NO}, source="run:2")
    directions = Direction.objects.filter(pk=items[1].direction_id)
    drawn = project_create(name="Drawn later", owner=owner, directions=directions, guidelines="Judge.")
    assert [it.item_id for it in queue(drawn, owner)] == [drawn.items.get().pk]


def test_many_judgements_at_once_are_weighed(project, items, owner):
    one, two = (judge_ensure(type="prompt", name=name, parameters={"name": name}) for name in ("one", "two"))
    for judge, verdict in ((one, YES), (two, NO)):
        drafts = [Draft(it.direction_id, verdict) for it in items[:3]]
        judgements_record_new(judge=judge, source="run:1", drafts=drafts)
    assert {it.item_id for it in queue(project, owner)} == {it.pk for it in items[:3]}


def test_verify_names_and_mends_what_is_not_what_stands(project, items, owner):
    for item in items[:2]:
        machine_says({item.direction: YES}, source="run:1")
        machine_says({item.direction: NO}, source="run:2")
    Disagreement.objects.filter(item=items[0].pk).update(ruled_no=7)
    Disagreement.objects.filter(item=items[1].pk).delete()
    assert len(scores_verify()) == 2
    Disagreement.objects.filter(item=items[0].pk).update(ruled_no=1, judges=[1, 10**12])
    assert len(scores_verify()) == 2
    lines = scores_verify(repair=True)
    assert [f"item {it.opaque_id} of" in line for it, line in zip(items, lines, strict=False)] == [True, True]


def test_what_is_seen_is_what_may_be_seen(owner, annotator, reviewer, judge_all):
    """Against the check that every page asks, with items open, closed, judged, and waiting in another project."""
    one = cast_project(owner, reviewer, annotator, n=8, overlap=2)
    items = list(one.items.select_related("project", "direction").order_by("pk"))
    directions = Direction.objects.filter(pk__in=[it.direction_id for it in items[2:6]])
    two = project_create(name="Two", owner=reviewer, directions=directions, guidelines="Judge.", seed=3)
    Membership.objects.create(project=two, user=owner, role="annotator")
    three = project_create(
        name="Three",
        owner=reviewer,
        directions=Direction.objects.filter(pk=items[4].direction_id),
        guidelines="Judge.",
        reveal=False,
    )
    Membership.objects.create(project=three, user=owner, role="annotator")
    for item in items:
        machine_says({item.direction: YES}, source="run:1")
        machine_says({item.direction: NO}, source="run:2")
    judge_all(items, annotator, [YES, YES, YES, YES, "", "", YES, YES])
    judge_all(items, reviewer, [YES, "", YES, "", "", YES, "", ""])
    judge_all(items, owner, ["", YES, "", YES, YES, "", "", YES])
    judge_all(list(two.items.select_related("project", "direction").order_by("direction_id")), owner, [YES, YES, ""])
    for viewer in (owner, annotator, reviewer):
        for projects in ([one], [two], [one, two, three]):
            mine = [it for it in projects if it.memberships.filter(user=viewer).exists()]
            if not mine:
                continue
            every = {row.item_id: row.direction_id for row in Disagreement.objects.filter(project__in=mine)}
            hidden = hidden_from(viewer, list(every.values()))
            found = queue_of(mine, EVERYTHING, viewer)
            page = found.page("", None, 100)
            assert page == sorted(page, key=lambda row: (-row.score, row.item_id))
            seen = [row.item_id for row in page]
            assert set(seen) == {pk for pk, direction in every.items() if direction not in hidden}
            counts = found.counts()
            assert (counts.kinds["any"], counts.n_hidden) == (len(seen), len(every) - len(seen))


def test_the_queue_of_all_projects(project, items, owner, annotator, judge_all, owner_client, annotator_client):
    other = cast_project(annotator, owner, name="Other animals", n=2, overlap=1)
    theirs = list(other.items.select_related("project", "direction__matrix__model").order_by("pk"))
    judge_all(items[:1], owner, [YES])
    judge_all(items[:1], annotator, [NO])
    judge_all(theirs, annotator, [YES, YES])
    machine_says({theirs[0].direction: NO})
    html = owner_client.get(reverse("review:disagreements_everywhere")).content.decode()
    assert [f">{it.direction.key}</a>" in html for it in (items[0], theirs[0], theirs[1])] == [True, True, False]
    assert "2 projects that you review" in html and "Other animals" in html
    address = reverse("review:item", args=[project.slug, items[0].opaque_id]) + "?in=everywhere"
    assert address in html
    # From an item of one project to the next one, of another.
    page = owner_client.get(address).content.decode()
    assert reverse("review:item", args=[other.slug, theirs[0].opaque_id]) + "?in=everywhere" in page
    decided = owner_client.post(
        reverse("review:decide", args=[project.slug, items[0].opaque_id]) + "?in=everywhere", {"verdict": YES}
    )
    assert decided.url == reverse("review:item", args=[other.slug, theirs[0].opaque_id]) + "?in=everywhere"
    undone = owner_client.post(reverse("review:undo_everywhere") + "?in=everywhere")
    assert undone.url == address
    again = owner_client.post(reverse("review:undo_everywhere") + "?in=everywhere")
    assert again.url == reverse("review:disagreements_everywhere")
    html = annotator_client.get(reverse("review:disagreements_everywhere")).content.decode()
    assert f">{items[0].direction.key}</a>" not in html and f">{theirs[0].direction.key}</a>" in html


def test_who_reviews_nothing_sees_nothing(project, items, outsider_client):
    machine_says({items[0].direction: YES}, source="run:1")
    machine_says({items[0].direction: NO}, source="run:2")
    html = outsider_client.get(reverse("review:disagreements_everywhere")).content.decode()
    assert "Nobody disagrees here" in html and str(items[0].direction.key) not in html


def test_filters_go_into_the_address_and_come_back():
    filters = Filters("machine", "decided", 3, "ov", "0", "-", 7, "none-yes", "generic")
    assert filters_of(filters.pairs() | {"model": "3", "judge": "7"}) == filters
    assert Filters().query == "" and set(KIND_NAMES) == {"people", "people_machine", "machine"}


def test_pages_go_on_by_key(owner, owner_client, judge_all):
    project = cast_project(owner, n=ROWS_A_PAGE + 3)
    ones = list(project.items.select_related("direction__matrix__model").order_by("pk"))
    machine_says({it.direction: YES for it in ones}, source="run:1")
    machine_says({it.direction: NO for it in ones}, source="run:2")
    Item.objects.filter(pk=ones[-1].pk).update(inclusion_probability=1 / 3)
    scores_write_all()
    html = page_of(owner_client, project, all="1")
    ids = [it.item_id for it in queue(project, owner)]
    assert ids == [ones[-1].pk, *(it.pk for it in ones[:-1])]  # the largest score first, then by id
    query = html.split("Next page")[0].rpartition('href="?')[2].partition('"')[0].replace("&amp;", "&")
    response = owner_client.get(reverse("review:disagreements", args=[project.slug]) + "?" + query)
    second = response.content.decode()
    shown = [str(it.direction.key) in second for it in ones]
    assert shown == [False] * (ROWS_A_PAGE - 1) + [True] * 3 + [False]
    assert "Next page" not in second and "First page" in second


def test_the_number_of_queries_is_fixed(owner, annotator, owner_client, judge_all, django_assert_max_num_queries):
    counted = []
    for n in (3, 45):
        project = cast_project(owner, annotator=annotator, n=n, name=f"With {n}")
        items = list(project.items.select_related("project", "direction"))
        judge_all(items, owner, [YES] * n)
        judge_all(items, annotator, [NO] * n)
        machine_says({it.direction: YES for it in items})
        page_of(owner_client, project)
        with django_assert_max_num_queries(17):
            page_of(owner_client, project)
        counted.append(n)
    assert counted == [3, 45]


def test_empty_queues_teach(project, owner_client):
    assert "Nobody disagrees here. An item comes here when two people differ" in page_of(owner_client, project)
    assert "Nobody disagrees here under these filters" in page_of(owner_client, project, circuit="ov")
    assert "No disagreement is decided yet." in page_of(owner_client, project, state="decided")
