"""Exports are read back as a reader of the dataset would."""

import json
from io import StringIO

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from labelapp.accounts.models import User
from labelapp.atlas.models import Direction
from labelapp.exchange.models import Export
from labelapp.exchange.services import export_start, export_to_path
from labelapp.exchange.subjects import ExportError
from labelapp.jobs.models import Job
from labelapp.judgements.models import Judge
from labelapp.judgements.services import Draft, judge_ensure, judgement_record, verification_record
from labelapp.labelling.models import Membership
from labelapp.labelling.projects.services import project_create
from labelapp.labelling.services import answer_undo, item_judge
from tests.factories import ODD_TOKENS, DirectionFactory, MatrixFactory
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(owner, annotator):
    matrix = MatrixFactory(head=1)
    for index in (1, 0):
        for sign in "-+":
            DirectionFactory(matrix=matrix, index=index, sign=sign)
    project = project_create(name="Animals", owner=owner, directions=Direction.objects.all(), guidelines="Judge.")
    Membership.objects.create(project=project, user=annotator, role="annotator")
    return project


def read(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write(project, tmp_path):
    path = tmp_path / "out.jsonl"
    export_to_path(subject=f"project:{project.slug}", format="jsonl", path=path)
    return read(path)


def test_a_row_for_each_direction_in_the_order_of_the_keys(project, tmp_path):
    rows = write(project, tmp_path)
    assert [row["key"].partition("/ov.0.1/")[2] for row in rows] == ["0+", "0-", "1+", "1-"]
    assert rows[0]["inclusion_probability"] == 1 and rows[0]["project"] == "animals"


def test_odd_tokens_keep_their_meaning_and_are_valid_utf8(project, tmp_path):
    row = write(project, tmp_path)[0]
    row_text = json.dumps(row, ensure_ascii=False)
    assert row_text.encode("utf-8")  # no lone surrogate is left
    tokens = [
        bytes.fromhex(row["token_bytes"][str(place)]).decode("utf-8", "surrogateescape")
        if str(place) in row["token_bytes"]
        else token
        for place, token in enumerate(row["tokens"])
    ]
    assert tokens == ODD_TOKENS
    assert row["token_ids"] == list(range(10)) and len(row["scores"]) == 10


def test_every_judgement_is_in_it_and_says_who_when_and_under_what(project, owner, annotator, tmp_path):
    item = project.items.get(direction__index=0, direction__sign="+")
    item_judge(item=item, user=annotator, verdict="interpretable", label="dogs", misfits=[0])
    answer_undo(project=project, user=annotator)
    item_judge(item=item, user=owner, verdict="not_interpretable")
    machine = judge_ensure(type=Judge.Type.PROMPT, name="labeler", parameters={"m": 1})
    verifier = judge_ensure(type=Judge.Type.PROMPT, name="verifier", parameters={"m": 2})
    said = judgement_record(
        judge=machine,
        source="run:1",
        draft=Draft(item.direction_id, "interpretable", "cats", evidence={"p": 0.1}),
    )
    verification_record(judgement=said, judge=verifier, answer="no")
    elsewhere = project_create(name="Other", owner=owner, directions=Direction.objects.all(), guidelines="")
    item_judge(item=elsewhere.items.get(direction=item.direction), user=owner, verdict="unsure")

    first, withdrawal, owners, machines = write(project, tmp_path)[0]["judgements"]
    assert (first["judge"], first["current"], first["label"], first["misfits"]) == (
        "annotator",
        False,
        "dogs",
        [0],
    )
    assert first["guidelines_version"] == 1 and first["source"] == project.source and first["created_at"]
    assert (withdrawal["withdraws"], withdrawal["verdict"]) == (first["id"], None)
    assert first["blind"] is True
    assert (owners["judge"], owners["verdict"], owners["verdicts"]) == ("owner", "not_interpretable", {})
    assert machines["verdicts"] == {
        "labeler@1": "interpretable",
        "verifier@1": "not_interpretable",
        "both@1": "not_interpretable",
        "both_specific@1": "not_interpretable",
    }
    assert machines["verifications"] == [{"judge": "verifier", "answer": "no"}]
    assert machines["evidence"] == {"p": 0.1}


def test_the_command(project, tmp_path):
    out = StringIO()
    call_command("export", "animals", "--out", str(tmp_path / "a.jsonl"), stdout=out)
    assert "4 rows" in out.getvalue()
    assert len(read(tmp_path / "a.jsonl")) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"project": "none"}, "no project 'none'"),
        ({"project": "animals", "format": "xml"}, "no format 'xml'; there is jsonl"),
        ({"project": "animals", "out": "/nowhere/at/all.jsonl"}, "cannot be written"),
        ({"project": "animals", "out": "/tmp"}, "cannot be written"),
    ],
)
def test_bad_input_gets_a_sentence_and_leaves_no_file(project, tmp_path, arguments, sentence):
    out = arguments.get("out", str(tmp_path / "a.jsonl"))
    with pytest.raises(CommandError, match=sentence):
        call_command("export", arguments["project"], "--out", out, "--format", arguments.get("format", "jsonl"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_when_the_export_fails(project, tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_text("before")
    monkeypatch.setattr("labelapp.exchange.rows.readout_record", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call_command("export", "animals", "--out", str(path))
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_who_may_export(project, annotator, outsider, owner):
    for user in (annotator, outsider):
        with pytest.raises(ExportError, match="may export"):
            export_start(subject="project:animals", format="jsonl", user=user)
    with pytest.raises(ExportError, match="cannot be exported"):
        export_start(subject="secrets:all", format="jsonl", user=owner)
    assert not Export.objects.exists() and not Job.objects.exists()


def test_queries_do_not_grow_with_the_rows(project, tmp_path, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        write(project, tmp_path)


@pytest.mark.django_db(transaction=True)
def test_an_export_as_a_job(worker):
    owner = User.objects.create_user("someone")
    direction = DirectionFactory(matrix=MatrixFactory())
    project_create(name="One", owner=owner, directions=Direction.objects.all(), guidelines="")
    export = export_start(subject="project:one", format="jsonl", user=owner)
    wait_for(lambda: Job.objects.get(pk=export.job_id).state == "done")
    export.refresh_from_db()
    assert export.rows == 1
    with default_storage.open(export.file) as file:
        assert json.loads(file.read())["key"] == str(direction.key)
