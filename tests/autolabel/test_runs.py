"""Runs of language models: real calls to a real server, by a real worker's code."""

import pytest

from labelapp.autolabel.models import Call, Run, RunItem
from labelapp.autolabel.selectors import run_tally
from labelapp.jobs.follow import job_wait
from labelapp.jobs.models import State
from labelapp.judgements.models import Judgement, Verification
from labelapp.judgements.services import summaries_verify
from tests.autolabel.conftest import atlas, start

pytestmark = pytest.mark.django_db(transaction=True)


def finish(run: Run, state: State = State.DONE) -> Run:
    progress = job_wait(run.job)
    assert progress.state == state, progress.error
    return Run.objects.select_related("job").get(pk=run.pk)


def test_every_direction_is_asked_about_judged_and_verified_once(llm, prompts):
    run = finish(start(atlas(30)))
    assert llm.seen()["answered"] == 60 and llm.seen()["repeated"] == 0
    assert Call.objects.count() == 60
    assert Judgement.objects.filter(source=run.source, judge=run.judge, current=True).count() == 30
    assert Verification.objects.filter(judge=run.verifier_judge, answer="yes").count() == 30
    item = RunItem.objects.filter(run=run).first()
    assert (item.state, item.verdict, item.verification) == ("done", "interpretable", "yes")
    assert "animals" in item.label
    judgement = Judgement.objects.get(direction=item.direction_id)
    assert judgement.evidence["answer"] == "most of these words relate to animals."
    assert judgement.evidence["verifier_answer"] == "yes"
    assert judgement.evidence["confidence"] == pytest.approx(0.75)
    assert judgement.evidence["call"] == item.labeler_call_id
    assert summaries_verify() == []
    assert run_tally(run).total == 30
