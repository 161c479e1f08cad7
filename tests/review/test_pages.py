"""The comparison: who may open it, what stands beside what, under which rule, and in how many queries."""

import pytest
from django.template.defaultfilters import floatformat
from django.urls import reverse

from labelapp.judgements.models import Judgement
from labelapp.judgements.services import judge_ensure, verification_record
from labelapp.labelling.models import Project
from labelapp.labelling.services import answer_undo, item_judge
from labelapp.review.crossed import crossed
from labelapp.review.selectors import comparison
from labelapp.review.views import ROWS_A_PAGE
from tests.factories import cast_project, machine_says

pytestmark = pytest.mark.django_db
YES, NO = "interpretable", "not_interpretable"


@pytest.fixture
def project(owner, reviewer, annotator, make_user):
    return cast_project(owner, reviewer, annotator, make_user("viewer"), n=6)


def directions(project):
    return [item.direction for item in project.items.select_related("direction").order_by("direction_id")]


def judge(project, user, verdicts):
    items = project.items.order_by("direction_id")
    for item, verdict in zip(items, verdicts, strict=False):
        if verdict:
            item_judge(item=item, user=user, verdict=verdict, label=f"words of {user}")


def page_of(client, project, **query):
    response = client.get(reverse("review:comparison", args=[project.slug]), query)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize(("who", "status"), [("owner", 200), ("reviewer", 200), ("annotator", 403), ("outsider", 404)])
def test_owner_and_reviewer_only(project, who, status, request, client_of):
    judge(project, project.memberships.get(role="owner").user, [YES])
    client = client_of(request.getfixturevalue(who))
    response = client.get(reverse("review:comparison", args=[project.slug]))
    assert response.status_code == status
    assert ("words of" in response.content.decode()) is (status == 200 and who == "owner")
    listed = reverse("review:comparison", args=[project.slug]) in client.get("/review/").content.decode()
    assert listed is (status == 200)


def test_other_methods_are_refused(project, owner_client):
    for path in ("/review/", reverse("review:comparison", args=[project.slug])):
        for method in (owner_client.post, owner_client.put, owner_client.patch, owner_client.delete):
            assert method(path).status_code == 405


def test_nothing_judged_teaches(project, owner_client):
    assert "Nobody has judged anything in this project yet" in page_of(owner_client, project)


def test_no_project_teaches(outsider_client):
    assert "You review no project" in outsider_client.get("/review/").content.decode()


def test_people_stand_beside_machines(project, owner, annotator, owner_client):
    judge(project, owner, [YES, NO, YES])
    judge(project, annotator, [YES, NO, NO])
    first, second, third, *_ = directions(project)
    machine_says({first: (YES, "animals <b>"), second: YES, third: NO})
    html = page_of(owner_client, project)
    assert "3 of 6 judged by at least one person" in html
    assert f'href="{reverse("atlas:direction", args=[first.key])}">{first.key}</a>' in html
    assert html.count('class="mark person interpretable"') == 3
    assert html.count('class="mark machine interpretable"') == 2
    assert "words of annotator" in html and "animals &lt;b&gt;" in html
    assert html.count("≠ people") == 1
    # people yes, no, tie × machine yes, yes, no: n = 2, one of them equal
    assert "people tied (1)" in html and "0.50" in html and "labeler@1" in html
    assert "offline baseline (no language model)" in html
    assert "<script>alert" not in html and "\x00" not in html


def test_a_direction_that_nobody_judged_is_not_compared(project, owner, owner_client):
    judge(project, owner, [YES])
    machine_says(dict.fromkeys(directions(project), NO))
    found = comparison(project)
    assert set(found.people) == set(found.machines) == {directions(project)[0].pk}


def test_judgements_of_another_project_and_withdrawn_ones_do_not_count(project, owner, annotator):
    other = cast_project(owner, annotator=annotator, name="Other", n=2)
    judge(other, owner, [YES, YES])
    judge(project, owner, [YES, NO])
    answer_undo(project=project, user=owner)
    assert list(comparison(project).people) == [directions(project)[0].pk]


def test_a_machine_with_a_verifier_is_scored_by_both(project, owner, owner_client):
    judge(project, owner, [YES, YES, YES, NO])
    ones = directions(project)
    judge_ = machine_says(dict.fromkeys(ones[:3], YES) | {ones[3]: NO}, name="few-shot", type="prompt")
    verifier = judge_ensure(type="prompt", name="verifier", parameters={"verifier": 1})
    answers = dict(zip([one.pk for one in ones], ["yes", "no", "unparsed"], strict=False))
    for row in Judgement.objects.filter(judge=judge_):
        if row.direction_id in answers:
            verification_record(judgement=row, judge=verifier, answer=answers[row.direction_id])
    (machine,) = comparison(project).tables
    assert machine.rule.identifier == "both@1"
    table = machine.crossing
    assert (table.both_yes, table.people_yes, table.machine_yes, table.both_no) == (1, 1, 0, 1)
    assert table.left_out == [("machine unparsed", 1)]
    assert "both@1" in page_of(owner_client, project)


def test_of_two_runs_of_a_judge_the_later_counts(project, owner):
    judge(project, owner, [YES])
    first = directions(project)[0]
    machine_says({first: YES}, source="run:1")
    machine_says({first: NO}, source="run:2")
    assert [opinion.verdict for opinion in comparison(project).machines[first.pk]] == [NO]


def test_the_filter(project, owner, owner_client):
    judge(project, owner, [YES, YES, "unsure"])
    first, second, third, *_ = directions(project)
    machine_says({first: YES, second: NO, third: YES})
    for show, expected in (("", {0, 1, 2}), ("agree", {0}), ("disagree", {1})):
        html = page_of(owner_client, project, show=show)
        shown = {i for i, one in enumerate(directions(project)) if f">{one.key}</a>" in html}
        assert shown == expected, show


@pytest.mark.parametrize("query", [{"show": "maybe"}, {"after": "x"}, {"after": "-1"}, {"after": "²"}])
def test_a_made_up_address_is_not_found(project, owner_client, query):
    assert owner_client.get(reverse("review:comparison", args=[project.slug]), query).status_code == 404


def test_what_one_is_still_to_judge_blind_is_hidden(project, owner, annotator, owner_client):
    judge(project, annotator, [YES, NO])
    judge(project, owner, [YES])
    machine_says(dict.fromkeys(directions(project), YES))
    html = page_of(owner_client, project)
    assert html.count("still in your queue") == 1 and html.count("words of annotator") == 1
    assert "1 of these is still in your own queue" in html
    for show in ("agree", "disagree"):  # the filter does not tell either
        assert "still in your queue" not in page_of(owner_client, project, show=show)
    assert f">{directions(project)[1].key}</a>" not in page_of(owner_client, project, show="disagree")
    assert f">{directions(project)[1].key}</a>" in page_of(owner_client, project, show="disagree", all="1")
    html = page_of(owner_client, project, all="1")
    assert "still in your queue" not in html and html.count("words of annotator") == 2
    Project.objects.update(state="paused")  # it may be opened again
    assert "still in your queue" in page_of(owner_client, project)


def test_pages_go_on_by_key(owner, owner_client):
    project = cast_project(owner, n=ROWS_A_PAGE + 3)
    judge(project, owner, [YES] * (ROWS_A_PAGE + 3))
    ones = directions(project)
    html = page_of(owner_client, project)
    last = ones[ROWS_A_PAGE - 1]
    assert f">{last.key}</a>" in html and f"after={last.pk}" in html and "First page" not in html
    html = page_of(owner_client, project, after=last.pk)
    assert [f">{one.key}</a>" in html for one in ones[-4:]] == [False, True, True, True]
    assert "Next page" not in html and "First page" in html


def test_the_number_of_queries_is_fixed(owner, annotator, owner_client, django_assert_max_num_queries):
    for n in (3, 45):
        project = cast_project(owner, annotator=annotator, n=n, name=f"With {n}")
        for user in (owner, annotator):
            judge(project, user, [YES] * n)
        machine_says(dict.fromkeys(directions(project), YES))
        for most in (16, 14):  # the first view counts, and keeps what it found
            with django_assert_max_num_queries(most):
                page_of(owner_client, project)
    with django_assert_max_num_queries(3):
        owner_client.get("/review/")


def test_a_second_look_is_marked(project, owner, annotator, owner_client):
    judge(project, owner, [YES])
    judge(project, annotator, ["unsure"])
    assert "second look" not in page_of(owner_client, project)
    answer_undo(project=project, user=annotator)
    judge(project, annotator, [YES])
    html = page_of(owner_client, project)
    assert html.count("second look") == 1 and "no longer hidden: not blind" in html


def test_a_very_long_number_is_not_found(project, owner_client):
    response = owner_client.get(reverse("review:comparison", args=[project.slug]), {"after": "9" * 5000})
    assert response.status_code == 404


def test_the_table_counts_nothing_that_is_hidden(project, owner, annotator, owner_client):
    judge(project, annotator, [YES, NO])
    judge(project, owner, [YES])
    machine_says(dict.fromkeys(directions(project), YES))
    (machine,) = crossed(project, owner).tables
    assert (machine.crossing.both_yes, machine.crossing.machine_yes) == (1, 0)
    assert page_of(owner_client, project).count(">1</td>") == 1
    assert page_of(owner_client, project, all="1").count(">1</td>") == 2


def test_the_comparison_has_whole_agreement_cards(owner, owner_client):
    """Of people beside each machine, and of the two machines: n, cells, coefficients with intervals, prevalence."""
    project = cast_project(owner, n=24)
    ones = directions(project)
    judge(project, owner, [YES if n % 3 else NO for n in range(24)])
    machine_says({it: YES if n % 4 else NO for n, it in enumerate(ones)}, name="one")
    machine_says({it: YES if n % 5 else NO for n, it in enumerate(ones)}, name="two")
    tables = crossed(project, owner)
    cards = [*(it.crossing.card for it in tables.tables), *(it.card for it in tables.paired)]
    assert len(cards) == 3
    html = page_of(owner_client, project)
    for card in cards:
        assert card.n == card.clusters == 24
        for it in (card.raw, card.kappa, card.ac1):
            assert it.low < it.value < it.high
            assert f"{floatformat(it.low, 2)} to {floatformat(it.high, 2)}" in html
        assert f"{floatformat(card.yes_shares[0], 2)}, {floatformat(card.yes_shares[1], 2)}" in html
        assert f"prevalence {floatformat(card.prevalence, 2)}" in " ".join(html.split())
    assert "Machines beside each other" in html and "24 vectors" in html
