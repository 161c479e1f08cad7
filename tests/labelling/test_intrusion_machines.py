"""The trials of a test asked of a language model: real calls to a real server, by a real worker's code."""

import json

import pytest
from django.core.management import CommandError, call_command

from labelapp.autolabel.models import Call, Run, RunItem
from labelapp.autolabel.prompts import prompts_load
from labelapp.autolabel.providers import llm_get, price_give
from labelapp.autolabel.runs import failed_again, plan_estimate
from labelapp.judgements.models import Judgement
from labelapp.labelling.services import item_judge
from labelapp.labelling.trials.machines import choice_plan, choice_run_start
from labelapp.labelling.trials.models import AskedRun
from labelapp.labelling.trials.results import answers_table, results_of
from labelapp.labelling.trials.services import choice_test_start
from tests.autolabel.conftest import llm, llm_process  # noqa: F401
from tests.autolabel.test_runs import finish
from workers.llm.errors import LlmError
from workers.llm.prices import NANO, price_make
from workers.llm.rendering import token_shown

pytestmark = pytest.mark.django_db(transaction=True)
LLM = "test:tiny-1"


@pytest.fixture
def drawn(llm, spoken_project):  # noqa: F811
    prompts_load()
    return choice_test_start(project=spoken_project, user=None, kind="intrusion", ends=20, trials=2)


def list_of(trial):
    return "\n".join(f"{number}. {token_shown(token)}" for number, token in enumerate(trial.shown, 1))


def asked(test, **options) -> Run:
    return finish(choice_run_start(test, choice_plan(test, LLM), **options))


def test_every_trial_is_asked_and_counted(llm, drawn):  # noqa: F811
    trials = list(drawn.trials.select_related("direction__matrix"))
    right = trials[::3]
    llm.tell(
        default={"do": "ok", "text": "I cannot tell."},
        rules=[{"when": list_of(it), "do": "ok", "text": f" {it.answer + 1}."} for it in right]
        + [{"when": list_of(it), "do": "ok", "text": str((it.answer + 1) % 6 + 1)} for it in trials[1::3]],
    )
    run = asked(drawn)
    assert (run.kind, run.purpose, run.measured_run, run.detector.kind) == ("choice", "", None, "intruder")
    assert run.judge.parameters == {"provider": "test", "llm": "tiny-1", "detector": run.detector.digest}
    assert (
        llm.seen()["counts"]["asked"] == len(trials) == Call.objects.count() == RunItem.objects.filter(run=run).count()
    )
    assert Judgement.objects.count() == 0, "it judges nothing"
    machines = {it.group: it for it in results_of(drawn) if not it.is_person}
    assert set(machines) == {"", "gaussian"}, "controls stand beside directions"
    for group, found in machines.items():
        its = [at for at, it in enumerate(trials) if it.direction.matrix.control == group]
        assert found.found.right == sum(at % 3 == 0 for at in its)
        assert found.found.trials == sum(at % 3 != 2 for at in its)
        assert (found.unparsed, found.failed) == (sum(at % 3 == 2 for at in its), 0)
        assert found.name == LLM and found.run == run
    header, rows = answers_table(drawn)
    written = [dict(zip(header, row, strict=True)) for row in rows]
    assert len(written) == sum(at % 3 != 2 for at in range(len(trials)))
    assert {row["type"] for row in written} == {"machine"} and sum(row["right"] for row in written) == len(right)


def test_what_fails_is_no_answer_and_is_asked_again(llm, drawn):  # noqa: F811
    llm.tell(default={"do": "status", "status": 400})
    run = asked(drawn)
    n = drawn.trials.count()
    assert sum(it.failed for it in results_of(drawn)) == n
    assert all(it.found.value is None for it in results_of(drawn))
    llm.tell(reset=True, default={"do": "ok", "text": "1"})
    failed_again(run)
    finish(run)
    machines = [it for it in results_of(drawn) if not it.is_person]
    assert sum(it.found.trials for it in machines) == n and sum(it.failed for it in machines) == 0
    assert sum(it.found.right for it in machines) == drawn.trials.filter(answer=0).count()


def test_two_clicks_make_one_run_and_answers_are_paid_once(llm, drawn):  # noqa: F811
    plan = choice_plan(drawn, LLM)
    run = choice_run_start(drawn, plan)
    assert choice_run_start(drawn, plan) == run
    llm.tell(default={"do": "ok", "text": "2"})
    finish(run)
    n = llm.seen()["counts"]["asked"]
    again = asked(drawn)
    assert again != run and AskedRun.objects.count() == 2
    assert llm.seen()["counts"]["asked"] == n, "answered from the store"
    assert plan_estimate(plan).stored == n and plan_estimate(plan).calls == 0


def test_a_budget_is_kept(llm, drawn):  # noqa: F811
    config, name = llm_get(LLM)
    price_give(config, name, price_make("1", "1"))
    plan = choice_plan(drawn, LLM)
    estimate = plan_estimate(plan)
    assert estimate.directions == drawn.trials.count() == estimate.calls and estimate.cost
    llm.tell(default={"do": "ok", "text": "2"})
    run = finish(choice_run_start(drawn, plan, budget=estimate.cost // 4), "paused")
    assert 0 < run.spent <= estimate.cost // 4 < NANO
    assert 0 < RunItem.objects.filter(run=run, state="done").count() < estimate.calls


def test_matching_asks_for_the_list_of_a_label(llm, drawn, spoken_project, owner):  # noqa: F811
    for number, item in enumerate(spoken_project.items.all()[:8]):
        item_judge(item=item, user=owner, verdict="interpretable", label=f"topic{number}.")
    test = choice_test_start(project=spoken_project, user=None, kind="matching", trials=1)
    trials = list(test.trials.all())
    llm.tell(
        default={"do": "ok", "text": "none"},
        rules=[{"when": f"Interpretation: {it.label}", "do": "ok", "text": str(it.answer + 1)} for it in trials[1:]],
    )
    run = asked(test)
    found = [it for it in results_of(test) if it.run]
    assert run.detector.kind == "matcher" and sum(it.found.right for it in found) == len(trials) - 1
    assert sum(it.unparsed for it in found) == 1
    call = Call.objects.filter(prompt__contains=f"Interpretation: {trials[1].label}").get()
    tokens = trials[1].direction.tokens[:10]
    assert f"{trials[1].answer + 1}. {', '.join(map(token_shown, tokens))}" in call.prompt


def test_a_prompt_of_another_kind_is_refused(drawn):
    with pytest.raises(LlmError, match="no intruder prompt 'matcher-few-shot'"):
        choice_plan(drawn, LLM, prompt="matcher-few-shot")
    with pytest.raises(LlmError):
        choice_plan(drawn, "nobody:x")


def test_the_command(llm, spoken_project, capsys):  # noqa: F811
    prompts_load()
    with pytest.raises(CommandError, match="--start draws one"):
        call_command("intrusion", "words")
    with pytest.raises(CommandError, match="no project 'word'"):
        call_command("intrusion", "word")
    call_command("intrusion", "words", "--start", "--ends", "20", "--trials", "1")
    assert "People answer at /label/words/tests/" in capsys.readouterr().out
    llm.tell(default={"do": "ok", "text": "3"})
    with pytest.raises(CommandError, match="give --yes"):
        call_command("intrusion", "words", "--llm", LLM)
    call_command("intrusion", "words", "--llm", LLM, "--yes", "--price-in", "1", "--price-out", "1", "--budget", "5")
    out = capsys.readouterr().out
    assert "trials: project words" in out and "is done" in out and "precision, chance 1/6" in out
    assert f"  {LLM}, directions: 0." in out and f"  {LLM}, gaussian controls:" in out
    call_command("intrusion", "words", "--json")
    figures = json.loads(capsys.readouterr().out)["figures"]
    machine = next(it for it in figures if it["type"] == "machine" and it["group"] == "directions")
    assert machine["precision"] == machine["right"] / machine["trials"] and machine["chance"] == pytest.approx(1 / 6)
    assert next(it for it in figures if it["type"] == "person")["precision"] is None
