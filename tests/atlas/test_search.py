"""Token search: what a text matches, which directions hold it, in which order, and what that costs."""

import json
from urllib.parse import quote

import pytest
from django.db import connection
from django.urls import reverse

from labelapp.atlas.files import file_write
from labelapp.atlas.models import Direction
from labelapp.atlas.search import PAGE_ROWS, Search, directions_holding, rows_to_scan, tokens_match
from labelapp.atlas.tokens import token_display
from labelapp.judgements.services import Draft, judge_ensure, judgement_record
from tests.factories import ODD_TOKENS, DirectionFactory, MatrixFactory, ModelFactory

pytestmark = pytest.mark.django_db
# By id: 0 to 9 the odd tokens (5 is " dog", 6 "dog"), then a few words.
VOCABULARY = [*ODD_TOKENS, " dogs", "doggy", " Cat", "cat", "·dog", " <b>", "Hot"]
DOG, SPACE_DOG, DOGS, DOGGY, DOT_DOG = 6, 5, 10, 11, 14


@pytest.fixture
def model():
    found = ModelFactory(name="tiny", weights_hash="5ea4c4".ljust(64, "0"))
    file_write(f"{found.folder}/vocabulary.json", json.dumps(VOCABULARY).encode())
    return found


def put(model, ids, *, layer=0, head=0, side="write", index=0, sign="+", **fields):
    """A direction with this readout; its matrix is made on the way."""
    address = f"ov.{layer}.{head}{fields.pop('variant', '')}"
    matrix = model.matrices.filter(address=address).first() or MatrixFactory(
        model=model, layer=layer, head=head, address=address, **fields
    )
    tokens = [VOCABULARY[it] if it < len(VOCABULARY) else "x" for it in ids]
    return DirectionFactory(matrix=matrix, side=side, index=index, sign=sign, token_ids=ids, tokens=tokens, scores=None)


def found(model, *tokens, **asked):
    page = directions_holding(model, tokens, Search(**asked))
    return [(rank, str(row.key)) for rank, row in page.rows]


# What a text matches


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("dog", [SPACE_DOG, DOG, DOT_DOG]),
        ("·dog", [SPACE_DOG, DOT_DOG]),  # a token that really begins with a dot looks the same
        (" dog", [SPACE_DOG, DOT_DOG]),
        ("dog ", [SPACE_DOG, DOG, DOT_DOG]),
        ("\\x00", [0]),
        ("\x00", [0]),
        ("\\xe2\\x80", [1]),
        ("\\n", [4]),
        ("\\u202e", [8]),
        ("·", [9]),
        (" ", [9]),
        ("<b>", [15]),
        ("do", []),
        ("hot", []),
    ],
)
def test_a_text_matches_what_is_shown_so(model, text, tokens):
    matches = tokens_match(model, text, prefix=False)
    assert list(matches.shown) == tokens and matches.n_all == len(tokens)
    assert list(matches.shown.values()) == [token_display(VOCABULARY[it]) for it in tokens]


def test_every_token_is_found_by_what_is_shown_of_it(model):
    for token, text in enumerate(VOCABULARY):
        assert token in tokens_match(model, token_display(text), prefix=False).shown
        assert token in tokens_match(model, token_display(text)[:1], prefix=True).shown


def test_a_prefix_matches_the_exact_ones_first(model):
    assert list(tokens_match(model, "dog", prefix=True).shown) == [SPACE_DOG, DOG, DOT_DOG, DOGS, DOGGY]
    assert tokens_match(model, "zebra", prefix=True).shown == {}


def test_another_case_is_offered_where_nothing_matches(model):
    assert list(tokens_match(model, "CAT", prefix=False).similar) == ["·Cat", "cat"]
    assert tokens_match(model, "cat", prefix=False).similar == ()


def test_a_common_prefix_is_cut_and_says_so(model, monkeypatch):
    monkeypatch.setattr("labelapp.atlas.search.MAX_TOKENS", 2)
    matches = tokens_match(model, "dog", prefix=True)
    assert list(matches.shown) == [SPACE_DOG, DOG] and matches.n_all == 5


# Which directions hold it


def test_sorted_by_rank_and_then_as_keys_are(model):
    put(model, [7, 8, DOG], layer=1)
    put(model, [7, DOG, SPACE_DOG], head=1, sign="-")
    put(model, [DOG], head=1, side="read", index=2)
    put(model, [7, SPACE_DOG], layer=1, head=1)
    put(model, [DOG], index=3)
    put(model, [7, 8, 9])
    assert found(model, DOG, SPACE_DOG) == [
        (1, "tiny/ov.0.0/3+"),
        (1, "tiny/ov.0.1:read/2+"),
        (2, "tiny/ov.0.1/0-"),
        (2, "tiny/ov.1.1/0+"),
        (3, "tiny/ov.1.0/0+"),
    ]


def test_filters(model):
    put(model, [DOG], layer=1)
    put(model, [DOG], side="read")
    matrix = MatrixFactory(model=model, circuit="mlp_in", layer=0, head=None)
    DirectionFactory(matrix=matrix, side="read", index=0, token_ids=[1, DOG])
    assert len(found(model, DOG)) == 3
    assert found(model, DOG, layer=1) == [(1, "tiny/ov.1.0/0+")]
    assert found(model, DOG, side="read") == [(1, "tiny/ov.0.0:read/0+"), (2, "tiny/mlp_in.0/0+")]
    assert found(model, DOG, circuit="mlp_in", layer=0) == [(2, "tiny/mlp_in.0/0+")]
    assert found(model, DOG, circuit="ov", layer=1, side="read") == []


def test_other_models_controls_and_readouts_without_ids_stay_out(model):
    put(ModelFactory(), [DOG])
    put(model, [DOG], variant=";gaussian", control="gaussian")
    put(model, [DOG], variant=";folded", preprocessing="folded")
    put(model, [], index=1)
    Direction.objects.filter(index=1).update(token_ids=None)
    assert found(model, DOG) == [(1, "tiny/ov.0.0/0+;folded")]


def test_readouts_of_different_lengths_and_ids_beyond_the_wanted(model):
    lengths = [1, 7, 3, 50]
    for index, length in enumerate(lengths):
        put(model, [*[2**31 - 1] * (length - 1), DOG], index=index)
    assert found(model, DOG) == [(n, f"tiny/ov.0.0/{lengths.index(n)}+") for n in sorted(lengths)]


def test_more_rows_than_a_chunk(model, monkeypatch):
    monkeypatch.setattr("labelapp.atlas.search.CHUNK", 3)
    for index in range(10):
        put(model, [1, 2, 3, DOG] if index % 2 else [1, 2], index=index)
    assert found(model, DOG) == [(4, f"tiny/ov.0.0/{index}+") for index in (1, 3, 5, 7, 9)]


def test_pages_by_key_hold_everything_once(model):
    for index in range(PAGE_ROWS + 7):
        put(model, [1] * (index % 3) + [DOG], index=index)
    seen, after = [], ""
    while True:
        page = directions_holding(model, [DOG], Search(after=after))
        seen += [(rank, row.index) for rank, row in page.rows]
        if not (after := page.following):
            break
    assert seen == sorted((index % 3 + 1, index) for index in range(PAGE_ROWS + 7))
    for nonsense in ("x", "tiny/ov.0.0/999+", "tiny/ov.9.9/0+", "tiny/ov.0.0/0-"):
        assert directions_holding(model, [DOG], Search(after=nonsense)).rows[0][1].index == 0


def test_on_postgresql_the_index_finds_the_token(model):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite scans; the index is PostgreSQL's")
    matrix = MatrixFactory(model=model, layer=0, head=0)
    rows = [
        Direction(matrix=matrix, side="write", index=index, sign="+", tokens=[], token_ids=[index, index + 1])
        for index in range(3000)
    ]
    Direction.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        # In a table of this size the planner may prefer the way through the one matrix; here it is the index's turn.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")
        cursor.execute("ANALYZE")
        plan = rows_to_scan(model, [7, 900], Search()).explain()
    assert "direction_token_ids" in plan and "&&" in plan, plan
    assert [index for _, index in found_indices(model, 7, 900)] == [7, 900, 6, 899]


def found_indices(model, *tokens):
    return [(rank, row.index) for rank, row in directions_holding(model, tokens, Search()).rows]


# The page


def shown(client, query="", slug="tiny", status=200):
    response = client.get(reverse("atlas:search", args=[slug]) + query)
    assert response.status_code == status
    return response.content.decode()


def test_nobody_is_led_to_the_sign_in(client, model):
    assert client.get("/models/search/tiny/?token=dog").status_code == 302


def test_the_models_page_leads_here(owner_client, model):
    page = owner_client.get("/models/tiny/").content.decode()
    assert 'action="/models/search/tiny/"' in page and 'data-key="/"' in page


def test_without_a_token_the_page_teaches(owner_client, model):
    page = shown(owner_client)
    assert "with and without a leading space" in page and "<th>Readout" not in page


def test_the_page_says_which_tokens_matched_and_where(owner_client, model):
    put(model, [7, DOG, SPACE_DOG])
    page = shown(owner_client, "?token=dog")
    assert "1 direction holds" in page
    assert '<code class="token">·dog</code>' in page and '<code class="token">dog</code>' in page
    assert 'href="/models/direction/tiny/ov.0.0/0+"' in page and 'title="rank 3"' in page


def test_no_match_is_a_sentence_with_a_way_on(owner_client, model):
    page = shown(owner_client, "?token=CAT&layer=1")
    assert "is no token of tiny" in page and quote("·Cat") in page
    assert "?token=CAT&amp;match=prefix&amp;layer=1" in page
    assert "No token of tiny begins with" in shown(owner_client, "?token=zebra&match=prefix")


def test_a_token_that_no_readout_holds(owner_client, model):
    page = shown(owner_client, "?token=dog")
    assert "0 directions hold" in page and "only what is decomposed is searched" in page


def test_no_token_breaks_out(owner_client, model):
    put(model, list(range(10)))
    page = shown(owner_client, "?token=%3Cscript%3E&match=prefix")
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    page = shown(owner_client, "?token=%5Cx00")
    assert "\x00" not in page and "1 direction holds" in page
    assert "<b>" not in shown(owner_client, "?token=%3Cb%3E%22%3E")


@pytest.mark.parametrize(
    "query", ["&circuit=vo", "&layer=9", "&layer=x", "&layer=²", "&side=up", "&after=<b>", "&match=y"]
)
def test_a_filter_that_makes_no_sense_is_left_out(owner_client, model, query):
    put(model, [DOG])
    assert "1 direction holds" in shown(owner_client, "?token=dog" + query)


def test_filters_and_pages_go_along(owner_client, model):
    for index in range(PAGE_ROWS + 1):
        put(model, [DOG], index=index, layer=1)
    page = shown(owner_client, "?token=dog&layer=1&side=write&circuit=ov")
    assert f"after=tiny%2Fov.1.0%2F{PAGE_ROWS - 1}%2B" in page and "layer=1&amp;side=write&amp;after" in page
    further = shown(owner_client, f"?token=dog&layer=1&after=tiny%2Fov.1.0%2F{PAGE_ROWS - 1}%2B")
    assert f"/ov.1.0/{PAGE_ROWS}+" in further and "ov.1.0/3+" not in further and "To the best ranks" in further


def test_no_verdict_stands_in_a_result(owner_client, model):
    direction = put(model, [DOG])
    judge = judge_ensure(type="baseline", name="offline baseline", parameters={})
    judgement_record(judge=judge, source="run:1", draft=Draft(direction.pk, "interpretable", "words on dogs"))
    page = shown(owner_client, "?token=dog")
    assert "tiny/ov.0.0/0+" in page
    for word in ("interpretable", "baseline", "words on dogs", "verdict"):
        assert word not in page


def test_the_queries_do_not_grow(owner_client, model, django_assert_max_num_queries):
    def queries():
        with django_assert_max_num_queries(20) as captured:
            shown(owner_client, "?token=dog&match=prefix")
        return len(captured)

    put(model, [DOG])
    few = queries()
    for layer in (0, 1):
        for index in range(1, 40):
            put(model, [DOG, DOGS], layer=layer, index=index)
    assert queries() == few <= 7


def test_another_address_of_the_model_leads_to_its_own(owner_client, model):
    response = owner_client.get("/models/search/tiny@abc1234/?token=dog&layer=1")
    assert response.status_code == 302 and response["Location"] == "/models/search/tiny/?token=dog&layer=1"


def test_what_is_not_there(owner_client, model):
    assert "There is no model" in shown(owner_client, slug="other", status=404)
    ModelFactory(name="bare", weights_hash="ba4e".ljust(64, "0"))
    assert "vocabulary of bare is not in the file storage" in shown(owner_client, "?token=dog", slug="bare", status=404)
