"""One way through every room: from the one-time password to the export that is read back."""

import json
import re
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from labelapp.accounts.services import first_user_ensure
from labelapp.judgements.models import Judgement
from labelapp.labelling.selectors import item_next
from tests.factories import cast_project, machine_says

CHOSEN = "rooibos-at-noon"


@pytest.fixture
def project(live_server, worker):
    """A project of the first user, judged by a machine; `worker` writes the export."""
    owner, password = first_user_ensure()
    project = cast_project(owner, n=6)
    machine_says({item.direction: ("interpretable", "pets") for item in project.items.all()})
    project.password = password
    return project


def test_from_sign_in_to_export(page: Page, live_server, project, tmp_path):
    owner = project.memberships.get().user
    sign_in(page, live_server.url, owner.username, project.password)
    open_the_matrix_table(page, project)
    judged = judge_three_and_undo_one(page, project, owner)
    open_the_comparison(page, judged)
    rows = download_the_export(page, tmp_path)
    assert {row["key"] for row in rows} == {str(item.direction.key) for item in project.items.all()}
    text = json.dumps(rows)
    assert text.count("animals, mostly pets") == 1 and "<script>" in text


def sign_in(page, url, username, password):
    page.goto(url)
    page.fill("[name=username]", username)
    page.fill("[name=password]", password)
    page.press("[name=password]", "Enter")
    expect(page.get_by_role("heading", name="Choose a password")).to_be_visible()
    page.fill("[name=new_password1]", CHOSEN)
    page.fill("[name=new_password2]", CHOSEN)
    page.press("[name=new_password2]", "Enter")
    expect(page.locator("#messages")).to_contain_text("Your password is changed")


def open_the_matrix_table(page, project):
    direction = project.items.select_related("direction__matrix__model").first().direction
    page.goto(page.url.rstrip("/").split("/models")[0] + reverse("atlas:matrix", args=[direction.matrix.key]))
    expect(page.locator("table.matrix")).to_contain_text("·dog")
    expect(page.locator("table.matrix")).to_contain_text("<script>alert(1)</script>")


def judge_three_and_undo_one(page, project, owner):
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**" + reverse("labelling:projects"))
    page.get_by_role("link", name=project.name).click()
    expect(page.locator("#place .card")).to_be_visible()
    page.wait_for_load_state("load")  # a key pressed before the scripts stand is lost
    judged = []
    for verdict, number in (("y", "2"), ("n", ""), ("u", "")):
        item = item_next(project, owner)
        expect(page.locator("#place .card")).to_have_attribute("data-item", item.opaque_id)
        if verdict == "y":
            page.keyboard.press("l")
            page.keyboard.type("animals, mostly pets")
            page.keyboard.press("Escape")
            page.keyboard.press(number)
            expect(page.locator("#place .n-fit")).to_have_text("9")
        page.wait_for_timeout(350)  # as long as nobody can have read it, no answer is taken
        page.keyboard.press(verdict)
        page.locator("#saved", has_text="✓ saved").wait_for()  # looks at every frame: it soon goes again
        expect(page.locator("#queue-head")).to_contain_text(f"{len(judged) + 1} of 6")
        judged.append(item)
    page.keyboard.press("z")
    expect(page.locator("#place .card")).to_have_attribute("data-item", judged[-1].opaque_id)
    expect(page.locator("#place .before")).to_contain_text("unsure")
    expect(page.locator("#queue-head")).to_contain_text("2 of 6")
    standing = Judgement.objects.filter(source=project.source, current=True).order_by("pk")
    assert [(row.verdict, row.misfits) for row in standing] == [("interpretable", [1]), ("not_interpretable", [])]
    return judged[:2]


def open_the_comparison(page, judged):
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**" + reverse("review:projects"))
    page.get_by_role("link", name="Animals").click()
    expect(page.locator("table.comparison tbody tr")).to_have_count(2)
    for item in judged:
        expect(page.locator("table.comparison")).to_contain_text(str(item.direction.key))
    expect(page.locator(".crossing")).to_contain_text("offline baseline (no language model)")
    expect(page.locator(".measures")).to_contain_text(re.compile(r"n\s*2\s*2 vectors\s*Raw agreement\s*0\.50"))


def download_the_export(page, folder) -> list:
    page.get_by_role("button", name="Export as JSONL").click()
    link = page.get_by_role("link", name="Download")
    expect(link).to_be_visible(timeout=30_000)
    with page.expect_download() as waiting:
        link.click()
    path = Path(folder) / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.name == "animals.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]
