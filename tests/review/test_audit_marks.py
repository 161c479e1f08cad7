"""The queue's filter by audit: against what the audits of each run find, after every change that can change it."""

import random

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.urls import reverse

from labelapp.autolabel.audits import findings, source_get
from labelapp.autolabel.models import Run
from labelapp.exchange.models import Import
from labelapp.jobs.services import job_create
from labelapp.judgements.models import Judgement, Verification
from labelapp.judgements.services import (
    Draft,
    judge_ensure,
    judgement_record,
    judgements_record_new,
    verification_record,
)
from labelapp.labelling.projects.services import project_create
from labelapp.review import audit_marks
from labelapp.review.apps import marks_catch_up
from labelapp.review.audit_marks import NUMBERS, SAME_LABEL
from labelapp.review.disagreement import queue_of
from labelapp.review.filters import Filters
from labelapp.review.label_tallies import label_hash, tallies_verify
from labelapp.review.models import Disagreement, LabelTally
from labelapp.review.scores import scores_verify, scores_write_all
from labelapp.statistics.audits import AUDITS
from tests.factories import DirectionFactory, cast_project

pytestmark = pytest.mark.django_db
YES, NO = "interpretable", "not_interpretable"
LABELS = ("nouns", "Verbs.", "prepositions", "animals of the sea", "the", "a kind of (", "numbers", "colours", "")
ANSWERS = ("These words are", "these words are all in the", "These words relate to animals.", "no shared meaning", "")


@pytest.fixture(autouse=True)
def kept_right(db):
    """Whatever a test did, what is kept is what stands."""
    yield
    assert tallies_verify() == scores_verify() == []


def run_of(judge, **fields):
    return Run.objects.create(judge=judge, job=job_create(title="run"), **fields)


def found(projects, audit, user):
    queue = queue_of(projects, Filters(state="", audit=audit), user, show_hidden=True)
    return {it.item_id for it in queue.page("", None, 1000)}


def expected(projects, audit):
    """By the page that every run and import has: all that stands, in Python."""
    sources = [f"run:{it.pk}" for it in Run.objects.all()] + [f"import:{it.pk}" for it in Import.objects.all()]
    judgements = [pk for it in sources for pk in findings(source_get(it)).found[audit]]
    directions = Judgement.objects.filter(pk__in=judgements).values_list("direction_id", flat=True)
    rows = Disagreement.objects.filter(project__in=projects, direction__in=list(directions), score__gt=0)
    return set(rows.values_list("item_id", flat=True))


def assert_all(projects, user):
    counts = {audit: found(projects, audit, user) for audit in AUDITS}
    assert counts == {audit: expected(projects, audit) for audit in AUDITS}
    return {audit for audit, ids in counts.items() if ids}


def test_every_audit_has_its_number():
    assert {*NUMBERS, SAME_LABEL} == set(AUDITS) and len(set(NUMBERS.values())) == len(NUMBERS)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("few", [0, 100])
def test_random_answers_are_found_as_each_runs_audits_find_them(seed, few, owner, annotator, judge_all, monkeypatch):
    """Two runs and an import of judges, in two projects, with verifiers; and an answer from a run that there is not."""
    monkeypatch.setattr(audit_marks, "FEW", few)
    draw = random.Random(seed)
    project = cast_project(owner, annotator=annotator, n=40)
    directions = [it.direction for it in project.items.select_related("direction").order_by("direction_id")]
    post = judge_ensure(type="prompt", name="post", parameters={"prompts": "post"})
    other = judge_ensure(type="prompt", name="other", parameters={"other": 1})
    verifier = judge_ensure(type="prompt", name="verifier", parameters={"verifier": 1})
    shown = "Pupp, Dog, dog, kitten, puppy, dogs, Dog, Veter, puppies, kittens, veterinarian, cat, Dogs, Cat, Vet"
    type(directions[0]).objects.filter(pk__in=[it.pk for it in directions[:3]]).update(tokens=shown.split(", "))
    made = Import.objects.create(kind="labels", name="import", judge=other, revision="r", created_by=owner)
    sources = [(post, run_of(post).source), (other, run_of(other).source), (other, f"import:{made.pk}")]
    for judge, source in [*sources, (other, "run:999999")]:
        drafts = [
            Draft(
                it.pk, draw.choice((YES, YES, NO)), draw.choice(LABELS), tokens_shown=draw.choice((None, 15)),
                evidence={"answer": draw.choice(ANSWERS)},
            )
            for it in draw.sample(directions, 30)
        ]  # fmt: skip
        answers = {it.direction_id: draw.choice(("yes", "no", "unparsed")) for it in drafts if draw.random() < 0.8}
        judgements_record_new(judge=judge, source=source, drafts=drafts, verifier=verifier, verifications=answers)
    judge_all(list(project.items.select_related("project", "direction")), owner, [YES, NO] * 20)
    some = type(directions[0]).objects.filter(pk__in=[it.pk for it in directions[:20]])
    second = project_create(name="Second", owner=owner, directions=some, guidelines="Judge.")
    seen = assert_all([project], owner) | assert_all([second], owner) | assert_all([project, second], owner)
    assert len(seen) > 8, seen


def test_a_mark_is_right_at_once(owner, annotator, judge_all):
    """A label mended, a verifier's answer, an earlier one, a person who makes it differ, a draw."""
    project = cast_project(owner, annotator=annotator, n=3)
    items = list(project.items.select_related("project", "direction").order_by("direction_id"))
    judge = judge_ensure(type="prompt", name="few-shot", parameters={"few": 1})
    source = run_of(judge).source

    def says(verdict, label):
        return judgement_record(judge=judge, source=source, draft=Draft(items[0].direction_id, verdict, label))

    says(YES, "nouns")
    assert found([project], "generic", owner) == set()  # nobody differs yet
    judge_all(items[:1], owner, [NO])
    assert found([project], "generic", owner) == {items[0].pk}
    says(YES, "animals of the sea")
    assert found([project], "generic", owner) == set()
    says(YES, "nouns")
    assert found([project], "generic", owner) == {items[0].pk}
    judge_all(items[:1], owner, [YES])
    assert found([project], "generic", owner) == set()
    judge_all(items[:1], owner, [NO])
    assert found([project], "generic", owner) == {items[0].pk}
    said = says(NO, "")
    judge_all(items[:1], owner, [YES])
    assert found([project], "null_accepted", owner) == set()
    verifier = judge_ensure(type="prompt", name="verifier", parameters={"verifier": 1})
    verification_record(judgement=said, judge=verifier, answer=Verification.Answer.YES)
    assert found([project], "null_accepted", owner) == {items[0].pk}
    assert_all([project], owner)


def test_a_label_is_shared_from_the_tenth_direction_on(owner, annotator, judge_all):
    """Wherever its directions are: one of ten is an item, and case and a final period make no other label."""
    project = cast_project(owner, annotator=annotator, n=1)
    item = project.items.select_related("project", "direction").get()
    judge = judge_ensure(type="prompt", name="few-shot", parameters={"few": 1})
    source = run_of(judge).source
    elsewhere = [DirectionFactory(matrix=item.direction.matrix, index=100 + n) for n in range(9)]
    judgement_record(judge=judge, source=source, draft=Draft(item.direction_id, YES, "Sea animals."))
    judge_all([item], owner, [NO])
    for n, direction in enumerate(elsewhere):
        assert found([project], SAME_LABEL, owner) == set(), n
        judgement_record(judge=judge, source=source, draft=Draft(direction.pk, YES, "sea animals"))
    assert found([project], SAME_LABEL, owner) == {item.pk}
    assert LabelTally.objects.get().n == 10 and LabelTally.objects.get().hash == label_hash("SEA animals")
    judgement_record(judge=judge, source=source, draft=Draft(elsewhere[3].pk, YES, "fish"))
    assert found([project], SAME_LABEL, owner) == set()
    second = run_of(judge)
    judgement_record(judge=judge, source=second.source, draft=Draft(elsewhere[3].pk, YES, "sea animals"))
    assert found([project], SAME_LABEL, owner) == set()  # another run's label is another tally
    assert_all([project], owner)


def test_what_was_judged_before_marks_were_kept_is_caught_up_with(owner, annotator, judge_all):
    project = cast_project(owner, annotator=annotator, n=12)
    items = list(project.items.select_related("project", "direction").order_by("direction_id"))
    judge = judge_ensure(type="prompt", name="few-shot", parameters={"few": 1})
    source = run_of(judge).source
    for it in items:
        judgement_record(judge=judge, source=source, draft=Draft(it.direction_id, YES, "nouns"))
    judge_all(items, owner, [NO] * 12)
    before = list(Disagreement.objects.order_by("pk").values_list("audits", "labels"))
    LabelTally.objects.all().delete()
    Disagreement.objects.update(audits=None, labels=None)
    marks_catch_up(None, apps)
    after = list(Disagreement.objects.order_by("pk").values_list("audits", "labels"))
    assert [audits for audits, _ in after] == [audits for audits, _ in before]
    assert found([project], SAME_LABEL, owner) == found([project], "generic", owner) == {it.pk for it in items}
    Disagreement.objects.update(audits=None)
    scores_write_all(project)
    assert_all([project], owner)


def test_verify_names_and_mends_marks_and_tallies(owner, annotator, judge_all):
    project = cast_project(owner, annotator=annotator, n=2)
    items = list(project.items.select_related("project", "direction").order_by("direction_id"))
    judge = judge_ensure(type="prompt", name="few-shot", parameters={"few": 1})
    source = run_of(judge).source
    for it in items:
        judgement_record(judge=judge, source=source, draft=Draft(it.direction_id, YES, "nouns"))
    judge_all(items, owner, [NO, NO])
    LabelTally.objects.update(n=7)
    Disagreement.objects.filter(item=items[0].pk).update(audits=[1])
    assert tallies_verify() == [f"{source}: 1 labels are not counted as they stand"]
    assert len(scores_verify()) == 1
    with pytest.raises(CommandError):
        call_command("verify")
    call_command("verify", "--repair")
    assert LabelTally.objects.get().n == 2


def test_the_page(owner, annotator, owner_client, judge_all, django_assert_max_num_queries):
    project = cast_project(owner, annotator=annotator, n=3)
    items = list(project.items.select_related("project", "direction").order_by("direction_id"))
    judge = judge_ensure(type="prompt", name="few-shot", parameters={"few": 1})
    source = run_of(judge).source
    for it, label in zip(items, ("nouns", "fish", "verbs"), strict=True):
        judgement_record(judge=judge, source=source, draft=Draft(it.direction_id, YES, label))
    judge_all(items, owner, [NO] * 3)
    address = reverse("review:disagreements", args=[project.slug])
    owner_client.get(address, {"audit": "generic", "all": "1"})
    with django_assert_max_num_queries(26):
        html = owner_client.get(address, {"audit": "generic", "all": "1"}).content.decode()
    shown = [it for it in items if it.opaque_id in html]
    assert shown == [items[0], items[2]]
    assert owner_client.get(address, {"audit": SAME_LABEL, "all": "1"}).status_code == 200
