"""What the pages say of preprocessing, bases and controls, and how a person asks for more of them."""

import re
from dataclasses import replace

import numpy as np
import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils.html import strip_tags

from labelapp.atlas.models import Matrix, Model
from labelapp.atlas.services import LAYER_TASK
from labelapp.jobs.models import Job
from tests.atlas.results import matrix_result, store

VARIANTS = {
    "": {},
    ";folded": {"preprocessing": "folded"},
    ";rotated.3": {"basis": "rotated", "basis_seed": 3},
    ";gaussian": {"control": "gaussian"},
}


@pytest.fixture
def variants(model):
    for seed, fields in enumerate(VARIANTS.values()):
        store(model, replace(matrix_result(n=8, top=20, seed=seed), **fields))
    neurons = np.array([7, 3, 11, 0, 2, 5, 6, 1], np.int32)
    return store(model, replace(matrix_result(n=8, top=20, seed=9), basis="neuron", neurons=neurons))


def page(client, name, *args, query=""):
    response = client.get(reverse(f"atlas:{name}", args=args) + query)
    assert response.status_code == 200
    return response.content.decode()


def words(html):
    return re.sub(r"\s+", " ", strip_tags(html))


# A model


def test_the_overview_shows_one_variant_of_those_that_there_are(signed_in, variants):
    html = page(signed_in, "model", "tiny")
    for name in ("The model&#x27;s own", "Folded", "Rotated 3", "Control gaussian", "Neuron"):
        assert name in html
    assert "shuffled" not in html.split("</nav>")[2]
    assert "ov.0.0;gaussian" not in html and 'href="/models/matrix/tiny/ov.0.0"' in html
    shown = page(signed_in, "model", "tiny", query="?variant=%3Bgaussian")
    assert "A control, not the model" in shown and 'href="/models/matrix/tiny/ov.0.0;gaussian"' in shown
    assert "1 matrices are stored of what is shown" in words(shown)


def test_a_variant_that_nobody_has_computed_can_be_looked_at_and_nonsense_is_the_plain_one(signed_in, variants):
    html = page(signed_in, "model", "tiny", query="?variant=%3Bshuffled.4")
    assert 'href="/models/matrix/tiny/ov.0.0;shuffled.4"' in html and "0 matrices are stored" in words(html)
    assert "A control" not in page(signed_in, "model", "tiny", query="?variant=%3Bcooked")


def test_the_embeddings_belong_to_no_layer_and_have_their_links(signed_in, model):
    Model.objects.update(circuits=["ov", "embed", "unembed"])
    html = page(signed_in, "model", "tiny")
    assert 'href="/models/matrix/tiny/embed"' in html and 'href="/models/matrix/tiny/unembed"' in html


@pytest.fixture
def manager(make_user, client_of):
    user = make_user("manager")
    user.user_permissions.add(Permission.objects.get(codename="add_matrix"))
    return client_of(user)


def ask(client, **changed):
    fields = {"circuits": "ov,mlp_in", "layers": "0", "preprocessing": "raw", "basis": "svd", "control": "gaussian",
              "directions": "5"}  # fmt: skip
    return client.post("/models/decompose/tiny/", {**fields, **changed})


def test_who_may_asks_for_more_from_the_page(manager, variants):
    assert "Decompose more of this model" in page(manager, "model", "tiny")
    Matrix.objects.update(top=32)
    response = ask(manager)
    parent = Job.objects.get(parent=None)
    assert response["Location"] == reverse("jobs:detail", args=[parent.pk])
    job = Job.objects.get(task=LAYER_TASK)
    assert job.params["addresses"] == ["ov.0.1;gaussian", "mlp_in.0;gaussian"], "what is stored is left out"
    assert (job.params["directions"], job.params["layer"]) == (5, 0)
    assert manager.get(response["Location"]).status_code == 200


def test_who_may_not_sees_no_form_and_is_refused(signed_in, variants):
    assert "Decompose more" not in page(signed_in, "model", "tiny")
    assert ask(signed_in).status_code == 403
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"circuits": "qv"}, "no circuit &#x27;qv&#x27;"),
        ({"circuits": ""}, "This field is required"),
        ({"layers": "9"}, "no layer 9"),
        ({"basis": "pca"}, "no basis &#x27;pca&#x27;"),
        ({"control": "gaussian.x"}, "a seed is a number"),
        ({"directions": "0"}, "a number of vectors from 1, or all"),
        ({"circuits": "ov", "basis": "rotated.3", "control": "none", "directions": "6"}, "is stored with 8 vectors"),
    ],
)
def test_what_cannot_be_asked_for_is_said_and_starts_nothing(manager, variants, fields, sentence):
    response = ask(manager, **fields)
    html = response.content.decode()
    assert response.status_code == 422 and sentence.replace("circuit 'qv'", "") in html
    assert not Job.objects.exists()


def test_all_stored_is_said(manager, variants):
    store(variants.model, replace(matrix_result(n=8, top=50, head=1), control="gaussian"))
    store(variants.model, replace(matrix_result(n=8, top=50, head=0), control="gaussian"))
    Matrix.objects.update(top=50, n_vectors=8)
    response = ask(manager, circuits="ov", directions="all")
    assert "is stored of tiny already" in response.content.decode()
    assert not Job.objects.exists()


# A matrix


def test_a_control_is_plainly_one_and_links_to_the_others(signed_in, variants):
    html = page(signed_in, "matrix", "tiny/ov.0.0;gaussian")
    assert "OV, layer 0, head 0, control gaussian" in html
    assert "A control, not the model:" in html and "What a judge finds here, it finds in noise." in html
    for address in ("ov.0.0", "ov.0.0;neuron;gaussian", "ov.0.0;folded;gaussian", "ov.0.0;covariance"):
        assert f'href="/models/matrix/tiny/{address}' in html, address
    assert "A control, not the model:" in page(signed_in, "direction", "tiny/ov.0.0/1-;gaussian")
    plain = page(signed_in, "matrix", "tiny/ov.0.0")
    assert "A control, not the model" not in plain and "A contrast" not in plain


def test_hidden_units_have_numbers_and_sizes_and_no_gaps(signed_in, variants):
    html = page(signed_in, "matrix", "tiny/ov.0.0;neuron")
    assert "unit 11" in html and "size " in html and "σ" not in words(html).split("Rank")[1].split("Point at")[0]
    assert "gap " not in words(html).split("Point at")[0] and "hidden units by size" in html
    shown = words(page(signed_in, "direction", "tiny/ov.0.0/2+;neuron"))
    assert "Hidden unit 11" in shown and "Gap above" not in shown and "Size of a unit" in shown
    copied = signed_in.get("/models/matrix/tiny/ov.0.0;neuron?as=markdown").content.decode()
    assert "2+ unit 11 size" in copied and "σ" not in copied


def test_of_a_rotary_model_the_page_says_at_which_offset(signed_in, model):
    Model.objects.update(circuits=["ov", "qk"])
    store(model, matrix_result(n=4, circuit="qk", sides=("query", "key")))
    store(model, matrix_result(n=4))
    assert "offset 0" not in page(signed_in, "matrix", "tiny/qk.0.0")
    Model.objects.update(rotary=True)
    assert "relative position offset 0" in page(signed_in, "matrix", "tiny/qk.0.0")
    assert "relative position offset 0" in page(signed_in, "direction", "tiny/qk.0.0/1+")
    assert "offset 0" not in page(signed_in, "matrix", "tiny/ov.0.0")


def test_the_bracket_names_its_threshold(signed_in, variants):
    assert "relative gap of at most 0.000977 " in words(page(signed_in, "matrix", "tiny/ov.0.0"))
    Model.objects.update(block_threshold=0.05)
    assert "relative gap of at most 0.05 " in words(page(signed_in, "matrix", "tiny/ov.0.0"))


# Opening a variant


def test_opening_a_variant_that_is_not_stored_asks_for_it(signed_in, variants):
    html = page(signed_in, "matrix", "tiny/ov.0.0;varimax;shuffled.2")
    assert "has been asked for" in html
    job = Job.objects.get()
    assert job.params["addresses"] == ["ov.0.0;varimax;shuffled.2"]
    assert (job.params["directions"], job.params["top"]) == (8, 20)
