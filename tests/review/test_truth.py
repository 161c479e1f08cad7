"""Ground-truth sets: what a rule chooses, the hash, the split, versions and how they differ, pages, command, export."""

import hashlib
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from labelapp.atlas.keys import direction_key_parse
from labelapp.autolabel.models import ImmutableError
from labelapp.exchange.rows import export_rows
from labelapp.exchange.subjects import ExportError, subject_get
from labelapp.labelling.models import Membership
from labelapp.labelling.services import answer_undo, item_judge
from labelapp.review.exports import truth_address
from labelapp.review.models import Entry, GroundTruth
from labelapp.review.services import adjudicate
from labelapp.review.truth import DIFFERENCES, content_hash, part_of, truth_difference, truth_freeze, truth_get
from labelapp.review.truth_rules import GroundTruthError, truth_rule, truth_rule_of
from tests.factories import cast_project

pytestmark = pytest.mark.django_db
YES, NO, UNSURE = "interpretable", "not_interpretable", "unsure"
ADJUDICATED, AGREED = truth_rule("adjudicated"), truth_rule("agreed", 2)
EITHER = truth_rule("adjudicated_else_agreed", 2)


@pytest.fixture
def judged(items, owner, reviewer, annotator, judge_all):
    """Two yes and an unsure; a tie; two no; one alone; a second look; nobody."""
    judge_all(items, owner, [YES, YES, NO, YES, YES, ""], "pets")
    judge_all(items, reviewer, [YES, NO, NO, "", YES, ""], "animals")
    judge_all(items, annotator, [UNSURE, "", "", "", "", ""])
    answer_undo(project=items[0].project, user=reviewer)
    item_judge(item=items[4], user=reviewer, verdict=YES, label="animals of reviewer")
    return items


def freeze(project, rule, **options):
    return truth_freeze(project=project, name=options.pop("name", "first"), rule=rule, **options).truth


def chosen(truth):
    return {it.direction_id: (it.verdict, it.origin, it.n_people) for it in truth.entries.all()}


def test_agreed_by_people(project, judged):
    truth = freeze(project, AGREED)
    assert chosen(truth) == {
        judged[0].direction_id: (YES, "agreed", 2),
        judged[2].direction_id: (NO, "agreed", 2),
    }  # the second look at the fifth is not blind
    assert truth.left_out == {"judged, and not chosen by the rule": 3, "not judged": 1}
    assert truth.entries.get(verdict=NO).label == ""
    assert {it.label for it in truth.entries.filter(verdict=YES)} == {"pets of owner"}
    with pytest.raises(GroundTruthError, match="No item of Animals fulfils the rule"):
        freeze(project, truth_rule("agreed", 3), name="other")


def test_of_labels_that_differ_the_most_frequent_one_counts(owner, reviewer, annotator, make_user):
    project = cast_project(owner, reviewer, annotator, n=1)
    fourth = make_user("fourth")
    Membership.objects.create(project=project, user=fourth, role="annotator")
    item = project.items.select_related("project", "direction").get()
    for user, label in ((owner, "cats"), (reviewer, "Pets"), (annotator, ""), (fourth, "pets.")):
        item_judge(item=item, user=user, verdict=YES, label=label)
    assert freeze(project, AGREED).entries.get().label == "Pets"


def test_adjudicated_and_else_agreed(project, judged, owner):
    adjudicate(item=judged[1], user=owner, verdict=YES, label="rivers")
    adjudicate(item=judged[2], user=owner, verdict=UNSURE)
    decision = adjudicate(item=judged[5], user=owner, verdict=NO)
    expected = {judged[1].direction_id: (YES, "adjudicated", 1), judged[5].direction_id: (NO, "adjudicated", 1)}
    truth = freeze(project, ADJUDICATED)
    assert chosen(truth) == expected
    assert truth.left_out == {"decided as unsure": 1, "judged, and not chosen by the rule": 3}
    assert truth.entries.get(direction=judged[5].direction).adjudication == decision
    both = freeze(project, EITHER, name="both")  # a decision counts before an agreement, an unsure one too
    assert chosen(both) == expected | {judged[0].direction_id: (YES, "agreed", 2)}


def test_the_hash_of_a_set_worked_out_by_hand():
    text = '{"entries":[["m/ov.0.0/0+","interpretable","\\u00e9"],["m/ov.0.0/1+","not_interpretable",""]],"rule":{"name":"adjudicated","version":1}}'  # noqa: E501
    entries = [("m/ov.0.0/1+", NO, ""), ("m/ov.0.0/0+", YES, "é")]  # in whatever order
    assert content_hash({"version": 1, "name": "adjudicated"}, entries) == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_knows_every_part(project, judged):
    truth = freeze(project, AGREED)
    entries = [(it.key, it.verdict, it.label) for it in truth.entries.all()]
    assert truth.content_hash == content_hash(truth.rule, entries)
    key, verdict, label = entries[0]
    others = [
        content_hash(truth_rule("agreed", 3).as_json(), entries),
        content_hash(truth.rule, entries[1:]),
        content_hash(truth.rule, [(key, verdict, label + "x"), *entries[1:]]),
        content_hash(truth.rule, [(key, NO if verdict == YES else YES, label), *entries[1:]]),
        content_hash(truth.rule, [("m/ov.9.9/0+", verdict, label), *entries[1:]]),
    ]
    assert len({truth.content_hash, *others}) == 6


def test_what_has_not_changed_is_not_frozen_again(project, judged, owner):
    first = truth_freeze(project=project, name="first", rule=AGREED, user=owner)
    again = truth_freeze(project=project, name="first", rule=AGREED, user=owner)
    assert first.is_new and not again.is_new and again.truth == first.truth and GroundTruth.objects.count() == 1
    adjudicate(item=judged[1], user=owner, verdict=YES)
    second = truth_freeze(project=project, name="first", rule=EITHER, user=owner)
    assert second.is_new and second.truth.version == 2 and truth_get(project, "first") == second.truth
    assert truth_get(project, "first", 1).entries.count() == 2


def test_a_set_never_changes(project, judged):
    truth = freeze(project, AGREED)
    entry = truth.entries.first()
    truth.name, entry.verdict = "other", NO
    for act in (truth.save, entry.save, truth.delete, entry.delete):
        with pytest.raises(ImmutableError, match="A ground-truth set"):
            act()
    for rows in (GroundTruth.objects.all(), Entry.objects.all(), truth.entries.all()):
        with pytest.raises(ImmutableError, match="never changes"):
            rows.update(pk=99)
        with pytest.raises(ImmutableError, match="never deleted"):
            rows.delete()


def test_both_ends_of_a_vector_are_in_one_part_and_every_seed_splits_anew():
    keys = [direction_key_parse(f"m/ov.0.{head}/{index}{sign}") for head in range(10) for index in range(20)
            for sign in "+-"]  # fmt: skip
    parts = {seed: [part_of(key, seed, 0.5) for key in keys] for seed in range(3)}
    for found in parts.values():
        assert found[::2] == found[1::2]
        assert 70 <= found[::2].count("held_out") <= 130  # of 200 vectors; 4.2 standard deviations
    assert parts[0] != parts[1]
    assert {part_of(key, 0, 0.0) for key in keys} == {"development"}
    assert {part_of(key, 0, 1.0) for key in keys} == {"held_out"}
    held_out = {str(key) for key in keys if part_of(key, 0, 0.2) == "held_out"}
    assert held_out < {str(key) for key in keys if part_of(key, 0, 0.5) == "held_out"}


def test_a_direction_stays_in_its_part(project, judged, owner):
    first = freeze(project, AGREED, seed=5, held_out=0.5)
    adjudicate(item=judged[1], user=owner, verdict=YES)
    second = freeze(project, EITHER)
    assert (second.version, second.seed, second.held_out_share) == (2, 5, 0.5)
    before = dict(first.entries.values_list("key", "part"))
    now = dict(second.entries.values_list("key", "part"))
    assert {key: now[key] for key in before} == before and len(now) == 3
    for options in ({"seed": 6}, {"held_out": 0.1}):
        with pytest.raises(GroundTruthError, match=r"was split with seed 5 and a held-out share of 0\.5"):
            freeze(project, ADJUDICATED, **options)
    assert second.n_held_out == list(now.values()).count("held_out") and second.n == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "Big Set"}, "small letters, digits and hyphens"),
        ({"name": "a" * 61}, "small letters, digits and hyphens"),
        ({"name": ""}, "small letters, digits and hyphens"),
        ({"held_out": 1.5}, "must be between 0 and 1, not 1.5"),
        ({"held_out": float("nan")}, "must be between 0 and 1"),
        ({"seed": -1}, "A seed must be between 0"),
        ({"seed": 2**31}, "A seed must be between 0"),
    ],
)
def test_what_cannot_be_frozen_is_one_sentence(project, judged, options, sentence):
    with pytest.raises(GroundTruthError, match=sentence):
        freeze(project, AGREED, **options)
    assert not GroundTruth.objects.exists()


def test_only_owner_and_reviewers_freeze(project, judged, annotator, outsider):
    for user in (annotator, outsider):
        with pytest.raises(GroundTruthError, match="You do not review Animals"):
            freeze(project, AGREED, user=user)


def test_rules_are_named_and_come_back():
    for rule in (ADJUDICATED, AGREED, EITHER):
        assert truth_rule_of(json.loads(json.dumps(rule.as_json()))) == rule
    assert AGREED.says.startswith("at least 2 people judged it blind")
    with pytest.raises(GroundTruthError, match="There is no rule 'best'; there is adjudicated"):
        truth_rule("best")
    for people in (None, 0, 1, -2, 10**6):
        with pytest.raises(GroundTruthError, match="needs how many people must agree, at least 2"):
            truth_rule("agreed", people)


@pytest.fixture
def versions(project, judged, owner):
    """Version 2 has one more entry, one less, one with another verdict and one with another label."""
    adjudicate(item=judged[3], user=owner, verdict=YES, label="old words")
    older = freeze(project, EITHER)
    now = judged[3].adjudications.get()
    adjudicate(item=judged[3], user=owner, verdict=YES, label="new words", standing=now.pk)
    adjudicate(item=judged[2], user=owner, verdict=YES)
    adjudicate(item=judged[0], user=owner, verdict=UNSURE)
    adjudicate(item=judged[5], user=owner, verdict=NO)
    return older, freeze(project, EITHER)


def test_the_difference_between_two_versions(judged, versions):
    found = {kind: [it.direction_id for it in truth_difference(*versions, kind)] for kind in DIFFERENCES}
    assert found == {
        "added": [judged[5].direction_id],
        "removed": [judged[0].direction_id],
        "verdict": [judged[2].direction_id],
        "label": [judged[3].direction_id],
    }
    (changed,) = truth_difference(*versions, "verdict")
    assert (changed.verdict_before, changed.verdict) == (NO, YES)
    (renamed,) = truth_difference(*versions, "label")
    assert (renamed.label_before, renamed.label) == ("old words", "new words")
    assert not any(truth_difference(versions[0], versions[0], kind) for kind in DIFFERENCES)


# Pages


def test_the_pages(project, judged, versions, owner, owner_client):
    older, newer = versions
    listed = owner_client.get(reverse("review:truths", args=[project.slug])).content.decode()
    assert "first@1" in listed and "first@2" in listed and older.content_hash[:12] in listed
    page = owner_client.get(reverse("review:truth", args=[project.slug, "first", 2]), {"all": 1}).content.decode()
    assert newer.content_hash in page and "new words" in page and str(judged[5].direction.key) in page
    assert "it never changes" in page and "decided as unsure (1)" in page
    address = reverse("review:difference", args=[project.slug, "first", 1, 2])
    assert address in page
    shown = {kind: owner_client.get(address, {"show": kind, "all": 1}).content.decode() for kind in DIFFERENCES}
    assert "old words" in shown["label"] and str(judged[2].direction.key) in shown["verdict"]
    assert str(judged[5].direction.key) in shown["added"] and str(judged[0].direction.key) in shown["removed"]
    for wrong in (
        [project.slug, "first", 1, 10**30],
        [project.slug, "first", 2, 1],
        [project.slug, "first", 1, 1],
        [project.slug, "first", 1, 3],
    ):
        assert owner_client.get(reverse("review:difference", args=wrong)).status_code == 404
    assert owner_client.get(address, {"show": "x"}).status_code == 404
    assert owner_client.get(reverse("review:truth", args=[project.slug, "first", 3])).status_code == 404
    for query in ({"part": "x"}, {"after": "x"}, {"after": "9" * 99}):
        assert owner_client.get(reverse("review:truth", args=[project.slug, "first", 2]), query).status_code == 404


def test_an_entry_that_is_still_to_be_judged_blind_is_hidden(project, judged, versions, owner, owner_client):
    key = str(judged[5].direction.key)  # the owner decided it, and has not judged it
    page = owner_client.get(reverse("review:truth", args=[project.slug, "first", 2])).content.decode()
    assert key not in page and "still in your queue" in page
    assert page.count("hidden until you have judged") == 1  # the counts of its part
    address = reverse("review:difference", args=[project.slug, "first", 1, 2])
    assert key not in owner_client.get(address, {"show": "added"}).content.decode()


def test_a_list_without_sets_teaches(project, owner_client):
    page = owner_client.get(reverse("review:truths", args=[project.slug])).content.decode()
    assert "No set is frozen yet" in page and "Freeze it" in page


def test_freezing_by_the_page(project, judged, owner_client):
    address = reverse("review:freeze", args=[project.slug])
    sent = {"name": "first", "rule": "agreed", "people": 2, "held_out": "", "seed": ""}
    response = owner_client.post(address, sent)
    assert response.url == reverse("review:truth", args=[project.slug, "first", 1])
    assert "first@1 is frozen with 2 entries" in owner_client.get(response.url).content.decode()
    response = owner_client.post(address, sent, follow=True)
    assert "Nothing has changed since first@1" in response.content.decode()
    for wrong, sentence in (
        ({"name": ""}, "Name: This field is required."),
        ({"name": "A b"}, "small letters, digits and hyphens"),
        ({"rule": "x"}, "What belongs to it: Select a valid choice"),
        ({"people": "1"}, "at least 2"),
        ({"people": "many"}, "People who must agree: Enter a whole number."),
        ({"held_out": "2"}, "must be between 0 and 1"),
        ({"held_out": "nan"}, "Share held out: Enter a number."),
        ({"seed": "-1"}, "A seed must be"),
        ({"rule": "adjudicated"}, "fulfils the rule (a reviewer decided yes or no)"),
    ):
        response = owner_client.post(address, sent | wrong)
        assert response.status_code == 422 and sentence in response.content.decode(), wrong
    assert GroundTruth.objects.count() == 1


def test_pages_of_a_set_have_a_fixed_number_of_queries(project, versions, owner_client, django_assert_num_queries):
    for version in (1, 2):
        address = reverse("review:truth", args=[project.slug, "first", version])
        owner_client.get(address)
        with django_assert_num_queries(11):
            owner_client.get(address)


# Export and command


def test_the_hash_can_be_recomputed_from_the_export(project, judged, owner, tmp_path):
    truth = freeze(project, AGREED)
    path = tmp_path / "first.jsonl"
    call_command("ground_truth", "export", project.slug, "first", "--out", path)
    rows = [json.loads(line)["ground_truth"] for line in path.read_text().splitlines()]
    assert len(rows) == 2 and {row["hash"] for row in rows} == {truth.content_hash}
    content = {
        "entries": sorted([row["key"], row["verdict"], row["label"]] for row in rows),
        "rule": rows[0]["rule"],
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == truth.content_hash
    assert {(row["set"], row["part"] in ("development", "held_out")) for row in rows} == {("first@1", True)}
    assert {row["inclusion_probability"] for row in rows} == {1.0} and {row["drawn"] for row in rows} == {"sample"}


def test_an_entry_that_was_not_drawn_has_no_probability_and_says_so(project, judged, owner, owner_client):
    truth = freeze(project, AGREED)
    with connection.cursor() as cursor:  # a set never changes, other than in this test
        cursor.execute("UPDATE review_entry SET inclusion_probability = NULL WHERE verdict = %s", [YES])
    rows = [row["ground_truth"] for row in export_rows(subject_get(truth_address(truth), owner))]
    drawn = {row["verdict"]: (row["inclusion_probability"], row["drawn"]) for row in rows}
    assert drawn == {YES: (None, "exploration"), NO: (1.0, "sample")}
    page = owner_client.get(reverse("review:truth", args=[project.slug, "first", 1])).content.decode()
    assert "1 of its entries comes from an exploration queue" in page


def test_who_may_export_a_set(project, judged, owner, reviewer, annotator, outsider):
    address = truth_address(freeze(project, AGREED))
    for user in (owner, reviewer, None):
        assert subject_get(address, user).directions.count() == 2
    for user in (annotator, outsider):
        with pytest.raises(ExportError, match="no such ground-truth set that you may export"):
            subject_get(address, user)
    for wrong in ("truth:0", "truth:x", "truth:²", "truth:" + "9" * 40, "truth:"):
        with pytest.raises(ExportError):
            subject_get(wrong, owner)


def test_the_command(project, judged, owner, capsys):
    call_command("ground_truth", "list", project.slug)
    assert "has no ground-truth set yet" in capsys.readouterr().out
    call_command("ground_truth", "freeze", project.slug, "first", "--rule", "agreed", "--seed", "3")
    assert "Frozen: first@1  2 entries" in capsys.readouterr().out
    call_command("ground_truth", "freeze", project.slug, "first", "--rule", "agreed")
    assert "Nothing has changed since first@1" in capsys.readouterr().out
    adjudicate(item=judged[2], user=owner, verdict=YES, label="rivers")
    call_command("ground_truth", "freeze", project.slug, "first")
    call_command("ground_truth", "list", project.slug)
    out = capsys.readouterr().out
    assert "first@1" in out and "first@2" in out and out.count(truth_get(project, "first").content_hash[:12]) == 2
    call_command("ground_truth", "diff", project.slug, "first@1", "first")
    out = capsys.readouterr().out
    assert "another verdict: 1" in out and f"{judged[2].direction.key}  {NO} → {YES}" in out
    for arguments, sentence in (
        (["list", "nowhere"], "There is no project 'nowhere'"),
        (["diff", project.slug, "first@9", "first"], "has no ground-truth set first@9 (it has: first@1, first@2)"),
        (["diff", project.slug, "first@x", "first"], "names no version"),
        (["freeze", project.slug, "second", "--rule", "best"], "There is no rule 'best'"),
        (["export", project.slug, "other", "--out", "/nowhere/x"], "has no ground-truth set other"),
        (["export", project.slug, "first", "--out", "/nowhere/x"], "cannot be written"),
        (["export", project.slug, "first", "--format", "x", "--out", "x"], "There is no format 'x'"),
    ):
        with pytest.raises(CommandError) as refused:
            call_command("ground_truth", *arguments)
        assert sentence in str(refused.value)
