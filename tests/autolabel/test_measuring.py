"""Measurements of a judge: real calls to a real server, by a real worker's code."""

from dataclasses import replace

import pytest

from labelapp.autolabel.measuring import Wanted, measure_plan, measurement_start, missing_decompose
from labelapp.autolabel.models import Call, Run, RunItem
from labelapp.autolabel.prompts import prompt_get, prompt_store_mapping
from labelapp.autolabel.runs import RunError, failed_again, plan_estimate, run_start
from labelapp.autolabel.trust import trust
from labelapp.jobs.models import Job, State
from labelapp.jobs.services import JobError
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import summaries_verify
from labelapp.statistics.estimation import wilson_interval
from tests.autolabel.conftest import LABELER, atlas, detector_store, plan_for, start
from tests.autolabel.test_runs import finish
from tests.factories import DirectionFactory, MatrixFactory, cast_project

pytestmark = pytest.mark.django_db(transaction=True)
Purpose = Run.Purpose
NONE = "These words have no shared semantic meaning."


def measured(run: Run, purpose: Purpose, **wanted) -> Run:
    return finish(measurement_start(measure_plan(run, Wanted(purpose, **wanted))))


def rows_of(run: Run, purpose: Purpose) -> dict[str, object]:
    (section,) = trust(run, purposes=[purpose])
    return {row.name: row for row in section.rows}


def topics(n: int) -> list[dict[str, str]]:
    """The server's labeler names each readout by its word; the verifier is not concerned."""
    return [
        {"when": f"Words: word{number}x0, word{number}x1", "times": 1, "do": "ok",
         "text": f"most of these words relate to topic{number}."}
        for number in range(n)
    ]  # fmt: skip


def test_the_same_lists_in_another_order(llm, prompts):
    run = finish(start(atlas(20)))
    judged = Judgement.objects.count()
    asked = measured(run, Purpose.ORDER)
    assert (asked.kind, asked.measured_run, asked.judge) == ("reliability", run, run.judge)
    assert llm.seen()["counts"]["asked"] == 80, "another prompt, so not answered from the store"
    assert Judgement.objects.count() == judged and summaries_verify() == [], "it judges nothing"
    shown = {tuple(call.prompt.partition("Words: ")[2].split("\n")[0].split(", ")) for call in Call.objects.all()}
    lists = [[f"word3x{place}" for place in range(10)], *(list(it) for it in shown if "word3x0" in it)]
    assert len(shown) == 40 and all(sorted(it) == sorted(lists[0]) for it in lists)
    orders = {tuple(token.partition("x")[2] for token in it) for it in shown}
    assert len(orders) > 10, "each list has an order of its own"
    rows = rows_of(run, Purpose.ORDER)
    assert (rows["Same verdict, rule both@1"].value, rows["Same verdict, rule both@1"].n) == (1.0, 20)
    assert rows["Cohen's kappa, rule both@1"].value is None, "always yes: chance alone agrees"
    assert "Not defined" in rows["Cohen's kappa, rule both@1"].note
    assert rows["The very same label"].value == 1.0
    again = measured(run, Purpose.ORDER)
    assert again.options["order_seed"] == 2 and llm.seen()["counts"]["asked"] == 120


def test_the_same_calls_again_are_asked_and_compared(llm, prompts):
    run = finish(start(atlas(20)))
    llm.tell(rules=[{"when": f"word{number}x", "do": "ok", "text": NONE} for number in (3, 4)]
             + [{"when": "word5x", "do": "ok", "text": "Hm."}])  # fmt: skip
    asked = measured(run, Purpose.REPEAT)
    assert llm.seen()["counts"]["asked"] == 79, "nobody verifies what could not be read"
    assert set(Call.objects.values_list("sample", flat=True)) == {0, 1}
    assert RunItem.objects.filter(run=asked, verdict="unparsed").count() == 1
    rows = rows_of(run, Purpose.REPEAT)
    same = rows["Same verdict, rule labeler@1"]
    assert (same.n, same.value) == (19, pytest.approx(17 / 19)) and same.low < 17 / 19 < same.high
    assert "1 unparsed" in same.note
    assert rows["Cohen's kappa, rule labeler@1"].value == 0, "the first time it always said yes"
    yes = 36 / 38
    by_chance = 2 * yes * (1 - yes)
    assert rows["Gwet's AC1, rule labeler@1"].value == pytest.approx((17 / 19 - by_chance) / (1 - by_chance))
    assert rows["Prevalence of yes over both times, rule labeler@1"].value == pytest.approx(yes)
    assert rows["The very same label"].n == 17
    assert measured(run, Purpose.REPEAT).options["sample"] == 2


def test_a_sample_is_asked_about_and_failed_items_again(llm, prompts):
    run = finish(start(atlas(20)))
    plan = measure_plan(run, Wanted(Purpose.REPEAT, directions=6))
    estimate = plan_estimate(plan)
    assert (estimate.directions, estimate.calls, estimate.stored) == (6, 12, 0)
    assert "6 drawn at random" in plan.selection.words
    llm.tell(default={"do": "status", "status": 400})
    asked = finish(measurement_start(plan))
    assert asked.items.filter(state="failed").count() == 6
    (section,) = trust(run, purposes=[Purpose.REPEAT])
    assert "6 failed" in section.note
    assert all(row.value is None and row.note for row in section.rows), "null with a sentence, never 0"
    llm.tell(reset=True)
    failed_again(asked)
    finish(asked)
    assert rows_of(run, Purpose.REPEAT)["Same verdict, rule both@1"].n == 6
    llm.tell(default={"do": "status", "status": 400})
    later = measured(run, Purpose.REPEAT, directions=2)
    assert rows_of(run, Purpose.REPEAT)["Same verdict, rule both@1"].n == 6, (
        "a later one without an answer says nothing"
    )
    assert trust(run, None, [Purpose.REPEAT], later)[0].rows[0].value is None


def test_a_wrong_label_is_handed_to_the_verifier_alone(llm, prompts):
    llm.tell(rules=[{"when": "word11x", "do": "ok", "text": NONE}, *topics(13)])
    run = finish(start(atlas(13)))
    llm.tell(
        reset=True, rules=[{"when": "word7x", "do": "ok", "text": "?"}, {"when": "topic2.", "do": "ok", "text": "no"}]
    )
    asked = measured(run, Purpose.WRONG_LABEL)
    assert llm.seen()["counts"]["asked"] == 12 == asked.items.count(), "once each, and no labeler"
    for item in asked.items.select_related("verifier_call"):
        own = RunItem.objects.get(run=run, direction=item.direction_id).label
        given = RunItem.objects.get(run=run, direction=item.detail["from"]).label
        assert (
            own != given and given in item.detail["statement"] and item.detail["statement"] in item.verifier_call.prompt
        )
        assert item.labeler_call is None
    assert Judgement.objects.filter(source=asked.source).count() == 0
    answers = list(asked.items.values_list("verification", flat=True))
    row = rows_of(run, Purpose.WRONG_LABEL)["Accepts another direction's label"]
    yes, no = answers.count("yes"), answers.count("no")
    assert answers.count("unparsed") == 1 and yes + no == 11
    assert row.value == yes / 11 and (row.low, row.high) == wilson_interval(yes, 11) and "1 unparsed" in row.note
    assert rows_of(run, Purpose.WRONG_LABEL)["Accepts the direction's own label"].n == 12


def detection_run(llm, n=12) -> Run:
    prompt_store_mapping({**LABELER, "name": "short", "tokens_shown": 5})
    llm.tell(rules=topics(n))
    return finish(run_start(replace(plan_for(atlas(n)), labeler=prompt_get("short", "labeler"))))


def test_a_detector_picks_the_later_tokens_by_the_label(llm, prompts):
    detector = detector_store()
    run = detection_run(llm)
    own_places = {
        entry.direction_id: ", ".join(str(place + 1) for place in entry.asked["own"])
        for entry in measure_plan(run, Wanted(Purpose.DETECTION, detector=detector)).measurement.entries
    }
    plan = measure_plan(run, Wanted(Purpose.DETECTION, detector=detector))
    assert plan_estimate(plan).calls == 12
    labels = dict(run.items.values_list("direction_id", "label"))
    right = [{"when": f"Interpretation: most of these words relate to {labels[pk]}.\n", "do": "ok", "text": text}
             for pk, text in own_places.items()]  # fmt: skip
    right[3] |= {"text": "I cannot say"}
    right[4] |= {"text": "none"}
    llm.tell(reset=True, rules=right)
    asked = finish(measurement_start(plan))
    assert (asked.kind, asked.labeler, asked.detector) == ("detection", None, detector)
    assert asked.judge != run.judge and llm.seen()["counts"]["asked"] == 12
    assert not Judgement.objects.filter(source=asked.source).exists()
    items = {item.direction_id: item for item in asked.items.select_related("detector_call")}
    unread, silent, good = (items[pk] for pk in [*own_places][3:6])
    assert (unread.verdict, unread.state) == ("unparsed", "done") and "hits" not in unread.detail
    assert unread.detail["reason"]
    assert (silent.detail["picks"], silent.detail["hits"], silent.detail["false_alarms"]) == ([], 0, 0)
    assert good.detail["picks"] == good.detail["own"] and good.detail["hits"] == 5
    assert all(f"{number}. {token}" in good.detector_call.prompt for number, token in enumerate(good.detail["list"], 1))
    row = rows_of(run, Purpose.DETECTION)["All tokens"]
    assert row.n == 110 and row.value == pytest.approx((50 / 55 + 1) / 2) and row.low < row.value < row.high
    assert "unparsed answers left out: 1" in row.note
    assert rows_of(run, Purpose.DETECTION)["Whole words"].value is None, "word3x7 is no word"


def test_too_short_readouts_are_left_out_and_counted(llm, prompts):
    detector = detector_store()
    run = detection_run(llm, n=6)
    short = run.items.first().direction
    type(short).objects.filter(pk=short.pk).update(tokens=short.tokens[:9])
    asked = measured(run, Purpose.DETECTION, detector=detector)
    assert asked.items.count() == 5
    (section,) = trust(run, purposes=[Purpose.DETECTION])
    assert "1 store fewer than the 10 tokens" in section.note
    long = finish(start(run.model))  # its labeler sees 15 tokens, of which 10 are stored
    with pytest.raises(RunError, match="6 store fewer than the 30 tokens"):
        measure_plan(long, Wanted(Purpose.DETECTION, detector=detector))


def noise(model, **made) -> None:
    for head in (0, 1):
        variant = ";".join(["", *made.values()])
        matrix = MatrixFactory(model=model, head=head, address=f"ov.0.{head}{variant}", **made)
        for index in range(3):
            for sign in "+-":
                words = [f" {next(iter(made.values()))}{head}{index}{sign}{place}" for place in range(10)]
                DirectionFactory(matrix=matrix, index=index, sign=sign, tokens=words)


def test_controls_are_judged_blind_and_give_false_positive_rates(llm, prompts):
    model = atlas(8)
    run = finish(start(model))
    with pytest.raises(RunError, match="decomposed yet"):
        measure_plan(run, Wanted(Purpose.CONTROLS))
    for control in ("gaussian", "shuffled"):
        noise(model, control=control)
    llm.tell(rules=[{"when": "gaussian0", "do": "ok", "text": NONE}, {"when": "shuffled01", "do": "ok", "text": "Hm."}])
    asked = measured(run, Purpose.CONTROLS)
    assert (asked.kind, asked.judge) == ("labels", run.judge)
    assert asked.items.count() == Judgement.objects.filter(source=asked.source).count() == 24
    assert not any(word in call.prompt for call in Call.objects.all() for word in ("control", ";", "ov.0"))
    rows = rows_of(run, Purpose.CONTROLS)
    gaussian, shuffled = rows["gaussian"], rows["shuffled"]
    assert (gaussian.value, gaussian.n) == (0.5, 12) and (shuffled.value, shuffled.n) == (1.0, 10)
    # Both ends always agree here, so six vectors count and not twelve ends.
    assert gaussian.low < wilson_interval(6, 12)[0] and shuffled.low == pytest.approx(wilson_interval(5, 5)[0])
    assert "2 unparsed" in shuffled.note
    assert rows["covariance"].value is None and rows["covariance"].note, "no figure, and not 0"
    assert rows["all controls"].n == 22
    assert summaries_verify() == []


def test_contrasts_stand_beside_the_runs_own_rate(llm, prompts):
    model = atlas(6)
    run = finish(start(model))
    noise(model, basis="rotated")
    noise(model, basis="neuron")
    MatrixFactory(model=model, layer=1, head=0, basis="neuron", address="ov.1.0;neuron")
    llm.tell(rules=[{"when": "neuron", "do": "ok", "text": NONE}])
    asked = measured(run, Purpose.CONTRASTS)
    assert asked.items.count() == 24
    rows = rows_of(run, Purpose.CONTRASTS)
    assert [(name, row.value, row.n) for name, row in rows.items()] == [
        ("svd", 1.0, 6), ("rotated", 1.0, 12), ("neuron", 0.0, 12)
    ]  # fmt: skip


def test_what_cannot_be_measured_is_refused_in_a_sentence(llm, prompts):
    model = atlas(3)
    run = start(model)
    with pytest.raises(RunError, match="not over yet"):
        measure_plan(run, Wanted(Purpose.ORDER))
    run = finish(run)
    with pytest.raises(RunError, match="no other direction with another label"):
        measure_plan(run, Wanted(Purpose.WRONG_LABEL))
    with pytest.raises(RunError, match="wants a detector prompt"):
        measure_plan(run, Wanted(Purpose.DETECTION, detector=prompt_get("plain", "labeler")))
    alone = finish(start(model, verifier=None))
    with pytest.raises(RunError, match="no verifier"):
        measure_plan(alone, Wanted(Purpose.WRONG_LABEL))
    asked = measured(run, Purpose.ORDER)
    with pytest.raises(RunError, match=f"measures run {run.pk} itself"):
        measure_plan(asked, Wanted(Purpose.REPEAT))
    jobs = Job.objects.count()
    with pytest.raises(JobError, match="imported readouts"):
        type(model).objects.filter(pk=model.pk).update(weights_hash="")
        missing_decompose(Run.objects.get(pk=run.pk), Purpose.CONTROLS)
    assert Job.objects.count() == jobs


def test_the_missing_is_decomposed_at_the_runs_place(llm, prompts):
    model = atlas(6)
    run = finish(start(model))
    noise(model, control="gaussian")
    job = missing_decompose(run, Purpose.CONTROLS)
    params = [child.params for child in Job.objects.filter(parent=job)]
    addresses = sorted(address for it in params for address in it["addresses"])
    assert addresses == sorted(
        f"ov.0.{head};{kind}" for head in (0, 1) for kind in ("covariance", "shuffled", "column_shuffled")
    )


def test_the_same_measurement_is_not_started_twice(llm, prompts):
    run = finish(start(atlas(4)))
    first = measurement_start(measure_plan(run, Wanted(Purpose.ORDER)))
    assert measurement_start(measure_plan(run, Wanted(Purpose.ORDER))) == first
    assert Run.objects.count() == 2 and finish(first).job.state == State.DONE


def test_what_a_viewer_still_judges_blind_is_hidden(llm, prompts, owner, annotator):
    project = cast_project(owner, annotator=annotator, n=4)
    run = finish(start(project.items.first().direction.matrix.model))
    measured(run, Purpose.REPEAT)
    (seen,) = trust(run, None, [Purpose.REPEAT])
    (hidden,) = trust(run, annotator, [Purpose.REPEAT])
    assert seen.rows and not hidden.rows and "until you have judged" in hidden.note


def test_the_list_of_runs_says_which_ones_measure(llm, prompts, owner_client):
    run = finish(start(atlas(4)))
    measured(run, Purpose.REPEAT)
    assert owner_client.get("/runs/").content.decode().count(f"Measures run {run.pk}: the same calls again") == 1
