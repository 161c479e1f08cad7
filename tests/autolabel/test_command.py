"""`manage.py autolabel`: what it says before, while and after; what it refuses; Ctrl-C."""

import json
import os
import signal
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from labelapp.autolabel.models import Call, ModelPrice, Run, RunItem
from labelapp.jobs.control import job_pause
from labelapp.jobs.models import Job, State
from labelapp.judgements.models import Judgement
from tests.autolabel.conftest import atlas, plan_for, start
from tests.factories import cast_project
from tests.support.waiting import wait_for
from tests.support.workers import worker_environment

WHO = ("--labeler", "plain", "--verifier", "check", "--llm", "test:tiny-1")


def autolabel(*words: str) -> None:
    call_command("autolabel", *words)


@pytest.mark.django_db(transaction=True)
def test_it_says_what_it_will_cost_asks_and_judges(llm, prompts, capsys):
    model = atlas(8)
    with pytest.raises(CommandError, match="give --yes"):
        autolabel("--model", model.name, *WHO, "--price-in", "0.15", "--price-out", "0.6")
    said = capsys.readouterr().out
    assert "8 directions" in said and "calls      16" in said and "price      about $0.00" in said
    assert not Run.objects.exists() and llm.seen()["counts"] == {}
    autolabel("--model", model.name, *WHO, "--budget", "0.5", "--yes")
    said = capsys.readouterr()
    assert "Run" in said.out and "8 directions judged" in said.out and "spent of $0.50" in said.out
    assert "100 %" in said.err
    assert Judgement.objects.count() == 8 and ModelPrice.objects.get().input == 150_000_000


@pytest.mark.django_db(transaction=True)
def test_an_unknown_price_is_said_to_be_unknown_and_is_never_0(llm, prompts, capsys):
    model = atlas(2)
    with pytest.raises(CommandError, match="give --yes"):
        autolabel("--model", model.name, *WHO)
    assert "price      unknown; --price-in and --price-out give it" in capsys.readouterr().out
    autolabel("--model", model.name, *WHO, "--yes")
    assert "$0" not in capsys.readouterr().out
    assert set(Call.objects.values_list("cost", flat=True)) == {None}


@pytest.mark.django_db(transaction=True)
def test_a_selection_is_narrowed_down(llm, prompts, capsys, owner):
    model = atlas(8)
    autolabel("--model", model.name, *WHO, "--indices", "0-1", "--layers", "0", "--circuits", "ov", "--yes")
    assert RunItem.objects.count() == 4
    autolabel("--model", model.name, *WHO, "--not-judged", "--yes")
    assert RunItem.objects.filter(run=Run.objects.latest("pk")).count() == 4
    with pytest.raises(CommandError, match="nothing to ask about"):
        autolabel("--model", model.name, *WHO, "--not-judged", "--yes")
    project = cast_project(owner, n=3)  # of one readout: a call of each prompt
    autolabel("--project", project.slug, *WHO, "--yes")
    run = Run.objects.latest("pk")
    assert run.items.count() == 3 and run.model is not None
    assert run.selection["project"] == project.slug
    assert "calls      2" in capsys.readouterr().out.rpartition("project")[2]


@pytest.mark.django_db(transaction=True)
def test_recorded_answers_are_replayed_for_nothing(prompts, monkeypatch, tmp_path, capsys):
    model = atlas(3)
    file = tmp_path / "answers.jsonl"
    file.write_text("")
    plan = plan_for(model, llm=f"replay:{file}")
    lines = []
    for number in range(3):
        tokens = [f" word{number}x{place}" for place in range(10)]
        request = plan.asker.label(tokens).request
        lines.append({"prompt": request.prompt_text, "answer": "These words have no shared semantic meaning."})
    file.write_text("\n".join(map(json.dumps, lines)))
    autolabel("--model", model.name, "--labeler", "plain", "--llm", f"replay:{file}", "--budget", "1", "--yes")
    assert set(Judgement.objects.values_list("verdict", flat=True)) == {"not_interpretable"}
    assert "$0.00 spent" in capsys.readouterr().out


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "either --project NAME or --model NAME"),
        (("--model", "tiny", *WHO[:4]), "--llm is missing"),
        (("--model", "tiny", "--llm", "test:x"), "--labeler is missing"),
        (("--model", "tiny", *WHO, "--budget", "0"), "must be more than 0"),
        (("--model", "tiny", *WHO, "--budget", "lots"), "no amount of money"),
        (("--model", "tiny", *WHO, "--budget", "1"), "price of test:tiny-1 is unknown"),
        (("--model", "tiny", *WHO, "--price-in", "1"), "two parts"),
        (("--model", "tiny", "--labeler", "poet", "--llm", "test:x"), "there is: .*plain"),
        (("--model", "tiny", "--labeler", "check", "--llm", "test:x"), "no labeler prompt 'check'"),
        (("--model", "tiny", "--labeler", "plain", "--llm", "nobody:x"), "no provider 'nobody'"),
        (("--model", "tiny", "--labeler", "plain", "--llm", "openai:gpt-4.1-mini"), "OPENAI_API_KEY"),
        (("--model", "tiny", "--labeler", "plain", "--llm", "replay:/nowhere"), "no file '/nowhere'"),
        (("--model", "else", *WHO), "no model 'else'"),
        (("--project", "else", *WHO), "no project 'else'"),
        (("--model", "tiny", *WHO, "--layers", "9"), "layer 9"),
        (("--model", "tiny", *WHO, "--indices", "3-1"), "run backwards"),
        (("--model", "tiny", *WHO, "--circuits", "mlp_in", "--yes"), "nothing to ask about"),
        (("--resume", "77"), "no run 77"),
        (("--resume", "1", "--cancel", "1"), "at a time"),
        (("--llm", "baseline"), "name it with --model"),
        (("--llm", "baseline", "--model", "tiny", "--budget", "1"), "takes no --budget"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_and_nothing_is_stored(llm, prompts, words, sentence):
    model = atlas(2)
    type(model).objects.filter(pk=model.pk).update(name="tiny")
    with pytest.raises(CommandError, match=sentence) as refused:
        autolabel(*words)
    assert "\n" not in str(refused.value)
    assert not Run.objects.exists() and not Job.objects.exists() and not Call.objects.exists()
    assert llm.seen()["counts"] == {}


@pytest.mark.django_db(transaction=True)
def test_pause_resume_retry_and_cancel_by_command(llm, prompts, capsys):
    llm.tell(rules=[{"when": "word1x", "times": 1, "do": "status", "status": 400}])
    run = start(atlas(4))
    autolabel("--pause", str(run.pk))
    with pytest.raises(CommandError, match="cannot be paused"):
        autolabel("--pause", str(run.pk))
    autolabel("--resume", str(run.pk))
    said = capsys.readouterr().out
    assert f"--retry-failed {run.pk}" in said and "refused 1" in said
    autolabel("--retry-failed", str(run.pk))
    assert "4 directions judged" in capsys.readouterr().out
    with pytest.raises(CommandError, match="nothing to go on with"):
        autolabel("--resume", str(run.pk))
    with pytest.raises(CommandError, match="is done already"):
        autolabel("--cancel", str(run.pk))
    other = start(atlas(2))
    job_pause(other.job)
    autolabel("--cancel", str(other.pk))
    assert Job.objects.get(pk=other.job_id).state == State.CANCELLED


def interrupted(run: Run, llm) -> tuple[int, str]:
    """`autolabel --resume RUN` in a process of its own, with Ctrl-C once it is at work."""
    command = [sys.executable, "manage.py", "autolabel", "--resume", str(run.pk)]
    process = subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=worker_environment() | {"LOG_LEVEL": "ERROR"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout
    first = process.stdout.readline()  # it follows the run
    wait_for(lambda: llm.seen()["counts"].get("asked", 0) >= 10)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    return process.returncode, first + said


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_without_a_worker_pauses_the_run(llm, prompts):
    llm.tell(latency=0.2)
    run = start(atlas(60))
    code, said = interrupted(run, llm)
    assert code == 130, said
    assert f"Run {run.pk} is paused" in said and "Traceback" not in said
    assert Job.objects.get(pk=run.job_id).state == State.PAUSED
    assert Call.objects.count() == llm.seen()["counts"]["asked"], "what was under way was waited for"
    llm.tell(latency=0)
    autolabel("--resume", str(run.pk))
    assert llm.seen()["counts"]["asked"] == 120


def test_ctrl_c_with_a_worker_leaves_the_run_going_on(llm, prompts, worker):
    llm.tell(latency=2.0)  # the worker must not be done before the command has started
    run = start(atlas(60))
    code, said = interrupted(run, llm)
    llm.tell(latency=0)
    assert code == 130 and f"Run {run.pk} goes on in the workers" in said and "Traceback" not in said
    wait_for(lambda: Job.objects.get(pk=run.job_id).state == State.DONE)
