"""The comparison counted in SQL, against the same worked out in Python over all that stands."""

import random
from itertools import combinations

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judge, Judgement
from labelapp.judgements.services import judge_ensure, verification_record
from labelapp.labelling.blindness import directions_hidden_from, directions_to_judge
from labelapp.labelling.models import Item, Membership
from labelapp.labelling.projects.services import project_create
from labelapp.labelling.services import answer_undo, item_judge
from labelapp.review import crossed as crossed_module
from labelapp.review.crossed import crossed, listed
from labelapp.review.models import CrossedCount
from labelapp.review.selectors import Comparison, comparison
from labelapp.review.services import adjudicate
from labelapp.statistics.agreement_card import agreement_card
from tests.factories import DirectionFactory, cast_project, drawn, machine_says, overlap_set

pytestmark = pytest.mark.django_db
YES, NO, UNSURE = "interpretable", "not_interpretable", "unsure"
WANTED = {"": None, "agree": True, "disagree": False}


def among(ids):
    return Direction.objects.filter(pk__in=ids)


def without(found, taken):
    """A comparison without some directions."""
    people = {pk: said for pk, said in found.people.items() if pk not in taken}
    machines = {pk: said for pk, said in found.machines.items() if pk not in taken}
    return Comparison(people, machines, found.rules)


def listed_in_python(found, wanted, hidden):
    return [pk for pk in sorted(found.people) if wanted is None or (pk not in hidden and found.agreement(pk) is wanted)]


def assert_same(project, user):
    """What SQL counts and lists for a viewer (None: who hides nothing) is what Python does."""
    found, ours = comparison(project), crossed(project, user)
    hidden = set(directions_hidden_from(user, list(found.people))) if user else set()
    apart = set(project.items.filter(exploration=True).values_list("direction_id", flat=True))
    assert (ours.n_items, ours.n_judged, ours.n_hidden) == (project.items.count(), len(found.people), len(hidden))
    assert ours.tables == without(found, hidden | apart).tables
    assert_cards(without(found, hidden | apart), ours)
    for show, wanted in WANTED.items():
        expected = listed_in_python(found, wanted, hidden)
        assert ours.listed[show] == len(expected), show
        for after in (0, *expected[:1], *expected[5:6]):
            behind = [pk for pk in expected if pk > after]
            rows = listed(project, user, ours.verified, show, after=after, n=4)
            assert rows == [(pk, pk in apart) for pk in behind[:4]], (show, after)
            assert [it.direction_id for it in listed(project, user, ours.verified, show, after=after, n=999)] == behind
    return found, ours


def assert_cards(found, ours):
    """Agreement by the function of single items, with the vector of each: the same coefficients and the same draws."""
    vectors = {pk: tuple(it) for pk, *it in Direction.objects.values_list("pk", "matrix_id", "side", "index")}
    said = {}
    for pk, opinions in found.machines.items():
        for it in opinions:
            said.setdefault(it.judge.pk, {})[pk] = {YES: True, NO: False}.get(it.verdict)
    people = {pk: {YES: True, NO: False}.get(verdict) for pk, verdict in found.human.items()}

    def card(first, second):
        both = sorted(pk for pk in first.keys() & second.keys() if None not in (first[pk], second[pk]))
        return agreement_card(
            [first[pk] for pk in both], [second[pk] for pk in both], [vectors[pk] for pk in both], resamples=1000
        )

    for machine in ours.tables:
        assert machine.crossing.card == card(people, said[machine.judge.pk])
        assert machine.crossing.card.n == machine.crossing.n
    expected = {pair: card(*(said[pk] for pk in pair)) for pair in combinations(sorted(said)[-6:], 2)}
    assert {(it.first.pk, it.second.pk): it.card for it in ours.paired} == {
        pair: it for pair, it in expected.items() if it.n
    }


def muddle(seed, project, others, people):
    """Judgements of every kind on the project's directions, and on the same ones in other projects."""
    dice = random.Random(seed)
    for place in (project, *others):
        for user in people:
            judges = place.memberships.filter(user=user, role__in=("owner", "reviewer", "annotator")).exists()
            for item in place.items.order_by("position") if judges else ():
                item.refresh_from_db()
                if item.is_open and dice.random() < 0.5:
                    item_judge(item=item, user=user, verdict=dice.choice([YES, YES, NO, UNSURE]), label="words")
                    if dice.random() < 0.15:
                        answer_undo(project=place, user=user)
                    elif dice.random() < 0.15:
                        item.refresh_from_db()
                        item_judge(item=item, user=user, verdict=NO)  # takes the earlier one's place
    items = list(project.items.select_related("direction").order_by("position"))
    directions = [item.direction for item in items]
    verifier = judge_ensure(type="prompt", name="verifier", parameters={"verifier": 1})
    second = judge_ensure(type="prompt", name="verifier", parameters={"verifier": 2})
    for name, share in (("bare", 0.0), ("checked", 1.0), ("half checked", 0.5)):
        for run in ("run:1", "run:2"):
            said = {
                it: dice.choice([YES, YES, NO, UNSURE, "unparsed", "failed"])
                for it in directions
                if dice.random() < 0.7
            }
            judge = machine_says(said, name=f"{name} {seed}", source=run, type="prompt")
            for row in Judgement.objects.filter(judge=judge, source=run, current=True).order_by("pk"):
                for who in (verifier, second):
                    if dice.random() < share:
                        verification_record(judgement=row, judge=who, answer=dice.choice(["yes", "no", "unparsed"]))
    for item in dice.sample(items, 4):
        Item.objects.filter(pk=item.pk).update(exploration=True, inclusion_probability=None)


@pytest.mark.parametrize("seed", range(4))
def test_random_projects_are_counted_and_listed_as_in_python(seed, owner, reviewer, annotator, make_user):
    project = cast_project(owner, reviewer, annotator, make_user("viewer"), n=60, overlap=2)
    # Both ends of thirty vectors, which intervals keep together.
    Direction.objects.filter(items__project=project, index__gte=30).update(index=F("index") - 30, sign="-")
    third = make_user("third")
    Membership.objects.create(project=project, user=third, role="annotator")
    ids = sorted(project.items.values_list("direction_id", flat=True))
    # The same directions wait elsewhere too: for the reviewer as an annotator who never sees what others said.
    elsewhere = project_create(
        name="Elsewhere", owner=third, directions=among(ids[:9]), guidelines="Judge.", seed=2, reveal=False
    )
    Membership.objects.create(project=elsewhere, user=reviewer, role="annotator")
    another = project_create(name="Another", owner=owner, directions=among(ids[6:15]), guidelines="Judge.", seed=3)
    muddle(seed, project, [elsewhere, another], [owner, reviewer, annotator, third])
    found, ours = assert_same(project, None)
    assert any(max(cells) == 2 or sum(cells) == 2 for it in ours.tables for cells, _ in it.crossing.kinds)
    assert len(ours.paired) == 3
    assert len(ours.tables) == 3 and len(ours.verified) == 2 and ours.agree and ours.disagree
    hidden = [assert_same(project, user)[1].n_hidden for user in (owner, reviewer)]
    assert all(hidden) and max(hidden) < len(found.people), "some are hidden, and some are not"


def test_what_is_hidden_is_the_same_however_it_is_asked(owner, reviewer, annotator, make_user):
    project = cast_project(owner, reviewer, annotator, n=12, overlap=2)
    ids = sorted(project.items.values_list("direction_id", flat=True))
    matrix = project.items.first().direction.matrix
    for index in range(12):
        DirectionFactory(matrix=matrix, index=index, sign="-")
    pairs = drawn(matrix.model, reviewer, "vector")
    answer = {"verdict": "opposites", "label": "words"}
    item_judge(item=pairs.items.first(), user=reviewer, **answer)
    assert pairs.items.count() == 12
    kept = project_create(
        name="Kept", owner=owner, directions=among(ids[:3]), guidelines="Judge.", seed=2, reveal=False
    )
    Membership.objects.create(project=kept, user=annotator, role="annotator")
    muddle(7, project, [kept], [owner, reviewer, annotator])
    every = list(Direction.objects.values_list("pk", flat=True))
    for user in (owner, reviewer, annotator, make_user("nobody")):
        asked = set(directions_hidden_from(user, every))
        assert asked == set(directions_to_judge(user).values_list("pk", flat=True))
        assert asked == hidden_by_hand(user), user.username


def hidden_by_hand(user):
    """By going through every item of the person's projects."""
    found = set()
    for seat in user.memberships.exclude(role="viewer").exclude(project__subject="matrix").select_related("project"):
        mine = set(
            Judgement.every.filter(judge__user=user, source=seat.project.source, current=True).values_list(
                "direction_id", flat=True
            )
        )
        for item in seat.project.items.select_related("direction"):
            is_kept = seat.role == "annotator" and not seat.project.reveal
            if is_kept or (item.is_open and item.direction_id not in mine):
                found.add(item.direction_id)
                if seat.project.subject == "vector":
                    one = item.direction
                    found.add(Direction.objects.get(matrix=one.matrix, side=one.side, index=one.index, sign="-").pk)
    return found


def test_counts_are_kept_until_something_changes(owner, reviewer, annotator):
    project = cast_project(owner, reviewer, annotator, n=6)
    items = list(project.items.order_by("direction_id"))

    def is_counted_anew(user=owner):
        with CaptureQueriesContext(connection) as queries:
            crossed(project, user)
        return any("WITH people AS" in it["sql"] for it in queries)

    def changed(change, what):
        change()
        assert_same_for_all()
        assert not is_counted_anew(), what

    def assert_same_for_all():
        assert_same(project, owner)
        assert_same(project, reviewer)
        assert_same(project, None)

    assert is_counted_anew() and not is_counted_anew()
    assert is_counted_anew(None) and not is_counted_anew(None) and not is_counted_anew(owner)
    changed(lambda: item_judge(item=items[0], user=owner, verdict=YES), "a judgement")
    changed(lambda: item_judge(item=items[0], user=annotator, verdict=NO), "another person's")
    changed(lambda: answer_undo(project=project, user=annotator), "a withdrawal")
    changed(lambda: item_judge(item=items[1], user=annotator, verdict=NO), "one that the owner is still to judge")
    judge = machine_says({it.direction: YES for it in items})
    row = Judgement.objects.get(judge=judge, direction=items[0].direction)
    verifier = judge_ensure(type="prompt", name="verifier", parameters={"verifier": 1})
    changed(lambda: verification_record(judgement=row, judge=verifier, answer="no"), "a verifier's answer")
    changed(lambda: overlap_set(project, 1), "an overlap, which closes items")
    other = cast_project(reviewer, n=1, name="Other")
    changed(lambda: Membership.objects.create(project=other, user=owner, role="annotator"), "a seat elsewhere")
    copy = project_create(
        name="Copy", owner=reviewer, directions=among([items[0].direction_id]), guidelines="Judge.",
        seed=1,
    )  # fmt: skip
    changed(lambda: Membership.objects.create(project=copy, user=owner, role="reviewer"), "the same direction there")
    assert crossed(project, owner).n_hidden == 1
    assert CrossedCount.objects.count() == 3, "one row for each viewer, whose place the next count takes"


def test_an_earlier_judgement_that_is_committed_later_counts(owner, annotator):
    """Its id is not the newest; the sums that go into the state tell."""
    project = cast_project(owner, annotator=annotator, n=3)
    first, second, _ = project.items.order_by("direction_id")
    item_judge(item=first, user=owner, verdict=YES)
    item_judge(item=second, user=owner, verdict=YES)
    late = Judgement.objects.get(direction=first.direction)
    Judgement.objects.filter(pk=late.pk).update(current=False)  # as if it were not there yet
    Item.objects.filter(pk=first.pk).update(n_judged=0)
    assert crossed(project, None).n_judged == 1
    Judgement.objects.filter(pk=late.pk).update(current=True)
    Item.objects.filter(pk=first.pk).update(n_judged=1)
    assert crossed(project, None).n_judged == 2


def test_no_page_reads_all_judgements(owner, annotator, owner_client, monkeypatch):
    """The same queries over few and over many; no more rows come out of them than the page has lines."""
    monkeypatch.setattr("labelapp.review.views.ROWS_A_PAGE", 5)
    monkeypatch.setattr(crossed_module, "WIDEST", 8)
    counted = {}
    for n in (6, 40):
        project = cast_project(owner, annotator=annotator, n=n, name=f"With {n}")
        for item in project.items.all():
            item_judge(item=item, user=owner, verdict=YES)
        machine_says({it.direction: YES for it in project.items.select_related("direction")})
        adjudicate(item=project.items.first(), user=owner, verdict=YES, label="words", reason="", standing=None)
        for show in WANTED:
            for turn in ("first", "again"):
                rows = []
                with monkeypatch.context() as patch, CaptureQueriesContext(connection) as queries:
                    patch.setattr(Judgement, "from_db", counting(Judgement.from_db.__func__, rows))
                    response = owner_client.get(reverse("review:comparison", args=[project.slug]), {"show": show})
                assert response.status_code == 200
                assert len(rows) == (0 if show == "disagree" else 10), "five of a person, five of a machine"
                counted.setdefault((show, turn), []).append(len(queries))
    assert all(few == many for few, many in counted.values()), counted


def counting(read, rows):
    def from_db(cls, db, names, values):
        rows.append(values)
        return read(cls, db, names, values)

    return classmethod(from_db)


def test_a_viewers_open_items_do_not_stop_the_list(owner, reviewer, annotator):
    """Where most wait for the viewer elsewhere the list reads on until a page is full."""
    project = cast_project(owner, reviewer, annotator, n=40, overlap=1)
    for item in project.items.all():
        item_judge(item=item, user=annotator, verdict=YES)
    machine_says({it.direction: YES for it in project.items.select_related("direction")})
    ids = sorted(it.direction_id for it in project.items.all())
    elsewhere = project_create(
        name="Elsewhere", owner=annotator, directions=among(ids[:35]), guidelines="Judge.",
        seed=2,
    )  # fmt: skip
    Membership.objects.create(project=elsewhere, user=owner, role="annotator")
    found = crossed(project, owner)
    assert (found.n_hidden, found.agree) == (35, 5)
    assert [it.direction_id for it in listed(project, owner, (), "agree", after=0, n=4)] == ids[35:39]
    assert Judge.objects.filter(user=owner).count() == 0, "who has judged nothing has no judge"


def test_postgresql_compiles_no_statement():
    """For one page the compiler took three seconds of four; SQLite has none."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == ("off",)
