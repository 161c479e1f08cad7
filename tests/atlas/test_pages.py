"""The atlas's pages: who may see them, what they say, what they cost, and what they do with what is not there."""

from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from labelapp.atlas.models import Direction, Matrix
from labelapp.jobs.models import Job, State, WorkerBeat
from tests.atlas.results import matrix_result, store
from tests.factories import ODD_TOKENS, DirectionFactory, MatrixFactory


def text(response):
    return response.content.decode()


def page(client, name, *args, query="", status=200):
    response = client.get(reverse(f"atlas:{name}", args=args) + query)
    assert response.status_code == status
    return text(response)


# Who


@pytest.mark.parametrize(
    "address",
    ["/models/", "/models/tiny/", "/models/matrix/tiny/ov.0.0", "/models/direction/tiny/ov.0.0/1+", "/models/matrix/x"],
)
def test_nobody_is_led_to_the_sign_in(client, matrix, address):
    response = client.get(address)
    assert response.status_code == 302 and response["Location"].startswith(reverse("accounts:sign_in"))


def test_nobody_enqueues_nothing(client, model):
    assert client.get("/models/matrix/tiny/ov.1.0").status_code == 302
    assert client.post("/models/compute/tiny/ov.1.0").status_code == 302
    assert not Job.objects.exists()


@pytest.mark.parametrize("name", ["matrix", "direction", "model"])
def test_pages_are_only_read(signed_in, name):
    assert signed_in.post(reverse(f"atlas:{name}", args=["tiny"])).status_code == 405


def test_computing_is_only_posted(signed_in, model):
    assert signed_in.get("/models/compute/tiny/ov.1.0").status_code == 405


# Models and a model


def test_without_a_model_the_page_teaches(signed_in):
    assert "./tea manage decompose" in page(signed_in, "models")


def test_models(signed_in, matrix):
    shown = page(signed_in, "models")
    assert "/models/tiny/" in shown and "1 of 8" in shown and ">32<" in shown


def test_a_model_links_every_matrix_stored_or_not(signed_in, matrix):
    shown = page(signed_in, "model", "tiny")
    for address in ("ov.0.0", "ov.1.1", "mlp_in.0", "mlp_out.1"):
        assert f"/models/matrix/tiny/{address}" in shown
    assert shown.count('class="missing"') == 7
    assert "largest singular value" in shown


def test_an_unknown_colour_is_the_first(signed_in, matrix):
    for query in ("", "?colour=nonsense", "?colour=1-labeler"):
        assert 'aria-current="true">Largest singular value' in page(signed_in, "model", "tiny", query=query)


def test_the_queries_of_a_model_do_not_grow(signed_in, model, django_assert_num_queries):
    page(signed_in, "model", "tiny")
    with django_assert_num_queries(10):
        page(signed_in, "model", "tiny")
    for layer in (0, 1):
        for head in (0, 1):
            store(model, matrix_result(layer=layer, head=head))
    with django_assert_num_queries(10):
        page(signed_in, "model", "tiny")


# The matrix table


def test_the_table(signed_in, matrix):
    shown = page(signed_in, "matrix", "tiny/ov.0.0")
    assert "OV, layer 0, head 0" in shown
    for index in range(8):
        assert f'href="/models/direction/tiny/ov.0.0/{index}+"' in shown
    assert shown.count("<tbody>") == 1 and shown.count("heat-20") >= 1 and "score 0." in shown
    assert "/models/matrix/tiny/ov.0.1" in shown and "/models/matrix/tiny/ov.1.0" in shown


def test_the_other_end_and_the_other_side(signed_in, matrix):
    assert "/models/direction/tiny/ov.0.0/3-" in page(signed_in, "matrix", "tiny/ov.0.0", query="?sign=-")
    assert "/models/direction/tiny/ov.0.0:read/3+" in page(signed_in, "matrix", "tiny/ov.0.0", query="?side=read")
    assert 'href="?side=read&amp;sign=-"' in page(signed_in, "matrix", "tiny/ov.0.0", query="?side=read")


def test_a_block_is_bracketed_and_explained(signed_in, matrix):
    shown = page(signed_in, "matrix", "tiny/ov.0.0")
    assert 'colspan="2"' in shown and "one span" in shown and "means nothing" in shown
    Direction.objects.update(block=None)
    assert "one span" not in page(signed_in, "matrix", "tiny/ov.0.0")


@pytest.mark.parametrize(
    "query",
    ["?sign=%2B", "?sign=+", "?sign=*", "?side=up", "?columns=x", "?rows=-1", "?from=1e9", "?columns=%D9%A3"],
)
def test_an_address_that_makes_no_sense_shows_the_default(signed_in, matrix, query):
    shown = page(signed_in, "matrix", "tiny/ov.0.0", query=query)
    assert shown.count("<td class=") == page(signed_in, "matrix", "tiny/ov.0.0").count("<td class=")


def test_fewer_and_further_columns(signed_in, matrix):
    shown = page(signed_in, "matrix", "tiny/ov.0.0", query="?columns=3&rows=2&from=3")
    assert "Vectors 3 to 5 of 8" in shown
    assert shown.count("heat-") == 3 * 2
    assert "from=6" in shown


def test_the_queries_of_a_table_do_not_grow_with_its_columns(signed_in, matrix, django_assert_max_num_queries):
    def queries(query):
        with django_assert_max_num_queries(30) as captured:
            page(signed_in, "matrix", "tiny/ov.0.0", query=query)
        return len(captured)

    queries("")
    assert queries("?columns=1") == queries("?columns=8") <= 10


def test_no_token_breaks_out_of_its_cell(signed_in, model):
    matrix = MatrixFactory(model=model, address="ov.0.1", head=1, n_vectors=1)
    for sign in "+-":
        DirectionFactory(matrix=matrix, index=0, sign=sign, tokens=ODD_TOKENS)
    for shown in (page(signed_in, "matrix", "tiny/ov.0.1"), page(signed_in, "direction", "tiny/ov.0.1/0+")):
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
        assert "\x00" not in shown and "\\x00" in shown and "\\xe2\\x80" in shown


def test_a_readout_without_scores(signed_in, model):
    matrix = MatrixFactory(model=model, address="ov.0.1", head=1, n_vectors=1)
    for sign in "+-":
        DirectionFactory(matrix=matrix, index=0, sign=sign, scores=None, singular_value=None, gap_below=None)
    assert "dog" in page(signed_in, "matrix", "tiny/ov.0.1") and "dog" in page(signed_in, "direction", "tiny/ov.0.1/0+")


# A direction


def test_a_direction_shows_both_its_ends(signed_in, matrix):
    shown = page(signed_in, "direction", "tiny/ov.0.0/3-")
    assert "tiny/ov.0.0/3-" in shown and "The other end, +" in shown
    for other in ("tiny/ov.0.0/3+", "tiny/ov.0.0/2-", "tiny/ov.0.0/4-", "tiny/ov.0.0:read/3-"):
        assert f"/models/direction/{other}" in shown
    assert "0 of 20 are whole words" in shown


def test_a_direction_in_a_block_says_so(signed_in, matrix):
    assert "near-equal singular values" in page(signed_in, "direction", "tiny/ov.0.0/1+")
    assert "near-equal singular values" not in page(signed_in, "direction", "tiny/ov.0.0/0+")


def test_nobody_has_judged_it(signed_in, matrix):
    assert "Nobody has judged this direction yet" in page(signed_in, "direction", "tiny/ov.0.0/1+")


# Keys in addresses


@pytest.mark.parametrize("style", [lambda key: key, quote, lambda key: quote(key, safe="")])
def test_a_key_with_every_sign_survives_the_address(signed_in, model, style):
    other = type(model).objects.create(
        **{field.name: getattr(model, field.name) for field in model._meta.fields if field.name not in ("id",)}
        | {"revision": "607a30d", "is_default": False}
    )
    matrix = MatrixFactory(
        model=other, address="ov.0.1;folded;rotated", head=1, preprocessing="folded", basis="rotated", n_vectors=1
    )
    DirectionFactory(matrix=matrix, index=0, side="read")
    key = "tiny@607a30d/ov.0.1:read/0+;folded;rotated"
    response = signed_in.get("/models/direction/" + style(key))
    assert response.status_code == 200
    assert key in text(response)


def test_a_key_that_names_the_default_leads_to_its_short_form(signed_in, matrix):
    response = signed_in.get("/models/direction/tiny@abc1234/ov.0.0/1+")
    assert response.status_code == 302 and response["Location"] == "/models/direction/tiny/ov.0.0/1+"
    assert signed_in.get("/models/matrix/tiny@abc1234/ov.0.0").status_code == 302
    assert signed_in.get("/models/tiny@abc1234/")["Location"] == "/models/tiny/"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/models/other/", "There is no model &#x27;other&#x27;"),
        ("/models/matrix/other/ov.0.0", "There is no model"),
        ("/models/matrix/tiny/vo.0.0", "is not a circuit"),
        ("/models/matrix/tiny/ov.0", "needs head"),
        ("/models/matrix/tiny", "one looks like gpt2-medium/ov.22.10"),
        ("/models/matrix/tiny/ov.9.0", "layers 0 to 1, not 9"),
        ("/models/direction/tiny/ov.0.0/1", "one looks like gpt2-medium/ov.22.10/1+"),
        ("/models/direction/tiny/ov.0.0/8+", "directions 0 to 7, not 8"),
        ("/models/direction/tiny/ov.0.0/1%20", "is not a direction"),
        ("/models/matrix/tiny/%3Cscript%3E", "&lt;script&gt;"),
    ],
)
def test_what_is_not_there_is_a_404_with_a_sentence(signed_in, matrix, address, sentence):
    response = signed_in.get(address)
    assert response.status_code == 404
    assert sentence in text(response)
    assert not Job.objects.exists()


# A matrix that is not stored yet


def alive(queues="weights"):
    WorkerBeat.objects.create(name="w", queues=queues, seen_at=timezone.now())


@pytest.mark.parametrize(
    "address",
    ["/models/matrix/tiny/ov.1.0", "/models/direction/tiny/ov.1.0/3-", "/models/direction/tiny/ov.1.0:read/0+"],
)
def test_opening_a_missing_matrix_asks_for_it_once(signed_in, model, owner, address):
    alive()
    for _ in range(2):
        shown = text(signed_in.get(address))
        assert "has been asked for" in shown and "No worker is running" not in shown
    job = Job.objects.get()
    assert job.params["addresses"] == ["ov.1.0"] and job.created_by == owner
    assert f'hx-get="{reverse("jobs:progress", args=[job.pk])}"' in shown


def test_without_a_worker_for_it_the_page_says_so(signed_in, model):
    alive("llm,export")
    shown = page(signed_in, "matrix", "tiny/ov.1.0")
    assert "No worker is running" in shown and "./tea up" in shown


def test_others_may_follow_the_same_job(signed_in, model, outsider, client_of):
    page(signed_in, "matrix", "tiny/ov.1.0")
    other = client_of(outsider)
    page(other, "matrix", "tiny/ov.1.0")
    assert other.get(reverse("jobs:progress", args=[Job.objects.get().pk])).status_code == 200


def test_when_it_is_there_the_page_loads_anew(signed_in, model):
    page(signed_in, "matrix", "tiny/ov.1.0")
    store(model, matrix_result(layer=1, n=8))
    Job.objects.update(state=State.DONE)
    response = signed_in.get(reverse("jobs:progress", args=[Job.objects.get().pk]), headers={"HX-Request": "true"})
    assert response["HX-Refresh"] == "true"
    assert "<tbody>" in page(signed_in, "matrix", "tiny/ov.1.0")


def test_a_failed_job_shows_its_sentence_and_can_be_tried_again(signed_in, model):
    address = "/models/direction/tiny/ov.1.0/3-"
    signed_in.get(address)
    Job.objects.update(state=State.FAILED, error="The weights in /models/tiny changed.")
    for _ in range(2):
        shown = text(signed_in.get(address))
        assert "The weights in /models/tiny changed." in shown and "Try again" in shown
    assert Job.objects.count() == 1
    response = signed_in.post(reverse("atlas:matrix_compute", args=["tiny/ov.1.0"]), {"next": address})
    assert response["Location"] == address
    assert Job.objects.filter(state=State.QUEUED).count() == 1
    assert "has been asked for" in text(signed_in.get(address))


def test_trying_again_leads_nowhere_else(signed_in, model):
    response = signed_in.post("/models/compute/tiny/ov.1.0", {"next": "https://example.org/"})
    assert response["Location"] == "/models/matrix/tiny/ov.1.0"
    assert signed_in.post("/models/compute/tiny/ov.7.0").status_code == 404


def test_a_job_that_ended_without_the_matrix_is_no_endless_loop(signed_in, model):
    page(signed_in, "matrix", "tiny/ov.1.0")
    Job.objects.update(state=State.DONE)
    assert "it is not stored" in page(signed_in, "matrix", "tiny/ov.1.0").replace("yet the matrix", "it")
    assert Job.objects.count() == 1


def test_trying_again_needs_the_token_of_the_form(model, owner, client_of):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert strict.post("/models/compute/tiny/ov.1.0").status_code == 403
    assert Matrix.objects.count() == 0 and Job.objects.count() == 0
