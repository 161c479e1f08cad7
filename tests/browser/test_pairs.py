"""A session of pairs and one of matrices by keyboard alone; axe on their pages, light and dark, wide and on a phone."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from labelapp.accounts.models import User
from labelapp.judgements.models import Judgement
from labelapp.labelling.models import Membership, Skip
from labelapp.labelling.services import item_judge
from tests.browser.test_labelling import answer, shown
from tests.browser.test_session import judged, next_card, no_offence, write
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory, drawn


@pytest.fixture
def owner(live_server, make_user):
    return make_user("owner")


@pytest.fixture
def model(db):
    """Three matrices of 14 vectors, so that a matrix has some on demand."""
    model = ModelFactory(name="tiny")
    for head in range(3):
        matrix = MatrixFactory(model=model, layer=0, head=head)
        for index in range(14):
            for sign in "+-":
                DirectionFactory(matrix=matrix, index=index, sign=sign)
    return model


@pytest.fixture
def pairs(model, owner):
    return drawn(model, owner, "vector", kind="simple_random", n=12, overlap=2, slug="fire-and-ice")


@pytest.fixture
def matrices(model, owner):
    return drawn(model, owner, "matrix", overlap=2, slug="broad")


def standing(project):
    return list(Judgement.every.filter(source=project.source, current=True).order_by("pk"))


def open_by_keyboard(page: Page) -> None:
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**" + reverse("labelling:projects"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#place .card")).to_be_visible()


def test_a_session_of_pairs_by_keyboard(page: Page, sign_in, owner, pairs):
    """Ten pairs, a label for each end, an undo, a skip, a draft after a reload, and never a mouse."""
    sign_in(page, owner)
    open_by_keyboard(page)
    expect(page.locator("#place .end")).to_have_count(2)
    for n in range(10):
        item = shown(page)
        if n == 3:
            answer(page, "s")
            page.keyboard.press("r")
            next_card(page, item)
            item = shown(page)
        if n % 4 == 1:
            write(page, f"fire {n}")
            page.keyboard.press("e")
            page.keyboard.type(f"ice {n}")
            page.keyboard.press("Escape")
        if n == 5:  # half entered, then the page is loaded again
            page.reload()
            assert shown(page) == item
            expect(page.locator("#place [name=label]")).to_have_value("fire 5")
            expect(page.locator("#place [name=second_label]")).to_have_value("ice 5")
        answer(page, "ypnu"[n % 4])
        judged(page, n + 1, of=12)
        if n == 8:  # one's mind is changed
            page.keyboard.press("z")
            judged(page, n, of=12)
            expect(page.locator("#place .card")).to_have_attribute("data-item", item)
            answer(page, "n")
            judged(page, n + 1, of=12)
        next_card(page, item)
    verdicts = ["same_theme", "opposites", "unrelated", "unsure"] * 3
    rows = standing(pairs)
    assert [row.verdict for row in rows] == [*verdicts[:8], "unrelated", verdicts[9]]
    assert [(row.label, row.second_label) for row in rows if row.label] == [
        (f"fire {n}", f"ice {n}") for n in (1, 5, 9)
    ]
    assert Judgement.every.count() == 12 and not Judgement.objects.exists()
    assert Skip.objects.get().reason == "unreadable"
    assert len({row.direction_id for row in rows}) == 10 and {row.subject for row in rows} == {"vector"}


def test_a_session_of_matrices_by_keyboard(page: Page, sign_in, owner, matrices):
    sign_in(page, owner)
    open_by_keyboard(page)
    vectors = page.locator("#place .vectors > li:visible")
    for n, (key, verdict) in enumerate(zip("ynu", ["concept", "no_concept", "unsure"], strict=True)):
        expect(vectors).to_have_count(10)
        page.keyboard.press("m")
        expect(vectors).to_have_count(14)
        page.keyboard.press("m")
        expect(vectors).to_have_count(10)
        page.keyboard.type("7")  # there is nothing to mark
        if n == 0:
            write(page, "law")
        answer(page, key)
        judged(page, n + 1, of=3)
        assert standing(matrices)[-1].verdict == verdict
    expect(page.locator("#place")).to_contain_text("You have judged all 3")
    assert [row.label for row in standing(matrices)] == ["law", "", ""]
    page.keyboard.press("c")
    expect(page.locator("h1")).to_contain_text("what people said")


def test_a_key_can_be_changed(page: Page, live_server, sign_in, owner, pairs):
    User.objects.filter(pk=owner.pk).update(shortcuts={"Opposites": "x"})
    sign_in(page, owner)
    page.goto(live_server.url + reverse("labelling:queue", args=[pairs.slug]))
    expect(page.locator("#place button", has_text="Opposites").locator("kbd")).to_have_text("x")
    answer(page, "p")
    answer(page, "x")
    judged(page, 1, of=12)
    assert [row.verdict for row in standing(pairs)] == ["opposites"]


def test_two_people_on_a_pair(page: Page, live_server, sign_in, owner, make_user, pairs):
    other = make_user("other")
    Membership.objects.create(project=pairs, user=other, role="annotator")
    sign_in(page, owner)
    page.goto(live_server.url + reverse("labelling:queue", args=[pairs.slug]))
    item = pairs.items.get(opaque_id=shown(page))
    item_judge(item=item, user=other, verdict="opposites", label="fire of another", second_label="ice of another")
    expect(page.locator("body")).not_to_contain_text("of another")
    answer(page, "n")
    judged(page, 1, of=12)
    page.keyboard.press("o")
    expect(page.locator("#others-body")).to_contain_text("ice of another")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_axe_finds_nothing_serious(page: Page, live_server, sign_in, make_user, owner, pairs, matrices, scheme, width):
    other = make_user("other")
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    sign_in(page, owner)
    for project, key, verdict in ((pairs, "p", "opposites"), (matrices, "y", "concept")):
        Membership.objects.create(project=project, user=other, role="annotator")
        for item in project.items.all():
            item_judge(item=item, user=other, verdict=verdict, label="fire")
        page.goto(live_server.url + reverse("labelling:queue", args=[project.slug]))
        if project == matrices:
            page.keyboard.press("m")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        no_offence(page)
        answer(page, "s")
        expect(page.locator("#place .reasons-items")).to_be_visible()
        no_offence(page)
        page.keyboard.press("Escape")
        answer(page, key)
        judged(page, 1, of=project.items.count())
        page.keyboard.press("o")
        expect(page.locator("#others-body")).to_contain_text("fire")
        no_offence(page)
        page.keyboard.press("Escape")
        page.goto(live_server.url + reverse("labelling:results", args=[project.slug]) + "?all=1")
        page.locator("summary", has_text="By circuit and layer").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        no_offence(page)
