"""A project from the form to its first member, in the browser: with axe on every page, in both schemes, on a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Page, expect

from labelapp.labelling.models import Project
from tests.factories import DirectionFactory, MatrixFactory, ModelFactory
from tests.support.cast import PASSWORD

SERIOUS = {"serious", "critical"}


@pytest.fixture
def owner(live_server, make_user):
    return make_user("owner")


@pytest.fixture
def model(owner):
    model = ModelFactory(name="tiny")
    for layer in (0, 1):
        matrix = MatrixFactory(model=model, layer=layer)
        for index in range(6):
            DirectionFactory(matrix=matrix, index=index)
    return model


def check(page: Page) -> None:
    """Nothing serious for a screen reader in either scheme, and nothing wider than the window."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        serious = [(it["id"], it["nodes"][0]["html"]) for it in found if it["impact"] in SERIOUS]
        assert not serious, (page.url, scheme, serious)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def test_from_the_form_to_the_first_member(page, live_server, sign_in, owner, model, browser):
    page.set_viewport_size({"width": 390, "height": 800})
    sign_in(page, owner)
    page.goto(live_server.url + reverse("labelling:projects"))
    check(page)
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="What is to be judged?")).to_be_visible()
    strata, n = page.get_by_label("Strata"), page.get_by_label("How many", exact=True)
    expect(strata).to_be_hidden()  # of no use for a simple random sample
    page.get_by_label("Sample").select_option("all")
    expect(n).to_be_hidden()
    page.get_by_label("Sample").select_option("stratified")
    expect(strata).to_be_visible()
    expect(n).to_be_visible()
    check(page)
    page.get_by_label("Name", exact=True).fill("Beasts")
    page.get_by_label("tiny").check()
    n.fill("8")
    page.get_by_role("button", name="Make the draft").click()
    expect(page.get_by_role("cell", name="layer 1")).to_be_visible()
    check(page)
    page.get_by_role("button", name="Open it").click()
    expect(page.get_by_text("Beasts is open, with 8 items")).to_be_visible()
    check(page)
    page.get_by_role("link", name="Members").click()
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Invitation link").input_value()
    check(page)
    page.get_by_role("link", name="Guidelines").click()
    page.get_by_text("Change them").click()
    check(page)

    guest = browser.new_context(viewport={"width": 390, "height": 800}).new_page()
    guest.goto(link)
    check(guest)
    guest.get_by_label("Name").fill("mary")
    guest.get_by_label("Password", exact=True).fill(PASSWORD)
    guest.get_by_label("Password confirmation").fill(PASSWORD)
    guest.get_by_role("button", name="Make an account and come in").click()
    expect(guest.get_by_text("You are annotator of Beasts now.")).to_be_visible()
    guest.get_by_role("main").get_by_role("link", name="Judge").first.click()
    expect(guest.locator("#place .card")).to_be_visible()
    guest.context.close()
    assert dict(Project.objects.get().memberships.values_list("user__username", "role")) == {
        "owner": "owner",
        "mary": "annotator",
    }
