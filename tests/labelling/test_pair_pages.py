"""The pages of projects of pairs and of matrices: who may, what they hide, what they say, and how many queries."""

import csv
import io
import json
import re

import pytest
from django.urls import reverse

from labelapp.exchange.rows import export_rows
from labelapp.exchange.services import export_to_path
from labelapp.exchange.subjects import ExportError
from labelapp.judgements.models import Judgement
from labelapp.labelling.exports import project_subject
from labelapp.labelling.models import Membership, Project
from labelapp.labelling.progress.results import agreements, majority, results
from labelapp.labelling.selectors import item_next
from labelapp.labelling.services import answer_undo, item_judge
from labelapp.statistics.estimation import wilson_interval
from tests.factories import DirectionFactory, MatrixFactory, cast_project, drawn
from tests.labelling.test_judging import statements

pytestmark = pytest.mark.django_db
HX = {"HX-Request": "true"}


def address(name, project, *args):
    return reverse(f"labelling:{name}", args=[project.slug, *args])


def judge(client, project, item, **fields):
    return client.post(address("judge", project, item.opaque_id), fields, headers=HX)


def people(project, **roles):
    for role, user in roles.items():
        Membership.objects.create(project=project, user=user, role=role)


def shown(html):
    return html.split('<template id="following">')[0]


# The labelling page


def test_a_pair_shows_both_ends_and_tells_nothing(pairs, owner, owner_client):
    direction = item_next(pairs, owner).direction
    html = owner_client.get(address("queue", pairs)).content.decode()
    assert "How do the two ends go together?" in html
    assert shown(html).count('class="tok heat-') == 20  # ten tokens of each end
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html and "<script>alert" not in html and "\x00" not in html
    for secret in (str(direction.key), direction.key.url, direction.key.matrix.address, "tiny", "layer", "σ"):
        assert secret not in html
    for value, key in (("same_theme", "y"), ("opposites", "p"), ("unrelated", "n"), ("unsure", "u")):
        assert re.search(rf'value="{value}"\s+class="btn[^"]*"\s+data-key="{key}"', html), value
    assert 'name="kind"' not in html and 'name="misfit"' not in html


def test_a_matrix_shows_its_first_vectors_and_more_on_demand(model, owner, owner_client):
    large = MatrixFactory(model=model, layer=1, head=1)
    for index in range(36):
        for sign in "+-":
            DirectionFactory(matrix=large, index=index, sign=sign, tokens=[f"{sign}{index}of{n}" for n in range(10)])
    project = drawn(model, owner, "matrix", circuits="ov", layers="1")
    html = shown(owner_client.get(address("queue", project)).content.decode())
    first, more = html.split('<details class="more">')
    assert "The first 10 vectors" in first and first.count('class="tokens-line"') == 20
    assert "20 more vectors" in more and more.count('class="tokens-line"') == 40
    assert "+0of7" in first and "-9of0" in first and "of8" not in html  # eight tokens of each end
    assert "+10of0" in more and "-29of0" in more and "30of0" not in html
    assert "ov." not in html and "tiny" not in html and '<ol class="vectors" start="11">' in more


def test_selected_indices_are_those_that_are_shown(model, owner, owner_client):
    project = drawn(model, owner, "matrix", circuits="mlp_in", layers="1", indices="2,5-6")
    assert shown(owner_client.get(address("queue", project)).content.decode()).count('class="tokens-line"') == 6


@pytest.mark.parametrize("subject", ["vector", "matrix"])
def test_an_answer_and_the_next_item_take_eight_queries(model, owner, owner_client, subject):
    project = drawn(model, owner, subject, overlap=2)
    owner_client.get(address("queue", project), headers=HX)
    judge(owner_client, project, item_next(project, owner), verdict="unsure", seen=0)  # the first makes the judge
    item = item_next(project, owner)
    asked = statements(lambda: judge(owner_client, project, item, verdict="unsure", label="pets", seen=0))
    assert len(asked) <= 8, "\n".join(asked)


def test_what_was_entered_comes_back_with_an_undo(pairs, owner, owner_client):
    item = item_next(pairs, owner)
    judge(owner_client, pairs, item, verdict="opposites", label="fire", second_label="ice", seen=0)
    html = shown(owner_client.post(address("undo", pairs), headers=HX).content.decode())
    assert f'data-item="{item.opaque_id}"' in html and 'value="fire"' in html and 'value="ice"' in html
    assert "You had answered:" in html and "opposites" in html


def test_a_refusal_keeps_both_labels(pairs, owner, owner_client):
    item = item_next(pairs, owner)
    response = owner_client.post(
        address("judge", pairs, item.opaque_id), {"verdict": "concept", "label": "fire", "second_label": "ice"}
    )
    html = response.content.decode()
    assert response.status_code == 422 and "is not a verdict; it must be same_theme, opposites" in html
    assert 'value="fire"' in html and 'value="ice"' in html and not Judgement.every.exists()
    assert judge(owner_client, pairs, item, label="fire").status_code == 422


def test_own_labels_are_suggested_of_either_end(pairs, owner, annotator, owner_client):
    people(pairs, annotator=annotator)
    item_judge(item=item_next(pairs, owner), user=owner, verdict="opposites", label="fire", second_label="ice")
    item_judge(item=item_next(pairs, annotator), user=annotator, verdict="same_theme", label="annotator's")
    html = owner_client.get(address("queue", pairs)).content.decode()
    assert '<option value="fire">' in html and '<option value="ice">' in html and "annotator&#x27;s" not in html


def test_others_are_shown_after_ones_own(pairs, owner, annotator, annotator_client):
    people(pairs, annotator=annotator)
    item = item_next(pairs, annotator)
    item_judge(item=item, user=owner, verdict="opposites", label="owner's fire", second_label="owner's ice")
    assert annotator_client.get(address("others", pairs, item.opaque_id)).status_code == 403
    assert "owner&#x27;s" not in annotator_client.get(address("queue", pairs)).content.decode()
    item_judge(item=item, user=annotator, verdict="unrelated")
    html = annotator_client.get(address("others", pairs, item.opaque_id)).content.decode()
    assert "owner&#x27;s fire" in html and "owner&#x27;s ice" in html and "machine" not in html
    assert html.count('class="tokens-line"') == 2
    Project.objects.update(reveal=False)
    assert annotator_client.get(address("others", pairs, item.opaque_id)).status_code == 403


def test_the_heartbeat_knows_an_answered_pair(pairs, owner, owner_client):
    item = item_next(pairs, owner)
    item_judge(item=item, user=owner, verdict="unrelated")
    assert owner_client.post(address("beat", pairs), {"item": item.opaque_id}, headers=HX).status_code == 204


def test_a_paused_project_takes_none(pairs, owner, owner_client):
    Project.objects.update(state="paused")
    response = judge(owner_client, pairs, pairs.items.first(), verdict="unrelated")
    assert response.status_code == 422 and "is paused" in response.content.decode()


def test_the_form_makes_a_draft_of_pairs(model, owner_client):
    fields = {
        "name": "Fire and ice", "subject": "vector", "models": [model.pk], "circuits": "all", "layers": "all",
        "indices": "all", "sides": "all", "signs": "all", "preprocessing": "raw", "basis": "svd", "control": "none",
        "kind": "simple_random", "n": 5, "seed": 1, "strata": "layer", "allocation": "proportional", "ends": "one",
        "tokens_shown": 15, "overlap": 1, "threshold": 70,
    }  # fmt: skip
    usual = owner_client.get(reverse("labelling:create")).context["form"]["guidelines"].initial
    fields["guidelines"] = usual.replace("\n", "\r\n")
    response = owner_client.post(reverse("labelling:create"), fields)
    assert response.status_code == 302
    project = Project.objects.get(slug="fire-and-ice")
    assert (project.subject, project.ends) == ("vector", "both") and "fire and ice" in project.guidelines.get().text
    html = owner_client.get(response.url).content.decode()
    assert re.search(r"5</strong> of <span class=\"num\">32</span>\s+vectors\.", html)
    refused = owner_client.post(reverse("labelling:create"), {**fields, "kind": "uncertainty"})
    assert refused.status_code == 422
    assert owner_client.post(reverse("labelling:state", args=[project.slug]), {"act": "open"}).status_code == 302
    html = owner_client.get(address("settings", project)).content.decode()
    assert "5 items from 32 vectors" in html and "both ends of a vector, 10 tokens of each end" in html
    assert "Explore beside" not in html and address("results", project) in html


# The results


@pytest.fixture
def answered(pairs, owner, reviewer, annotator):
    """Ten pairs judged by two people: 3 same theme, 4 opposites (one a machine's delight), 1 tie, 1 unsure, 1 alone."""
    people(pairs, reviewer=reviewer, annotator=annotator)
    said = [
        *[("same_theme", "same_theme")] * 3, *[("opposites", "opposites")] * 3, ("opposites", "unsure"),
        ("opposites", "unrelated"), ("unsure", "unsure"), ("unrelated", None),
    ]  # fmt: skip
    for item, (first, second) in zip(pairs.items.order_by("position"), said, strict=False):
        item_judge(item=item, user=owner, verdict=first, label="fire", second_label="=ice()")
        if second:
            item_judge(item=item, user=annotator, verdict=second)
    return pairs


def test_the_majority():
    assert majority(["opposites", "opposites", "unrelated"]) == "opposites"
    assert majority(["opposites", "unsure", "unsure"]) == "opposites"
    assert majority(["opposites", "unrelated"]) == "tie"
    assert majority(["opposites", "unrelated", "unrelated", "opposites", "same_theme"]) == "tie"
    assert majority(["unsure"]) == majority([]) == "unsure"


def test_the_shares(answered, owner):
    found = results(answered, owner)
    assert (found.n_items, len(found.judged), found.n_hidden) == (16, 10, 0)
    whole = dict(found.whole.shares)
    assert {name: (share.count, share.n) for name, share in whole.items()} == {
        "same_theme": (3, 8), "opposites": (4, 8), "unrelated": (1, 8),
    }  # fmt: skip
    for name, k in (("same_theme", 3), ("opposites", 4), ("unrelated", 1)):
        assert (whole[name].low, whole[name].high) == pytest.approx(wilson_interval(k, 8))
    assert (found.whole.n_judged, found.whole.left_out) == (10, 2)
    assert [(group.name, group.n_judged) for group in found.by_circuit] == [("ov", 10)]
    assert [group.name for group in found.by_layer] == ["layer 0"]


def test_the_agreement_of_two_people(answered, owner):
    (found,) = agreements(answered, results(answered, owner).judged)
    # Eight pairs have a yes or no of both but one with an unsure and one of two: 3 + 3 same, 1 differs.
    assert (found.n, found.n_same, found.card.n) == (7, 6, 7)
    assert found.card.table == ((6, 1), (0, 0)) and found.card.raw.value == pytest.approx(6 / 7)
    assert found.share_same == pytest.approx(6 / 7)


def test_the_page_of_results(answered, owner_client):
    html = owner_client.get(address("results", answered)).content.decode()
    assert "10 of 16 vectors judged" in html and "37.5" in html and "Left out: 2" in html
    assert "“=ice()”" in html and "tiny/ov.0.0/" in html and "owner and" in re.sub(r"<[^>]+>", "", html)
    opposites = owner_client.get(address("results", answered) + "?show=opposites").content.decode()
    assert opposites.split("One by one")[1].count('<td><span class="verdict opposites">') == 4
    for wrong in ("?show=interpretable", "?after=x", "?after=9999999999"):
        assert owner_client.get(address("results", answered) + wrong).status_code == 404


def test_the_list_is_turned(answered, owner_client, monkeypatch):
    monkeypatch.setattr("labelapp.labelling.progress.result_views.ROWS_A_PAGE", 4)
    html, places = owner_client.get(address("results", answered)).content.decode(), []
    for _ in range(3):
        places += re.findall(r'<td><span class="verdict (\w+)">', html.split("One by one")[1])
        if more := re.search(r'href="(\?after=\d+)">More', html):
            html = owner_client.get(address("results", answered) + more[1]).content.decode()
    assert len(places) == 10 and more is None and "From the start" in html


def test_who_is_still_to_judge_sees_nothing_of_it(answered, reviewer, reviewer_client):
    html = reviewer_client.get(address("results", answered)).content.decode()
    assert "10 of these are still in your own queue" in html and "“fire”" not in html and "37.5" not in html
    item_judge(item=answered.items.order_by("position")[0], user=reviewer, verdict="same_theme")
    found = results(answered, reviewer)
    assert (len(found.judged), found.n_hidden, found.whole.n) == (1, 9, 1)
    assert "37.5" in reviewer_client.get(address("results", answered) + "?all=1").content.decode()


def test_an_end_that_is_to_be_judged_elsewhere_hides_its_pair(answered, owner):
    elsewhere = cast_project(owner, name="Elsewhere")
    first = answered.items.order_by("position")[0].direction
    other = type(first).objects.get(matrix=first.matrix_id, side=first.side, index=first.index, sign="-")
    elsewhere.items.filter(position=0).update(direction=other)
    assert results(answered, owner).n_hidden == 1
    item_judge(item=elsewhere.items.get(position=0), user=owner, verdict="unsure")
    assert results(answered, owner).n_hidden == 0


def test_matrices_have_results_too(matrices, owner, annotator, owner_client):
    people(matrices, annotator=annotator)
    for item, verdict in zip(
        matrices.items.order_by("position"), ["concept", "concept", "no_concept", "unsure"], strict=True
    ):
        item_judge(item=item, user=owner, verdict=verdict, label="law" if verdict == "concept" else "")
        item_judge(item=item, user=annotator, verdict="concept")
    found = results(matrices, owner)
    assert {name: (share.count, share.n) for name, share in found.whole.shares} == {
        "concept": (3, 3), "no_concept": (0, 3),
    }  # fmt: skip
    assert {group.name for group in found.by_circuit} == {"ov", "mlp_in"}
    html = owner_client.get(address("results", matrices)).content.decode()
    assert "tiny/ov.0.1" in html and "“law”" in html and "a broad concept" in html


@pytest.mark.parametrize("name", ["results", "results_table"])
def test_owners_and_reviewers_see_results(pairs, owner, reviewer, annotator, outsider, client_of, client, name):
    people(pairs, reviewer=reviewer, annotator=annotator)
    for user, status in ((owner, 200), (reviewer, 200), (annotator, 403), (outsider, 404)):
        assert client_of(user).get(address(name, pairs)).status_code == status
    assert client.get(address(name, pairs)).status_code == 302
    assert client_of(owner).post(address(name, pairs)).status_code == 405


def test_a_project_of_directions_has_its_comparison(owner, owner_client):
    project = cast_project(owner)
    assert owner_client.get(address("results", project)).url == reverse("review:comparison", args=[project.slug])
    assert owner_client.get(address("results_table", project)).status_code == 404


def test_review_is_about_directions(pairs, owner_client):
    for name in ("comparison", "disagreements", "aggregation", "truths"):
        response = owner_client.get(reverse(f"review:{name}", args=[pairs.slug]))
        assert response.status_code == 404, name
    assert pairs.name not in owner_client.get(reverse("review:projects")).content.decode().split("<main")[1]


def test_the_results_take_the_same_queries_however_many(model, owner, owner_client, django_assert_max_num_queries):
    counts = []
    for n in (3, 20):
        project = drawn(model, owner, "vector", kind="simple_random", n=n, slug=f"of-{n}")
        for item in project.items.all():
            item_judge(item=item, user=owner, verdict="opposites")
        with django_assert_max_num_queries(20) as captured:
            assert owner_client.get(address("results", project)).status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_controls_stand_apart(model, owner, owner_client):
    noise = MatrixFactory(model=model, layer=1, head=1, control="gaussian", address="ov.1.1;gaussian")
    for index in range(4):
        for sign in "+-":
            DirectionFactory(matrix=noise, index=index, sign=sign)
    project = drawn(model, owner, "vector", circuits="ov", control="none,gaussian")
    assert project.items.count() == 16 + 4
    for item in project.items.select_related("direction__matrix"):
        item_judge(item=item, user=owner, verdict="unrelated" if item.direction.matrix.control else "opposites")
    found = results(project, owner)
    assert dict(found.whole.shares)["opposites"].value == 1 and found.whole.n == 16
    assert [(group.name, group.n, dict(group.shares)["unrelated"].count) for group in found.by_control] == [
        ("gaussian", 4, 4)
    ]
    assert {group.name for group in found.by_layer} == {"layer 0"}
    html = owner_client.get(address("results", project)).content.decode()
    assert "Noise that was mixed in" in html and ">gaussian<" in html
    assert "gaussian" not in owner_client.get(address("queue", project)).content.decode()


# Exports


def test_the_table_has_a_row_for_each_judgement(answered, owner, owner_client):
    answer_undo(project=answered, user=owner)  # of the last, which is withdrawn
    response = owner_client.get(address("results_table", answered))
    assert response["Content-Disposition"] == 'attachment; filename="vector.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert len(rows) == 10 + 9 + 1 + 6  # owner's, annotator's, the withdrawal, items without any
    first = rows[0]
    assert re.fullmatch(r"tiny/ov\.0\.[01]/\d\+", first["key"]) and first["other_key"] == first["key"][:-1] + "-"
    assert (first["judge"], first["verdict"], first["label"], first["second_label"]) == (
        "owner", "same_theme", "fire", "'=ice()",
    )  # fmt: skip
    assert {row["inclusion_probability"] for row in rows} == {"1.0"}
    assert [row["withdraws"] for row in rows if row["withdraws"]] and rows[-1]["verdict"] == ""
    assert {row["project"] for row in rows} == {"vector"} and {row["subject"] for row in rows} == {"vector"}


def test_the_export_has_a_row_for_each_item(answered, matrices, owner, annotator, tmp_path):
    path = tmp_path / "pairs.jsonl"
    assert export_to_path(subject="project:vector", format="jsonl", path=path) == 16
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == list(export_rows(project_subject("vector", owner)))
    assert rows[0]["design"]["unit"] == "vector" and rows[0]["other_key"].endswith("-")
    assert [it["judge"] for it in rows[0]["judgements"]] == ["owner", "annotator"]
    assert rows[0]["judgements"][0]["second_label"] == "=ice()"
    assert {it["current"] for row in rows for it in row["judgements"]} == {True}
    keys = {row["key"]: row for row in export_rows(project_subject("matrix", owner))}
    assert set(keys) == {"tiny/ov.0.0", "tiny/ov.0.1", "tiny/mlp_in.0", "tiny/mlp_in.1"}
    assert keys["tiny/ov.0.0"]["side"] == "write" and keys["tiny/ov.0.0"]["other_key"] is None
    with pytest.raises(ExportError, match="its owner and reviewers may"):
        project_subject("vector", annotator)
