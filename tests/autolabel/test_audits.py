"""The audits of an import as pages and as a command, and what a person who judges blind sees of them."""

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse

from labelapp.atlas.models import Direction
from labelapp.autolabel.audits import PAGE_ROWS, audit_items, findings, source_get
from labelapp.autolabel.prompts import prompt_store
from labelapp.autolabel.services import baseline_run_start
from labelapp.exchange.models import Import
from labelapp.judgements.models import Judgement
from labelapp.judgements.services import Draft, judge_ensure, judgement_withdraw, judgements_record_new
from labelapp.labelling.models import Membership
from labelapp.labelling.projects.services import project_create
from labelapp.labelling.services import item_judge
from tests.exchange.released_files import ALL, CUT, VERBS, pairs_write
from tests.factories import DirectionFactory, machine_says
from workers.llm.prompts import prompts_read

PROMPTS = Path(settings.BASE_DIR) / "fixtures" / "prompts"
pytestmark = pytest.mark.django_db


@pytest.fixture
def source(tmp_path):
    call_command("import_labels", str(pairs_write(tmp_path / "labels", layers={0: ALL, 1: [VERBS] * 60})))
    return source_get(f"import:{Import.objects.get().pk}")


def get(client, source, name="", query=""):
    args = [source.slug, name] if name else [source.slug]
    response = client.get(reverse("autolabel:audit" if name else "autolabel:audits", args=args) + query)
    return response.status_code, response.content.decode()


def test_every_audit_stands_with_its_count_and_definition(source, owner_client, client):
    assert get(client, source)[0] == 302
    status, html = get(owner_client, source)
    assert status == 200 and "The label is exactly" in html
    counts = {it.audit.name: it.count for it in findings(source).counts}
    assert counts == {
        "truncated": 1, "truncated_certain": 1, "truncated_function_word": 1, "word_cap": 0,
        "generic": 61, "generic_strict": 61, "null_accepted": 1,
        "contradiction": 1, "exemplar_echo": 0, "unparsed": 1, "exemplar_leak": 0, "lexicon_fails": 0, "same_label": 61,
    }  # fmt: skip
    for name, count in counts.items():
        assert (reverse("autolabel:audit", args=[source.slug, name]) in html) == bool(count)


def test_the_items_are_paged(source, owner_client, django_assert_max_num_queries):
    findings(source)
    with django_assert_max_num_queries(25):
        status, html = get(owner_client, source, "generic")
    assert status == 200 and f"1 to {PAGE_ROWS} of 61" in html and 'rel="next"' in html and 'rel="prev"' not in html
    assert html.count("gpt2-small/mlp_in.1/") >= PAGE_ROWS - 1
    status, html = get(owner_client, source, "generic", f"?from={PAGE_ROWS}")
    assert (
        status == 200 and f"{PAGE_ROWS + 1} to 61 of 61" in html and 'rel="prev"' in html and 'rel="next"' not in html
    )
    assert get(owner_client, source, "generic", "?from=9000")[0] == 200
    for query in ("?from=x", "?from=-1", "?from=" + "9" * 30):
        assert get(owner_client, source, "generic", query)[0] == 404


def test_an_item_says_what_was_seen(source, owner_client):
    _, html = get(owner_client, source, "truncated_certain")
    assert CUT[1].removeprefix("most of these words are ") in html and "mlp_in.0/2+" in html and ">oats<" in html
    _, html = get(owner_client, source, "null_accepted")
    assert "not interpretable" in html and "yes" in html
    _, html = get(owner_client, source, "same_label")
    assert "on 61 directions" in html


@pytest.mark.parametrize("address", ["run-1", "import-999", "import-x", "project-1", "import-" + "9" * 40, "import"])
def test_an_unknown_source_is_not_found(source, owner_client, address):
    assert owner_client.get(reverse("autolabel:audits", args=[address])).status_code == 404
    assert owner_client.get(reverse("autolabel:audit", args=[source.slug, "nonsense"])).status_code == 404


def test_what_is_still_to_be_judged_blind_is_left_out(source, owner, annotator, owner_client, annotator_client):
    cut = Direction.objects.get(matrix__address="mlp_in.0", index=2)
    project = project_create(name="P", owner=owner, directions=Direction.objects.filter(pk=cut.pk), guidelines="J.")
    Membership.objects.create(project=project, user=annotator, role=Membership.Role.ANNOTATOR)
    html = get(annotator_client, source)[1]
    assert "Without 1 direction that you are still to judge blind" in html
    assert findings(source, annotator).n == 65 and not findings(source, annotator).found["truncated_certain"]
    assert CUT[1].removeprefix("most of these words are ") not in get(annotator_client, source, "truncated_certain")[1]
    item_judge(item=project.items.get(), user=annotator, verdict="unsure")
    assert len(findings(source, annotator).found["truncated_certain"]) == 1
    assert "Without" not in get(annotator_client, source)[1]


def test_a_withdrawn_judgement_is_audited_no_more(source):
    before = findings(source)
    judgement_withdraw(Judgement.objects.get(pk=next(iter(before.found["truncated_certain"]))))
    after = findings(source)
    assert (before.n, after.n) == (66, 65) and not after.found["truncated_certain"]


def test_the_command(source, capsys):
    call_command("audits", source.address)
    out = capsys.readouterr().out
    assert "66 judgements" in out and "generic_strict" in out
    call_command("audits", source.address, "--json")
    assert json.loads(capsys.readouterr().out)["audits"]["generic"] == 61
    call_command("audits", source.address, "--audit", "null_accepted")
    assert capsys.readouterr().out.strip() == "gpt2-small/mlp_in.0/3+"
    call_command("audits", source.address, "--audit", "truncated_certain", "--json")
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert item["key"] == "gpt2-small/mlp_in.0/2+" and item["label"].endswith("the number of a")
    for options in (["run:9"], [source.address, "--audit", "nonsense"]):
        with pytest.raises(CommandError, match="There is no"):
            call_command("audits", *options)


def test_a_run_of_prompts_has_audits_and_the_baseline_has_none(owner_client):
    direction = DirectionFactory()
    run = baseline_run_start(model=direction.matrix.model)
    page = reverse("autolabel:run", args=[run.pk])
    assert "audits/" not in owner_client.get(page).content.decode()
    judge = machine_says({direction: ("interpretable", "verbs")}, source=run.source, type="prompt", name="a prompt")
    type(run).objects.update(judge=judge)
    assert f"/runs/audits/run-{run.pk}/" in owner_client.get(page).content.decode()
    found = findings(source_get(run.source))
    assert len(found.found["generic"]) == 1 and not found.found["truncated"]
    (item,) = audit_items(found.found["generic"])
    assert item.direction == direction and item.verification == ""


def test_an_exemplar_of_the_runs_own_prompts_is_found_among_its_items():
    prompt = next(it for it in prompts_read(PROMPTS) if it.kind == "labeler" and it.exemplars)
    version = prompt_store(prompt)
    tokens = list(prompt.exemplars[0].tokens)
    direction, other = (
        DirectionFactory(tokens=[f" {it}" for it in tokens], token_ids=None, scores=None),
        DirectionFactory(),
    )
    run = baseline_run_start(model=direction.matrix.model)
    judge = judge_ensure(type="prompt", name="p", parameters={"labeler": version.digest, "verifier": None})
    judgements_record_new(
        judge=judge,
        source=run.source,
        drafts=[Draft(it.pk, "not_interpretable", tokens_shown=len(tokens)) for it in (direction, other)],
    )
    type(run).objects.update(judge=judge)
    (item,) = audit_items(findings(source_get(run.source)).found["exemplar_leak"])
    assert item.direction == direction and "with the exemplar" in item.note
