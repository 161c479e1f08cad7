"""A review session by keyboard alone: from the disagreement queue, over decisions and an undo, to a frozen set."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from labelapp.labelling.services import item_judge
from labelapp.review.models import Adjudication, GroundTruth
from labelapp.review.services import adjudicate
from tests.factories import cast_project, machine_says

YES, NO, UNSURE = "interpretable", "not_interpretable", "unsure"


@pytest.fixture
def owner(live_server, make_user):
    return make_user("owner")


@pytest.fixture
def mary(make_user):
    return make_user("mary")


@pytest.fixture
def project(owner, mary):
    """Three items on which two people differ, and a machine on the first of them; two on which they agree."""
    project = cast_project(owner, mary, n=5)
    items = list(project.items.select_related("project", "direction").order_by("pk"))
    for item, verdict in zip(items, (NO, NO, NO, YES, YES), strict=True):
        item_judge(item=item, user=owner, verdict=YES, label="pets")
        item_judge(item=item, user=mary, verdict=verdict, label="animals")
    machine_says({items[0].direction: NO, items[3].direction: YES})
    return project


def items_of(project):
    return list(project.items.select_related("direction__matrix__model").order_by("pk"))


def standing(item):
    return Adjudication.objects.filter(item=item, current=True).first()


def at(page: Page, item) -> None:
    """The page shows this item, and its scripts listen."""
    page.wait_for_url(f"**/disagreements/{item.opaque_id}/**")
    expect(page.get_by_role("heading", name="Who is right?")).to_be_visible()


def test_a_session_from_the_queue_to_a_frozen_set(page: Page, live_server, sign_in, owner, project):
    first, second, third, *_ = items_of(project)
    sign_in(page, owner)
    page.goto(live_server.url + reverse("review:comparison", args=[project.slug]))
    page.keyboard.press("d")
    expect(page.locator("table.ranking tbody tr")).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    at(page, first)
    expect(page.locator(".side-voices")).to_contain_text("offline baseline (no language model)")
    page.keyboard.press("n")
    page.keyboard.press("r")
    page.keyboard.type("yes, nothing in common")  # no shortcut fires while typing
    page.keyboard.press("Enter")
    at(page, second)
    page.keyboard.press("Enter")  # no verdict yet: nothing is sent
    page.keyboard.press("y")
    page.keyboard.press("l")
    page.keyboard.type("small animals")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    at(page, third)
    page.keyboard.press("z")
    at(page, second)
    expect(page.locator("#messages")).to_contain_text("Your last decision is taken back")
    assert standing(second) is None and standing(first).reason == "yes, nothing in common"
    page.keyboard.press("u")
    page.keyboard.press("y")
    page.keyboard.press("Enter")
    at(page, third)
    page.keyboard.press("u")
    page.keyboard.press("Enter")
    expect(page.locator("#messages")).to_contain_text("That was the last one of this queue")
    assert [standing(it).verdict for it in (first, second, third)] == [NO, YES, UNSURE]
    assert standing(second).label == "pets"  # the words that stood, since the others went with the undo
    page.keyboard.press("t")
    expect(page.get_by_role("heading", name="Freeze a version")).to_be_visible()
    page.keyboard.press("f")
    page.wait_for_url("**" + reverse("review:truth", args=[project.slug, "animals", 1]))
    expect(page.locator("#messages")).to_contain_text("animals@1 is frozen with 4 entries")
    expect(page.locator("main")).to_contain_text("decided as unsure (1)")
    truth = GroundTruth.objects.get()
    expect(page.locator("main")).to_contain_text(truth.content_hash)
    assert truth.entries.filter(origin="adjudicated").count() == 2


def test_two_reviewers_on_one_item(page: Page, live_server, sign_in, owner, mary, project, browser_errors):
    first = items_of(project)[0]
    sign_in(page, owner)
    page.goto(live_server.url + reverse("review:item", args=[project.slug, first.opaque_id]))
    adjudicate(item=first, user=mary, verdict=NO)
    page.keyboard.press("y")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("mary decided this item as not interpretable meanwhile")
    expect(page.locator("[name=verdict]:checked")).to_have_value(YES)  # what was entered is kept
    assert standing(first).by == mary
    page.keyboard.press("Enter")  # now knowingly
    page.wait_for_url(re.compile(f"disagreements/(?!{first.opaque_id})"))
    assert (standing(first).by, standing(first).verdict) == (owner, YES)
    browser_errors.clear()  # the browser reports the 422


def test_a_double_press_is_one_decision(page: Page, live_server, sign_in, owner, project):
    first, second, *_ = items_of(project)
    sign_in(page, owner)
    page.goto(live_server.url + reverse("review:item", args=[project.slug, first.opaque_id]))
    page.keyboard.press("y")
    page.evaluate("""() => {
        const form = document.querySelector("form[data-enter]");
        form.requestSubmit(); form.requestSubmit();
    }""")
    at(page, second)
    assert Adjudication.objects.count() == 1
