"""One table for people and machines; append-only; summaries in the same transaction."""

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from labelapp.judgements.models import Judge, Judgement, Summary
from labelapp.judgements.selectors import judgement_last, judgements_standing
from labelapp.judgements.services import (
    Draft,
    JudgementError,
    judge_ensure,
    judge_of_user,
    judgement_record,
    judgement_withdraw,
    judgements_record_new,
    summaries_verify,
    verdicts_by_rule,
    verification_record,
)
from tests.factories import DirectionFactory, MatrixFactory

pytestmark = pytest.mark.django_db
SOURCE = "project:1"


@pytest.fixture
def person(annotator):
    return judge_of_user(annotator)


@pytest.fixture
def machine():
    return judge_ensure(type=Judge.Type.PROMPT, name="labeler", parameters={"model": "m"})


@pytest.fixture
def direction():
    return DirectionFactory()


def say(judge, direction, verdict="interpretable", source=SOURCE, **fields):
    return judgement_record(judge=judge, source=source, draft=Draft(direction.pk, verdict, **fields))


def counts(rule="labeler"):
    rows = Summary.objects.filter(rule=rule)
    return {
        (row.judge.name, verdict): getattr(row, verdict)
        for row in rows
        for verdict in ("interpretable", "not_interpretable", "unsure", "unparsed")
        if getattr(row, verdict)
    }


def test_the_same_person_and_the_same_parameters_are_the_same_judge(annotator, machine):
    assert judge_of_user(annotator) == judge_of_user(annotator)
    assert judge_ensure(type="prompt", name="other name", parameters={"model": "m"}) == machine
    assert judge_ensure(type="prompt", name="labeler", parameters={"model": "n"}) != machine


def test_a_correction_supersedes_and_keeps_the_first(person, direction):
    first = say(person, direction, label="animals", misfits=[3, 1, 3], tokens_shown=5)
    second = say(person, direction, "not_interpretable")
    first.refresh_from_db()
    assert (first.current, second.current, second.supersedes) == (False, True, first)
    assert first.misfits == [1, 3]
    assert [row.pk for row in judgements_standing([direction.pk])[direction.pk]] == [second.pk]
    assert counts() == {(person.name, "not_interpretable"): 1}


def test_an_undo_adds_a_row_and_the_judgement_before_stands_again(person, direction):
    first = say(person, direction)
    second = say(person, direction, "unsure")
    withdrawal = judgement_withdraw(second)
    assert withdrawal is not None and withdrawal.withdraws == second and not withdrawal.current
    assert judgement_last(source=SOURCE, judge_id=person.pk) == first
    assert counts() == {(person.name, "interpretable"): 1}
    assert judgement_withdraw(second) is None
    assert judgement_withdraw(first) is not None
    assert judgement_last(source=SOURCE, judge_id=person.pk) is None
    assert counts() == {}
    assert Judgement.objects.count() == 4


def test_projects_are_apart(person, direction):
    say(person, direction)
    say(person, direction, "unsure", source="project:2")
    assert len(judgements_standing([direction.pk])[direction.pk]) == 2


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"verdict": "maybe"}, "not a verdict"),
        ({"verdict": "unparsed"}, "not a verdict"),
        ({"label": "x" * 10_000}, "200 characters"),
        ({"label": "a\x00b"}, "control characters"),
        ({"label": "a\nb"}, "line breaks"),
        ({"label": "\u202eabc"}, "control characters"),
        ({"kind": "colour"}, "not a kind"),
        ({"misfits": [5], "tokens_shown": 5}, "5 tokens shown"),
        ({"misfits": [-1], "tokens_shown": 5}, "5 tokens shown"),
    ],
)
def test_bad_input_gets_a_sentence_and_changes_nothing(person, direction, fields, sentence):
    with pytest.raises(JudgementError, match=sentence):
        say(person, direction, **fields)
    assert not Judgement.objects.exists() and not Summary.objects.exists()


def test_the_database_itself_refuses_two_current_judgements(person, direction):
    say(person, direction)
    with pytest.raises(IntegrityError), transaction.atomic():
        Judgement.objects.create(direction=direction, judge=person, source=SOURCE, verdict="unsure")


def test_a_machine_judges_each_direction_once(machine):
    directions = DirectionFactory.create_batch(3)
    drafts = [Draft(direction.pk, "interpretable", label="x") for direction in directions]
    assert judgements_record_new(judge=machine, source="run:1", drafts=drafts[:2]) == 2
    assert judgements_record_new(judge=machine, source="run:1", drafts=drafts) == 1
    assert Judgement.objects.count() == 3
    assert summaries_verify() == []


def test_the_rule_both_needs_a_yes_from_labeler_and_verifier(machine, direction):
    verifier = judge_ensure(type=Judge.Type.PROMPT, name="verifier", parameters={"verifier": True})
    judgement = say(machine, direction, source="run:1")
    assert verdicts_by_rule(judgement) == {"labeler": "interpretable"}
    verification_record(judgement=judgement, judge=verifier, answer="no")
    assert counts("labeler") == {("labeler", "interpretable"): 1}
    assert counts("both") == {("labeler", "not_interpretable"): 1}
    assert summaries_verify() == []


def pairs(rule="labeler"):
    return {(row.ends_both, row.ends_one, row.ends_none) for row in Summary.objects.filter(rule=rule)}


def test_vectors_are_counted_by_their_ends_through_every_write(machine):
    """A vector with one end judged is counted nowhere; then both, then one, and back again, under each rule."""
    matrix = MatrixFactory()
    plus, minus = (DirectionFactory(matrix=matrix, side="write", index=0, sign=sign) for sign in "+-")
    DirectionFactory(matrix=matrix, side="write", index=1, sign="-")
    judgements_record_new(judge=machine, source="run:1", drafts=[Draft(plus.pk, "interpretable", label="x")])
    assert pairs() == {(0, 0, 0)}
    judgements_record_new(judge=machine, source="run:1", drafts=[Draft(minus.pk, "interpretable", label="x")])
    assert pairs() == {(1, 0, 0)}
    verifier = judge_ensure(type=Judge.Type.PROMPT, name="verifier", parameters={"verifier": True})
    for direction, answer in ((plus, "yes"), (minus, "no")):
        verification_record(judgement=direction.judgements.get(), judge=verifier, answer=answer)
    assert pairs() == {(1, 0, 0)} and pairs("both") == {(0, 1, 0)}
    later = say(machine, minus, "not_interpretable", source="run:1")
    assert pairs() == {(0, 1, 0)} and summaries_verify() == []
    judgement_withdraw(later)
    assert pairs() == {(1, 0, 0)} and pairs("both") == {(0, 1, 0)}
    Summary.objects.update(ends_none=3)
    assert "ends_none is 3, should be 0" in summaries_verify(repair=True)[0] and summaries_verify() == []


def test_of_people_no_vectors_are_counted(person):
    matrix = MatrixFactory()
    for sign in "+-":
        say(person, DirectionFactory(matrix=matrix, side="write", index=0, sign=sign))
    assert pairs() == {(0, 0, 0)} and summaries_verify() == []


@pytest.mark.django_db(transaction=True)
def test_two_writers_on_the_two_ends_of_a_vector_lose_no_pair(machine):
    matrix = MatrixFactory()
    ends = [
        [DirectionFactory(matrix=matrix, side="write", index=place, sign=sign) for sign in "+-"] for place in range(8)
    ]

    def write(sign):
        try:
            for both in ends:
                draft = Draft(both[sign].pk, "interpretable")
                judgements_record_new(judge=machine, source="run:1", drafts=[draft])
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (0, 1)))
    assert pairs() == {(8, 0, 0)} and summaries_verify() == []


def test_the_labelers_no_counts_under_both_where_the_verifier_was_not_asked():
    """A judge whose verifier is asked about labels alone; its twin without one has no `both` at all."""
    matrix = MatrixFactory()
    ends = [DirectionFactory(matrix=matrix, index=place // 2, sign="+-"[place % 2]) for place in range(6)]
    said = ["interpretable", "not_interpretable", "not_interpretable", "not_interpretable", "interpretable", "unparsed"]
    drafts = [Draft(end.pk, verdict) for end, verdict in zip(ends, said, strict=True)]
    answers = {end.pk: "yes" for end, verdict in zip(ends, said, strict=True) if verdict == "interpretable"}
    parameters = {"labeler": "a", "verifier": "b"}
    judge = judge_ensure(type=Judge.Type.PROMPT, name="with", parameters=parameters)
    verifier = judge_ensure(type=Judge.Type.PROMPT, name="verifier", parameters={"verifier": "b", "role": "verifier"})
    alone = judge_ensure(type=Judge.Type.PROMPT, name="without", parameters=parameters | {"verifier": None})
    judgements_record_new(judge=judge, source="run:1", drafts=drafts, verifier=verifier, verifications=answers)
    judgements_record_new(judge=alone, source="run:2", drafts=drafts)
    columns = ("interpretable", "not_interpretable", "unparsed", "ends_both", "ends_one", "ends_none")
    rows = {(it.judge_id, it.rule): tuple(getattr(it, name) for name in columns) for it in Summary.objects.all()}
    by_labeler = (2, 3, 1, 0, 1, 1)
    assert rows == {
        (judge.pk, "labeler"): by_labeler, (judge.pk, "both"): by_labeler, (judge.pk, "both_specific"): by_labeler,
        (judge.pk, "verifier"): (2, 0, 0, 0, 0, 0), (alone.pk, "labeler"): by_labeler,
    }  # fmt: skip
    assert summaries_verify() == []
    # The same, one by one: written over, withdrawn, verified later.
    no = judge.judgements.get(direction=ends[1])
    verification_record(judgement=no, judge=verifier, answer="no")
    judgement_withdraw(judge.judgements.get(direction=ends[2]))
    judgement_record(judge=judge, source="run:1", draft=Draft(ends[2].pk, "not_interpretable"))
    assert summaries_verify() == []


def test_counts_from_before_are_mended_by_the_migration():
    matrix = MatrixFactory()
    ends = [DirectionFactory(matrix=matrix, index=place) for place in range(4)]
    parameters = {"labeler": "a", "verifier": "b"}
    judge = judge_ensure(type=Judge.Type.PROMPT, name="with", parameters=parameters)
    judgements_record_new(judge=judge, source="run:1", drafts=[Draft(it.pk, "not_interpretable") for it in ends])
    Summary.objects.filter(rule="both").delete()
    Summary.objects.filter(rule="both_specific").update(not_interpretable=1)
    assert summaries_verify()
    import_module("labelapp.judgements.migrations.0005_no_of_the_labeler").count(apps, None)
    assert summaries_verify() == []


def test_verify_finds_and_repairs_what_differs(person, direction):
    say(person, direction)
    Summary.objects.update(interpretable=5, unsure=1)
    lines = summaries_verify()
    assert len(lines) == 2 and "interpretable is 5, should be 1" in lines[0]
    assert len(summaries_verify(repair=True)) == 2
    assert summaries_verify() == []


def test_two_runs_of_one_machine_count_a_direction_once(machine):
    drafts = [Draft(direction.pk, "interpretable") for direction in DirectionFactory.create_batch(3)]
    assert judgements_record_new(judge=machine, source="run:1", drafts=drafts) == 3
    assert judgements_record_new(judge=machine, source="run:2", drafts=drafts) == 0
    assert summaries_verify() == []


@pytest.mark.django_db(transaction=True)
def test_people_and_machines_at_once_lose_no_count_and_verify_disturbs_nobody(make_user):
    directions = [direction.pk for direction in DirectionFactory.create_batch(6, matrix=MatrixFactory())]
    judges = [judge_of_user(make_user(name)) for name in ("ann", "ben")]
    machine = judge_ensure(type=Judge.Type.PROMPT, name="labeler", parameters={"model": "m"})

    def judge(person):
        for verdict in ("interpretable", "unsure", "not_interpretable"):
            for pk in directions:
                said = judgement_record(judge=person, source=SOURCE, draft=Draft(pk, verdict))
                if verdict == "unsure":
                    judgement_withdraw(said)

    def run(source):
        judgements_record_new(
            judge=machine, source=source, drafts=[Draft(pk, "interpretable") for pk in reversed(directions)]
        )

    def verify():
        return [line for _ in range(10) for line in summaries_verify(repair=True)]

    tasks = [*((judge, person) for person in judges), (run, "run:1"), (run, "run:2"), (verify,)]
    with ThreadPoolExecutor(len(tasks)) as pool:
        results = list(pool.map(lambda task: closing(*task), tasks))
    assert results[-1] == [], "verify found differences that were only other people's work"
    assert summaries_verify() == []
    assert counts()["labeler", "interpretable"] == 6
    assert Judgement.objects.filter(judge=machine).count() == 6


def closing(function, *arguments):
    try:
        return function(*arguments)
    finally:
        connection.close()


def test_only_the_first_look_is_blind(person, machine, direction, outsider):
    first = say(person, direction, "unsure")
    judgement_withdraw(first)
    again = say(person, direction)
    corrected = say(person, direction, "not_interpretable")
    assert [first.blind, again.blind, corrected.blind] == [True, False, False]
    assert say(judge_of_user(outsider), direction).blind and say(person, direction, source="project:2").blind
    assert say(machine, direction, source="run:1").blind and say(machine, direction, source="run:1").blind


def test_the_migration_counts_the_vectors_that_are_there(machine):
    matrix = MatrixFactory()
    ends = [
        DirectionFactory(matrix=matrix, side="write", index=place, sign=sign) for place in range(3) for sign in "+-"
    ]
    drafts = [Draft(it.pk, "not_interpretable" if it.index else "interpretable") for it in ends]
    judgements_record_new(judge=machine, source="run:1", drafts=drafts)
    counted = pairs()
    Summary.objects.update(ends_both=0, ends_one=0, ends_none=0)
    import_module("labelapp.judgements.migrations.0004_ends_of_vectors").count(apps, None)
    assert pairs() == counted == {(1, 0, 2)}
