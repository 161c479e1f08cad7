"""A session of an intrusion test by keyboard alone, faults in it, a phone, and axe on every page of tests."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Page, expect

from labelapp.labelling.models import Project
from labelapp.labelling.services import item_judge
from labelapp.labelling.trials.models import ChoiceTest, Trial, TrialAnswer
from labelapp.labelling.trials.queue import trials_take
from labelapp.labelling.trials.services import choice_test_start, trial_answer

UNSEEN_MS = 350


@pytest.fixture
def owner(live_server, make_user):
    return make_user("owner")


@pytest.fixture
def started(spoken_project, owner):
    return choice_test_start(project=spoken_project, user=owner, kind="intrusion", ends=12, trials=2)


@pytest.fixture
def session(page: Page, live_server, sign_in, annotator, started):
    sign_in(page, annotator)
    page.goto(live_server.url + reverse("labelling:trials", args=[started.project.slug, started.pk]))
    return page


def shown(page):
    return page.locator("#place .card").get_attribute("data-item")


def press(page, key):
    page.wait_for_timeout(UNSEEN_MS)  # as long as nobody can have read it, the page takes no answer
    page.keyboard.press(key)


def counted(page, n):
    expect(page.locator("#queue-head")).to_contain_text(f"{n} of ")


def test_a_session_by_keyboard_alone(page: Page, live_server, sign_in, annotator, owner, started):
    sign_in(page, annotator)
    page.keyboard.press("g")
    page.keyboard.press("l")
    expect(page.get_by_role("heading", name="What is there to judge?")).to_be_visible()
    tests = page.get_by_role("link", name="Tests")
    for _ in range(40):
        if tests.evaluate("link => link === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Do the directions pass a test?")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Which one does not belong?")).to_be_visible()
    n = started.trials.values("direction").distinct().count()
    wanted, given = {}, []
    for number in range(n):
        trial = Trial.objects.get(opaque_id=shown(page))
        wanted[trial.pk] = number % 6
        press(page, str(number % 6 + 1))
        if number + 1 < n:
            expect(page.locator("#place .card")).not_to_have_attribute("data-item", trial.opaque_id)
        given.append(trial.direction_id)
    expect(page.get_by_role("heading", name=f"That was all: you answered {n}")).to_be_visible()
    assert len(set(given)) == n, "each end once"
    assert dict(TrialAnswer.objects.filter(user=annotator).values_list("trial", "choice")) == wanted
    assert all(0.3 < row.seconds < 60 for row in TrialAnswer.objects.all())
    # The owner sees what it found, by keyboard as well.
    page.context.clear_cookies()
    sign_in(page, owner)
    page.goto(live_server.url + reverse("labelling:test", args=[started.project.slug, started.pk]))
    right = sum(choice == Trial.objects.get(pk=pk).answer for pk, choice in wanted.items())
    expect(page.locator("main")).to_contain_text("How often is the intruder found?")
    cells = page.locator("tbody tr td:nth-child(4)").all_inner_texts()
    assert sum(int(cell.split()[0]) for cell in cells) == right
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Which one does not belong?")).to_be_visible()


def test_the_next_trial_is_there_at_once_and_a_double_press_answers_one(session, started):
    held = []
    session.route("**/answer/", lambda route: held.append(route))
    first = shown(session)
    press(session, "3")
    session.keyboard.press("4")  # the second half of a double press
    expect(session.locator("#place .card")).not_to_have_attribute("data-item", first)
    assert len(held) == 1 and not TrialAnswer.objects.exists()
    held[0].continue_()
    counted(session, 1)
    assert TrialAnswer.objects.get().choice == 2
    assert session.locator("#place fieldset").evaluate("it => it === document.activeElement"), "read to who cannot see"


def test_a_lost_connection_loses_nothing(session, browser_errors):
    session.route("**/answer/", lambda route: route.abort())
    press(session, "1")
    notice = session.locator("#save-error .notice")
    expect(notice).to_contain_text("The server cannot be reached. Not saved; your choice is kept")
    press(session, "2")
    session.unroute("**/answer/")
    session.get_by_role("button", name="Send it again").click()
    counted(session, 2)
    expect(notice).to_have_count(0)
    assert sorted(TrialAnswer.objects.values_list("choice", flat=True)) == [0, 1]
    browser_errors.clear()  # the browser reports the request that was cut off


def test_a_refusal_is_one_sentence_and_the_session_goes_on(session, started, owner, browser_errors):
    trial = Trial.objects.select_related("test__project").get(opaque_id=shown(session))
    trial_answer(trial=trial, user=owner, choice=0)
    press(session, "1")
    expect(session.locator("#save-error .notice")).to_contain_text("Somebody else answered this one while it lay here")
    session.get_by_role("button", name="Leave it and go on").click()
    press(session, "5")
    counted(session, 1)
    assert not TrialAnswer.objects.filter(trial=trial).exclude(user=owner).exists()
    Project.objects.update(state="paused")
    press(session, "5")
    expect(session.locator("#save-error .notice")).to_contain_text("is paused and takes no answers")
    browser_errors.clear()  # the browser reports the 422


def test_without_a_script(browser, live_server, sign_in, annotator, started):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, annotator)
    page.goto(live_server.url + reverse("labelling:trials", args=[started.project.slug, started.pk]))
    first = shown(page)
    page.locator("#place button").nth(2).click()
    counted(page, 1)
    assert shown(page) != first and TrialAnswer.objects.get().choice == 2
    context.close()


def serious(page):
    found = Axe().run(page).response["violations"]
    return [
        (it["id"], [node["html"][:100] for node in it["nodes"]])
        for it in found
        if it["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, live_server, sign_in, annotator, owner, started, scheme, width):
    for number, item in enumerate(started.project.items.all()[:12]):
        item_judge(item=item, user=annotator, verdict="interpretable", label=f"a name that is rather long {number}")
    matching = choice_test_start(project=started.project, user=owner, kind="matching", trials=1)
    started.project.items.update(is_open=False)
    while trials := trials_take(started, annotator):
        trial = Trial.objects.select_related("test__project").get(pk=trials[0].pk)
        trial_answer(trial=trial, user=annotator, choice=trial.answer)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(page, owner)
    slug = started.project.slug
    for name, args in (
        ("tests", ()),
        ("trials", (started.pk,)),
        ("trials", (matching.pk,)),
        ("test", (started.pk,)),
        ("test", (matching.pk,)),
    ):
        page.goto(live_server.url + reverse(f"labelling:{name}", args=[slug, *args]))
        assert serious(page) == [], (name, args)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, (name, args)
    assert ChoiceTest.objects.count() == 2
