"""The prompt lab: what is scored, against scikit-learn item by item; parts, exemplars, nulls, permissions, the page."""

import pytest
from django.template.defaultfilters import floatformat
from django.urls import reverse
from sklearn import metrics

from labelapp.atlas.models import Direction
from labelapp.autolabel.models import Call, Run, RunItem
from labelapp.autolabel.prompts import prompt_store
from labelapp.autolabel.selection import model_of_project, run_selection_words, subject_address
from labelapp.exchange.subjects import ExportError, subject_get, subjects_listed
from labelapp.jobs.services import job_create
from labelapp.judgements.models import Judgement
from labelapp.judgements.rules import Answers, rule_for
from labelapp.judgements.services import Draft, judge_ensure, judge_of_user, judgement_record, judgements_record_new
from labelapp.review.lab import Reference, differing, judges_of_reference, lab
from labelapp.review.models import Adjudication
from labelapp.review.truth import truth_freeze
from labelapp.review.truth_drawn import disputed_words
from labelapp.review.truth_rules import truth_rule
from labelapp.statistics.contrasts import paired_judges
from tests.factories import DirectionFactory, MatrixFactory
from tests.review.conftest import said
from workers.llm.prompts import prompt_from_mapping

pytestmark = pytest.mark.django_db
YES, NO = "interpretable", "not_interpretable"


def by_hand(project, judge, part=None, has_verifier=False):
    """Truth and verdict of each end where both are yes or no, by the functions that define the rules."""
    rule = rule_for(has_verifier=has_verifier)
    rows = []
    for item in project.items.order_by("direction_id"):
        decision = item.adjudications.get(current=True)
        row = Judgement.objects.filter(judge=judge, direction=item.direction_id, current=True).first()
        if row is None or (part is not None and item.direction_id not in part):
            continue
        answer = row.verifications.order_by("pk").last()
        verdict = rule.verdict(Answers(row.verdict, "", answer.answer if answer else None))
        if verdict in (YES, NO):
            rows.append((item.direction_id, decision.verdict == YES, verdict == YES))
    return rows


def test_scores_are_those_item_by_item(many, judges):
    one, two = judges
    found = lab(Reference(many), [one, two])
    assert (found.n, found.n_yes, found.n_exemplars) == (60, 40, 0)
    for scored, has_verifier in zip(found.judges, (False, True), strict=True):
        rows = by_hand(many, scored.judge, has_verifier=has_verifier)
        truth, judge = [it[1] for it in rows], [it[2] for it in rows]
        scores = scored.scores
        assert scores.n == len(rows) and scored.rule == rule_for(has_verifier=has_verifier)
        assert scores.accuracy.value == pytest.approx(metrics.accuracy_score(truth, judge))
        assert scores.precision.value == pytest.approx(metrics.precision_score(truth, judge))
        assert scores.recall.value == pytest.approx(metrics.recall_score(truth, judge))
        assert scores.kappa.value == pytest.approx(metrics.cohen_kappa_score(truth, judge))
        assert scores.clusters == 30 and scores.accuracy.low < scores.accuracy.value < scores.accuracy.high
    assert found.judges[1].left_out == [("not judged", 1), ("unsure, unparsed or failed", 3)]
    first, second = ({pk: t == v for pk, t, v in by_hand(many, it, has_verifier=it == two)} for it in judges)
    both = sorted(first.keys() & second.keys())
    alone = paired_judges([second[pk] for pk in both], [first[pk] for pk in both])
    paired = found.judges[1].paired
    assert (paired.n, paired.first_only, paired.second_only) == (alone.n, alone.first_only, alone.second_only)
    assert paired.difference == pytest.approx(alone.difference) and paired.p == pytest.approx(alone.p)
    assert found.judges[0].paired is None


@pytest.mark.parametrize("rule", ["labeler", "verifier", "both", "both_specific"])
def test_another_rule(many, judges, rule):
    from labelapp.judgements.rules import RULES

    _, two = judges
    for row in Judgement.objects.filter(judge=two).order_by("pk")[::3]:
        Judgement.objects.filter(pk=row.pk).update(label="possessive pronouns")
    found = lab(Reference(many), list(judges), rule)
    yes = 0
    for row in Judgement.objects.filter(judge=two, current=True):
        answer = row.verifications.last()
        yes += RULES[rule].verdict(Answers(row.verdict, row.label, answer.answer if answer else None)) == YES
    (a, _), (c, _) = found.judges[1].scores.table
    assert a + c == yes > 0
    if rule == "both_specific":
        usual = lab(Reference(many), [two], "both").judges[0].scores.table
        assert sum(usual[row][0] for row in (0, 1)) > yes


def test_the_page_offers_every_rule(many, judges, owner_client):
    chosen = {"judge": [it.pk for it in judges], "set": "", "all": "1", "rule": "both_specific"}
    html = owner_client.get(address(many), chosen).content.decode()
    assert "both_specific@1" in html and '<option value="both_specific"' in html
    assert owner_client.get(address(many), {**chosen, "rule": "other"}).status_code == 404


def test_the_operating_point_is_over_the_same_items_as_the_scores(many, owner):
    """Without exemplars, with what a majority settled, and with the two ends of a vector together."""
    shown = many.items.filter(direction__sign="-").order_by("pk").first().direction
    version = exemplar_prompt(shown, "sensitive")
    judge = judge_ensure(type="prompt", name="sensitive", parameters={"labeler": version.digest})
    control = MatrixFactory(control="gaussian", address="mlp_in.0;gaussian")
    noise = [DirectionFactory(matrix=control, side="read", index=n, sign=sign) for n in range(20) for sign in "+-"]
    everything = [it.direction for it in many.items.select_related("direction").order_by("direction_id")] + noise
    drafts = [Draft(it.pk, YES, evidence={"confidence": 0.5 + it.pk % 7 / 20}) for it in everything]
    judgements_record_new(judge=judge, source="run:5", drafts=drafts)
    found = lab(Reference(many), [judge])
    assert found.n_exemplars == 1 and found.judges[0].operating.n == found.n_yes
    assert found.judges[0].operating.n_controls == 40
    Adjudication.objects.filter(item__project=many).delete()
    for item in [*many.items.exclude(direction=shown).order_by("pk")[:11], many.items.get(direction=shown)]:
        judgement_record(judge=judge_of_user(owner), source=many.source, draft=Draft(item.direction_id, YES))
    found = lab(Reference(many), [judge])
    assert (found.n_yes, found.judges[0].operating.n) == (11, 11)


def test_a_set_is_scored_by_part(many, judges, owner):
    truth = truth_freeze(project=many, name="first", rule=truth_rule("adjudicated"), user=owner, seed=3).truth
    parts = {part: lab(Reference(many, truth, part), [judges[0]]) for part in ("development", "held_out", "")}
    assert parts["development"].n + parts["held_out"].n == parts[""].n == 60
    assert parts["held_out"].n == truth.n_held_out
    ids = set(truth.entries.filter(part="held_out").values_list("direction_id", flat=True))
    rows = by_hand(many, judges[0], part=ids)
    assert parts["held_out"].judges[0].scores.accuracy.value == pytest.approx(
        sum(t == v for _, t, v in rows) / len(rows)
    )


def exemplar_prompt(direction, name="with-exemplar"):
    mapping = {
        "name": name, "kind": "labeler", "style": "few-shot", "endpoint": "chat",
        "instruction": "What do these share?\n{exemplars}", "item_format": "{tokens}\nAnswer:",
        "exemplar_format": "{tokens}\nAnswer: {answer}\n", "tokens_shown": 10, "max_tokens": 20,
        "exemplars": [{"tokens": list(direction.tokens), "answer": "these words are words", "positive": True}],
    }  # fmt: skip
    return prompt_store(prompt_from_mapping(mapping))


def test_an_exemplar_is_scored_for_nobody_and_counted(many, judges, owner_client):
    shown = many.items.filter(direction__sign="-").order_by("pk").first().direction
    version = exemplar_prompt(shown)
    third = judge_ensure(type="prompt", name="third", parameters={"labeler": version.digest})
    directions = [it.direction for it in many.items.select_related("direction").order_by("direction_id")]
    said(third, directions, lambda n: YES)
    assert third in judges_of_reference(Reference(many))
    found = lab(Reference(many), [judges[0], third])
    assert (found.n, found.n_exemplars) == (59, 1)
    assert [it.scores.n for it in found.judges] == [59, 59]
    assert lab(Reference(many), [judges[0]]).n == 60
    html = owner_client.get(address(many), {"judge": [judges[0].pk, third.pk], "set": "", "all": "1"}).content.decode()
    assert "1 end is shown as an exemplar by one of these prompts, and is scored for none of them" in html


def test_nothing_comparable_is_none_and_never_nought(many, owner_client):
    judge = judge_ensure(type="prompt", name="mute", parameters={"name": "mute"})
    directions = list(Direction.objects.filter(items__project=many).order_by("pk"))
    said(judge, directions, lambda n: "failed")
    (scored,) = lab(Reference(many), [judge]).judges
    for it in (scored.scores.accuracy, scored.scores.precision, scored.scores.recall, scored.scores.kappa):
        assert it.value is None and it.why
    html = owner_client.get(address(many), {"judge": judge.pk, "set": "", "all": "1"}).content.decode()
    assert "no direction in common" in html and "0.000" not in html


def test_where_they_differ(many, judges, owner):
    found = lab(Reference(many), list(judges))
    rows, more = differing(found, many, owner, show_hidden=True)
    one, two = ({pk: v for pk, _, v in by_hand(many, it, has_verifier=it == judges[1])} for it in judges)
    expected = [pk for pk in sorted(one.keys() & two.keys()) if one[pk] != two[pk]]
    assert [it.direction.pk for it in rows] == expected and more is None
    assert [letter for _, letter, _ in rows[0].said] == ["y" if it[expected[0]] else "n" for it in (one, two)]
    rest, _ = differing(found, many, owner, after=expected[3], show_hidden=True)
    assert differing(found, many, owner) == ([], None)  # still to be judged blind
    assert [it.direction.pk for it in rest] == expected[4:]


def test_the_operating_point_is_that_of_the_confidences(many, owner):
    judge = judge_ensure(type="baseline", name="baseline", parameters={"alpha": 0.05})
    directions = [it.direction for it in many.items.select_related("direction").order_by("direction_id")]
    for n, it in enumerate(directions):
        judgement_record(judge=judge, source="run:1", draft=Draft(it.pk, YES, evidence={"p_value": n / 100}))
    noise = MatrixFactory(control="gaussian", model=directions[0].matrix.model)
    for n in range(40):
        one = DirectionFactory(matrix=noise)
        judgement_record(judge=judge, source="run:1", draft=Draft(one.pk, NO, evidence={"p_value": (n + 1) / 41}))
    (scored,) = lab(Reference(many), [judge]).judges
    point = scored.operating
    assert (point.n, point.n_controls) == (40, 40)
    # Two of 40 controls may pass: those below the third smallest p, 3/41.
    assert point.threshold == pytest.approx(1 - 3 / 41)
    passing = sum(n / 100 < 3 / 41 for n in range(60) if n % 3)
    assert point.sensitivity == pytest.approx(passing / 40) and point.low < point.sensitivity < point.high
    one = judge_ensure(type="prompt", name="without", parameters={"name": "without"})
    said(one, directions, lambda n: YES)
    (scored,) = lab(Reference(many), [one]).judges
    assert scored.operating.sensitivity is None and "gives no confidence" in scored.operating.why


def test_cost_and_latency_are_those_of_the_calls(many, judges):
    one, _ = judges
    version = exemplar_prompt(DirectionFactory(tokens=["elsewhere"] * 10))
    run = Run.objects.create(judge=one, kind="labels", labeler=version, job=job_create(title="run"))
    for n, item in enumerate(many.items.order_by("pk")[:4]):
        call = Call.objects.create(
            request_hash=f"{n}", provider="p", llm="m", prompt_version=version, prompt="?", texts=["!"],
            finish_reasons=["stop"], cost=1_000_000 * (n + 1), latency=0.5 * (n + 1), created_at="2026-01-01T00:00Z",
        )  # fmt: skip
        RunItem.objects.create(
            run=run, direction_id=item.direction_id, position=n, chunk=0, state="done", labeler_call=call
        )
    spent = lab(Reference(many), [one]).judges[0].spent
    assert (spent.n, spent.cost, spent.seconds) == (4, 2_500_000, 1.25) and spent.dollars == 0.0025
    Call.objects.filter(request_hash="0").update(cost=None)
    assert lab(Reference(many), [one]).judges[0].spent.cost is None


def address(project):
    return reverse("review:lab", args=[project.slug])


@pytest.mark.parametrize(("who", "status"), [("owner", 200), ("reviewer", 200), ("annotator", 403), ("outsider", 404)])
def test_owner_and_reviewer_only(many, judges, who, status, request, client_of):
    assert client_of(request.getfixturevalue(who)).get(address(many)).status_code == status


def test_the_page(many, judges, owner, owner_client):
    truth = truth_freeze(project=many, name="first", rule=truth_rule("adjudicated"), user=owner, seed=3).truth
    html = owner_client.get(address(many), {"all": "1"}).content.decode()
    assert f"Scored on the held-out part of {truth}" in html and "McNemar" in html
    assert '<option value="" title="both for a judge with a verifier, else labeler" selected>' in " ".join(html.split())
    found = lab(Reference(many, truth, "held_out"), sorted(judges, key=lambda it: it.pk))
    for scored in found.judges:
        assert all(floatformat(it.value, 3) in html for it in (scored.scores.accuracy, scored.scores.kappa))
    html = owner_client.get(address(many), {"part": "development", "all": "1"}).content.decode()
    assert "for tuning" in html
    for wrong in ({"set": "first@9"}, {"set": "x"}, {"part": "x"}, {"judge": "x"}, {"rule": "x"}, {"after": "x"}):
        assert owner_client.get(address(many), wrong).status_code == 404


def test_counts_give_nothing_away_that_is_to_be_judged_blind(many, judges, owner_client):
    html = owner_client.get(address(many), {"set": ""}).content.decode()
    assert "Accuracy" not in html and "Hidden until you have judged" in html
    assert "Accuracy" in owner_client.get(address(many), {"set": "", "all": "1"}).content.decode()


def test_a_set_can_be_run_on(many, owner, annotator):
    truth = truth_freeze(project=many, name="first", rule=truth_rule("adjudicated"), user=owner, seed=3).truth
    assert subjects_listed("truth", owner) == [(f"{many.slug}/first@1", "first@1 of Animals")]
    name = f"truth:{many.slug}/first@1"
    assert subject_address(name) == name and subject_get(name, owner).directions.count() == truth.n
    assert model_of_project(name, owner) == many.items.first().direction.matrix.model
    assert run_selection_words({"project": name, "preprocessings": [], "bases": [], "controls": []}).startswith(
        "ground truth animals/first@1"
    )
    with pytest.raises(ExportError):
        subject_get(name, annotator)
    with pytest.raises(ExportError):
        subject_get(f"truth:{many.slug}/first@99999999999999999", owner)


def test_the_number_of_queries_does_not_grow(many, judges, owner_client, django_assert_max_num_queries):
    owner_client.get(address(many), {"all": "1"})
    with django_assert_max_num_queries(32):
        owner_client.get(address(many), {"all": "1"})


def test_a_judge_without_a_verifier_has_no_score_under_a_verifiers_rule(many, judges, owner_client):
    """Not even on its labeler's no alone, and it says why; nor is anybody compared with it."""
    for rule in ("verifier", "both"):
        first, second = lab(Reference(many), list(judges), rule).judges
        assert first.scores.n == 0 and first.left_out == [("no verifier", 60)]
        assert first.scores.accuracy.why == first.scores.kappa.why
        assert first.scores.accuracy.why == f"This judge has no verifier, and the rule {rule} needs one."
        assert second.paired.why.startswith("The judge compared with has no verifier")
        assert second.scores.n > 40
    second, first = lab(Reference(many), list(reversed(judges)), "both").judges
    assert first.paired.difference is None and "has no verifier" in first.paired.why
    asked = {"judge": [it.pk for it in judges], "set": "", "all": "1", "rule": "verifier"}
    html = owner_client.get(address(many), asked).content.decode()
    assert "has no verifier" in html and "no direction in common" not in html


def test_a_set_of_disputed_items_says_that_it_is_no_sample(many, judges, owner, owner_client):
    def page_of(truth):
        return owner_client.get(address(many), {"set": str(truth), "part": "all", "all": "1"}).content.decode()

    whole = truth_freeze(project=many, name="whole", rule=truth_rule("adjudicated"), user=owner).truth
    assert disputed_words(whole) == "" and "is no sample" not in page_of(whole)
    undecided = list(Adjudication.objects.order_by("-pk").values_list("pk", flat=True)[:25])
    Adjudication.objects.filter(pk__in=undecided).update(current=False)
    part = truth_freeze(project=many, name="part", rule=truth_rule("adjudicated"), user=owner).truth
    assert "35 of its 35 entries were decided" in disputed_words(part)
    assert "35 of the 60 items that the project drew are in it" in disputed_words(part)
    assert "on which people agreed" not in disputed_words(part) and "part@1 is no sample" in page_of(part)


def test_a_small_p_is_not_nought(many, judges, owner_client, monkeypatch):
    from labelapp.statistics import scoring

    monkeypatch.setattr(scoring, "_sign_test", lambda first, second: 3e-7)
    html = owner_client.get(address(many), {"set": "", "all": "1"}).content.decode()
    assert html.count("&lt; 0.0001") == 2 and "0.0000" not in html
