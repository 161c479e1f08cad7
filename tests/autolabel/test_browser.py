"""The whole way in a real browser, by keyboard: write a prompt version, plan a run, start it, watch it end."""

import re

import pytest
from playwright.sync_api import expect

from labelapp.autolabel.models import Call, PlannedRun, PromptVersion, Run
from labelapp.autolabel.prompts import prompts_load
from labelapp.judgements.models import Judgement
from tests.autolabel.conftest import atlas

PATIENCE = 120_000  # ms, for what a worker does on a busy machine


@pytest.fixture
def model(llm, worker, live_server):  # the worker gets the provider's address from the environment
    prompts_load()
    return atlas(6)


def test_from_a_prompt_to_a_finished_run(page, live_server, owner, sign_in, llm, model, browser_errors):
    sign_in(page, owner)
    write_a_version(page)
    plan_a_run(page, browser_errors)
    start_and_watch(page, llm)
    page.go_back()  # to the plan, which is that run now
    expect(page.locator("h1")).to_contain_text(f"Run {Run.objects.get().pk}")
    assert Run.objects.count() == 1


def write_a_version(page):
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page.locator("h1")).to_have_text("How are language models asked?")
    page.keyboard.press("n")
    expect(page.locator("#preview")).to_contain_text("Chat messages for an example readout")
    page.locator("#id_name").fill("kitchen")
    page.locator("#id_item_format").fill("Which theme?\n{word}")
    expect(page.locator("#preview .notice")).to_contain_text("unknown placeholder {word}")
    page.locator("#id_item_format").fill("Which theme have they?\n{tokens}\nAnswer:")
    expect(page.locator("#preview")).to_contain_text("Which theme have they?\ndog, dogs, puppy")
    assert not PromptVersion.objects.filter(name="kitchen").exists()
    page.locator("#id_name").press("Enter")
    expect(page.locator("#messages")).to_contain_text("kitchen@1 is stored, and never changes")
    expect(page.locator("main")).to_contain_text("0 answered calls, 0 judges")


def plan_a_run(page, browser_errors):
    page.keyboard.press("g")
    page.keyboard.press("u")
    expect(page.locator("h1")).to_have_text("What are the machine judges doing?")
    page.keyboard.press("n")
    expect(page.locator("h1")).to_have_text("What shall a language model judge?")
    page.locator("#id_labeler").select_option(label="kitchen@1 (few-shot-mostly-negative, chat)")
    page.locator("#id_llm").fill("tiny-1")
    expect(page.locator("#price")).to_contain_text("What test:tiny-1 costs is not known")
    page.locator("#id_budget").fill("0")
    page.locator("#id_budget").press("Enter")
    expect(page.locator("#id_budget_error")).to_contain_text("no amount of money above 0")
    assert len(browser_errors) == 1 and "422" in browser_errors.pop()
    expect(page.locator("#id_llm")).to_have_value("tiny-1")
    page.locator("#id_price_in").fill("2")
    page.locator("#id_price_out").fill("8")
    page.locator("#id_budget").fill("3")
    page.keyboard.press("Escape")  # out of the field, so that keys are keys again
    page.keyboard.press("e")
    expect(page.locator("main")).to_contain_text("12 calls, about $0.", timeout=PATIENCE)  # by itself
    expect(page.locator("main")).to_contain_text("$3.00; the run pauses before it would pass it")
    assert PlannedRun.objects.get().run is None


def start_and_watch(page, llm):
    assert llm.seen()["counts"] == {}
    llm.tell(latency=0.5)
    page.keyboard.press("s")
    expect(page.locator("h1")).to_contain_text("kitchen@1 × verifier-few-shot-chat@1, test:tiny-1")
    expect(page.locator("#run-live")).to_contain_text(re.compile(r"Left\s+\$[0-9.]+ of \$3.00"))
    expect(page.locator("main")).to_contain_text("Done in", timeout=PATIENCE)  # the page comes anew by itself
    expect(page.locator("#run-live")).to_contain_text("6 judged, 0 to go, 0 failed")
    expect(page.locator("main table")).to_contain_text("6 · 100.0 %")
    assert Judgement.objects.count() == 6 and Call.objects.count() == 12
