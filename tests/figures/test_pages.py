"""The figures page and the files of its plots."""

import csv
import io

import pytest
from django.urls import reverse

from labelapp.atlas.models import Matrix
from labelapp.figures.selectors import claims
from labelapp.judgements.services import Draft, judge_ensure, judge_of_user, judgement_record, judgements_record_new
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return ModelFactory(name="tiny")


@pytest.fixture
def matrix(model):
    """Rank 3 of 4 singular values, as the fourth is rounding."""
    return MatrixFactory(model=model, head=0, singular_values=[4.0, 3.0, 2.0, 1e-9], rank=3, n_vectors=2)


def judged(model, layer, verdicts, *, judge=None, **fields):
    """A matrix of which one end after the other gets one of the verdicts."""
    head = Matrix.objects.filter(model=model, layer=layer).count()
    matrix = MatrixFactory(model=model, layer=layer, head=head, **fields)
    directions = [DirectionFactory(matrix=matrix, index=index) for index in range(len(verdicts))]
    judge = judge or judge_ensure(type="baseline", name="offline baseline", parameters={"alpha": 0.05})
    drafts = [Draft(it.pk, verdict) for it, verdict in zip(directions, verdicts, strict=True)]
    judgements_record_new(judge=judge, source="run:1", drafts=drafts)
    return judge


YES, NO, UNSURE, UNPARSED = "interpretable", "not_interpretable", "unsure", "unparsed"


def content(client, name, *args, query=""):
    response = client.get(reverse(f"figures:{name}", args=args) + query)
    assert response.status_code == 200
    return response.content.decode()


def rows_of(response):
    return list(csv.DictReader(io.StringIO(response.content.decode())))


# What may I claim


def test_nobody_is_led_to_the_sign_in(client, matrix):
    for name, args in (
        ("machines", []),
        ("spectrum", ["tiny/ov.0.0"]),
        ("spectrum_file", ["csv", "tiny/ov.0.0"]),
        ("fraction_file", ["csv", "tiny", "1-labeler"]),
    ):
        assert client.get(reverse(f"figures:{name}", args=args)).status_code == 302


def test_without_verdicts_the_page_teaches(owner_client):
    assert "start the offline baseline" in content(owner_client, "machines")


def test_a_claim_names_all_that_it_hangs_on(owner_client, model):
    judged(model, 0, [YES] * 65 + [NO] * 35 + [UNPARSED] * 3)
    page = content(owner_client, "machines")
    for part in (
        "65.0 %", "55.3 to 73.6, 95 % interval", "n = 100 ends", "rule labeler, version 1", "this census",
        "machine verdicts of the offline baseline", "at a rate of 0.05", "3 ends unsure, unparsed or failed",
        "103 ends that it has judged",
    ):  # fmt: skip
        assert part in page, part


def test_fractions_by_layer_and_circuit(model):
    judged(model, 0, [YES, NO, NO, UNSURE])
    judged(model, 0, [YES, YES])
    judged(model, 1, [NO, NO])
    judged(model, 1, [UNPARSED])
    (claim,) = claims()
    assert [(it.circuit, it.layer, it.interpretable, it.n, it.left_out) for it in claim.fractions] == [
        ("OV", 0, 3, 5, 1),
        ("OV", 1, 0, 2, 1),
    ]
    assert (claim.whole.interpretable, claim.whole.n, claim.whole.left_out) == (3, 7, 2)
    assert claim.n_judged == 9


def test_where_nothing_was_parsed_the_states_are_still_counted(owner_client, model):
    judged(model, 0, [YES])
    judged(model, 1, [UNPARSED, UNPARSED])
    (claim,) = claims()
    assert (claim.whole.n, claim.whole.left_out) == (1, 2)
    assert "2 ends unsure, unparsed or failed" in content(owner_client, "machines")


def test_people_and_noise_make_no_census(owner, model):
    judged(model, 0, [YES], control="gaussian", address="ov.0.0;gaussian")
    judged(model, 0, [YES], preprocessing="folded", address="ov.0.1;folded")
    direction = DirectionFactory(matrix=MatrixFactory(model=model))
    judgement_record(judge=judge_of_user(owner), source="project:1", draft=Draft(direction.pk, YES))
    assert claims() == []


def test_the_queries_do_not_grow(owner_client, model, django_assert_max_num_queries):
    def queries():
        with django_assert_max_num_queries(20) as captured:
            content(owner_client, "machines")
        return len(captured)

    judged(model, 0, [YES, NO])
    few = queries()
    for layer in range(4):
        judged(ModelFactory(), layer, [YES, NO])
    judged(model, 1, [YES], judge=judge_ensure(type="prompt", name="prompt", parameters={}))
    assert queries() == few


def test_the_files_of_a_claim(owner_client, model):
    judge = judged(model, 0, [YES, YES, NO, UNSURE])
    claim = f"{judge.pk}-labeler"
    response = owner_client.get(reverse("figures:fraction_file", args=["csv", "tiny", claim]))
    assert response["Content-Disposition"] == f'attachment; filename="fraction-tiny-{claim}.csv"'
    (row,) = rows_of(response)
    assert (row["model"], row["judge"], row["rule"], row["unit"]) == ("tiny", "offline baseline", "labeler@1", "ends")
    assert (row["circuit"], row["layer"], row["interpretable"], row["n"]) == ("OV", "0", "2", "3")
    assert row["unsure_unparsed_failed"] == "1"
    spec = owner_client.get(reverse("figures:fraction_file", args=["spec", "tiny", claim])).json()
    assert spec["data"]["values"][0]["n"] == 3


def test_a_judges_name_is_no_formula_in_a_table(owner_client, model):
    judge = judged(model, 0, [YES], judge=judge_ensure(type="prompt", name="=cmd()", parameters={"n": 1}))
    response = owner_client.get(reverse("figures:fraction_file", args=["csv", "tiny", f"{judge.pk}-labeler"]))
    assert rows_of(response)[0]["judge"] == "'=cmd()"


@pytest.mark.parametrize(("slug", "claim"), [("tiny", "99-labeler"), ("tiny", "nonsense"), ("other", "1-labeler")])
def test_a_claim_that_is_not_there(owner_client, model, slug, claim):
    response = owner_client.get(reverse("figures:fraction_file", args=["csv", slug, claim]))
    assert response.status_code == 404 and "There is no" in response.content.decode()


# The spectrum


def test_the_spectrum_stands_on_the_matrix_page(owner_client, matrix):
    page = owner_client.get("/models/matrix/tiny/ov.0.0").content.decode()
    assert 'id="spectrum"' in page and "Cut at the rank, 3" in page
    assert 'data-spec-url="/figures/spectrum.spec/tiny/ov.0.0?scale=log"' in page


def test_it_is_cut_at_the_rank(owner_client, matrix):
    spec = owner_client.get("/figures/spectrum.spec/tiny/ov.0.0").json()
    assert [it["sigma"] for it in spec["data"]["values"]] == [4.0, 3.0, 2.0]
    rows = rows_of(owner_client.get("/figures/spectrum.csv/tiny/ov.0.0"))
    assert [(row["matrix"], row["index"], row["singular_value"]) for row in rows] == [
        ("tiny/ov.0.0", "0", "4.0"), ("tiny/ov.0.0", "1", "3.0"), ("tiny/ov.0.0", "2", "2.0"),
    ]  # fmt: skip


def test_others_over_it(owner_client, model, matrix):
    MatrixFactory(model=model, head=1)
    query = "?scale=linear&with=ov.0.1, ov.0.0,ov.9.9"
    spec = owner_client.get("/figures/spectrum.spec/tiny/ov.0.0" + query).json()
    assert spec["encoding"]["color"]["scale"]["domain"] == ["ov.0.0", "ov.0.1"]
    page = content(owner_client, "spectrum", "tiny/ov.0.0", query=query)
    assert "Not stored, so not drawn: ov.9.9" in page and "Log scale" in page


def test_one_template_is_the_page_and_the_fragment(owner_client, matrix):
    assert "<html" in content(owner_client, "spectrum", "tiny/ov.0.0")
    fragment = owner_client.get("/figures/spectrum/tiny/ov.0.0", headers={"HX-Request": "true"}).content.decode()
    assert fragment.lstrip().startswith("<section") and "<html" not in fragment


@pytest.mark.parametrize(
    ("seen_on", "is_in_the_address"), [("/figures/spectrum/tiny/ov.0.0?scale=log", True), ("/models/", False)]
)
def test_what_is_drawn_is_in_the_address_of_its_own_page(owner_client, matrix, seen_on, is_in_the_address):
    drawn = "/figures/spectrum/tiny/ov.0.0?scale=linear"
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver" + seen_on}
    response = owner_client.get(drawn, headers=headers)
    assert response.headers.get("HX-Replace-Url") == (drawn if is_in_the_address else None)


def test_it_is_saved_as_a_picture(owner_client, matrix):
    response = owner_client.get("/figures/spectrum.svg/tiny/ov.0.0")
    assert response["Content-Type"] == "image/svg+xml" and b"<svg" in response.content
    assert response["Content-Disposition"] == 'attachment; filename="spectrum-tiny-ov.0.0.svg"'


def test_without_a_picture_there_is_a_sentence(owner_client, matrix, monkeypatch):
    monkeypatch.setattr("labelapp.figures.render.TIMEOUT_SECONDS", 0.001)
    response = owner_client.get("/figures/spectrum.pdf/tiny/ov.0.0")
    assert response.status_code == 500 and "could not be drawn" in response.content.decode()


@pytest.mark.parametrize(
    "address",
    ["spectrum.exe/tiny/ov.0.0", "spectrum.csv/tiny/ov.0.1", "spectrum/tiny/nonsense", "spectrum.csv/other/ov.0.0"],
)
def test_what_is_not_there(owner_client, matrix, address):
    assert owner_client.get("/figures/" + address).status_code == 404


def test_with_takes_text_for_what_it_is(owner_client, matrix):
    page = content(owner_client, "spectrum", "tiny/ov.0.0", query='?with="><script>alert(1)</script>&scale=<b>')
    assert "<script>alert" not in page and "Linear scale" in page


# Every rule


def test_the_rules_stand_side_by_side_and_one_is_drawn(owner_client, model):
    matrix = MatrixFactory(model=model, circuit="mlp_in", head=None, layer=0)
    directions = [DirectionFactory(matrix=matrix, index=index) for index in range(4)]
    labeler, verifier = (judge_ensure(type="prompt", name=it, parameters={"n": it}) for it in ("L", "V"))
    judgements_record_new(
        judge=labeler,
        source="run:1",
        drafts=[Draft(it.pk, YES, "verbs") for it in directions[:3]] + [Draft(directions[3].pk, NO)],
        verifier=verifier,
        verifications={it.pk: answer for it, answer in zip(directions, ("yes", "yes", "no", "yes"), strict=True)},
    )
    html = content(owner_client, "machines")
    assert html.count("Says interpretable when") == 1 and "rule both, version 1" in html
    for rule in ("labeler@1", "verifier@1", "both@1", "both_specific@1"):
        assert f">{rule}</a>" in html
    assert "50.0 %" in html and f"{labeler.pk}-both" in html and f"{labeler.pk}-labeler" not in html
    html = content(owner_client, "machines", query="?rule=both_specific")
    assert "rule both_specific, version 1" in html and f"{labeler.pk}-both_specific" in html
    assert "rule both, version 1" in content(owner_client, "machines", query="?rule=nonsense")


def test_the_spectra_of_the_variants_of_one_matrix_lie_over_one_another(owner_client, model, matrix):
    noise = MatrixFactory(
        model=model, head=0, control="gaussian", address="ov.0.0;gaussian", singular_values=[2.0, 1.5], rank=2
    )
    MatrixFactory(model=model, head=0, basis="neuron", address="ov.0.0;neuron", singular_values=[9.0, 8.0], rank=2)
    html = content(owner_client, "spectrum", "tiny/ov.0.0")
    assert "with=ov.0.0%3Bgaussian" in html and "Control gaussian" in html
    drawn = content(owner_client, "spectrum", "tiny/ov.0.0", query="?with=ov.0.0;gaussian")
    assert "ov.0.0;gaussian: 2 values" in drawn and 'aria-current="true">Control gaussian' in drawn
    for form in ("svg", "png", "pdf", "csv"):
        response = owner_client.get(f"/figures/spectrum.{form}/tiny/ov.0.0?with=ov.0.0;gaussian&scale=linear")
        assert response.status_code == 200, form
    assert [row["matrix"] for row in rows_of(response)] == ["tiny/ov.0.0"] * 3 + ["tiny/ov.0.0;gaussian"] * 2
    spec = owner_client.get("/figures/spectrum.spec/tiny/ov.0.0?with=ov.0.0;neuron").json()
    assert spec["encoding"]["y"]["axis"]["title"] == "Value: σ, size or stretch (no unit, log scale)"
    assert str(noise.key) == "tiny/ov.0.0;gaussian"
