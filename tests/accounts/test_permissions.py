"""Who gets what from every address, with every method: a table, and a walk over all addresses that it must cover."""

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import reverse

from labelapp.autolabel.planned import planned_create
from labelapp.autolabel.prompts import fixtures_folder, prompt_get, prompts_load
from labelapp.autolabel.providers import llm_get
from labelapp.autolabel.runs import run_plan
from labelapp.autolabel.selection import RunSelection
from labelapp.autolabel.services import baseline_run_start
from labelapp.exchange.imports import upload_start
from labelapp.exchange.services import export_start, export_write
from labelapp.jobs.models import Job, State
from labelapp.labelling.members.services import invitation_create
from labelapp.labelling.services import item_judge
from labelapp.labelling.trials.models import ChoiceTest, Trial
from labelapp.review.models import Adjudication
from labelapp.review.services import adjudicate
from labelapp.review.truth import truth_freeze
from labelapp.review.truth_rules import truth_rule
from tests.accounts.test_pages import _all_addresses
from tests.factories import DirectionFactory, MatrixFactory, cast_project, machine_says

pytestmark = pytest.mark.django_db

PEOPLE = ("owner", "reviewer", "annotator", "viewer", "outsider", "nobody")
EVERYBODY = (200, 200, 200, 200, 200, 302)  # who is signed in; nobody is led to the sign-in
NOT_AT_ALL = (405, 405, 405, 405, 405, 302)
MOVED = (302,) * 6
OWN = (200, 404, 404, 404, 404, 302)  # the owner made it, and others' are not found
MEMBERS = (200, 200, 200, 200, 404, 302)
JUDGES = (200, 200, 200, 403, 404, 302)
REVIEWERS = (200, 200, 403, 403, 404, 302)
JUDGING = (302, 302, 302, 403, 404, 302)  # taken, and on to the next item
REVIEWING = (302, 302, 403, 403, 404, 302)
OPEN = (200,) * 6
OWNERS = (200, 403, 403, 403, 404, 302)
OWNERS_ACT = (302, 403, 403, 403, 404, 302)
OWNERS_FORM = (422, 403, 403, 403, 404, 302)  # an empty one
STARTED = (302, 403, 403, 403, 403, 302)  # who started it, and nobody else, may say what becomes of it

READY_MADE = "labeler-zero-shot.yaml"
# By name: what GET and what POST answer to each of PEOPLE.
EXPECTED = {
    "home": (MOVED, NOT_AT_ALL),
    "operations:health": (OPEN, (405,) * 6),
    "accounts:sign_in": ((302, 302, 302, 302, 302, 200), (302, 302, 302, 302, 302, 200)),
    "accounts:sign_out": (NOT_AT_ALL, MOVED),
    "accounts:password": (EVERYBODY, (422, 422, 422, 422, 422, 302)),
    "accounts:shortcuts": (NOT_AT_ALL, (204, 204, 204, 204, 204, 302)),
    "jobs:list": (EVERYBODY, NOT_AT_ALL),
    "jobs:detail": (OWN, NOT_AT_ALL),
    "jobs:progress": (OWN, NOT_AT_ALL),
    "jobs:control": (NOT_AT_ALL, STARTED),
    "atlas:models": (EVERYBODY, NOT_AT_ALL),
    "atlas:model": (EVERYBODY, NOT_AT_ALL),
    "atlas:search": (EVERYBODY, NOT_AT_ALL),
    "atlas:matrix": (EVERYBODY, NOT_AT_ALL),
    "atlas:direction": (EVERYBODY, NOT_AT_ALL),
    "atlas:matrix_compute": (NOT_AT_ALL, MOVED),
    "atlas:decompose": (NOT_AT_ALL, (403, 403, 403, 403, 403, 302)),  # a right that none of these has
    "autolabel:runs": (EVERYBODY, NOT_AT_ALL),
    "autolabel:start": (NOT_AT_ALL, MOVED),
    "autolabel:run": (EVERYBODY, NOT_AT_ALL),
    "autolabel:progress": (EVERYBODY, NOT_AT_ALL),
    "autolabel:retry_failed": (NOT_AT_ALL, STARTED),
    "autolabel:measure": (NOT_AT_ALL, STARTED),
    "autolabel:resume": (NOT_AT_ALL, STARTED),
    "autolabel:new": (EVERYBODY, (422, 422, 422, 422, 422, 302)),  # nothing is typed
    "autolabel:price": (EVERYBODY, NOT_AT_ALL),
    "autolabel:planned": (OWN, NOT_AT_ALL),
    "autolabel:planned_progress": (OWN, NOT_AT_ALL),
    "autolabel:planned_start": (NOT_AT_ALL, (302, 404, 404, 404, 404, 302)),
    "autolabel:prompts": (EVERYBODY, NOT_AT_ALL),
    "autolabel:prompt": (EVERYBODY, NOT_AT_ALL),
    "autolabel:prompt_new": (EVERYBODY, MOVED),
    "autolabel:prompt_preview": (NOT_AT_ALL, EVERYBODY),
    "autolabel:audits": (EVERYBODY, NOT_AT_ALL),
    "autolabel:audit": (EVERYBODY, NOT_AT_ALL),
    "labelling:projects": (EVERYBODY, NOT_AT_ALL),
    "labelling:queue": (JUDGES, NOT_AT_ALL),
    "labelling:create": (EVERYBODY, (422, 422, 422, 422, 422, 302)),
    "labelling:join": (
        (302, 302, 302, 302, 200, 200),
        (302, 302, 302, 302, 302, 422),
    ),  # members are let in as they are
    "labelling:guidelines": (MEMBERS, OWNERS_FORM),
    "labelling:settings": (REVIEWERS, OWNERS_FORM),
    "labelling:state": (NOT_AT_ALL, OWNERS_ACT),
    "labelling:explore": (NOT_AT_ALL, OWNERS_FORM),
    "labelling:members": (REVIEWERS, OWNERS_ACT),
    "labelling:member": (NOT_AT_ALL, OWNERS_ACT),
    "labelling:invite": (NOT_AT_ALL, (200, 403, 403, 403, 404, 302)),
    "labelling:revoke": (NOT_AT_ALL, OWNERS_ACT),
    "labelling:judge": (NOT_AT_ALL, JUDGING),
    "labelling:skip": (NOT_AT_ALL, JUDGING),
    "labelling:beat": (NOT_AT_ALL, (204, 204, 204, 403, 404, 302)),
    "labelling:others": ((200, 403, 403, 403, 404, 302), NOT_AT_ALL),  # only the owner has judged this one
    "labelling:undo": (NOT_AT_ALL, (302, 422, 422, 403, 404, 302)),  # only the owner has answered
    "labelling:progress": (JUDGES, NOT_AT_ALL),
    "labelling:items": (REVIEWERS, NOT_AT_ALL),
    "labelling:plan": (REVIEWERS, NOT_AT_ALL),
    "labelling:quality": (REVIEWERS, NOT_AT_ALL),  # the owner does not allow annotators their own
    "labelling:checks": (OWNERS, OWNERS_FORM),
    "labelling:gold": (NOT_AT_ALL, OWNERS_FORM),
    "labelling:results": ((302, 302, 403, 403, 404, 302), NOT_AT_ALL),  # of pairs and matrices; others are elsewhere
    "labelling:results_table": ((404, 404, 403, 403, 404, 302), NOT_AT_ALL),
    "labelling:tests": (MEMBERS, NOT_AT_ALL),
    "labelling:test_start": (NOT_AT_ALL, OWNERS_FORM),
    "labelling:test": (REVIEWERS, NOT_AT_ALL),
    "labelling:test_state": (NOT_AT_ALL, OWNERS_ACT),
    "labelling:test_ask": (NOT_AT_ALL, OWNERS_FORM),
    "labelling:test_table": (REVIEWERS, NOT_AT_ALL),
    "labelling:trials": (JUDGES, NOT_AT_ALL),
    "labelling:trials_beat": (NOT_AT_ALL, (204, 204, 204, 403, 404, 302)),
    "labelling:trial_answer": (NOT_AT_ALL, JUDGING),
    "review:projects": (EVERYBODY, NOT_AT_ALL),
    "review:comparison": (REVIEWERS, NOT_AT_ALL),
    "review:disagreements": (REVIEWERS, NOT_AT_ALL),
    "review:item": (REVIEWERS, NOT_AT_ALL),
    "review:decide": (NOT_AT_ALL, REVIEWING),
    "review:undo": (NOT_AT_ALL, REVIEWING),
    "review:aggregation": (REVIEWERS, NOT_AT_ALL),
    "review:aggregate": (NOT_AT_ALL, REVIEWING),
    "review:truths": (REVIEWERS, NOT_AT_ALL),
    "review:freeze": (NOT_AT_ALL, REVIEWING),
    "review:truth": (REVIEWERS, NOT_AT_ALL),
    "review:difference": (REVIEWERS, NOT_AT_ALL),
    "review:gold": (NOT_AT_ALL, REVIEWING),
    "review:disagreements_everywhere": (EVERYBODY, NOT_AT_ALL),
    "review:undo_everywhere": (NOT_AT_ALL, MOVED),
    "review:lab": (REVIEWERS, NOT_AT_ALL),
    "review:lab_compute": (NOT_AT_ALL, REVIEWING),
    "review:count": (NOT_AT_ALL, REVIEWING),
    "figures:reports": (REVIEWERS, NOT_AT_ALL),
    "figures:report_start": (NOT_AT_ALL, (302, 302, 403, 403, 404, 302)),
    "figures:report_download": ((404, 404, 403, 403, 404, 302), NOT_AT_ALL),  # nobody has one
    "figures:index": (EVERYBODY, NOT_AT_ALL),
    "figures:page": (EVERYBODY, NOT_AT_ALL),
    "figures:file": (EVERYBODY, NOT_AT_ALL),
    "figures:inputs": ((404, 404, 404, 200, 200, 302), NOT_AT_ALL),  # who is still to judge some of it waits
    "figures:keep": (NOT_AT_ALL, MOVED),
    "figures:compute": (NOT_AT_ALL, MOVED),
    "figures:machines": (EVERYBODY, NOT_AT_ALL),
    "figures:spectrum": (EVERYBODY, NOT_AT_ALL),
    "figures:spectrum_file": (EVERYBODY, NOT_AT_ALL),
    "figures:fraction_file": (EVERYBODY, NOT_AT_ALL),
    "exchange:exports": (EVERYBODY, NOT_AT_ALL),
    "exchange:start": (NOT_AT_ALL, (302, 302, 422, 422, 422, 302)),
    "exchange:download": (OWN, NOT_AT_ALL),
    "imports:imports": (EVERYBODY, NOT_AT_ALL),
    "imports:start": (NOT_AT_ALL, (403, 403, 403, 403, 403, 302)),  # for administrators
    "imports:detail": (EVERYBODY, NOT_AT_ALL),
    "imports:progress": (EVERYBODY, NOT_AT_ALL),
}
# Who is signed in is led away from the sign-in, whatever the method.
OTHER_METHODS = {
    "accounts:sign_in": (302, 302, 302, 302, 302, 405),
    "operations:health": (405,) * 6,
    "labelling:join": (405,) * 6,
}


@pytest.fixture
def people(owner, reviewer, annotator, outsider, make_user):
    users = {it.username: it for it in (owner, reviewer, annotator, make_user("viewer"), outsider)}
    return [users.get(name) for name in PEOPLE]


def planned_by(user, model):
    """A run of a language model that is planned and not estimated yet."""
    config, llm = llm_get("walk:tiny-1")
    plan = run_plan(
        selection=RunSelection(model),
        labeler=prompt_get("labeler-zero-shot-chat", "labeler"),
        verifier=None,
        config=config,
        llm=llm,
        user=user,
    )
    return planned_create(plan, budget=None, user=user, typed={})


@pytest.fixture
def walk(people, monkeypatch):
    """name → (address, what is posted there), where everything in the address exists and is the owner's."""
    owner, reviewer, annotator, viewer, *_ = people
    monkeypatch.setattr(settings, "LLM_ENVIRONMENT", {"TEALEAVES_LLM_WALK_URL": "http://127.0.0.1:9/v1"})
    prompts_load()
    project = cast_project(owner, reviewer, annotator, viewer)
    first, second = project.items.select_related("direction__matrix__model")[:2]
    judge = machine_says({first.direction: "interpretable", second.direction: "not_interpretable"})
    item_judge(item=first, user=owner, verdict="unsure")
    for verdict, decided in (("interpretable", None), ("not_interpretable", 1)):
        standing = decided and Adjudication.objects.get(item=first, current=True).pk
        adjudicate(item=first, user=owner, verdict=verdict, standing=standing)
        truth_freeze(project=project, name="first", rule=truth_rule("adjudicated"), user=owner)
    model, matrix = first.direction.matrix.model, first.direction.matrix
    other = MatrixFactory(model=model, layer=1, head=0)
    DirectionFactory(matrix=other)
    run = baseline_run_start(model=model, created_by=owner)
    export = export_start(subject=f"project:{project.slug}", format="jsonl", user=owner)
    export.file, export.rows = export_write(export, lambda n: None)
    export.save()
    Job.objects.filter(pk=export.job_id).update(state=State.DONE)
    file = SimpleUploadedFile(
        "neurons.jsonl", b'{"model": "m", "circuit": "mlp_in", "layer": 0, "index": 0, "tokens": ["a"]}'
    )
    imported = upload_start(file=file, revision="", user=owner)
    invitation, secret = invitation_create(project=project, created_by=owner, role="annotator", days=1, uses_at_most=9)
    planned = planned_by(owner, model)
    test = ChoiceTest.objects.create(project=project, kind="intrusion", design={"trials": 1}, created_by=owner)
    trial = Trial.objects.create(
        test=test, direction=second.direction, number=0, position=0, shown=["a", "b", "c", "d", "e", "f"], answer=0
    )
    arguments = {
        "jobs:control": [run.job_id],
        "autolabel:resume": [run.pk],
        "autolabel:planned": [planned.pk],
        "autolabel:planned_progress": [planned.pk],
        "autolabel:planned_start": [planned.pk],
        "autolabel:prompt": ["verifier-few-shot-chat", 1],
        "autolabel:retry_failed": [run.pk],
        "autolabel:measure": [run.pk],
        "autolabel:audits": [f"run-{run.pk}"],
        "autolabel:audit": [f"run-{run.pk}", "generic"],
        "imports:detail": [imported.pk],
        "imports:progress": [imported.pk],
        "jobs:detail": [run.job_id],
        "jobs:progress": [run.job_id],
        "atlas:model": [model.slug],
        "atlas:search": [model.slug],
        "atlas:matrix": [matrix.key],
        "atlas:direction": [first.direction.key],
        "atlas:matrix_compute": [other.key],
        "atlas:decompose": [model.slug],
        "autolabel:run": [run.pk],
        "autolabel:progress": [run.pk],
        "labelling:queue": [project.slug],
        "labelling:guidelines": [project.slug],
        "labelling:join": [secret],
        "labelling:settings": [project.slug],
        "labelling:state": [project.slug],
        "labelling:explore": [project.slug],
        "labelling:members": [project.slug],
        "labelling:member": [project.slug, annotator.pk],
        "labelling:invite": [project.slug],
        "labelling:revoke": [project.slug, invitation.pk],
        "labelling:judge": [project.slug, second.opaque_id],
        "labelling:skip": [project.slug, second.opaque_id],
        "labelling:undo": [project.slug],
        "labelling:beat": [project.slug],
        "labelling:others": [project.slug, first.opaque_id],
        **{
            f"labelling:{name}": [project.slug]
            for name in (
                "progress",
                "items",
                "plan",
                "quality",
                "checks",
                "gold",
                "results",
                "results_table",
                "tests",
                "test_start",
            )
        },
        **{f"labelling:{name}": [project.slug, test.pk] for name in ("test", "test_state", "test_ask")},
        "labelling:test_table": [project.slug, test.pk, "figures"],
        "labelling:trials": [project.slug, test.pk],
        "labelling:trials_beat": [project.slug, test.pk],
        "labelling:trial_answer": [project.slug, test.pk, trial.opaque_id],
        "review:gold": [project.slug, "first", 2],
        "review:comparison": [project.slug],
        "review:disagreements": [project.slug],
        "review:item": [project.slug, first.opaque_id],
        "review:decide": [project.slug, second.opaque_id],
        "review:undo": [project.slug],
        "review:aggregation": [project.slug],
        "review:aggregate": [project.slug],
        "review:truths": [project.slug],
        "review:freeze": [project.slug],
        "review:truth": [project.slug, "first", 2],
        "review:difference": [project.slug, "first", 1, 2],
        "review:lab": [project.slug],
        "review:lab_compute": [project.slug],
        "review:count": [project.slug],
        "figures:reports": [project.slug],
        "figures:report_start": [project.slug],
        "figures:report_download": [project.slug, 999_999],
        "figures:page": ["layers"],
        "figures:file": ["layers", "csv"],
        "figures:inputs": ["layers", "census"],
        "figures:keep": ["layers"],
        "figures:compute": ["layers"],
        "figures:spectrum": [matrix.key],
        "figures:spectrum_file": ["csv", matrix.key],
        "figures:fraction_file": ["csv", model.slug, f"{judge.pk}-labeler"],
        "exchange:download": [export.pk],
    }
    posted = {
        "autolabel:start": {"model": model.pk},
        "autolabel:prompt_new": {"as": "yaml", "yaml": "name: one\n" + (fixtures_folder() / READY_MADE).read_text()},
        "jobs:control": {"act": "cancel"},
        "labelling:judge": {"verdict": "unsure"},
        "labelling:state": {"act": "pause"},
        "labelling:members": {"username": "outsider", "role": "viewer"},
        "labelling:member": {"role": "reviewer"},
        "labelling:invite": {"role": "annotator", "days": 1, "uses_at_most": 1},
        "labelling:test_state": {"act": "end"},
        "labelling:trial_answer": {"choice": "1"},
        "review:gold": {"into": project.slug},
        "accounts:shortcuts": {"shortcuts": "{}"},
        "review:decide": {"verdict": "unsure"},
        "review:aggregate": {"method": "majority"},
        "review:freeze": {"name": "second", "rule": "adjudicated"},
        "exchange:start": {"subject": f"project:{project.slug}"},
    }
    return {name: (reverse(name, args=arguments.get(name, [])), posted.get(name, {})) for name in EXPECTED}


@pytest.fixture
def ask(people, client_of, monkeypatch):
    """`ask("post", address, data)`: the status that each of PEOPLE gets; nothing that it did stays."""
    monkeypatch.setattr("labelapp.operations.views.health_checks", list)  # healthy, without a broker
    clients = [client_of(user) if user else Client() for user in people]
    cookies = [client.cookies.output() for client in clients]

    def statuses(method, address, data):
        found = []
        for client, signed_in in zip(clients, cookies, strict=True):
            client.raise_request_exception = False
            client.cookies.load(signed_in.replace("Set-Cookie: ", ""))
            with transaction.atomic():
                found.append(getattr(client, method)(address, data if method == "post" else None).status_code)
                transaction.set_rollback(True)
        return tuple(found)

    return statuses


def test_the_table_has_every_address():
    assert {name for name, _ in _all_addresses()} == set(EXPECTED)


def test_get_and_post(walk, ask):
    found = {name: (ask("get", address, {}), ask("post", address, posted)) for name, (address, posted) in walk.items()}
    differing = {name: answers for name, answers in found.items() if answers != EXPECTED[name]}
    assert not differing


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_refused(walk, ask, method):
    found = {name: ask(method, address, {}) for name, (address, _) in walk.items()}
    differing = {name: answers for name, answers in found.items() if answers != OTHER_METHODS.get(name, NOT_AT_ALL)}
    assert not differing
