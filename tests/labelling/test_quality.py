"""How well people judge, how far they are, and how many labels are wanted: known answers, roles, live parts."""

import json
from datetime import timedelta
from io import StringIO

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from labelapp.atlas.models import Direction
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import Draft, judge_of_user, judgement_record
from labelapp.labelling.checks.models import Check, CheckMix, Gold
from labelapp.labelling.checks.services import GoldRow, gold_add, mix_change
from labelapp.labelling.models import Lease, Project, Skip
from labelapp.labelling.progress.label_plan import label_plan, machines_of
from labelapp.labelling.progress.quality import OWN_STEP, quality
from labelapp.labelling.progress.selectors import project_progress
from labelapp.labelling.services import item_judge, item_skip
from labelapp.review.truth import truth_freeze
from labelapp.review.truth_rules import truth_rule
from labelapp.statistics.estimation import labels_needed
from tests.factories import DirectionFactory, MatrixFactory, cast_project, machine_says

pytestmark = pytest.mark.django_db
YES, NO, UNSURE = "interpretable", "not_interpretable", "unsure"
HX = {"HX-Request": "true"}


@pytest.fixture
def viewer(make_user):
    return make_user("viewer")


@pytest.fixture
def project(owner, reviewer, annotator, viewer):
    return cast_project(owner, reviewer, annotator, viewer, n=40, overlap=2)


@pytest.fixture
def others(project):
    """Directions of the same model outside the project: `others["own"]` and `others["gaussian"]`, 40 of each."""
    model = project.items.first().direction.matrix.model
    own = MatrixFactory(model=model, address="ov.1.0", layer=1, head=0)
    noise = MatrixFactory(model=model, address="ov.1.0;gaussian", layer=1, head=0, control="gaussian")
    return {
        name: [DirectionFactory(matrix=matrix, index=index) for index in range(40)]
        for name, matrix in (("own", own), ("gaussian", noise))
    }


def address(name, project, *args):
    return reverse(f"labelling:{name}", args=[project.slug, *args])


def judge_items(project, user, verdicts, seconds=6.0):
    """These verdicts on the first items, in the queue's order."""
    for item, verdict in zip(project.items.order_by("position"), verdicts, strict=False):
        item_judge(item=item, user=user, verdict=verdict, seconds=seconds)


def answered(project, user, kind, rows, first=None):
    """Checks that the person answered: (direction, verdict); for repeats with the judgements that came first."""
    start = Check.objects.filter(project=project, user=user).count()
    for number, (direction, verdict) in enumerate(rows, start=start):
        Check.objects.create(
            project=project, user=user, kind=kind, direction=direction, ordinal=number, after=number, snapshot="{}",
            is_open=False, first=first[number - start] if first else None,
        )  # fmt: skip
        judgement_record(
            judge=judge_of_user(user), source=f"checks:{project.pk}", draft=Draft(direction.pk, verdict, seconds=6.0)
        )


def of(found, user):
    return next(it for it in found if it.user_id == user.pk)


# Quality: known answers


def test_accuracy_on_gold(project, annotator, others):
    rows = [GoldRow(it.pk, YES if n % 2 else NO) for n, it in enumerate(others["own"][:20])]
    gold_add(project=project, rows=rows, origin="test")
    said = [(others["own"][n], row.verdict) for n, row in enumerate(rows)]
    said[3] = (said[3][0], NO)  # wrong
    said[4] = (said[4][0], YES)  # wrong
    said[5] = (said[5][0], UNSURE)
    answered(project, annotator, "gold", said)
    found = of(quality(project), annotator).gold
    assert (found.k, found.n, found.unsure) == (17, 19, 1)
    assert found.value == 17 / 19
    assert (found.low, found.high) == pytest.approx(proportion_confint(17, 19, method="wilson"))
    Gold.objects.filter(direction=said[0][0]).delete()  # nobody knows any more
    assert of(quality(project), annotator).gold.n == 18


def test_false_positives_on_noise_in_the_sample_and_mixed_in(project, annotator, others):
    answered(
        project, annotator, "control", [(it, YES if n < 3 else NO) for n, it in enumerate(others["gaussian"][:12])]
    )
    noise = others["gaussian"][12]
    project.items.create(direction=noise, position=40, inclusion_probability=1)
    item_judge(item=project.items.get(direction=noise), user=annotator, verdict=YES)
    found = of(quality(project), annotator).noise
    assert (found.k, found.n) == (4, 13)
    assert (found.low, found.high) == pytest.approx(proportion_confint(4, 13, method="wilson"))


def test_agreement_with_oneself(project, annotator):
    rng = np.random.default_rng(3)
    first = [YES if it else NO for it in rng.random(30) < 0.6]
    second = [it if keep else (NO if it == YES else YES) for it, keep in zip(first, rng.random(30) < 0.8, strict=True)]
    judge_items(project, annotator, first)
    items = list(project.items.order_by("position")[:30])
    rows = {it.direction_id: it for it in Judgement.objects.all()}
    repeats = [(it.direction, verdict) for it, verdict in zip(items, second, strict=True)]
    answered(project, annotator, "repeat", repeats, [rows[it.direction_id] for it in items])
    found = of(quality(project), annotator).oneself
    agreed = sum(a == b for a, b in zip(first, second, strict=True))
    assert found.raw.value == agreed / 30 and found.n == 30
    assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second))
    assert found.kappa.low < found.kappa.value < found.kappa.high


def test_a_first_judgement_that_was_taken_back_is_no_pair(project, annotator):
    judge_items(project, annotator, [YES] * 12)
    items = list(project.items.order_by("position")[:12])
    rows = {it.direction_id: it for it in Judgement.objects.all()}
    answered(
        project, annotator, "repeat", [(it.direction, YES) for it in items], [rows[it.direction_id] for it in items]
    )
    assert of(quality(project), annotator).oneself.n == 12
    item_judge(item=items[0], user=annotator, verdict=NO)
    assert of(quality(project), annotator).oneself.n == 11


def test_agreement_with_others_is_with_their_majority(project, owner, reviewer, annotator):
    Project.objects.update(overlap=3)
    project.items.update(is_open=True)
    project.refresh_from_db()
    mine = [YES, NO] * 10
    judge_items(project, annotator, mine)
    judge_items(project, owner, [YES] * 20)
    judge_items(project, reviewer, [YES] * 12 + [NO] * 8)  # with the owner divided evenly on the last eight
    found = of(quality(project), annotator).others
    assert found.n == 12 and found.raw.value == 0.5
    Judgement.objects.filter(judge__user=reviewer).update(verdict=UNSURE)  # now the owner alone says yes or no
    found = of(quality(project), annotator).others
    assert found.n == 20 and found.raw.value == 0.5 and found.table == ((10, 10), (0, 0))


def test_answers_changed_after_others_were_shown_are_left_out(project, owner, annotator, others):
    rows = [GoldRow(it.pk, YES) for it in others["own"][:12]]
    gold_add(project=project, rows=rows, origin="test")
    answered(project, annotator, "gold", [(it, NO) for it in others["own"][:12]])
    judge = judge_of_user(annotator)
    draft = Draft(others["own"][0].pk, YES)
    judgement_record(judge=judge, source=f"checks:{project.pk}", draft=draft)
    found = of(quality(project), annotator)
    assert (found.gold.k, found.gold.n, found.changed) == (0, 11, 1)


def test_small_numbers_have_a_sentence_and_no_rate(project, annotator, others):
    judge_items(project, annotator, [YES, NO, YES])
    answered(project, annotator, "control", [(it, YES) for it in others["gaussian"][:9]])
    found = of(quality(project), annotator)
    assert found.noise.value is None and "9 controls" in found.noise.why and "10 are needed" in found.noise.why
    assert found.gold.why.startswith("0 gold items") and found.oneself is None and found.others is None
    assert found.straight.probability is None and found.straight.warnings == ()


def test_seconds_and_straight_lining(project, owner, annotator):
    judge_items(project, annotator, [YES, NO] * 6 + [NO] * 28, seconds=1.0)
    judge_items(project, owner, [YES, NO] * 20, seconds=7.5)
    found = quality(project)
    assert of(found, owner).seconds == 7.5 and of(found, owner).straight.warnings == ()
    mine = of(found, annotator).straight
    assert mine.longest == 29 and 0.01 < mine.probability < 0.05  # at 34 of 40 such a run is no wonder
    (warning,) = mine.warnings
    assert "100% of the answers took less than 2 seconds" in warning


def test_one_sees_ones_own_in_steps_and_a_member_who_left_stays(project, owner, annotator):
    judge_items(project, annotator, [YES] * (OWN_STEP - 1))
    assert [it.n for it in quality(project, user_id=annotator.pk)] == [0]
    item_judge(item=project.items.order_by("position")[OWN_STEP - 1], user=annotator, verdict=NO)
    (own,) = quality(project, user_id=annotator.pk)
    assert own.n == OWN_STEP and own.is_member
    project.memberships.filter(user=annotator).delete()
    assert not of(quality(project), annotator).is_member


def test_quality_takes_the_same_queries_whatever_the_size(
    project, owner, reviewer, annotator, others, django_assert_num_queries
):
    judge_items(project, annotator, [YES] * 5)
    with django_assert_num_queries(6):
        quality(project)
    judge_items(project, owner, [YES, NO] * 20)
    answered(project, annotator, "control", [(it, YES) for it in others["gaussian"]])
    with django_assert_num_queries(6):
        quality(project)


# Roles


PAGES = ("progress", "items", "plan", "quality", "checks")


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        ("owner", {"progress", "items", "plan", "quality", "checks"}),
        ("reviewer", {"progress", "items", "plan", "quality"}),
        ("annotator", {"progress"}),
        ("viewer", set()),
    ],
)
def test_who_may_open_what(project, who, allowed, request, client_of):
    client = client_of(request.getfixturevalue(who))
    for name in PAGES:
        assert client.get(address(name, project)).status_code == (200 if name in allowed else 403), name
    may = who == "owner"
    assert client.post(address("checks", project), {"repeat_share": 5, "distance": 20}).status_code == (
        302 if may else 403
    )
    assert CheckMix.objects.exists() is may
    assert client.post(address("gold", project), {"act": "remove_all"}).status_code == (302 if may else 403)


def test_an_outsider_finds_nothing(project, outsider_client, client):
    for name in PAGES:
        assert outsider_client.get(address(name, project)).status_code == 404
        assert client.get(address(name, project)).status_code == 302  # to sign in
    assert outsider_client.post(address("gold", project), {"rows": "x"}).status_code == 404


def test_annotators_see_their_own_quality_where_the_owner_allows_it(project, owner, annotator, annotator_client):
    judge_items(project, annotator, [YES, NO] * 10)
    judge_items(project, owner, [YES, NO] * 10)
    response = annotator_client.get(address("quality", project))
    assert response.status_code == 403 and "its owner can" in response.content.decode()
    assert address("quality", project) not in annotator_client.get(address("progress", project)).content.decode()
    mix_change(project=project, gold_share=0, control_share=0, repeat_share=0, own_shown=True)
    html = annotator_client.get(address("quality", project)).content.decode()
    assert "How well do you judge?" in html and html.count('class="mark person"') == 1 and "owner" not in html
    assert address("quality", project) in annotator_client.get(address("progress", project)).content.decode()


def test_an_annotator_sees_the_whole_and_only_his_own_line(project, owner, annotator, annotator_client):
    judge_items(project, annotator, [YES] * 3)
    judge_items(project, owner, [NO] * 5)
    html = annotator_client.get(address("progress", project)).content.decode()
    assert '<strong class="num">8</strong> of <span class="num">80</span>' in html
    assert html.count('class="mark person"') == 1 and "2 at work" in html and "Checks" not in html
    assert address("items", project) not in html


def test_a_reviewer_who_judges_sees_no_key_of_what_is_in_the_queue(project, reviewer, reviewer_client):
    judge_items(project, reviewer, [YES] * 2)
    html = reviewer_client.get(address("items", project)).content.decode()
    assert html.count("still in your queue") == 38 and html.count("/models/") >= 2


# Progress


def test_progress_by_person_and_by_item(project, owner, annotator, others):
    judge_items(project, annotator, [YES, NO, UNSURE, YES])
    judge_items(project, owner, [YES] * 2)
    answered(project, annotator, "control", [(others["gaussian"][0], YES)])
    item_skip(item=project.items.get(position=9), user=owner)
    Lease.objects.create(item=project.items.get(position=5), user=owner, until=timezone.now() + timedelta(minutes=1))
    found = project_progress(project)
    mine = of(found.people, annotator)
    assert (mine.n, mine.checks, mine.yes, mine.no, mine.unsure) == (4, 1, 2, 1, 1)
    assert mine.is_at_work and found.at_work == 2
    assert {it.name for it in found.people} == {"owner", "reviewer", "annotator"}  # a viewer does not judge
    assert found.sample.by_judged == [(0, 36), (1, 2), (2, 2)]
    assert (found.sample.judged, found.sample.wanted, found.left) == (6, 80, 74)
    assert (found.sample.skipped, found.sample.leased) == (1, 1)


def test_who_has_left_is_not_at_work(project, owner, annotator):
    judge_items(project, annotator, [YES] * 3, seconds=6.0)
    assert project_progress(project).at_work == 1
    project.memberships.get(user=annotator).delete()
    found = project_progress(project)
    assert found.at_work == 0 and of(found.people, annotator).n == 3


def test_the_rate_is_the_present_one_and_the_pace_where_nobody_is_at_work(project, owner, annotator):
    judge_items(project, annotator, [YES] * 10, seconds=6.0)
    judge_items(project, owner, [YES] * 5, seconds=12.0)
    now = timezone.now()
    for number, row in enumerate(Judgement.objects.filter(judge__user=annotator).order_by("pk")):
        Judgement.objects.filter(pk=row.pk).update(created_at=now - timedelta(seconds=300 - 30 * number))
    Judgement.objects.filter(judge__user=owner).update(created_at=now - timedelta(minutes=5))
    found = project_progress(project)
    assert of(found.people, annotator).a_minute == pytest.approx(2.0, rel=0.02)
    assert of(found.people, owner).a_minute is None and found.at_work == 1
    assert found.minutes_left == pytest.approx(65 / 2, rel=0.02)
    Judgement.objects.update(created_at=now - timedelta(hours=1))
    found = project_progress(project)
    assert found.a_minute is None and found.pace == pytest.approx(15 / 2)  # 15 answers in 2 minutes of work
    assert found.minutes_left == pytest.approx(65 / 7.5)


def test_checks_take_time_too(project, annotator):
    judge_items(project, annotator, [YES] * 10, seconds=6.0)
    Judgement.objects.update(created_at=timezone.now() - timedelta(hours=1))
    CheckMix.objects.create(project=project, share=0.2, repeat_share=0.2)
    assert project_progress(project).minutes_left == pytest.approx(70 / 10 / 0.8)


def test_the_page_keeps_itself_up_to_date(project, annotator, reviewer_client):
    page = reviewer_client.get(address("progress", project)).content.decode()
    assert f'hx-get="{address("progress", project)}"' in page and 'hx-trigger="every 5s"' in page
    judge_items(project, annotator, [YES] * 3)
    part = reviewer_client.get(address("progress", project), headers=HX).content.decode()
    assert "<html" not in part and '<strong class="num">3</strong>' in part


def test_progress_takes_the_same_queries_whatever_the_size(project, owner, annotator, django_assert_num_queries):
    for n in (1, 40):
        judge_items(project, annotator, [YES] * n)
        with django_assert_num_queries(6):
            project_progress(project)


def test_items_page_by_page(owner, reviewer, reviewer_client, annotator, viewer):
    project = cast_project(owner, reviewer, annotator, viewer, n=120, overlap=1)
    judge_items(project, annotator, [YES] * 60)
    item_skip(item=project.items.get(position=100), user=annotator)
    html = reviewer_client.get(address("items", project)).content.decode()
    assert "?after=49" in html and html.count("<tr>") == 51
    html = reviewer_client.get(address("items", project), {"show": "done", "after": "49"}).content.decode()
    assert html.count("<tr>") == 11 and "Next page" not in html
    html = reviewer_client.get(address("items", project), {"show": "skipped"}).content.decode()
    assert html.count("<tr>") == 2 and Skip.objects.count() == 1
    for bad in ({"show": "nice"}, {"after": "-1"}, {"after": "9" * 30}, {"after": "²"}):
        assert reviewer_client.get(address("items", project), bad).status_code == 404


# The plan


def test_the_plan_without_a_machine_is_statsmodels_number(project, annotator):
    found = label_plan(project, half_width=0.05, share=0.58, is_census=False)
    assert found.alone.labels == 375 and found.with_machine is None and found.correlation is None
    assert [line.labels for line in found.lines] == [
        labels_needed(0.05, 0.58, rho) for rho in (0.0, 0.3, 0.5, 0.7, 0.85)
    ]
    assert found.wanted(found.best) == 375 and found.beyond_sample == 335


def test_the_plan_with_a_machine(project, annotator):
    rng = np.random.default_rng(2)
    human = (rng.random(40) < 0.6).tolist()
    machine = [it if keep else not it for it, keep in zip(human, rng.random(40) < 0.85, strict=True)]
    judge_items(project, annotator, [YES if it else NO for it in human])
    items = project.items.order_by("position")
    judge = machine_says({it.direction: YES if said else NO for it, said in zip(items, machine, strict=True)})
    assert machines_of(project) == [judge]
    found = label_plan(project, half_width=0.1, machine=judge)
    rho = np.corrcoef(human, machine)[0, 1]
    assert found.correlation.value == pytest.approx(rho) and found.correlation.n == 40
    assert found.share == pytest.approx(np.mean(human)) and found.is_share_known and found.done == 40
    assert found.with_machine.labels == labels_needed(0.1, np.mean(human), rho)
    assert found.with_machine.labels < found.alone.labels
    # a census of 40: n / (1 + n/40)
    assert found.wanted(found.best) == int(np.ceil(found.with_machine.labels / (1 + found.with_machine.labels / 40)))
    assert found.left == 0 and found.weighting == 1


def test_explored_items_and_even_votes_are_no_labels(project, owner, annotator):
    judge_items(project, annotator, [YES] * 30)
    judge_items(project, owner, [NO] * 2 + [YES] * 28)
    project.items.filter(position=29).update(exploration=True, inclusion_probability=None)
    assert label_plan(project, half_width=0.1).done == 27


def test_the_plans_page_says_what_is_not_known(project, annotator, reviewer_client):
    html = reviewer_client.get(address("plan", project)).content.decode()
    assert "ρ cannot be known yet: no machine has judged" in html and "there is no rate yet" in html
    judge_items(project, annotator, [YES, NO] * 5)
    machine_says({it.direction: YES for it in project.items.all()})
    html = reviewer_client.get(address("plan", project)).content.decode()
    assert "at least 20 items" in html and "There are 10 so far" in html
    html = reviewer_client.get(address("plan", project), {"half_width": 2, "share": 30, "about": "population"})
    assert "2,017" in html.content.decode()  # 1.96² · .3 · .7 / .02²


@pytest.mark.parametrize(
    "query", [{"half_width": "0"}, {"half_width": "x"}, {"confidence": "12"}, {"share": "150"}, {"machine": "999"}]
)
def test_a_plan_that_cannot_be_gets_one_sentence(project, reviewer_client, query):
    response = reviewer_client.get(address("plan", project), query)
    assert response.status_code == 422 and response.content.decode().count('class="notice bad"') == 1


# What is mixed in: the page


def test_an_owner_chooses_what_is_mixed_in(project, owner_client, others):
    html = owner_client.get(address("checks", project)).content.decode()
    assert "gaussian" in html and "No verdict is known yet" in html
    sent = {"gold_share": 5, "control_share": 10, "repeat_share": "", "controls": ["gaussian"], "distance": 30}
    assert owner_client.post(address("checks", project), sent).status_code == 302
    mix = CheckMix.objects.get()
    assert (mix.gold_share, mix.control_share, mix.repeat_share) == (0.05, 0.1, 0.0)
    assert mix.share == pytest.approx(0.15) and mix.controls == ["gaussian"] and mix.distance == 30
    assert "40 directions of noise" in owner_client.get(address("checks", project)).content.decode()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gold_share": 60}, "less than or equal to 50"),
        ({"gold_share": 30, "repeat_share": 30}, "at most 50%"),
        ({"control_share": 10}, "Say which controls"),
        ({"controls": ["shuffled"]}, "No control shuffled is stored"),
        ({"distance": 1}, "greater than or equal to 5"),
    ],
)
def test_a_mix_that_cannot_be_gets_one_sentence(project, owner_client, others, change, sentence):
    response = owner_client.post(address("checks", project), {"distance": 20} | change)
    html = response.content.decode()
    assert response.status_code == 422 and sentence in html and html.count('class="notice bad"') == 1
    assert not CheckMix.objects.exists()


def test_where_no_noise_is_stored_the_page_says_how_it_is_made(project, owner_client):
    html = owner_client.get(address("checks", project)).content.decode()
    name = project.items.first().direction.matrix.model.name
    assert f"./tea manage decompose nowhere --name {name} --circuits ov --control gaussian" in html


def test_gold_is_typed_uploaded_and_forgotten(project, owner, owner_client, others):
    key = others["own"][0].key
    owner_client.post(address("gold", project), {"rows": f"{key}, interpretable, animals"})
    upload = SimpleUploadedFile("gold.csv", f"{others['own'][1].key}\tno\n".encode())
    owner_client.post(address("gold", project), {"rows": "", "file": upload})
    assert dict(Gold.objects.values_list("verdict", "label")) == {YES: "animals", NO: ""}
    assert Gold.objects.first().added_by == owner
    html = owner_client.get(address("checks", project)).content.decode()
    assert str(key) in html and "decided by owner" in html and "of which 2 can be mixed in" in html
    again = owner_client.post(address("gold", project), {"rows": f"{key}, interpretable, animals"}, follow=True)
    assert "these verdicts are gold already" in again.content.decode()
    owner_client.post(address("gold", project), {"act": "remove", "direction": [others["own"][0].pk]})
    assert Gold.objects.count() == 1
    owner_client.post(address("gold", project), {"act": "remove"})  # nothing was chosen
    assert Gold.objects.count() == 1
    for bad in ({"rows": "nonsense"}, {"rows": "", "file": SimpleUploadedFile("x", b"\xff\xfe")}, {}):
        response = owner_client.post(address("gold", project), bad)
        assert response.status_code == 422 and response.content.decode().count('class="notice bad"') == 1
    assert Gold.objects.count() == 1


def test_a_ground_truth_set_becomes_the_gold_of_another_project(project, owner, owner_client, reviewer_client, others):
    judge_items(project, owner, [YES, NO] * 5)
    Judgement.objects.filter(source=project.source).update(blind=True)
    second = judge_of_user(project.memberships.get(role="reviewer").user)
    for row in Judgement.objects.filter(source=project.source):
        judgement_record(judge=second, source=project.source, draft=Draft(row.direction_id, row.verdict))
    truth = truth_freeze(project=project, name="first", rule=truth_rule("agreed", 2), user=owner).truth
    other = cast_project(owner, name="Other", n=3)
    html = owner_client.get(reverse("review:truth", args=[project.slug, "first", 1])).content.decode()
    assert "Make it the gold of" in html and "Other" in html
    path = reverse("review:gold", args=[project.slug, "first", 1])
    assert owner_client.post(path, {"into": other.slug}).url == address("checks", other)
    assert Gold.objects.filter(project=other).count() == truth.n == 10
    assert Gold.objects.first().origin == f"ground truth first@1 of {project.slug}"
    reviewer_client.post(path, {"into": other.slug})  # who does not own it changes nothing
    owner_client.post(path, {"into": project.slug})  # these are its items
    assert not Gold.objects.filter(project=project).exists()
    out = StringIO()
    call_command("ground_truth", "gold", project.slug, "first", "--into", other.slug, stdout=out)
    assert "Nothing new" in out.getvalue()


# The command


def judging(*arguments):
    out = StringIO()
    call_command("judging", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_says_the_same(project, owner, annotator, others, tmp_path):
    judge_items(project, annotator, [YES, NO] * 15)
    assert "30 of 80 judgements, 50 left" in judging(project.slug)
    said = judging(project.slug, "--plan", "10", "--population")
    assert "people alone: ρ = 0.00, n = 97, 67 left" in said and "no machine has judged" in said
    answered(project, annotator, "control", [(it, YES) for it in others["gaussian"][:10]])
    assert "noise called a meaning: 1.000 (0.722 to 1.000), n = 10" in judging(project.slug, "--quality")
    (row,) = json.loads(judging(project.slug, "--quality", "--json"))
    assert row["noise"]["k"] == 10 and row["name"] == "annotator"
    known = tmp_path / "gold.txt"
    known.write_text(f"{others['own'][0].key}, yes\n")
    said = judging(project.slug, "--known", str(known), "--gold", "5", "--repeat", "2.5", "--own", "show")
    assert "1 gold item added" in said and "7.5 % are checks" in said
    mix = CheckMix.objects.get()
    assert mix.own_shown and (mix.gold_share, mix.repeat_share) == (0.05, 0.025)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "no project 'nothing'"),
        (["--plan", "0"], "half width"),
        (["--plan", "5", "--confidence", "100"], "confidence"),
        (["--plan", "5", "--judge", "99"], "Judge 99"),
        (["--gold", "80"], "at most 50%"),
        (["--control", "5"], "Say which controls"),
        (["--known", "/no/such/file"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(project, arguments, sentence):
    named = arguments if arguments == ["nothing"] else [project.slug, *arguments]
    with pytest.raises(CommandError, match=sentence):
        judging(*named)
    assert not CheckMix.objects.exists()


def test_directions_are_left_alone(project, others):
    """No check adds an item or a direction."""
    n = Direction.objects.count()
    gold_add(project=project, rows=[GoldRow(others["own"][0].pk, YES)], origin="test")
    assert Direction.objects.count() == n and project.items.count() == 40
