"""Gold, controls and repeats among the items: planned, blind, answered like items, and counted in nothing of theirs."""

import json
import re
from collections import Counter
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from labelapp.atlas.models import Direction
from labelapp.exchange.rows import export_rows
from labelapp.exchange.subjects import subject_get
from labelapp.judgements.models import Judgement
from labelapp.labelling.blindness import directions_hidden_from, directions_to_judge
from labelapp.labelling.cards import queue_state
from labelapp.labelling.checks import planning
from labelapp.labelling.checks.card import CheckCard
from labelapp.labelling.checks.models import Check, CheckMix, Gold
from labelapp.labelling.checks.planning import AHEAD, checks_plan
from labelapp.labelling.checks.queue import check_judge, last_undo
from labelapp.labelling.checks.services import GoldRow, gold_add, gold_parse, gold_remove, mix_change
from labelapp.labelling.errors import LabellingError
from labelapp.labelling.models import Item, Lease, Project
from labelapp.labelling.projects.design import Design
from labelapp.labelling.projects.selection import ItemSelection
from labelapp.labelling.projects.services import project_draft, project_open
from labelapp.labelling.selectors import queue_progress, seat_of
from labelapp.labelling.services import item_judge, items_verify
from labelapp.review.selectors import comparison
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory, cast_project

pytestmark = pytest.mark.django_db
HX = {"HX-Request": "true"}


@pytest.fixture
def places(db):
    """`tiny`: MLP-in of layer 0 and noise in its place, 60 vectors each; every token tells its direction."""
    model = ModelFactory(name="tiny")
    for control, suffix in (("", ""), ("gaussian", ";gaussian"), ("covariance", ";covariance")):
        matrix = MatrixFactory(
            model=model, circuit="mlp_in", layer=0, head=None, control=control, address=f"mlp_in.0{suffix}"
        )
        Direction.objects.bulk_create(
            DirectionFactory.build(
                matrix=matrix, side="read", index=index, sign=sign,
                tokens=[f" {control or 'real'}{index}{'p' if sign == '+' else 'm'}{n}" for n in range(10)],
            )
            for index in range(60)
            for sign in "+-"
        )  # fmt: skip
    return model


def opened(owner, people=(), *, n=60, name="Beasts", **fields):
    design = Design(ItemSelection(("tiny",), indices=tuple(range(40))), n=n, seed=1)
    project = project_open(project_draft(name=name, owner=owner, guidelines="G", design=design, **fields))
    for user, role in people:
        project.memberships.create(user=user, role=role)
    return project


@pytest.fixture
def project(places, owner, reviewer, annotator):
    return opened(owner, [(reviewer, "reviewer"), (annotator, "annotator")], overlap=2)


def outside(project, n):
    """Directions of the model's own that are no items of the project."""
    rows = Direction.objects.filter(matrix__control="").exclude(items__project=project).order_by("pk")
    return list(rows[:n])


def mix(project, gold=0.0, control=0.0, repeat=0.0, **fields):
    controls = fields.pop("controls", ["gaussian"] if control else [])
    return mix_change(
        project=project, gold_share=gold, control_share=control, repeat_share=repeat, controls=controls, **fields
    )


def gold_of(project, n=20, verdict="interpretable"):
    gold_add(project=project, rows=[GoldRow(it.pk, verdict) for it in outside(project, n)], origin="test")


def plan(project, user):
    checks_plan(seat_of(project, user))
    return seat_of(project, user)


def go(project, user, n, verdict="interpretable", check_verdict=None):
    """Answer the next n cards as the page brings them; what came, "item" or the check's kind."""
    came = []
    for _ in range(n):
        seat = plan(project, user)
        card = queue_state(seat).card
        if card is None:
            break
        if isinstance(card.item, CheckCard):
            said = check_verdict or verdict
            check_judge(check=card.item, user=user, seat=seat, verdict=said, seconds=4)
            came.append(Check.objects.get(pk=card.item.check_id).kind)
        else:
            item_judge(item=card.item, user=user, seat=seat, verdict=verdict, seconds=5)
            Lease.objects.filter(user=user).delete()
            came.append("item")
    return came


# Planning


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


# The page


def page(client, project, query=""):
    return client.get(reverse("labelling:queue", args=[project.slug]) + query).content.decode()


def post(client, act, project, opaque_id=None, **fields):
    args = [project.slug, opaque_id] if opaque_id else [project.slug]
    return client.post(reverse(f"labelling:{act}", args=args), {"verdict": "interpretable"} | fields, headers=HX)


def shown_on(html):
    """The opaque ids of the card and of the one that comes after it."""
    return re.findall(r'<section class="card"[^>]*data-item="([\w-]+)"', html)


def is_check(opaque_id):
    return Check.objects.filter(opaque_id=opaque_id).exists()


def bring(client, project, *, second=True):
    """Judge until a check stands second (or first) on the page; the page."""
    html = page(client, project)
    for _ in range(40):
        ids = shown_on(html)
        if is_check(ids[second]):
            return html
        html = post(client, "judge", project, ids[0], seen="0").content.decode()
    raise AssertionError("no check came")


def test_card_and_page_tell_nothing(project, annotator, annotator_client):
    gold_of(project)
    mix(project, gold=0.15, control=0.15, repeat=0.15, distance=5)
    cards, heads = {}, {}
    html = page(annotator_client, project)
    for n in range(85):
        if n >= 50 and len(cards) == 4:  # which kinds come when is drawn
            break
        if n % 8 == 7:  # the heartbeat plans what comes next
            beat = reverse("labelling:beat", args=[project.slug])
            assert annotator_client.post(beat, {"item": shown_on(html)}, headers=HX).status_code == 204
        first = shown_on(html)[0]
        check = Check.objects.filter(opaque_id=first).first()
        kind = check.kind if check else "item"
        assert not re.search(r"gold|control|gaussian|repeat|check(?!ed|box)|mlp_in", _normal(_card(html)).lower())
        cards[kind] = _normal(_card(html))
        response = post(annotator_client, "judge", project, first, seen="0")
        assert response.status_code == 200
        html = response.content.decode()
        if n > 5:  # by then there is a rate
            heads.setdefault(kind, []).append(_normal(html.split('id="place"')[0]))
        last = html.split('id="last"')[1]
        assert "What others said" in last
        others = annotator_client.get(reverse("labelling:others", args=[project.slug, first]), headers=HX)
        assert others.status_code == 200 and others.content.decode().count("annotator") == 1
    assert set(cards) == {"item", "gold", "control", "repeat"}
    assert len(set(cards.values())) == 1
    assert len({head for found in heads.values() for head in found}) == 1


def _card(html):
    return html.split('<section class="card"')[1].split("</section>")[0]


def _normal(html):
    html = re.sub(r"(real|gaussian|covariance)\d+[pm]\d+", "TOKEN", html)
    html = re.sub(r'data-item="[\w-]+"|/items/[\w-]+/', "ID", html)
    html = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", html)
    html = re.sub(r"· \d+ (s|min|h \d+ min) left|· \d+ a minute", "", html)  # as quick as the machine just is
    return re.sub(r"\d+", "N", html)


def test_the_counter_counts_every_answer(project, annotator, annotator_client):
    mix(project, control=0.3)
    html, seen = page(annotator_client, project), []
    for n in range(1, 25):
        html = post(annotator_client, "judge", project, shown_on(html)[0], seen="0").content.decode()
        assert f"{n} of about" in html
        seen.append(int(re.search(rf"{n} of about (\d+)", html)[1]))
        assert f"{n} in a row" in html or n == 1
    assert Check.objects.filter(is_open=False).exists()
    assert all(it % 10 == 0 for it in seen) and max(seen) - min(seen) <= 20  # 60 items at .3: about 86 answers
    progress = queue_progress(seat_of(project, annotator))
    assert progress.answered == 24 and progress.done + progress.checks == 24 and progress.checks > 0


def test_a_reload_shows_the_same_two(project, annotator_client):
    mix(project, control=0.3)
    ids = shown_on(bring(annotator_client, project))
    assert shown_on(page(annotator_client, project)) == ids
    html = post(annotator_client, "judge", project, ids[0], seen="0").content.decode()
    assert shown_on(html)[0] == ids[1]  # the check is before the person now
    assert shown_on(page(annotator_client, project))[0] == ids[1]


def sql(captured):
    words = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    statements = [it["sql"] for it in captured if it["sql"].split()[0] not in words]
    return [it for it in statements if "django_session" not in it and 'FROM "accounts_user"' not in it]


def test_a_saved_answer_takes_at_most_eight_queries(project, annotator_client, django_assert_max_num_queries):
    gold_of(project)
    mix(project, gold=0.2, control=0.1)
    html, found = page(annotator_client, project), Counter()
    post(annotator_client, "judge", project, shown_on(html)[0], seen="0")
    html = page(annotator_client, project)
    for _ in range(25):
        ids = shown_on(html)
        with django_assert_max_num_queries(30) as captured:
            html = post(annotator_client, "judge", project, ids[0], seen="0").content.decode()
        found[tuple(map(is_check, [ids[0], *shown_on(html)]))] += 1
        assert len(sql(captured)) <= 8, sql(captured)
    assert {it[0] for it in found} == {True, False}  # checks were answered,
    assert any(any(it[1:]) for it in found)  # and brought


# Answers


def test_answers_to_checks_are_no_judgements_of_the_project(project, annotator, reviewer, reviewer_client):
    gold_of(project)
    mix(project, gold=0.2, control=0.2, repeat=0.1, distance=5)
    came = go(project, annotator, 50)
    n = came.count("item")
    assert n < 50 and project.items.filter(n_judged=1).count() == n
    assert items_verify() == []
    assert queue_progress(seat_of(project, annotator)).done == n
    assert Judgement.objects.filter(source=project.source, current=True).count() == n
    assert Judgement.objects.filter(source=f"checks:{project.pk}", current=True).count() == 50 - n
    rows = list(export_rows(subject_get(f"project:{project.slug}", None)))
    assert len(rows) == 60
    assert sum(len(row["judgements"]) for row in rows) == n
    assert {it["source"] for row in rows for it in row["judgements"]} == {project.source}
    found = comparison(project)
    assert len(found.people) == n and all(len(said) == 1 for said in found.people.values())


def test_a_double_click_is_one_answer_and_another_tab_is_told(project, annotator, annotator_client):
    mix(project, control=0.4)
    check = shown_on(bring(annotator_client, project, second=False))[0]
    for _ in range(3):
        assert post(annotator_client, "judge", project, check, seen="0").status_code == 200
    rows = Judgement.objects.filter(source=f"checks:{project.pk}")
    assert rows.count() == 1
    response = post(annotator_client, "judge", project, check, verdict="unsure", seen="0")
    assert response.status_code == 422 and "in another tab" in response.content.decode()
    assert rows.count() == 1
    assert post(annotator_client, "judge", project, check, verdict="unsure", seen="1").status_code == 200
    assert rows.count() == 2 and rows.get(current=True).blind is False
    bad = post(annotator_client, "judge", project, check, label="x" * 201, seen="2")
    assert bad.status_code == 422 and "A label may have 200" in bad.content.decode() and rows.count() == 2


@pytest.mark.parametrize("headers", [{}, HX])
def test_undo_brings_a_check_back_as_it_was_answered(project, annotator, annotator_client, headers):
    mix(project, control=0.4)
    check = shown_on(bring(annotator_client, project, second=False))[0]
    post(annotator_client, "judge", project, check, label="pets", verdict="unsure", seen="0")
    path = reverse("labelling:undo", args=[project.slug])
    html = annotator_client.post(path, headers=headers, follow=not headers).content.decode()
    assert shown_on(html)[0] == check and 'value="pets"' in html and "You had answered" in html
    assert not Judgement.objects.filter(source=f"checks:{project.pk}", current=True).exists()
    assert Check.objects.get(opaque_id=check).is_open
    assert post(annotator_client, "judge", project, check, verdict="interpretable", seen="2").status_code == 200
    assert Judgement.objects.get(source=f"checks:{project.pk}", current=True).blind is False


def test_undo_takes_back_the_last_of_both(project, annotator, annotator_client):
    mix(project, control=0.4)
    html = page(annotator_client, project)
    order = []
    for _ in range(15):
        order.append(shown_on(html)[0])
        html = post(annotator_client, "judge", project, order[-1], seen="0").content.decode()
    assert any(map(is_check, order)) and not all(map(is_check, order))
    for opaque_id in reversed(order):
        assert last_undo(seat_of(project, annotator)).opaque_id == opaque_id
    assert last_undo(seat_of(project, annotator)) is None
    assert not Judgement.objects.filter(current=True).exists()
    assert not project.items.filter(n_judged__gt=0).exists()


def test_a_skipped_check_comes_when_nothing_else_is_left(project, annotator, annotator_client):
    mix(project, control=0.4)
    ids = shown_on(bring(annotator_client, project, second=False))
    response = post(annotator_client, "skip", project, ids[0], why="too_hard")
    assert response.status_code == 200 and ids[0] not in shown_on(response.content.decode())
    assert Check.objects.get(opaque_id=ids[0]).skip_reason == "too_hard"
    html = post(annotator_client, "undo", project).content.decode()
    assert shown_on(html)[0] == ids[0] and Check.objects.get(opaque_id=ids[0]).skipped_at is None
    post(annotator_client, "skip", project, ids[0])
    Check.objects.filter(skipped_at=None, is_open=True).delete()
    project.items.update(is_open=False)
    html = page(annotator_client, project)
    assert shown_on(html) == [ids[0]]
    assert "Nothing is left" in post(annotator_client, "judge", project, ids[0], seen="0").content.decode()
    assert post(annotator_client, "skip", project, ids[0], why="bored").status_code == 422


def test_the_heartbeat_knows_checks_and_plans(project, annotator, annotator_client):
    mix(project, control=0.4)
    ids = shown_on(bring(annotator_client, project, second=False))
    Lease.objects.update(until=timezone.now() - timedelta(minutes=1))
    planned = Check.objects.filter(is_open=True).order_by("-ordinal").exclude(opaque_id__in=ids)
    planned.delete()
    path = reverse("labelling:beat", args=[project.slug])
    assert annotator_client.post(path, {"item": ids}, headers=HX).status_code == 204
    assert Lease.objects.filter(item__opaque_id__in=ids, until__gt=timezone.now()).count() == 1
    assert Check.objects.filter(is_open=True).exclude(opaque_id__in=ids).exists()


def test_a_check_is_one_persons_own(project, annotator_client, reviewer_client, outsider_client):
    mix(project, control=0.4)
    check = shown_on(bring(annotator_client, project, second=False))[0]
    for client in (reviewer_client, outsider_client):
        for act in ("judge", "skip"):
            assert post(client, act, project, check, seen="0").status_code == 404
    assert reviewer_client.get(reverse("labelling:others", args=[project.slug, check])).status_code == 404
    assert annotator_client.get(reverse("labelling:others", args=[project.slug, check])).status_code == 403
    assert reviewer_client.get(reverse("labelling:queue", args=[project.slug]), {"item": check}).status_code == 404
    assert not Judgement.objects.filter(source=f"checks:{project.pk}").exists()


def test_a_removed_member_is_told_and_nothing_is_written(project, annotator, annotator_client):
    mix(project, control=0.4)
    ids = shown_on(bring(annotator_client, project, second=False))
    assert directions_hidden_from(annotator, [Check.objects.get(opaque_id=ids[0]).direction_id])
    project.memberships.filter(user=annotator).delete()
    n = Judgement.objects.count()
    for act in ("judge", "skip"):
        response = post(annotator_client, act, project, ids[0], seen="0")
        assert response.status_code == 404 and "There is no project" in response.content.decode()
    assert Judgement.objects.count() == n
    assert not directions_hidden_from(annotator, [Check.objects.get(opaque_id=ids[0]).direction_id])


def test_a_paused_project_takes_no_answer_to_a_check(project, annotator_client):
    mix(project, control=0.4)
    check = shown_on(bring(annotator_client, project, second=False))[0]
    Project.objects.update(state="paused")
    for act in ("judge", "skip"):
        response = post(annotator_client, act, project, check, seen="0")
        assert response.status_code == 422 and "is paused" in response.content.decode()
    assert not Judgement.objects.filter(source=f"checks:{project.pk}").exists()


def test_the_atlas_hides_what_is_to_come(project, annotator, outsider, annotator_client, outsider_client):
    mix(project, control=0.4)
    plan(project, annotator)
    check = Check.objects.order_by("ordinal").first()
    direction = check.direction
    assert directions_hidden_from(annotator, [direction.pk]) == {direction.pk: "Beasts"}
    assert directions_to_judge(annotator).filter(pk=direction.pk).exists()
    assert not directions_hidden_from(outsider, [direction.pk])
    address = reverse("atlas:direction", args=[direction.key])
    token = direction.tokens[0].strip()
    assert token in outsider_client.get(address).content.decode()
    assert token not in annotator_client.get(address).content.decode()


def test_odd_tokens_survive_the_snapshot(places, owner, annotator, annotator_client):
    project = opened(owner, [(annotator, "annotator")])
    odd = ["\x00", "\udce2\udc80", "<script>alert(1)</script>", *[f" t{n}" for n in range(7)]]
    Direction.objects.filter(matrix__control="gaussian").update(tokens=odd, scores=None)
    mix(project, control=0.4)
    html = _card(bring(annotator_client, project, second=False))
    assert "\\x00" in html and "\\xe2\\x80" in html and "&lt;script&gt;" in html and "of the best score" not in html


# Gold


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


def test_a_snapshot_holds_what_the_card_shows_and_no_key(project, annotator):
    mix(project, control=0.4)
    plan(project, annotator)
    stored = json.loads(Check.objects.first().snapshot)
    assert len(stored["tokens"]) == project.tokens_shown and "gaussian" not in json.dumps(
        {name: value for name, value in stored.items() if name != "tokens"}
    )


def test_a_project_without_a_selection_takes_its_models_noise(owner, annotator):
    project = cast_project(owner, annotator=annotator, n=20)
    matrix = project.items.first().direction.matrix
    noise = MatrixFactory(model=matrix.model, head=9, control="gaussian", address="ov.0.9;gaussian")
    DirectionFactory.create_batch(5, matrix=noise)
    mix(project, control=0.3)
    assert "control" in go(project, annotator, 25)
