"""Plots in a real browser under the real policy: any console error or violation fails the test (the page fixture)."""

import re

import pytest
from playwright.sync_api import expect

from labelapp.atlas.services import model_register
from tests.atlas.results import INFO, matrix_result, store


@pytest.fixture
def matrix(transactional_db):
    model = model_register(INFO)
    store(model, matrix_result(n=8, top=20, head=1, seed=2))
    return store(model, matrix_result(n=8, top=20))


def test_a_spectrum_is_drawn_follows_the_scheme_and_changes_its_scale(page, live_server, owner, sign_in, matrix):
    sign_in(page, owner)
    page.goto(live_server.url + "/models/matrix/tiny/ov.0.0?with=ov.0.1")
    plot = page.locator(".plot")
    plot.scroll_into_view_if_needed()
    expect(plot.locator("svg .mark-line path")).to_have_count(2)
    expect(plot).to_contain_text("log scale")

    line = plot.locator("svg .mark-line path").first
    light = line.get_attribute("stroke")
    page.emulate_media(color_scheme="dark")
    expect(line).not_to_have_attribute("stroke", light)

    page.keyboard.press("o")
    expect(plot).to_contain_text("linear scale")
    assert "/models/matrix/" in page.url, "the rest of the page stays"

    plot.locator("svg .mark-symbol path").first.hover()
    expect(plot.locator(".plot-value")).to_contain_text(re.compile(r"index 0"))

    page.fill("input[name=with]", "ov.1.1")
    page.keyboard.press("Enter")
    expect(page.locator("#spectrum")).to_contain_text("Not stored, so not drawn: ov.1.1")


def test_the_table_by_keyboard(page, live_server, owner, sign_in, matrix):
    sign_in(page, owner)
    page.goto(live_server.url + "/models/matrix/tiny/ov.0.0")
    for _ in range(3):
        page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator(".tokens-table th a:focus")).to_have_text("1+")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#cell")).to_contain_text("2+, rank 1:")
    expect(page.locator("#cell")).to_contain_text("score")
    page.keyboard.press("e")
    expect(page.locator(".tokens-table th a").first).to_have_text("0-")
    page.keyboard.press("s")
    page.wait_for_url("**/ov.0.0?side=read&sign=-")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/direction/tiny/ov.0.0:read/0-")
    page.keyboard.press("e")
    page.wait_for_url("**/direction/tiny/ov.0.0:read/0+")
    page.keyboard.press("t")
    page.wait_for_url("**/matrix/tiny/ov.0.0?side=read")
