"""The pages of figures in a real browser, by keyboard."""

import csv
import re

from playwright.sync_api import expect

from labelapp.judgements.models import Judge
from tests.figures.conftest import Census


def test_a_filter_by_keyboard_the_plot_and_its_csv(page, live_server, owner, sign_in, transactional_db):
    census = Census(circuits=("mlp_in", "mlp_out"))
    census.project(owner, n=120)
    sign_in(page, owner)
    page.keyboard.press("g")
    page.keyboard.press("f")
    expect(page.locator("h1")).to_have_text("What may I claim?")
    expect(page.locator(".plot svg .mark-symbol path").first).to_be_visible()
    page.get_by_role("link", name="By layer").click()
    expect(page.locator("h1")).to_have_text("Where in the model do directions mean something?")
    plot = page.locator(".plot")
    expect(plot.locator("svg .mark-area path")).to_have_count(1)
    expect(plot).to_contain_text("Layer")

    page.keyboard.press("x")  # to the axis
    page.keyboard.press("ArrowDown")
    expect(plot).to_contain_text("Fraction of depth")
    page.wait_for_url("**x=depth*")
    expect(page.locator("select[name=x]")).to_be_focused()  # only the figure was swapped
    page.keyboard.press("Escape")
    page.locator("label.check", has_text="MLP-out").locator("input").focus()
    page.keyboard.press("Space")
    page.wait_for_url("**circuit=mlp_out*")
    expect(page.locator(".claim")).to_contain_text("by layer")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV", exact=True).click()
    rows = list(csv.DictReader(waiting.value.path().open()))
    machine = [it for it in rows if it["source"] == "machine"]
    assert [int(it["n"]) for it in machine] == [40] * 4 and {it["depth"] for it in machine} > {"0.0", "1.0"}
    assert Judge.objects.filter(type="baseline").count() == 1

    page.locator("h1").click()
    page.keyboard.press("k")
    expect(page.locator("#messages")).to_contain_text("Kept: this address will show the figure as it is now")
    assert "data=" in page.url
    expect(page.locator(".plot svg .mark-area path")).to_have_count(1)


def test_on_a_phone_nothing_is_cut_off(page, live_server, owner, sign_in, transactional_db):
    """Rows of values stand as cards that name each number, a legend stands in one column, and no page is too wide."""
    census = Census(circuits=("mlp_in", "mlp_out"))
    project = census.project(owner, n=120)
    sign_in(page, owner)
    page.set_viewport_size({"width": 390, "height": 850})
    for name in ("estimates", "judgements"):
        page.goto(f"{live_server.url}/figures/{name}/?project={project.slug}")
        expect(page.locator(".plot svg .mark-text text").first).to_be_visible()
        width = page.evaluate("document.documentElement.scrollWidth")
        legend = page.locator(".plot svg .role-legend").bounding_box()
        canvas = page.locator(".plot-canvas").bounding_box()
        assert width == 390 and legend["x"] + legend["width"] <= canvas["x"] + canvas["width"]
    page.goto(f"{live_server.url}/figures/estimates/?project={project.slug}")
    values = page.locator("table.figure-values")
    expect(values.locator("thead")).to_be_hidden()
    cell = values.locator("td[data-name='95 % interval']").first
    assert cell.evaluate("it => getComputedStyle(it, '::before').content").startswith('"95 % interval')
    assert cell.evaluate("it => it.getBoundingClientRect().right") <= 390
    assert values.locator("td[data-name]").filter(has_text=re.compile("^$")).count() == 0
