"""The labelling page under a hand: numbers, drafts, double presses, failures, undo; and without a script."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, Route, expect

from labelapp.accounts.models import User
from labelapp.judgements.models import Judgement
from labelapp.labelling.models import Project, Skip
from labelapp.labelling.selectors import item_next
from tests.factories import DirectionFactory, cast_project

UNSEEN_MS = 350
TOKENS = [f" word{n}" for n in range(1, 16)]


@pytest.fixture
def owner(live_server, make_user):
    return make_user("owner")


@pytest.fixture
def project(owner):
    project = cast_project(owner, n=6)
    for item in project.items.select_related("direction"):
        item.direction.tokens = TOKENS
        item.direction.scores = [1 - 0.03 * place for place in range(15)]
        item.direction.save()
    project.tokens_shown = len(TOKENS)
    project.save()
    return project


@pytest.fixture
def queue(page: Page, live_server, sign_in, owner, project):
    sign_in(page, owner)
    page.goto(live_server.url + reverse("labelling:queue", args=[project.slug]))
    return page


@pytest.fixture
def still(queue):
    """The queue with its clock stopped, long after the readout was shown; `clock.run_for` moves it.

    What depends on how fast a hand is then does not depend on how fast the machine is.
    """
    queue.clock.install()
    queue.reload()
    queue.clock.pause_at(queue.evaluate("Date.now()") / 1000 + 60)
    return queue


def shown(page):
    return page.locator("#place .card").get_attribute("data-item")


def struck(page):
    return [int(box.get_attribute("value")) + 1 for box in page.locator("#place [name=misfit]:checked").all()]


def mine(project):
    return list(Judgement.objects.filter(source=project.source, current=True).order_by("pk"))


def saved(page, n):
    expect(page.locator("#queue-head")).to_contain_text(f"{n} of 6")


def seen(page: Page) -> None:
    """As long as nobody can have read a readout, the page takes no answer to it."""
    page.wait_for_timeout(UNSEEN_MS)


def answer(page: Page, key: str) -> None:
    seen(page)
    page.keyboard.press(key)


def skip(page: Page) -> None:
    """`s` opens the reasons, `s` again is the first: later."""
    answer(page, "s")
    page.keyboard.press("s")


def test_numbers_mark_misfits(still):
    still.keyboard.type("7")
    assert struck(still) == [7]
    still.keyboard.type("13")
    assert struck(still) == [7, 13]
    still.keyboard.type("02")
    assert struck(still) == [2, 7, 13]
    still.keyboard.type("1")
    expect(still.locator("#place .tok.pending")).to_have_count(1)
    assert struck(still) == [2, 7, 13]
    still.clock.run_for(600)
    expect(still.locator("#place .tok.pending")).to_have_count(0)
    assert struck(still) == [1, 2, 7, 13]
    still.keyboard.type("19")  # there is no 19: 1, then 9
    assert struck(still) == [2, 7, 9, 13]
    still.keyboard.type("7")
    expect(still.locator("#place .n-fit")).to_have_text("12")
    still.locator("#place .tok").nth(4).click()
    assert struck(still) == [2, 5, 9, 13]
    expect(still.locator("#place .fit")).not_to_have_class("fit below")
    still.keyboard.type("3")
    expect(still.locator("#place .fit")).to_have_class("fit below")  # 10 of 15 are less than 70 %


def test_a_number_just_before_the_verdict_counts(still, project):
    still.keyboard.type("1y")
    saved(still, 1)
    assert [row.misfits for row in mine(project)] == [[0]]


def test_the_next_item_is_there_before_it_is_asked_for(queue, project, owner):
    following = item_next(project, owner, after=item_next(project, owner))
    held: list[Route] = []
    queue.route("**/judge/", lambda route: held.append(route))
    answer(queue, "y")
    expect(queue.locator("#place .card")).to_have_attribute("data-item", following.opaque_id)
    assert mine(project) == []  # it is shown although nothing is saved yet
    answer(queue, "n")  # and can be answered
    expect(queue.locator("#place .card")).to_have_attribute("inert", "")
    held[0].continue_()
    saved(queue, 1)
    held[1].continue_()
    saved(queue, 2)
    assert [row.verdict for row in mine(project)] == ["interpretable", "not_interpretable"]


def test_a_reader_is_led_to_the_next_item(queue):
    first = shown(queue)
    answer(queue, "y")
    expect(queue.locator("#place .card")).to_be_focused()
    assert shown(queue) != first


@pytest.mark.parametrize("pause", [0, 80, 150, 290])
def test_a_double_click_judges_one_direction(still, project, owner, pause):
    following = item_next(project, owner, after=item_next(project, owner))
    yes = still.locator("#place [data-key=y]").bounding_box()
    for _ in range(2):
        still.mouse.click(yes["x"] + 5, yes["y"] + 5)
        still.clock.run_for(pause)
    saved(still, 1)
    expect(still.locator("#place .card:not([inert])")).to_have_attribute("data-item", following.opaque_id)
    assert len(mine(project)) == 1


def test_a_double_press_makes_one_judgement_an_item(still, project, owner):
    following = item_next(project, owner, after=item_next(project, owner))
    still.evaluate("""() => {
        const button = document.querySelector('#place [data-key=y]');
        button.click(); button.click();
    }""")
    saved(still, 1)
    expect(still.locator("#place .card:not([inert])")).to_have_attribute("data-item", following.opaque_id)
    assert len(mine(project)) == 1 and Judgement.objects.count() == 1


def test_keys_do_not_fire_while_typing_or_with_a_modifier(queue, project):
    first = shown(queue)
    queue.keyboard.press("l")
    queue.keyboard.type("yes, sunny 7 zebras?")
    queue.keyboard.press("Enter")  # leaves the field, judges nothing
    for press in ("Control+y", "Alt+n", "Meta+u"):
        queue.keyboard.press(press)
    assert shown(queue) == first and struck(queue) == [] and mine(project) == []
    expect(queue.locator("#place [name=label]")).to_have_value("yes, sunny 7 zebras?")
    answer(queue, "y")
    saved(queue, 1)
    assert mine(project)[0].label == "yes, sunny 7 zebras?"


def test_a_draft_survives_a_reload(queue, project):
    queue.keyboard.press("l")
    queue.keyboard.type("half a th")
    queue.keyboard.press("Escape")
    queue.keyboard.type("5")
    queue.reload()
    expect(queue.locator("#place [name=label]")).to_have_value("half a th")
    assert struck(queue) == [5]
    expect(queue.locator("#place .n-fit")).to_have_text("14")
    answer(queue, "n")
    saved(queue, 1)
    assert (mine(project)[0].label, mine(project)[0].misfits) == ("half a th", [4])
    assert queue.evaluate("Object.keys(localStorage).filter(key => key.startsWith('tealeaves.draft'))") == []


def test_undo_brings_back_what_was_entered(queue, project):
    first = shown(queue)
    queue.keyboard.press("l")
    queue.keyboard.type("pets")
    queue.keyboard.press("Escape")
    queue.keyboard.type("3")
    queue.locator("#place [name=kind]").select_option("topic")
    queue.locator("h1").click()
    answer(queue, "n")
    saved(queue, 1)
    second = shown(queue)
    queue.keyboard.press("z")
    expect(queue.locator("#place .card")).to_have_attribute("data-item", first)
    saved(queue, 0)
    expect(queue.locator("#place [name=label]")).to_have_value("pets")
    expect(queue.locator("#place [name=kind]")).to_have_value("topic")
    assert struck(queue) == [3]
    expect(queue.locator("#place .before")).to_contain_text("not interpretable")
    answer(queue, "y")
    expect(queue.locator("#place .card")).to_have_attribute("data-item", second)
    saved(queue, 1)
    assert [(row.verdict, row.label) for row in mine(project)] == [("interpretable", "pets")]


def test_a_failed_save_stays_with_a_retry_and_loses_nothing(queue, project, browser_errors):
    first = shown(queue)
    queue.route("**/judge/", lambda route: route.abort())
    queue.keyboard.press("l")
    queue.keyboard.type("pets")
    queue.keyboard.press("Escape")
    answer(queue, "y")
    notice = queue.locator("#save-error .notice")
    expect(notice).to_contain_text("The server cannot be reached")
    expect(notice).to_contain_text("Not saved; your answer is kept")
    assert shown(queue) != first and mine(project) == []
    queue.keyboard.press("z")  # back to it, as it was
    expect(queue.locator("#place .card")).to_have_attribute("data-item", first)
    expect(queue.locator("#place [name=label]")).to_have_value("pets")
    answer(queue, "u")
    expect(notice).to_be_visible()
    queue.unroute("**/judge/")
    queue.get_by_role("button", name="Send it again").click()
    saved(queue, 1)
    expect(notice).to_have_count(0)
    assert [(row.verdict, row.label) for row in mine(project)] == [("unsure", "pets")]
    browser_errors.clear()  # the browser reports the request that was cut off


def test_a_refusal_is_one_sentence(queue, project, browser_errors):
    Project.objects.update(state="paused")
    first = shown(queue)
    answer(queue, "y")
    notice = queue.locator("#save-error .notice")
    expect(notice).to_contain_text("is paused and takes no judgements")
    expect(queue.get_by_role("button", name="Send it again")).to_have_count(0)
    queue.get_by_role("button", name="Go back to it").click()
    assert shown(queue) == first and mine(project) == []
    browser_errors.clear()  # the browser reports the 422


def test_who_signs_in_again_in_another_tab_sends_it_again(queue, live_server, sign_in, owner, project):
    queue.context.clear_cookies(name="sessionid")
    answer(queue, "y")
    notice = queue.locator("#save-error .notice")
    expect(notice).to_contain_text("Your session has ended")
    other = queue.context.new_page()
    sign_in(other, owner)  # which changes the token that the form holds
    queue.get_by_role("button", name="Send it again").click()
    saved(queue, 1)
    expect(notice).to_have_count(0)
    answer(queue, "n")
    saved(queue, 2)
    assert [row.verdict for row in mine(project)] == ["interpretable", "not_interpretable"]


def test_who_signs_in_as_another_person_answers_nothing_for_the_first(
    queue, live_server, sign_in, make_user, project, browser_errors
):
    other = make_user("other")
    project.memberships.create(user=other, role="annotator")
    queue.context.clear_cookies(name="sessionid")
    sign_in(queue.context.new_page(), other)
    answer(queue, "y")
    expect(queue.locator("#save-error .notice")).to_contain_text("You are signed in as other now")
    assert mine(project) == []
    browser_errors.clear()  # the browser reports the 403


@pytest.mark.parametrize(
    ("role", "sentence"), [("viewer", "As viewer of Animals"), (None, "There is no project animals")]
)
def test_what_cannot_be_taken_is_not_sent_again(queue, project, owner, browser_errors, role, sentence):
    first = shown(queue)
    found = project.memberships.filter(user=owner)
    if role:
        found.update(role=role)
    else:
        found.delete()
    answer(queue, "y")
    notice = queue.locator("#save-error .notice")
    expect(notice).to_contain_text(sentence)
    expect(queue.get_by_role("button", name="Send it again")).to_have_count(0)
    queue.get_by_role("button", name="Go back to it").click()
    assert shown(queue) == first
    browser_errors.clear()  # the browser reports the status


def test_drafts_are_ones_own_and_go_with_the_sign_out(queue, live_server, sign_in, make_user, project):
    other = make_user("other")
    project.memberships.create(user=other, role="annotator")
    first = shown(queue)
    queue.keyboard.press("l")
    queue.keyboard.type("owner's half a th")
    queue.keyboard.press("Escape")
    skip(queue)
    expect(queue.locator("#place .card")).not_to_have_attribute("data-item", first)
    drafts = "Object.keys(localStorage).filter(key => key.startsWith('tealeaves.draft'))"
    assert len(queue.evaluate(drafts)) == 1  # the skipped one's is kept
    queue.evaluate("localStorage.setItem('tealeaves.draft.999999.x', '{}')")
    address = live_server.url + reverse("labelling:queue", args=[project.slug])

    queue.context.clear_cookies(name="sessionid")  # the session ends, nobody signs out
    sign_in(queue, other)
    queue.goto(f"{address}?item={first}")
    expect(queue.locator("#place [name=label]")).to_have_value("")
    queue.locator("header .menu summary").click()
    queue.get_by_role("button", name="Sign out").click()
    expect(queue.get_by_role("heading", name="Sign in")).to_be_visible()
    assert len(queue.evaluate(drafts)) == 2

    sign_in(queue, User.objects.get(username="owner"))
    queue.goto(f"{address}?item={first}")
    expect(queue.locator("#place [name=label]")).to_have_value("owner's half a th")
    queue.locator("header .menu summary").click()
    queue.get_by_role("button", name="Sign out").click()
    expect(queue.get_by_role("heading", name="Sign in")).to_be_visible()
    assert queue.evaluate(drafts) == ["tealeaves.draft.999999.x"]


def test_skip_and_the_end_of_the_queue(queue, project):
    skipped = shown(queue)
    skip(queue)
    for n in range(1, 6):
        expect(queue.locator("#place .card")).not_to_have_attribute("data-item", skipped)
        answer(queue, "y")
        saved(queue, n)
    expect(queue.locator("#place .card")).to_have_attribute("data-item", skipped)
    answer(queue, "u")
    expect(queue.get_by_role("heading", name="You have judged all 6")).to_be_visible()
    queue.keyboard.press("z")
    expect(queue.locator("#place .card")).to_have_attribute("data-item", skipped)
    saved(queue, 5)


def test_fast_hands_lose_nothing(queue, project):
    for n in range(6):
        expect(queue.locator("#place .card[data-item]:not([inert])")).to_have_count(1)
        answer(queue, "ynu"[n % 3])
    saved(queue, 6)
    assert len(mine(project)) == 6 == len({row.direction_id for row in mine(project)})


def test_shortcuts_can_be_seen_and_changed(queue, project):
    queue.keyboard.press("?")
    dialog = queue.locator("#keys")
    expect(dialog).to_be_visible()
    for name in ("Interpretable", "Not interpretable", "Unsure", "Skip", "Undo", "Go to models"):
        expect(dialog.get_by_role("row").filter(has_text=name).first).to_be_visible()
    answer(queue, "y")  # no shortcut fires behind the dialog
    change = dialog.get_by_role("button", name="Change the key for: Interpretable", exact=True)
    change.click()
    answer(queue, "n")
    expect(dialog.locator("#keys-wrong")).to_contain_text("already stands for: Not interpretable")
    change.click()
    queue.keyboard.press("5")
    expect(dialog.locator("#keys-wrong")).to_contain_text("Digits mark words")
    with queue.expect_response("**/account/shortcuts/") as kept:
        queue.keyboard.press("i")
    assert kept.value.status == 204 and User.objects.get(username="owner").shortcuts == {"Interpretable": "i"}
    queue.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert mine(project) == []
    queue.reload()
    expect(queue.locator("#place .btn.go kbd")).to_have_text("i")
    answer(queue, "y")
    queue.keyboard.press("i")
    saved(queue, 1)
    expect(queue.locator("#place .btn.go kbd")).to_have_text("i")
    assert len(mine(project)) == 1


def test_without_a_script_it_is_a_plain_form(browser, live_server, owner, project, client_of):
    session = client_of(owner).cookies["sessionid"].value
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page = context.new_page()
    page.goto(live_server.url + reverse("labelling:queue", args=[project.slug]))
    first = shown(page)
    page.locator("#place .tok").nth(2).click()
    page.fill("#place [name=label]", "pets")
    page.press("#place [name=label]", "Enter")  # is no verdict here either
    assert shown(page) == first and mine(project) == []
    page.get_by_role("button", name="Not", exact=True).click()
    assert shown(page) != first
    assert [(row.verdict, row.label, row.misfits) for row in mine(project)] == [("not_interpretable", "pets", [2])]
    page.get_by_role("button", name="Undo").click()
    assert shown(page) == first and struck(page) == [3] and mine(project) == []
    page.locator("#place .reasons summary").click()
    page.get_by_role("button", name="too hard to decide").click()
    assert shown(page) != first and Skip.objects.get().reason == "too_hard"
    expect(page.locator("#place kbd.needs-script").first).to_be_hidden()
    context.close()


def test_lists_are_walked_by_keyboard(page: Page, live_server, sign_in, owner, project):
    cast_project(owner, name="Newer")
    DirectionFactory()
    sign_in(page, owner)
    page.goto(live_server.url + reverse("labelling:projects"))
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="Newer", exact=True)).to_be_focused()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="Animals", exact=True)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(live_server.url + reverse("labelling:queue", args=[project.slug]))
    page.keyboard.press("g")
    page.keyboard.press("u")
    expect(page).to_have_url(live_server.url + reverse("autolabel:runs"))
