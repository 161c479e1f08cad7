"""From the prompt lab and back: a published prompt pasted word for word, run on a ground-truth set, compared there."""

import re

import pytest
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.autolabel.models import Call, PromptVersion, Run
from labelapp.autolabel.planned import planned_start
from labelapp.autolabel.prompts import prompt_of
from labelapp.autolabel.selection import run_selection_words
from labelapp.jobs.follow import job_wait
from labelapp.labelling.projects.services import project_create
from labelapp.review.lab import Reference, lab
from labelapp.review.services import adjudicate
from labelapp.review.truth import truth_freeze
from labelapp.review.truth_rules import truth_rule
from tests.autolabel.conftest import atlas
from tests.autolabel.test_planned import NEW, estimated, plan

PUBLISHED = """name: published
kind: labeler
endpoint: chat
style: zero-shot
instruction: "Below are words  (two blanks stay).\\nWhat do most of them share?"
item_format: "\\n{tokens}\\nAnswer:"
tokens_shown: 10
max_tokens: 20
"""


@pytest.mark.django_db(transaction=True)
def test_paste_run_compare(llm, prompts, owner, owner_client):
    atlas(8)
    project = project_create(name="Lab", owner=owner, directions=Direction.objects.all(), guidelines="Judge.")
    for n, item in enumerate(project.items.select_related("project").order_by("direction_id")[:6]):
        adjudicate(item=item, user=owner, verdict="not_interpretable" if n % 3 else "interpretable")
    truth = truth_freeze(project=project, name="gold", rule=truth_rule("adjudicated"), user=owner).truth
    address = reverse("review:lab", args=[project.slug])
    html = owner_client.get(address).content.decode()
    assert "No machine has judged any of this yet" in html and reverse("autolabel:prompt_new") in html

    pasted = owner_client.post(reverse("autolabel:prompt_new"), {"as": "yaml", "yaml": PUBLISHED})
    version = PromptVersion.objects.get(name="published")
    assert pasted.url == reverse("autolabel:prompt", args=["published", 1])
    assert prompt_of(version).instruction.startswith("Below are words  (two blanks stay).\n")

    subject = f"truth:{project.slug}/{truth}"
    html = owner_client.get(address).content.decode()
    assert f'name="subject" value="{subject}"' in html and f'<option value="{version.pk}">published@1' in html
    form = owner_client.get(NEW, {"subject": subject, "labeler": version.pk}).content.decode()
    assert f'<option value="{subject}" selected>' in form and f'<option value="{version.pk}" selected>' in form
    planned = estimated(plan(owner_client, subject=subject, labeler=str(version.pk), verifier=""))
    assert planned.estimate["directions"] == truth.n == 6
    run = planned_start(planned)
    job_wait(run.job)
    assert Call.objects.filter(prompt_version=version).count() == 6
    asked = Call.objects.filter(prompt_version=version).first().prompt
    assert "Below are words  (two blanks stay)." in asked
    assert run_selection_words(run.selection) == "ground truth lab/gold@1"
    page = " ".join(owner_client.get(f"/runs/{run.pk}/").content.decode().split())
    assert "ground truth lab/gold@1" in page, re.findall(r"<dd>[^<]*</dd>", page)

    judge = Run.objects.get(pk=run.pk).judge
    (scored,) = lab(Reference(project, truth), [judge]).judges
    assert scored.scores.n + sum(n for _, n in scored.left_out) == 6 and scored.prompts == ["published@1"]
    assert scored.spent.n == 6 and scored.spent.cost > 0 and scored.spent.seconds >= 0
    html = owner_client.get(address, {"part": "all", "all": "1"}).content.decode()
    assert "published@1" in html and "Accuracy" in html
