"""What the atlas does with a model of which only readouts were imported: each page works or says one sentence."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction
from django.urls import reverse

from labelapp.atlas.imported import Readout, ReadoutWriter, model_ensure
from labelapp.atlas.keys import direction_key_parse
from labelapp.atlas.models import Direction, Model
from labelapp.atlas.selectors import models_with_holdings
from labelapp.autolabel.services import baseline_run_start
from labelapp.exchange.rows import export_rows
from labelapp.exchange.subjects import subject_get
from labelapp.jobs.models import Job
from labelapp.jobs.services import JobError
from labelapp.labelling.projects.services import project_create
from labelapp.labelling.services import item_judge
from tests.factories import ODD_TOKENS

pytestmark = pytest.mark.django_db

KEYS = (
    "gpt2-small/mlp_in.0/0+", "gpt2-small/mlp_in.0/1+", "gpt2-small/mlp_in.2/0+",
    *(f"gpt2-small/mlp_out.1/{index}+;neuron" for index in (3, 40, 500)), "gpt2-small/mlp_out.1/3-;neuron",
)  # fmt: skip


@pytest.fixture
def model():
    with transaction.atomic():
        writer = ReadoutWriter(model_ensure(name="gpt2-small", revision="imported", source="rows.csv"))
        writer.write(Readout(direction_key_parse(key), ODD_TOKENS) for key in KEYS)
        writer.finish()
    return Model.objects.get()


def page(client, name, key):
    response = client.get(reverse(f"atlas:{name}", args=[key]))
    return response.status_code, response.content.decode()


def test_the_list_of_models_counts_what_is_there(owner_client, model):
    (holding,) = models_with_holdings()
    assert (holding.n_directions, holding.n_directions_raw) == (7, 3)
    html = owner_client.get(reverse("atlas:models")).content.decode()
    assert "imported" in html and "gpt2-small" in html


def test_the_overview_offers_nothing_to_compute(owner_client, model):
    status, html = page(owner_client, "model", "gpt2-small")
    assert status == 200 and "Imported readouts, no weights" in html
    assert html.count("/mlp_in.0") and "not imported" in html
    assert "computed when you open it" not in html and 'role="search"' not in html
    assert "variant=%3Bneuron" in html and "Decompose" not in html
    html = owner_client.get(reverse("atlas:model", args=["gpt2-small"]) + "?variant=;neuron").content.decode()
    assert html.count("/mlp_out.1;neuron") == 1 and "3 vectors imported" in html


def test_a_matrix_and_its_directions(owner_client, model):
    status, html = page(owner_client, "matrix", "gpt2-small/mlp_in.0")
    assert status == 200 and "scores were not imported" in html and "that were imported" in html
    assert "σ" not in html and "other end" not in html and 'id="spectrum"' not in html
    assert "mlp_in.1" not in html  # the next layer is not there, and cannot be computed
    status, html = page(owner_client, "matrix", "gpt2-small/mlp_out.1;neuron")
    assert status == 200 and "The other end" in html
    status, html = page(owner_client, "direction", "gpt2-small/mlp_out.1/40+;neuron")
    assert status == 200 and "An imported readout" in html and "Gap above" not in html
    assert "mlp_out.1/3+" in html and "mlp_out.1/500+" in html  # the neighbours that there are
    assert "&lt;script&gt;" in html and "<script>alert" not in html


@pytest.mark.parametrize(
    ("name", "key", "sentence"),
    [
        ("matrix", "gpt2-small/mlp_in.1", "is not among the readouts that were imported"),
        ("matrix", "gpt2-small/ov.1.2", "is not among the readouts that were imported"),
        ("direction", "gpt2-small/mlp_in.1/0+", "is not among the readouts that were imported"),
        ("direction", "gpt2-small/mlp_in.0/7+", "is not among the 2 vectors that were imported"),
        ("direction", "gpt2-small/mlp_in.0/0-", "is not among the 2 vectors that were imported"),
    ],
)
def test_what_was_not_imported_is_said_and_no_job_is_made(owner_client, model, name, key, sentence):
    status, html = page(owner_client, name, key)
    assert status == 404 and sentence in html
    assert not Job.objects.exists()


def test_search_and_copies(owner_client, model):
    response = owner_client.get(reverse("atlas:search", args=["gpt2-small"]), {"token": "dog"})
    assert response.status_code == 404 and "so no token can be looked up in it" in response.content.decode()
    address = reverse("atlas:matrix", args=["gpt2-small/mlp_in.0"])
    for form in ("markdown", "latex", "png"):
        assert owner_client.get(address, {"as": form}).status_code == 200


def test_show(model, capsys):
    call_command("show", "gpt2-small/mlp_in.0/0+")
    assert "·dog" in capsys.readouterr().out
    call_command("show", "gpt2-small/mlp_out.1;neuron", "--json")
    assert '"singular_values": []' in capsys.readouterr().out
    with pytest.raises(CommandError, match="imported readouts, which have no vectors"):
        call_command("show", "gpt2-small/mlp_in.0", "--vectors", "out.npz")


def test_the_baseline_says_why_it_cannot(owner_client, model):
    with pytest.raises(JobError, match="have no vectors, so the offline baseline"):
        baseline_run_start(model=model)
    assert "There is no model yet" in owner_client.get(reverse("autolabel:runs")).content.decode()


def test_projects_and_exports(owner, model):
    project = project_create(name="All", owner=owner, directions=Direction.objects.all(), guidelines="Judge.")
    item_judge(item=project.items.first(), user=owner, verdict="interpretable", label="odd")
    rows = list(export_rows(subject_get("project:all", owner)))
    assert [row["key"] for row in rows] == sorted(KEYS, key=lambda it: [row["key"] for row in rows].index(it))
    assert all(row["scores"] is None and row["token_ids"] is None and row["singular_value"] is None for row in rows)
    assert rows[0]["token_bytes"]
