"""Copying and searching in a real browser; any console error fails the test (the page fixture)."""

import json

import pytest
from playwright.sync_api import expect

from labelapp.atlas.files import file_write
from labelapp.atlas.models import Direction
from labelapp.atlas.services import model_register
from tests.atlas.results import INFO, VOCABULARY, matrix_result, store

READ_PICTURE = """async () => {
  const [item] = await navigator.clipboard.read();
  const bytes = new Uint8Array(await (await item.getType("image/png")).arrayBuffer());
  return [item.types, Array.from(bytes.slice(1, 4), code => String.fromCharCode(code)).join("")];
}"""


@pytest.fixture
def matrix(transactional_db):
    model = model_register(INFO)
    file_write(f"{model.folder}/vocabulary.json", json.dumps(VOCABULARY).encode())
    return store(model, matrix_result(n=8, top=20))


@pytest.fixture
def table(page, live_server, owner, sign_in, matrix):
    sign_in(page, owner)
    page.goto(live_server.url + "/models/matrix/tiny/ov.0.0?sign=-&columns=5")
    return page


def test_the_table_is_copied(table):
    table.context.grant_permissions(["clipboard-read", "clipboard-write"])
    table.get_by_role("button", name="Copy as Markdown").click()
    expect(table.locator("#copied")).to_have_text("✓ Copied as Markdown")
    text = table.evaluate("navigator.clipboard.readText()")
    first = Direction.objects.get(matrix__address="ov.0.0", side="write", index=0, sign="-").tokens[0]
    assert text.startswith("OV, layer 0, head 0, write side, - end") and f"| 1 | `·{first.strip()}` |" in text
    table.get_by_role("button", name="Copy as LaTeX").click()
    expect(table.locator("#copied")).to_have_text("✓ Copied as LaTeX")
    assert r"\begin{tabular}{rlllll}" in table.evaluate("navigator.clipboard.readText()")
    table.get_by_role("button", name="Copy as PNG").click()
    expect(table.locator("#copied")).to_have_text("✓ Copied as PNG")
    assert table.evaluate(READ_PICTURE) == [["image/png"], "PNG"]


def test_without_the_clipboard_text_goes_the_old_way(table):
    table.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    table.get_by_role("button", name="Copy as Markdown").click()
    expect(table.locator("#copied")).to_have_text("✓ Copied as Markdown")
    table.get_by_role("button", name="Copy as PNG").click()
    expect(table.locator("#copied")).to_contain_text("Not copied: Pictures can be copied only over https")


def test_a_copy_that_fails_says_so(table, browser_errors):
    table.context.grant_permissions(["clipboard-read", "clipboard-write"])
    table.route("**/*as=png*", lambda route: route.fulfill(status=500, body="The picture could not be drawn."))
    table.get_by_role("button", name="Copy as PNG").click()
    expect(table.locator("#copied")).to_have_class("soft wrong")
    expect(table.locator("#copied")).to_contain_text("Not copied: ")
    browser_errors.clear()  # the browser reports the refused request


def test_it_is_saved_without_the_clipboard(table):
    with table.expect_download() as download:
        table.get_by_role("link", name="LaTeX").click()
    assert download.value.suggested_filename == "tiny-ov.0.0-write-minus.tex"


def test_searching_by_keyboard(page, live_server, owner, sign_in, matrix):
    sign_in(page, owner)
    page.goto(live_server.url + "/models/tiny/")
    page.keyboard.press("/")
    page.keyboard.type("token7")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/search/tiny/?token=token7")
    expect(page.locator("main")).to_contain_text("·token7")
    page.keyboard.press("/")
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/direction/tiny/ov.0.0**")
    expect(page.locator("main")).to_contain_text("·token7")
