"""Readouts from CSV and JSON Lines: by command, and by page with a job; what a file may hold and what it may not."""

import csv
import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse

from labelapp.atlas.models import Direction, Matrix, Model
from labelapp.atlas.selectors import readout_record
from labelapp.exchange.models import Import
from labelapp.exchange.readouts import readouts_read
from labelapp.jobs.models import Job, State
from labelapp.labelling.projects.services import project_create
from tests.factories import ODD_TOKENS, DirectionFactory, ModelFactory
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db

ROWS = [
    {"key": "gpt2-small/mlp_out.3/1700+;neuron", "tokens": [" dog", "cat"], "scores": [2.5, 1], "singular_value": None},
    {"key": "gpt2-small/mlp_out.3/12+;neuron", "tokens": [" a", " b", " c"]},
    {"key": "gpt2-small/ov.1.2:read/5-;dictionary.3", "tokens": ["=cmd()", "<script>"], "anything": {"else": 1}},
    {"key": "pythia@v2/unembed/0+", "tokens": ["x"], "singular_value": 3.5},
]


def written(tmp_path, rows, name="rows.jsonl"):
    path = tmp_path / name
    if path.suffix.lower() == ".csv":
        text = io.StringIO()
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows({it: row[it] if it == "key" else json.dumps(row[it]) for it in row} for row in rows)
        path.write_text(text.getvalue())
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(path, *options):
    call_command("import_readouts", str(path), *options)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.ndjson", "rows.csv", "ROWS.CSV"])
def test_every_form_brings_the_same(tmp_path, name):
    run(written(tmp_path, ROWS, name))
    found = {str(it): it for it in Direction.objects.select_related("matrix__model")}
    assert set(found) == {
        "gpt2-small/mlp_out.3/1700+;neuron",
        "gpt2-small/mlp_out.3/12+;neuron",
        "gpt2-small/ov.1.2:read/5-;dictionary.3",
        "pythia/unembed/0+",
    }
    dog = found["gpt2-small/mlp_out.3/1700+;neuron"]
    assert (dog.tokens, dog.scores, dog.singular_value) == ([" dog", "cat"], [2.5, 1.0], None)
    assert found["gpt2-small/mlp_out.3/12+;neuron"].scores is None
    assert found["pythia/unembed/0+"].singular_value == 3.5
    small, pythia = Model.objects.order_by("name")
    assert (small.revision, small.n_layers, small.n_heads, small.circuits) == ("imported", 4, 3, ["ov", "mlp_out"])
    assert (pythia.revision, pythia.n_layers) == ("v2", 0)
    assert (Matrix.objects.get(basis="neuron").n_vectors, Matrix.objects.get(basis="neuron").top) == (2, 3)
    made = Import.objects.get()
    assert (made.n_directions, made.n_judgements, made.kind, made.judge) == (4, 0, "readouts", None)


def test_tokens_can_hold_anything_and_an_export_is_read_back(tmp_path):
    """What exports write of a direction with NUL, half a character, markup and a formula."""
    made = DirectionFactory(matrix__model=ModelFactory(name="tiny"))
    direction = Direction.objects.get(pk=made.pk)
    record = readout_record(direction)
    for name in ("rows.jsonl", "rows.csv"):
        run(written(tmp_path, [record], name), "--revision", name[5:])
        found = Direction.objects.get(matrix__model__revision=name[5:])
        assert found.tokens == ODD_TOKENS and found.scores == record["scores"]
        assert readout_record(found)["token_bytes"] == record["token_bytes"]


def test_a_second_import_changes_nothing_and_a_longer_file_adds(tmp_path, capsys):
    run(written(tmp_path, ROWS[:2]))
    run(written(tmp_path, ROWS[:2], "again.csv"))
    assert "stored already; nothing was changed" in capsys.readouterr().out
    run(written(tmp_path, ROWS))
    assert Direction.objects.count() == 4 and [it.n_directions for it in Import.objects.order_by("pk")] == [2, 2]


def test_beside_a_model_with_weights(tmp_path):
    ModelFactory(name="gpt2-small")
    run(written(tmp_path, ROWS[:1]))
    assert str(Direction.objects.get()) == "gpt2-small@imported/mlp_out.3/1700+;neuron"
    into_weights = [{**ROWS[0], "key": "gpt2-small@abc1234/mlp_out.3/1+;neuron"}]
    with pytest.raises(CommandError, match="is stored with its weights"):
        run(written(tmp_path, into_weights))
    assert Direction.objects.count() == 1


GOOD = json.dumps(ROWS[0])
GOOD_FILE = GOOD.encode() + b"\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "Line 2: the line is no JSON"),
        ("[1]", "Line 2: the line is no JSON object"),
        ("[" * 100_000, "Line 2: the line is no JSON"),
        ('{"tokens": ["a"]}', "Line 2: there is no key"),
        ('{"key": "nonsense", "tokens": ["a"]}', "Line 2: 'nonsense' is not a direction's key"),
        ('{"key": "m/mlp_in.01/1+", "tokens": ["a"]}', "Line 2: .* is not written as a key is"),
        ('{"key": "m/mlp_in.5000/1+", "tokens": ["a"]}', "Line 2: .* beyond 999"),
        ('{"key": "m/mlp_in.5/9999999999+", "tokens": ["a"]}', "Line 2: .* beyond 2147483647"),
        ('{"key": "m/mlp_in.5/1+", "tokens": []}', "Line 2: tokens must be a list of texts"),
        ('{"key": "m/mlp_in.5/1+", "tokens": "a, b"}', "Line 2: tokens must be a list of texts"),
        ('{"key": "m/mlp_in.5/1+", "tokens": [1]}', "Line 2: tokens must be a list of texts"),
        ('{"key": "m/mlp_in.5/1+", "tokens": ["a"], "scores": [1, 2]}', "Line 2: scores must be a list of 1 numbers"),
        ('{"key": "m/mlp_in.5/1+", "tokens": ["a"], "scores": [NaN]}', "Line 2: a score must be a number, not NaN"),
        ('{"key": "m/mlp_in.5/1+", "tokens": ["a"], "scores": [true]}', "Line 2: a score must be a number, not true"),
        ('{"key": "m/mlp_in.5/1+", "tokens": ["a"], "scores": [1e400]}', "Line 2: a score must be a number"),
        ('{"key": "m/mlp_in.5/1+", "tokens": ["a"], "scores": [1' + "0" * 400 + "]}", "Line 2: a score must be"),
        ('{"key": "m/mlp_in.5/1+", "tokens": ["a"], "scores": [' + "1" * 5000 + "]}", "Line 2: the line is no JSON"),
        ('{"key": "m/mlp_in.5/1+", "tokens": ["\\udce2"]}', "Line 2: token 0 holds half of a character"),
        ('{"key": "m/mlp_in.5/1+", "tokens": ["a"], "token_bytes": {"3": "e2"}}', "Line 2: token_bytes names the"),
        ('{"key": "m/mlp_in.5/1+", "tokens": ["a"], "token_bytes": {"0": "xx"}}', "Line 2: the bytes of token 0"),
        (json.dumps({**ROWS[0], "tokens": ["other"], "scores": None}), "line 2: .* is stored with other tokens"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_nothing_is_stored(tmp_path, line, sentence):
    path = tmp_path / "rows.jsonl"
    path.write_text(GOOD + "\n" + line + "\n")
    with pytest.raises(CommandError, match=sentence):
        run(path)
    assert not Model.objects.exists() and not Import.objects.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "heading has no column key and no column tokens"),
        (b"key,token\nm/mlp_in.5/1+,a\n", "Line 1: the heading has no column tokens"),
        (b"key,tokens\n", "holds no readouts"),
        (b"key,tokens\nm/mlp_in.5/1+\n", "Line 2: the row has not the 2 columns"),
        (b"key,tokens\nm/mlp_in.5/1+,a,b\n", "Line 2: the row has not the 2 columns"),
        (b"key,tokens\nm/mlp_in.5/1+,dog cat\n", "Line 2: tokens is no JSON"),
        (b'key,tokens\nm/mlp_in.5/1+,"[""a""]\n', "the row is no CSV"),
        (b"key,tokens\nm/mlp_in.5/1+,\xff\n", "Line 2: the line is not UTF-8"),
    ],
)
def test_a_bad_table_gets_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(CommandError, match=sentence):
        run(path)
    assert not Model.objects.exists()


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b'\xef\xbb\xbfkey,tokens\r\nm/mlp_in.5/1+,"[""a""]"\r\n')
    assert [it.tokens for it in readouts_read(path)] == [["a"]]


def test_what_is_no_such_file(tmp_path):
    for path, sentence in (
        (tmp_path / "none.csv", "cannot be read: No such file"),
        (tmp_path / "rows.xlsx", "must be .csv, .jsonl or .ndjson"),
    ):
        with pytest.raises(CommandError, match=sentence):
            run(path)


# The page


def upload(client, content=GOOD_FILE, name="rows.jsonl", **fields):
    file = SimpleUploadedFile(name, content)
    return client.post(reverse("imports:start"), {"file": file, **fields})


@pytest.fixture
def admin_client(make_user, client_of):
    return client_of(make_user("chief", is_superuser=True, is_staff=True))


def test_only_an_administrator_imports(client, owner_client, outsider_client):
    assert upload(client).status_code == 302 and "account" in upload(client).url
    for other in (owner_client, outsider_client):
        assert upload(other).status_code == 403
        html = other.get(reverse("imports:imports")).content.decode()
        assert "Nothing yet" in html and "Import it" not in html
    assert not Import.objects.exists() and not Job.objects.exists()


def test_what_can_be_seen_at_once_is_refused_on_the_page(admin_client):
    for content, name, fields, sentence in (
        (GOOD.encode(), "rows.txt", {}, "read by its ending"),
        (b"", "rows.csv", {}, "Choose a file"),
        (GOOD.encode(), "rows.jsonl", {"revision": "A b"}, "cannot be a revision"),
    ):
        response = upload(admin_client, content, name, **fields)
        assert response.status_code == 422 and sentence in response.content.decode()
    assert not Import.objects.exists() and not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_upload_is_imported_by_a_worker(worker, admin_client):
    good = upload(admin_client, "".join(json.dumps(row) + "\n" for row in ROWS).encode())
    bad = upload(admin_client, (GOOD + "\n{\n").encode(), "bad.jsonl")
    wait_for(lambda: not Job.objects.exclude(state__in=(State.DONE, State.FAILED)).exists())
    first, second = Import.objects.order_by("pk").select_related("job")
    assert (first.job.state, first.n_directions) == (State.DONE, 4)
    html = admin_client.get(good.url).content.decode()
    assert "gpt2-small" in html and "pythia" in html
    assert second.job.state == State.FAILED and "Line 2: the line is no JSON" in second.job.error
    assert "Line 2: the line is no JSON" in admin_client.get(bad.url).content.decode()
    assert Direction.objects.count() == 4
    listed = admin_client.get(reverse("imports:imports")).content.decode()
    assert "1: rows.jsonl" in listed or f"{first.pk}: rows.jsonl" in listed


def test_they_can_be_judged_like_any_other(tmp_path, owner, owner_client):
    """A project over neurons: its queue shows them, without bars where there are no scores."""
    run(written(tmp_path, ROWS))
    project = project_create(
        name="Neurons", owner=owner, directions=Direction.objects.filter(matrix__basis="neuron"), guidelines="Judge."
    )
    html = owner_client.get(reverse("labelling:queue", args=[project.slug])).content.decode()
    assert "·a" in html or "·dog" in html
    assert owner_client.get(reverse("exchange:exports")).status_code == 200
