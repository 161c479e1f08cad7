"""A whole session by keyboard alone, two people on the same items, faults in mid-session, and axe on the page."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from labelapp.judgements.models import Judgement
from labelapp.labelling.models import Lease, Project, Skip
from labelapp.labelling.selectors import item_next
from labelapp.labelling.services import item_judge
from tests.browser.test_labelling import answer, mine, shown, struck
from tests.factories import cast_project, machine_says, overlap_set


@pytest.fixture
def owner(live_server, make_user):
    return make_user("owner")


@pytest.fixture
def annotator(live_server, make_user):
    return make_user("annotator")


@pytest.fixture
def project(owner, annotator):
    return cast_project(owner, annotator=annotator, n=24, overlap=2)


@pytest.fixture
def address(live_server, project):
    return live_server.url + reverse("labelling:queue", args=[project.slug])


@pytest.fixture
def queue(page: Page, address, sign_in, owner):
    sign_in(page, owner)
    page.goto(address)
    return page


@pytest.fixture
def second(browser, address, sign_in, annotator):
    """The queue before another person, in a browser of its own."""
    page = browser.new_context().new_page()
    sign_in(page, annotator)
    page.goto(address)
    yield page
    page.context.close()


def next_card(page, before):
    expect(page.locator("#place .card:not([inert])")).not_to_have_attribute("data-item", before)


def judged(page, n, of=24):
    expect(page.locator("#queue-head")).to_contain_text(f"{n} of {of}")


def write(page, text):
    page.keyboard.press("l")
    page.keyboard.type(text)
    page.keyboard.press("Escape")


def test_a_whole_session_by_keyboard(page: Page, live_server, sign_in, owner, project):
    """Twenty items, an undo, a skip, a draft after a reload, and never a mouse."""
    sign_in(page, owner)
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**" + reverse("labelling:projects"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#place .card")).to_be_visible()
    for n in range(20):
        item = shown(page)
        if n == 5:  # skipped, with a reason
            answer(page, "s")
            page.keyboard.press("h")
            next_card(page, item)
            item = shown(page)
        if n == 12:  # half entered, then the page is loaded again
            write(page, "a draft")
            page.keyboard.type("4")
            page.reload()
            assert shown(page) == item and struck(page) == [4]
        elif n % 3 == 0:
            write(page, f"label {n}")
            page.keyboard.type("37")
        elif n % 3 == 1:
            page.keyboard.press("r")
            page.keyboard.press("ArrowDown")
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Escape")
        answer(page, "ynu"[n % 3])
        judged(page, n + 1)
        if n == 8:  # one's mind is changed
            page.keyboard.press("z")
            judged(page, n)
            expect(page.locator("#place .card")).to_have_attribute("data-item", item)
            answer(page, "n")
            judged(page, n + 1)
        next_card(page, item)
    expect(page.locator("#queue-head")).to_contain_text("in a row")
    rows = mine(project)
    assert [row.verdict[:3] for row in rows] == [("int", "not", "uns")[n % 3] if n != 8 else "not" for n in range(20)]
    assert [row.label for row in rows if row.label] == [f"label {n}" if n != 12 else "a draft" for n in range(0, 20, 3)]
    assert {row.reason for row in rows if row.verdict == "not_interpretable"} == {"several_meanings", ""}
    assert [row.misfits for row in rows if row.label] == [[2, 6] if n != 12 else [3] for n in range(0, 20, 3)]
    assert Judgement.objects.exclude(withdraws=None).count() == 1 and Judgement.objects.count() == 22
    assert Skip.objects.get().reason == "too_hard"
    assert {row.judge.user for row in rows} == {owner} and len({row.direction_id for row in rows}) == 20


def test_two_people_on_an_overlap_of_two(queue, second, project, owner, annotator):
    project.items.filter(position__gte=3).delete()
    machine_says({item.direction: ("interpretable", "a machine's words") for item in project.items.all()})
    for page in (queue, second):
        page.reload()
    for n in range(3):
        item = shown(queue)
        assert item == shown(second), "both judge the same items"
        for page, key, words in ((queue, "y", "owner's words"), (second, "n", "annotator's words")):
            assert "words" not in page.content() or n
            write(page, f"{words} {n}")
            answer(page, key)
            judged(page, n + 1, of=3)
    second.keyboard.press("o")
    said = second.locator("#others-body")
    expect(said).to_contain_text("owner's words 2")
    expect(said).to_contain_text("a machine's words")
    second.keyboard.press("Escape")
    for page in (queue, second):
        expect(page.get_by_role("heading", name="You have judged all 3")).to_be_visible()
    assert sorted(project.items.values_list("n_judged", flat=True)) == [2, 2, 2]
    assert {option.get_attribute("value") for option in queue.locator("#labels option").all()} == {
        f"owner's words {n}" for n in range(3)
    }


def test_others_stay_hidden_where_the_project_says_so(queue, project, browser_errors):
    Project.objects.update(reveal=False)
    queue.reload()
    first = shown(queue)
    answer(queue, "y")
    judged(queue, 1)
    expect(queue.locator("#last")).to_contain_text("interpretable")
    assert queue.locator("#last a").count() == 0
    status = queue.evaluate(f"fetch('{queue.url}items/{first}/others/').then(answer => answer.status)")
    assert status == 403
    browser_errors.clear()  # the browser reports the 403


# Faults


def refused(page):
    return page.locator("#save-error .notice")


def test_a_second_tab_says_what_was_answered_in_the_first(queue, address, project, browser_errors):
    tab = queue.context.new_page()
    tab.goto(address)
    item = shown(tab)
    assert item == shown(queue)
    write(queue, "pets")
    answer(queue, "y")
    judged(queue, 1)
    write(tab, "plants")
    answer(tab, "n")
    expect(refused(tab)).to_contain_text("You judged this one in another tab: interpretable, “pets”. That stands")
    assert [(row.verdict, row.label) for row in mine(project)] == [("interpretable", "pets")]
    tab.get_by_role("button", name="Go back to it").click()
    expect(tab.locator("#place [name=label]")).to_have_value("plants")
    browser_errors.clear()  # the browser reports the 422


def test_a_lease_that_ended_while_somebody_thought(queue, project, owner, annotator, browser_errors):
    overlap_set(project, 1)
    queue.reload()
    item = project.items.get(opaque_id=shown(queue))
    write(queue, "slow thoughts")
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
    answer(queue, "y")
    judged(queue, 1)  # nobody else wanted it: taken

    late = project.items.get(opaque_id=shown(queue))
    write(queue, "too slow")
    item_judge(item=late, user=annotator, verdict="unsure")
    answer(queue, "y")
    expect(refused(queue)).to_have_count(1)
    expect(refused(queue)).to_contain_text("Somebody else has judged this one while it lay here")
    assert len(mine(project)) == 2 and item.pk != late.pk
    queue.get_by_role("button", name="Go back to it").click()
    expect(queue.locator("#place [name=label]")).to_have_value("too slow")
    answer(queue, "y")
    queue.get_by_role("button", name="Leave it and go on").click()
    expect(refused(queue)).to_have_count(0)
    next_card(queue, late.opaque_id)
    answer(queue, "n")
    judged(queue, 2, of=23)
    assert sorted(row.judge.user.username for row in mine(project)) == ["annotator", "owner", "owner"]
    browser_errors.clear()  # the browser reports the 422


def test_the_heartbeat_keeps_the_items_and_says_when_one_has_gone(queue, project, annotator, browser_errors):
    overlap_set(project, 1)
    queue.clock.install()
    queue.reload()
    Lease.objects.update(until=timezone.now() + timedelta(seconds=30))
    with queue.expect_response("**/beat/") as beat:
        queue.clock.run_for(46_000)
    assert beat.value.status == 204
    assert Lease.objects.filter(until__gt=timezone.now() + timedelta(seconds=60)).count() == 2
    Lease.objects.update(user=annotator)
    with queue.expect_response("**/beat/") as beat:
        queue.clock.run_for(46_000)
    assert beat.value.status == 409
    expect(refused(queue)).to_contain_text("is with somebody else now")
    browser_errors.clear()  # the browser reports the 409


def test_whoever_has_gone_home_keeps_nothing(queue, project):
    queue.clock.install()
    queue.reload()
    beats = []
    queue.on("request", lambda request: beats.append(request.url) if request.url.endswith("/beat/") else None)
    queue.clock.run_for(9 * 60_000)
    assert beats
    queue.clock.run_for(2 * 60_000)
    beats.clear()
    queue.clock.run_for(20 * 60_000)
    assert beats == []


def test_the_back_button_judges_nothing_twice(queue, project, address):
    first = shown(queue)
    answer(queue, "y")
    judged(queue, 1)
    following = shown(queue)
    queue.get_by_role("link", name="Guidelines v1").click()
    expect(queue.get_by_role("heading", name="Guidelines of Animals")).to_be_visible()
    queue.go_back()
    expect(queue.locator("#place .card")).to_have_attribute("data-item", following)
    judged(queue, 1)
    answer(queue, "n")
    judged(queue, 2)
    assert first != following and [row.verdict for row in mine(project)] == ["interpretable", "not_interpretable"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("x" * 10_000, "A label may have 200 characters; this one has 10000"), ("bell\x07", "no control characters")],
)
def test_a_label_that_cannot_be_kept_stays_on_the_page(queue, project, browser_errors, text, sentence):
    field = queue.locator("#place [name=label]")
    field.evaluate("(field, text) => { field.removeAttribute('maxlength'); field.value = text; }", text)
    answer(queue, "y")
    expect(refused(queue)).to_contain_text(sentence)
    queue.get_by_role("button", name="Go back to it").click()
    expect(field).to_have_value(text)
    write(queue, "pets")
    answer(queue, "y")
    judged(queue, 1)
    assert [row.label for row in mine(project)] == ["pets"]
    browser_errors.clear()  # the browser reports the 422


def test_a_lost_connection_stays_on_the_page_until_it_is_back(queue, project, browser_errors):
    queue.context.set_offline(True)
    answer(queue, "y")
    expect(refused(queue)).to_contain_text("The server cannot be reached. Not saved; your answer is kept")
    assert mine(project) == []
    queue.context.set_offline(False)  # which sends it by itself
    judged(queue, 1)
    expect(refused(queue)).to_have_count(0)
    assert len(mine(project)) == 1
    browser_errors.clear()  # the browser reports the request that was cut off


# Seen with other eyes


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_axe_finds_nothing_serious(queue, project, owner, scheme, width):
    Project.objects.update(ends="both")
    for item in project.items.select_related("direction"):
        item.direction.pk, item.direction.sign = None, "-"
        item.direction.save()
    queue.set_viewport_size({"width": width, "height": 844})
    queue.emulate_media(color_scheme=scheme)
    queue.reload()
    expect(queue.locator("#place .other-end li")).to_have_count(10)
    assert queue.evaluate("document.documentElement.scrollWidth") <= width
    no_offence(queue)
    answer(queue, "s")
    expect(queue.locator("#place .reasons-items")).to_be_visible()
    no_offence(queue)
    queue.keyboard.press("Escape")
    answer(queue, "y")
    judged(queue, 1)
    no_offence(queue)
    queue.keyboard.press("o")
    expect(queue.locator("#others-body")).to_contain_text("Nobody else has judged it")
    no_offence(queue)
    queue.keyboard.press("Escape")
    queue.keyboard.press("?")
    expect(queue.locator("#keys")).to_be_visible()
    no_offence(queue)


def no_offence(page):
    violations = Axe().run(page).response["violations"]
    serious = [it for it in violations if it["impact"] in ("serious", "critical")]
    assert [(it["id"], [node["html"] for node in it["nodes"]]) for it in serious] == []


def test_a_reader_hears_the_page(queue, project, owner):
    """What a screen reader is told: names of fields, what is struck, what was saved."""
    card = queue.locator("#place .card")
    expect(card.get_by_role("checkbox")).to_have_count(10)
    expect(card.get_by_role("group", name="The tokens, best first.")).to_have_count(1)
    expect(card.get_by_role("combobox", name="Label")).to_have_count(1)
    for name in ("Kind", "Why not"):
        expect(card.get_by_role("combobox", name=name)).to_have_count(1)
    expect(queue.locator("#saved")).to_have_attribute("role", "status")
    assert item_next(project, owner).opaque_id == shown(queue)
